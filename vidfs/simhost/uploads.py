"""The upload nodes: multipart bodies to disk, in bounded memory."""

from __future__ import annotations

import asyncio
import contextlib
import html
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from starlette.types import Receive, Scope, Send

from .account import Account, UploadToken, digest_names, new_digests, plain_title
from .faults import Faults
from .formdata import FormError, FormScanner, PartEnd, PartStart, find_boundary
from .openload import content_type
from .records import Fields
from .store import FileRow
from .wire import (
    Disconnected,
    drop,
    encode,
    hang,
    header,
    parse_query,
    send_bytes,
    send_half,
    send_html,
)

FLUSH_BYTES = 1 << 20
FIELD_BYTES_MAX = 1 << 16
SNAPSHOT_BYTES_MAX = 300 * 1024


class FileSink:
    """A file being received. Blocks are written and hashed in a thread, one MiB after the
    other, while the next is being received: never more than about three in memory."""

    def __init__(self, path: Path, digests: tuple[str, ...]) -> None:
        self.path = path
        self.size = 0
        self.digests = new_digests(digests)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        self._blocks: list[memoryview] = []
        self._pending_bytes = 0
        self._job: asyncio.Future[None] | None = None

    async def write(self, block: memoryview) -> None:
        self._blocks.append(block)
        self._pending_bytes += len(block)
        self.size += len(block)
        if self._pending_bytes >= FLUSH_BYTES:
            await self._join()
            blocks, self._blocks, self._pending_bytes = self._blocks, [], 0
            self._job = asyncio.get_running_loop().run_in_executor(None, self._store, blocks)

    async def finish(self) -> None:
        await self._join()
        self._store(self._blocks)
        self._blocks = []
        os.close(self._fd)
        self._fd = -1

    async def discard(self) -> None:
        """Forget the file; harmless when it was renamed."""
        with contextlib.suppress(OSError):
            await self._join()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self.path.unlink(missing_ok=True)

    def hexdigest(self, name: str) -> str:
        return self.digests[name].hexdigest() if name in self.digests else ""

    async def _join(self) -> None:
        if self._job is not None:
            job, self._job = self._job, None
            await job

    def _store(self, blocks: list[memoryview]) -> None:
        for block in blocks:
            rest = block
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        for digest in self.digests.values():
            for block in blocks:
                digest.update(block)


@dataclass(slots=True)
class ReceivedFile:
    name: str  # of the form's field
    filename: str
    sink: FileSink


@dataclass(slots=True)
class Form:
    fields: dict[str, str] = field(default_factory=dict)
    files: list[ReceivedFile] = field(default_factory=list)

    async def discard(self) -> None:
        for file in self.files:
            await file.sink.discard()


async def body_pieces(scope: Scope, receive: Receive, drop_at: int | None) -> AsyncIterator[bytes]:
    """The request's body. With *drop_at* the connection closes after that many bytes."""
    received = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Disconnected
        received += len(message["body"])
        if drop_at is not None and received >= drop_at:
            await drop(scope, receive)
        yield message["body"]
        if not message.get("more_body", False):
            return


async def read_multipart(
    account: Account, boundary: bytes, pieces: AsyncIterator[bytes], form: Form
) -> None:
    """Fill *form*; its files are below `account.temp_dir` until they are kept."""
    scanner = FormScanner(boundary)
    names = digest_names(account.record)
    part: PartStart | None = None
    sink: FileSink | None = None
    text = bytearray()
    async for piece in pieces:
        for event in scanner.feed(piece):
            if isinstance(event, PartStart):
                part, text = event, bytearray()
                sink = None
                if part.filename is not None:
                    sink = FileSink(account.temp_dir / account.new_token(), names)
                    filename = part.filename.rpartition("/")[2]
                    form.files.append(ReceivedFile(part.name, filename, sink))
            elif isinstance(event, PartEnd):
                if sink is not None:
                    await sink.finish()
                elif part is not None:
                    form.fields[part.name] = text.decode("utf-8", "replace")
            elif sink is not None:
                await sink.write(event)
            elif len(text) + len(event) <= FIELD_BYTES_MAX:
                text += event
    if not scanner.finished:
        raise FormError("body ends before the form does")


