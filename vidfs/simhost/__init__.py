"""A simulated video host: a real HTTP server on loopback that speaks every dialect.

Written from the hosts' documents alone. It imports nothing else of vidfs, so that no
misreading of a document is shared between a client and what the client is tested on.

    python -m vidfs.simhost --root DIR [--port P] …

`/doodstream/api`, `/vipstream/api`, `/xvs/api`, `/fruithosted`, `/pstream/v1` and
`/streamtape` are the API bases; `/node/…` are the upload and download servers that API
answers point to; `/site/…` are the web pages, players and pictures; `/_sim/…` is for
tests and belongs to no dialect (see `admin`).

    server     process, socket, routes          endpoint   one API call from socket to socket
    records    what each dialect is             account    one dialect's state in memory
    xvs, dood, openload   the calls' answers    store      SQLite: folders, files, jobs
    uploads, formdata     the upload nodes      bodies     bytes on disk and by formula
    downloads  media, pages, pictures           faults     what goes wrong, counted
"""
