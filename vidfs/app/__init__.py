"""The composition root: what a mount is made of, and how it is found again.

    mounts.py   the kernel's mount table, locks, state files: who serves what
    daemon.py   going into the background, readiness told through a pipe
    logs.py     where the log goes; no key ever gets into it
    demo.py     the simulated host of the account `demo`, embedded
    accounts.py an account's host client, as configured
    serve.py    the mount itself, from lock to last upload

Nothing is imported here: commands that only look at mounts start without the rest.
"""