class UploadNode:
    """ASGI application for the upload servers of one account."""

    def __init__(self, account: Account, faults: Faults) -> None:
        self.account = account
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.account.calls["upload"] += 1
        form = Form()
        try:
            await self._answer(form, scope, receive, send)
        except Disconnected:
            pass
        except (FormError, ValueError):
            await send_html(send, 400)
        finally:
            await form.discard()

    async def _answer(self, form: Form, scope: Scope, receive: Receive, send: Send) -> None:
        account, settings = self.account, self.account.settings
        if scope["method"] != "POST":
            await send_html(send, 405)
            return
        faults = self._faults.pick(account.record.name, "upload")
        if "drop-before" in faults:
            await drop(scope, receive)
        drop_at = int(faults["drop-at"]) if "drop-at" in faults else None
        boundary = find_boundary(header(scope, b"content-type"))
        pieces = body_pieces(scope, receive, drop_at)
        if boundary is None:
            async for _ in pieces:
                pass
            await send_html(send, 400)
            return
        await read_multipart(account, boundary, pieces, form)
        sent = [*form.fields.items(), *((file.name, file.filename) for file in form.files)]
        query = scope["query_string"].decode("latin-1")
        account.queries.append(("upload", "&".join(filter(None, (query, urlencode(sent))))))
        if "hang" in faults:
            await hang(receive)
        if account.media_latency_s:
            await asyncio.sleep(account.media_latency_s)
        if "http" in faults:
            await send_html(send, int(faults["http"]))
            return
        if "plain" in faults:
            await send_bytes(send, 520, b"error code: 520", "text/plain")
            return
        body, kind, status = self._work(form, scope, faults)
        if "slow" in faults:
            await asyncio.sleep(float(faults["slow"]) / 1000)
        if "drop-after" in faults:
            await drop(scope, receive)
        if "html" in faults:
            await send_html(send, 200)
        elif "truncate" in faults:
            await send_half(send, scope, body, kind)
        elif "cut" in faults:
            await send_bytes(send, 200, body[: len(body) // 2], kind)
        else:
            await send_bytes(send, status if settings.http_status else 200, body, kind)

    def _work(self, form: Form, scope: Scope, faults: dict[str, str]) -> tuple[bytes, str, int]:
        """Keep what was received; the answer's body, type and JSON status."""
        if faults.keys() & {"too-many", "too-many-http"}:
            return b'{"msg":"Too Many Requests","status":"429"}', "application/json", 429
        if self.account.record.family == "openload":
            return self._work_openload(form, scope, faults)
        return self._work_xvs(form, scope, faults)

    # -- keeping files ---------------------------------------------------------------------

    def _keep(self, file: ReceivedFile, *, title: str, folder: int, **more: object) -> FileRow:
        account, now = self.account, time.time()
        code = account.new_code()
        file.sink.path.rename(account.body_path(code))
        if account.settings.transcode:
            more["transcode_at"] = now + account.settings.transcode_delay_s
        row = account.store.add_file(
            code=code, folder=folder, title=account.cut(title), size=file.sink.size,
            sha1=file.sink.hexdigest("sha1"), uploaded=now, **more,
        )  # fmt: skip
        if account.settings.transcode:
            account.reschedule()
        return row

    def _refusal(self, file: ReceivedFile) -> str | None:
        """Why the node refuses a file; it says so only after the whole body has come."""
        account = self.account
        quota, largest = account.quota_bytes(), account.settings.upload_bytes_max
        if account.is_refused_name(file.filename):
            return "unallowed extension"
        if not file.sink.size:
            return "null filesize or wrong file path"
        if largest and file.sink.size > largest:
            return "File too big"
        if quota and account.store.used()[1] + file.sink.size > quota:
            return "DiskFull"
        return None

    # -- XVideoSharing ---------------------------------------------------------------------

    def _work_xvs(self, form: Form, scope: Scope, faults: dict[str, str]) -> tuple[bytes, str, int]:
        account = self.account
        query = scope["query_string"].decode("latin-1")
        params, _ = parse_query(query)
        key = (
            form.fields.get("key") or form.fields.get("api_key") or params.get("key")
            or params.get("api_key") or query.partition("&")[0]
        )  # fmt: skip
        videos = [file for file in form.files if file.name != "snapshot"]
        snapshot = next((file for file in form.files if file.name == "snapshot"), None)
        if "status" in faults:
            answer: Fields = {"msg": "Simulated failure", "status": int(faults["status"])}
            return encode(answer), "application/json", int(faults["status"])
        items: list[Fields] = []
        for file in videos:
            refusal = faults.get("refuse") if key == account.key else "Unauthorized"
            refusal = refusal or self._refusal(file)
            code, row = "", None
            if "undef" in faults:
                code, refusal = "undef", None
            elif refusal is None and "lose" in faults:
                code = account.new_code()
            elif refusal is None:
                row = self._keep_xvs(file, form.fields)
                code = row.code
                if snapshot and 0 < snapshot.sink.size <= SNAPSHOT_BYTES_MAX:
                    picture = account.pictures_dir / code
                    picture.write_bytes(snapshot.sink.path.read_bytes())
            items.append(self._item_xvs(file, row, code, refusal or "OK"))
        if form.fields.get("html_redirect") == "1":
            return _redirect_page(items), "text/html; charset=UTF-8", 200
        shown: int | str = "200" if "string-status" in faults else 200
        if account.record.upload_answer == "files":
            answer = {"msg": "OK", "status": shown, "files": items}
        else:
            answer = {
                "msg": "OK", "server_time": account.date(time.time()), "status": shown,
                "result": items,
            }  # fmt: skip
        return encode(answer), "application/json", 200

    def _keep_xvs(self, file: ReceivedFile, fields: dict[str, str]) -> FileRow:
        """With what the form says of it. An unknown folder becomes the root (assumed)."""
        account = self.account
        more: dict[str, object] = {}
        title, folder = plain_title(file.filename), 0
        if account.record.upload_answer == "files":
            if fields.get("file_title"):
                title = fields["file_title"]
                if account.settings.normalise_titles:
                    title = plain_title(title)
            number = fields.get("fld_id", "").strip()
            if number.isdigit() and account.store.find_folder(int(number)):
                folder = int(number)
            for column, name in (("public", "file_public"), ("adult", "file_adult")):
                if fields.get(name, "").strip() in ("0", "1"):
                    more[column] = int(fields[name])
            for column, name in (("descr", "file_descr"), ("cat_id", "cat_id"), ("tags", "tags")):
                if name in fields:
                    more[column] = fields[name]
        return self._keep(file, title=title, folder=folder, **more)

    def _item_xvs(self, file: ReceivedFile, row: FileRow | None, code: str, status: str) -> Fields:
        if self.account.record.upload_answer == "files":
            return {"filecode": code, "filename": file.filename, "status": status}
        account = self.account
        return {
            "download_url": account.site_url(f"d/{code}"),
            "single_img": account.site_url(f"img/{code}.jpg"),
            "status": 200 if status == "OK" else status,
            "filecode": code,
            "splash_img": account.site_url(f"img/{code}_s.jpg"),
            "canplay": int(row is not None and account.can_play(row, time.time())),
            "size": str(file.sink.size),
            "length": str(account.length_s(row) if row else 0),
            "uploaded": account.date(time.time()),
            "protected_embed": account.site_url(f"e/{code}"),
            "protected_dl": account.site_url(f"d/{code}"),
            "title": row.title if row else plain_title(file.filename),
        }

    # -- OpenLoad --------------------------------------------------------------------------

    def _work_openload(
        self, form: Form, scope: Scope, faults: dict[str, str]
    ) -> tuple[bytes, str, int]:
        account = self.account
        name = scope["path"].rpartition("/")[2]
        token = account.upload_tokens.get(name)
        status, msg, result = 200, "OK", None
        file = form.files[0] if form.files else None
        if "status" in faults:
            status, msg = int(faults["status"]), "Simulated failure"
        elif "refuse" in faults:
            status, msg = 400, faults["refuse"]
        elif token is None or token.expires_at <= time.time():
            status, msg = 404, "Upload link not found or expired"
        elif file is None:
            status, msg = 400, "No file received"
        elif refusal := self._refusal(file):
            status, msg = 400, refusal
        elif token.digest and token.digest != file.sink.hexdigest(account.record.upload_hash):
            status, msg = 400, f"{account.record.upload_hash} of the uploaded file does not match"
        else:
            del account.upload_tokens[name]
            result = self._keep_openload(file, token, faults)
        shown: int | str = str(status) if "string-status" in faults else status
        answer = {"status": shown, "msg": msg, "result": result}
        return encode(answer), "application/json", status

    def _keep_openload(
        self, file: ReceivedFile, token: UploadToken, faults: dict[str, str]
    ) -> Fields:
        account, hash_name = self.account, self.account.record.upload_hash
        title = plain_title(file.filename) if account.record.strips_titles else file.filename
        if "undef" in faults or "lose" in faults:
            code = "undef" if "undef" in faults else account.new_code()
            url = account.site_url(code)
        else:
            row = self._keep(file, title=title, folder=token.folder)
            code, url = row.code, account.page_url(row)
        return {
            "content_type": content_type(file.filename),
            "id": code,
            "name": file.filename,
            hash_name: file.sink.hexdigest(hash_name),
            "size": str(file.sink.size),
            "url": url,
        }


def _redirect_page(items: list[Fields]) -> bytes:
    """The form that older builds and `html_redirect=1` answer with (API_FACTS §2.4)."""
    areas = "".join(
        f"<textarea name='fn'>{html.escape(str(item['filecode']))}</textarea>"
        f"<textarea name='st'>{html.escape(str(item['status']))}</textarea>"
        for item in items
    )
    return (
        "<HTML><BODY><Form name='F1' action='/' target='_parent' method='POST'>"
        f"<textarea name='op'>upload_result</textarea>{areas}"
        "</Form><Script>document.F1.submit();</Script></BODY></HTML>\n"
    ).encode()
