"""`/_sim/…`: what tests and the demo do behind the dialects' backs. Part of no dialect.

GET    /_sim/accounts                    [{name, base_url, key, login}]
POST   /_sim/settings                    JSON object or query; GET: what is set
POST   /_sim/fault                       rule(s): text lines, JSON list, or ?rule=
GET    /_sim/fault                       [{rule, seen, fired}];  DELETE: clears
GET    /_sim/DIALECT/tree                {"files": […], "folders": […]}
GET    /_sim/DIALECT/calls               {call: count};  DELETE: zeroes
GET    /_sim/DIALECT/traffic             {"download_bytes": n} of films;  DELETE: zeroes
GET    /_sim/DIALECT/queries             [{call, params: {name: [values]}}], the last 500 calls
                                         with what was sent, keys as "***"; DELETE: forgets
GET    /_sim/DIALECT/settings            and POST: of this dialect only
POST   /_sim/DIALECT/files?folder=PATH&title=T[&formula=N][&seed=S]   → {"code"}
GET    /_sim/DIALECT/files/CODE          one entry of the tree
GET    /_sim/DIALECT/files/CODE/body     the bytes, formula or not
PATCH  /_sim/DIALECT/files/CODE          JSON: title folder public adult tags cat_id descr
                                         status uploaded dmca_at transcode_at views
DELETE /_sim/DIALECT/files/CODE
POST   /_sim/DIALECT/folders?path=PATH   creates what is missing → {"folder_id"}
PATCH  /_sim/DIALECT/folders?path=PATH   JSON: name parent (PATH)
DELETE /_sim/DIALECT/folders?path=PATH   with everything in it
POST   /_sim/DIALECT/populate?folders=N&files=M[&size=B][&folder=PATH][&fanout=F]
POST   /_sim/DIALECT/entries             JSON {"folders": [{name, parent}], "files": [{title,
                                         size, uploaded, folder}]}, names as they are; parent
                                         and folder: a place in this list of folders, null for
                                         the root                 → {"folders", "files"}: ids
DELETE /_sim/DIALECT/links               download links, tickets and upload links expire
DELETE /_sim/DIALECT/tree                the account is empty again
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from .account import Account, digest_names
from .bodies import BLOCK, Body, FormulaBody, body_sha1
from .faults import Faults
from .openload import delete_tree
from .populate import Entries, add_entries, populate
from .store import FileRow, FolderRow
from .uploads import FileSink
from .wire import parse_query

_CHANGEABLE = frozenset(
    """title public adult tags cat_id descr status uploaded dmca_at transcode_at views
    premium_only""".split()
)


def answer(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


class Admin:
    def __init__(self, accounts: dict[str, Account], faults: Faults) -> None:
        self._accounts = accounts
        self._faults = faults

    def routes(self) -> list[Route]:
        table: list[tuple[str, list[str], Callable[[Request], Awaitable[Response]]]] = [
            ("/_sim/accounts", ["GET"], self.accounts),
            ("/_sim/settings", ["GET", "POST"], self.settings),
            ("/_sim/fault", ["GET", "POST", "DELETE"], self.fault),
            ("/_sim/{dialect}/tree", ["GET", "DELETE"], self.tree),
            ("/_sim/{dialect}/calls", ["GET", "DELETE"], self.calls),
            ("/_sim/{dialect}/traffic", ["GET", "DELETE"], self.traffic),
            ("/_sim/{dialect}/queries", ["GET", "DELETE"], self.queries),
            ("/_sim/{dialect}/settings", ["GET", "POST"], self.settings),
            ("/_sim/{dialect}/files", ["POST"], self.add_file),
            ("/_sim/{dialect}/files/{code}", ["GET", "PATCH", "DELETE"], self.file),
            ("/_sim/{dialect}/files/{code}/body", ["GET"], self.body),
            ("/_sim/{dialect}/folders", ["POST", "PATCH", "DELETE"], self.folder),
            ("/_sim/{dialect}/populate", ["POST"], self.populate),
            ("/_sim/{dialect}/entries", ["POST"], self.entries),
            ("/_sim/{dialect}/links", ["DELETE"], self.links),
        ]
        return [Route(path, handler, methods=methods) for path, methods, handler in table]

    # -- helpers ---------------------------------------------------------------------------

    def _account(self, request: Request) -> Account:
        account = self._accounts.get(request.path_params["dialect"])
        if account is None:
            raise HTTPException(404, "no such dialect")
        return account

    def _file(self, request: Request) -> tuple[Account, FileRow]:
        account = self._account(request)
        row = account.store.find_file(request.path_params["code"])
        if row is None:
            raise HTTPException(404, "no such file")
        return account, row

    # -- everything ------------------------------------------------------------------------

    async def accounts(self, request: Request) -> Response:
        return answer(
            [
                {"name": name, "base_url": a.base_url, "key": a.key, "login": a.login}
                for name, a in self._accounts.items()
            ]
        )

    async def settings(self, request: Request) -> Response:
        chosen = list(self._accounts.values())
        if "dialect" in request.path_params:
            chosen = [self._account(request)]
        if request.method == "POST":
            body = await request.body()
            changes: dict[str, object] = dict(request.query_params)
            if body:
                changes |= msgspec.json.decode(body, type=dict[str, object])
            for account in chosen:
                try:
                    account.settings.update(changes)
                except ValueError as error:
                    raise HTTPException(400, str(error)) from None
                account.apply_settings()
        return answer(asdict(chosen[0].settings))

    async def fault(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._faults.clear()
        elif request.method == "POST":
            text = (await request.body()).decode()
            rules = request.query_params.getlist("rule")
            if text.lstrip().startswith(("[", '"')):
                decoded = msgspec.json.decode(text.encode())
                rules += decoded if isinstance(decoded, list) else [decoded]
            else:
                rules += text.splitlines()
            try:
                for rule in rules:
                    if rule.strip():
                        self._faults.add(rule.strip())
            except ValueError as error:
                raise HTTPException(400, str(error)) from None
        return answer(
            [{"rule": r.text, "seen": r.seen, "fired": r.fired} for r in self._faults.rules]
        )

    async def calls(self, request: Request) -> Response:
        account = self._account(request)
        if request.method == "DELETE":
            account.calls.clear()
        return answer(account.calls)

    async def traffic(self, request: Request) -> Response:
        account = self._account(request)
        if request.method == "DELETE":
            account.download_bytes = 0
        return answer({"download_bytes": account.download_bytes})

    async def queries(self, request: Request) -> Response:
        account = self._account(request)
        found = []
        for call, query in account.queries:
            for secret in (account.key, account.login):
                query = query.replace(secret, "***")
            found.append({"call": call, "params": parse_query(query)[1]})
        if request.method == "DELETE":
            account.queries.clear()
        return answer(found)

    async def links(self, request: Request) -> Response:
        account = self._account(request)
        for links in (account.links, account.tickets, account.upload_tokens):
            for item in links.values():
                item.expires_at = 0.0
        return answer({})

    # -- tree ------------------------------------------------------------------------------

    async def tree(self, request: Request) -> Response:
        account = self._account(request)
        if request.method == "DELETE":
            account.clear()
        paths = folder_paths(account)
        return answer(
            {
                "files": [file_entry(account, row, paths) for row in all_files(account)],
                "folders": [
                    {"path": paths[row.id], "folder_id": shown_id(account, row.id),
                     "parent_id": shown_id(account, row.parent), "name": row.name,
                     "code": row.code}
                    for row in account.store.all_folders()
                    if row.parent is not None and row.id in paths
                ],
            }
        )  # fmt: skip

    async def add_file(self, request: Request) -> Response:
        account = self._account(request)
        query = request.query_params
        folder = make_folders(account, query.get("folder", ""))
        code = account.new_code()
        more: dict[str, object] = {}
        if "uploaded" in query:
            more["uploaded"] = float(query["uploaded"])
        if "formula" in query:
            size = int(query["formula"])
            seed = int(query.get("seed", zlib.crc32(code.encode())))
            digest = await asyncio.to_thread(body_sha1, FormulaBody(seed, size))
            more |= {"size": size, "seed": seed, "sha1": digest}
        else:
            sink = FileSink(account.temp_dir / code, digest_names(account.record))
            async for piece in request.stream():
                await sink.write(memoryview(piece))
            await sink.finish()
            sink.path.rename(account.body_path(code))
            more |= {"size": sink.size, "sha1": sink.hexdigest("sha1")}
        title = query.get("title", code)
        account.store.add_file(code=code, folder=folder, title=title, **more)  # type: ignore[arg-type]
        return answer({"code": code}, 201)

    async def file(self, request: Request) -> Response:
        account, row = self._file(request)
        if request.method == "DELETE":
            account.delete_file(row, "admin")
            return answer({})
        if request.method == "PATCH":
            changes = msgspec.json.decode(await request.body(), type=dict[str, object])
            if "folder" in changes:
                folder = make_folders(account, str(changes.pop("folder")))
                account.store.edit_file(row, folder=folder)
            if not changes.keys() <= _CHANGEABLE:
                raise HTTPException(400, "unknown field")
            account.store.edit_file(row, **changes)
            account.reschedule()
        current = account.store.find_file(row.code)
        assert current is not None
        return answer(file_entry(account, current, folder_paths(account)))

    async def body(self, request: Request) -> Response:
        account, row = self._file(request)
        body = account.open_body(row)
        return StreamingResponse(_pieces(body), media_type="application/octet-stream")

    async def folder(self, request: Request) -> Response:
        account = self._account(request)
        path = request.query_params.get("path", "")
        if request.method == "POST":
            folder = make_folders(account, path)
            return answer({"folder_id": shown_id(account, folder)}, 201)
        row = find_path(account, path)
        if row is None or row.parent is None:
            raise HTTPException(404, "no such folder")
        if request.method == "DELETE":
            delete_tree(account, row)
            return answer({})
        changes = msgspec.json.decode(await request.body(), type=dict[str, str])
        if "parent" in changes:
            account.store.edit_folder(row, parent=make_folders(account, changes["parent"]))
        if "name" in changes:
            account.store.edit_folder(row, name=changes["name"])
        return answer({"folder_id": shown_id(account, row.id)})

    async def populate(self, request: Request) -> Response:
        account = self._account(request)
        query = request.query_params
        started = time.monotonic()
        populate(
            account,
            base=make_folders(account, query.get("folder", "")),
            folders=int(query.get("folders", "0")),
            files=int(query.get("files", "0")),
            size=int(query.get("size", "1000")),
            fanout=int(query.get("fanout", "100")),
        )
        return answer({"seconds": round(time.monotonic() - started, 3)}, 201)

    async def entries(self, request: Request) -> Response:
        account = self._account(request)
        try:
            given = msgspec.json.decode(await request.body(), type=Entries)
            folders, codes = add_entries(account, given)
        except (msgspec.DecodeError, IndexError) as error:
            raise HTTPException(400, str(error)) from None
        return answer({"folders": [shown_id(account, f) for f in folders], "files": codes}, 201)


# -- paths ---------------------------------------------------------------------------------


def shown_id(account: Account, folder: int) -> str:
    return str(account.record.folder_id(account, folder))


def all_files(account: Account) -> list[FileRow]:
    rows = account.store.db.execute(f"SELECT {', '.join(FileRow._fields)} FROM files ORDER BY id")
    return [FileRow._make(row) for row in rows]


def folder_paths(account: Account) -> dict[int, str]:
    """Path of every folder by its number; the root's is empty."""
    rows = {row.id: row for row in account.store.all_folders()}
    paths = {account.record.root_id: ""}

    def path_of(row: FolderRow) -> str:
        chain: list[FolderRow] = []
        at: FolderRow | None = row
        while at is not None and at.id not in paths:
            chain.append(at)
            at = rows.get(at.parent) if at.parent is not None else None
        for link in reversed(chain):
            above = paths.get(link.parent or account.record.root_id, "")
            paths[link.id] = f"{above}/{link.name}" if above else link.name
        return paths[row.id]

    for row in rows.values():
        path_of(row)
    return paths


def file_entry(account: Account, row: FileRow, paths: dict[int, str]) -> dict[str, object]:
    folder_path = paths.get(row.folder, "?")
    return {
        "path": f"{folder_path}/{row.title}" if folder_path else row.title,
        "code": row.code,
        "title": row.title,
        "folder_id": shown_id(account, row.folder),
        "folder_path": folder_path,
        "size": row.size,
        "sha1": account.sha1(row),
        "uploaded": row.uploaded,
        "public": row.public,
        "adult": row.adult,
        "cat_id": row.cat_id,
        "tags": row.tags,
        "descr": row.descr,
        "views": row.views,
        "status": row.status,
        "seed": row.seed,
        "transcoded": bool(row.transcoded),
    }


def folders_in(account: Account, folder: int) -> list[FolderRow]:
    """As they are now, however far listings lag."""
    return [row for row in account.store.all_folders() if row.parent == folder]


def find_path(account: Account, path: str) -> FolderRow | None:
    row = account.store.find_folder(account.record.root_id)
    for name in filter(None, path.split("/")):
        assert row is not None
        row = next((f for f in folders_in(account, row.id) if f.name == name), None)
        if row is None:
            return None
    return row


def make_folders(account: Account, path: str) -> int:
    """Number of the folder at *path*; what is missing is created."""
    folder = account.record.root_id
    for name in filter(None, path.split("/")):
        found = next((f for f in folders_in(account, folder) if f.name == name), None)
        if found is None:
            found = account.store.add_folder(folder, name, account.new_folder_code())
        folder = found.id
    return folder


def _pieces(body: Body) -> Iterator[bytes]:
    try:
        at = 0
        while at < body.size and (piece := body.read(at, BLOCK)):
            at += len(piece)
            yield piece
    finally:
        body.close()
