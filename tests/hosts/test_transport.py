"""HTTP as the transport sees it: repetition, deadlines, redirects, broken answers.

The server is in the same process, so time can be trio's test clock: it jumps whenever
nothing has happened for a moment, and minutes of waiting take none.
"""

from __future__ import annotations

import email.utils
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.hosts.scripted_server import (
    GOOD,
    Handler,
    Request,
    Server,
    answer,
    hang,
    scripted,
    serve,
)
from vidfs.errors import (
    AccessDeniedError,
    BadRequestError,
    ContentChangedError,
    HostError,
    HostNotFoundError,
    HostServerError,
    HostTimeoutError,
    HostUnreachableError,
    InsecureUrlError,
    OutcomeUnknownError,
    RateLimitedError,
    SpoolDamagedError,
    UnreadableAnswerError,
    UploadNodeError,
    UploadRefusedError,
)
from vidfs.hosts import transport as transport_module
from vidfs.hosts.api import DownloadLink
from vidfs.hosts.envelope import Envelope, open_envelope
from vidfs.hosts.multipart import MultipartBody, SmallFile
from vidfs.hosts.openload_rows import parse_upload as parse_openload
from vidfs.hosts.transport import (
    UNREACHABLE_GAP_S,
    UNREACHABLE_S,
    Answer,
    Transport,
    parse_retry_after,
)
from vidfs.hosts.xvs_rows import parse_upload as parse_xvs

Body = Callable[[Transport, Server], Awaitable[None]]
BUSY = answer('{"status": "429", "msg": "Too Many Requests"}')


def run(handler: Handler, body: Body, **options: float) -> None:
    async def main() -> None:
        async with serve(handler) as server:
            transport = Transport(**options)  # type: ignore[arg-type]
            try:
                await body(transport, server)
            finally:
                await transport.aclose()

    trio.run(main, clock=MockClock(autojump_threshold=0.02))


def as_it_is(received: Answer, is_sent: bool) -> Answer:
    return received


async def ask(transport: Transport, server: Server, *, repeatable: bool = True) -> Envelope:
    return await transport.call(server.url, "x/y", [], open_envelope, repeatable=repeatable)


# --- repetition ---


@pytest.mark.parametrize(
    "broken",
    [
        None,
        answer("oops", 503),
        answer("<html>", content_type="text/html"),
        GOOD[:-10],
        answer('{"status": 200, "msg": "OK", "resu'),
        answer('{"status": 500, "msg": "try later", "result": null}'),
        BUSY,
        answer("", 429),
    ],
)
def test_a_repeatable_call_outlives_transient_failures(broken: bytes | None) -> None:
    close = (
        None if broken is None else broken.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    )

    async def body(transport: Transport, server: Server) -> None:
        await ask(transport, server)
        assert transport.calls == {"x/y": 3}

    run(scripted(close, close, GOOD), body)


@pytest.mark.parametrize("broken", [None, answer("", 502), answer("<html>", 200, "text/html")])
def test_what_may_have_been_done_is_not_asked_for_again(broken: bytes | None) -> None:
    async def body(transport: Transport, server: Server) -> None:
        with pytest.raises(OutcomeUnknownError):
            await ask(transport, server, repeatable=False)
        assert len(server.requests) == 1

    run(scripted(broken), body)


def test_a_refusal_for_the_rate_did_nothing_so_it_is_repeated() -> None:
    async def body(transport: Transport, server: Server) -> None:
        await ask(transport, server, repeatable=False)
        assert len(server.requests) == 2

    run(scripted(BUSY, GOOD), body)


def test_permanent_errors_come_at_once() -> None:
    async def body(transport: Transport, server: Server) -> None:
        with pytest.raises(HostNotFoundError):
            await ask(transport, server)
        assert len(server.requests) == 1

    run(scripted(answer('{"status": 404, "msg": "No file", "result": null}')), body)


def test_pauses_grow_and_the_last_error_comes_before_the_deadline() -> None:
    async def body(transport: Transport, server: Server) -> None:
        started = trio.current_time()
        with trio.fail_after(20), pytest.raises(HostServerError):
            await ask(transport, server)
        assert trio.current_time() - started < 20
        gaps = [b.at - a.at for a, b in zip(server.requests, server.requests[1:], strict=False)]
        assert 4 <= len(gaps) <= 9
        assert gaps[0] < 0.5 < gaps[-1]

    run(scripted(answer("", 500)), body)


def test_without_a_deadline_a_call_ends_after_its_own_total() -> None:
    async def body(transport: Transport, server: Server) -> None:
        with pytest.raises(HostServerError):
            await ask(transport, server)
        assert 20 < trio.current_time() - server.requests[0].at < 30

    run(scripted(answer("", 500)), body, call_total_s=30)


def test_a_silent_host_is_a_timeout_and_no_cancellation() -> None:
    async def body(transport: Transport, server: Server) -> None:
        with trio.fail_after(5), pytest.raises(HostTimeoutError):
            await ask(transport, server)
        with pytest.raises(HostTimeoutError):
            await ask(transport, server)

    run(hang, body)


def test_the_callers_cancellation_passes_untouched() -> None:
    async def body(transport: Transport, server: Server) -> None:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask, transport, server)
                await trio.sleep(1)
                scope.cancel()
        assert scope.cancelled_caught

    run(hang, body)


def test_no_connection_is_unreachable() -> None:
    async def body(transport: Transport, server: Server) -> None:
        with trio.fail_after(2), pytest.raises(HostUnreachableError):
            await transport.call("http://127.0.0.1:9", "x", [], open_envelope, repeatable=False)
        assert transport.calls["x"] > 1

    run(scripted(GOOD), body)


def test_a_host_that_is_gone_is_not_waited_for_by_every_call() -> None:
    async def body(transport: Transport, server: Server) -> None:
        async def ask_nobody() -> tuple[float, int]:
            started, before = trio.current_time(), transport.calls["x"]
            with pytest.raises(HostUnreachableError):
                await transport.call("http://127.0.0.1:9", "x", [], open_envelope, repeatable=True)
            return trio.current_time() - started, transport.calls["x"] - before

        first_s, attempts = await ask_nobody()
        assert 3 < first_s <= UNREACHABLE_S, "it may be back in a moment"
        assert attempts > 2
        await trio.sleep(UNREACHABLE_S)
        assert (await ask_nobody())[1] == 1, "by now that is known"
        await ask(transport, server)
        assert (await ask_nobody())[1] > 2, "it was there meanwhile"
        await trio.sleep(UNREACHABLE_GAP_S + 10)
        assert (await ask_nobody())[1] > 2, "nobody has tried for long"

    run(scripted(GOOD), body)


# --- pacing ---


@pytest.mark.parametrize(
    "refusal", [answer("", 429, Retry_After="7"), answer("", 503, Retry_After="7")]
)
def test_retry_after_is_waited_for(refusal: bytes) -> None:
    async def body(transport: Transport, server: Server) -> None:
        await ask(transport, server)
        first, second = server.requests
        assert 7 <= second.at - first.at < 9

    run(scripted(refusal, GOOD), body)


def test_a_wait_in_words_holds_up_that_call_alone() -> None:
    async def handler(request: Request) -> bytes:
        late = trio.current_time() - started[0] > 5
        if request.target.startswith("/slow") and not late:
            return answer('{"status": 403, "msg": "wait 5 more seconds", "result": false}')
        return GOOD

    started: list[float] = []

    async def body(transport: Transport, server: Server) -> None:
        started.append(trio.current_time())
        ends: dict[str, float] = {}

        async def one(call: str) -> None:
            await transport.call(server.url, call, [], open_envelope, repeatable=True)
            ends[call] = trio.current_time() - started[0]

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one, "slow")
            await trio.sleep(1)
            nursery.start_soon(one, "other")
        assert ends["other"] < 2
        assert 6 <= ends["slow"] < 8

    run(handler, body)


def test_a_wait_beyond_the_deadline_is_said_at_once() -> None:
    async def body(transport: Transport, server: Server) -> None:
        with trio.fail_after(10), pytest.raises(RateLimitedError) as caught:
            await ask(transport, server)
        assert caught.value.retry_after_s == 301
        started = trio.current_time()
        with trio.fail_after(10), pytest.raises(RateLimitedError):
            await ask(transport, server)
        assert trio.current_time() - started < 1
        assert len(server.requests) == 1

    run(scripted(answer('{"status": 403, "msg": "please wait 300 seconds"}')), body)


def test_a_limit_per_second_is_kept_below() -> None:
    times: list[float] = []
    refused: list[float] = []

    async def handler(request: Request) -> bytes:
        now = trio.current_time()
        if len([t for t in times if t > now - 1]) >= 5:
            refused.append(now)
            return BUSY
        times.append(now)
        return GOOD

    async def body(transport: Transport, server: Server) -> None:
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(ask, transport, server)
        assert trio.current_time() - started < 40  # 20 at the limit itself
        assert len(refused) < 25

    run(handler, body)


def test_a_rate_given_is_never_exceeded_and_calls_run_side_by_side() -> None:
    running = 0
    most = 0

    async def handler(request: Request) -> bytes:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.sleep(3)
        running -= 1
        return GOOD

    async def body(transport: Transport, server: Server) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(ask, transport, server)
        gaps = [b.at - a.at for a, b in zip(server.requests, server.requests[1:], strict=False)]
        assert min(gaps) > 0.45
        assert most == 4

    run(handler, body, api_rate=2.0, api_parallel=4)


def test_waiting_for_our_own_pacing_is_not_held_against_the_host() -> None:
    async def body(transport: Transport, server: Server) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(30):
                nursery.start_soon(ask, transport, server)

    run(scripted(GOOD), body, api_rate=1.0, call_total_s=5)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("12", 12.0), ("", None), (None, None), ("soon", None), ("-3", None), ("Wed, ", None)],
)
def test_retry_after_headers(value: str | None, expected: float | None) -> None:
    assert parse_retry_after(value, now=1e9) == expected


def test_retry_after_as_a_date() -> None:
    assert parse_retry_after(email.utils.formatdate(1e9 + 30, usegmt=True), now=1e9) == 30.0
    assert parse_retry_after(email.utils.formatdate(1e9 - 30, usegmt=True), now=1e9) == 0.0


# --- answers ---


def test_an_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "ANSWER_BYTES_MAX", 1000)

    async def body(transport: Transport, server: Server) -> None:
        with trio.fail_after(1), pytest.raises(UnreadableAnswerError):
            await ask(transport, server)

    run(scripted(answer("x" * 2000)), body)


def test_a_large_answer_is_decoded() -> None:
    rows = ",".join(f'{{"name": "{"n" * 250}{i}"}}' for i in range(110_000))
    content = answer('{"status": 200, "msg": "OK", "result": [' + rows + "]}")
    assert len(content) > 29_000_000

    async def main() -> None:
        async with serve(scripted(content)) as server:
            transport = Transport()
            envelope = await ask(transport, server)
            assert bytes(envelope.result).count(b"name") == 110_000
            await transport.aclose()

    trio.run(main)


@pytest.mark.parametrize(
    "location",
    ["https://127.0.0.1/x", "http://elsewhere.example/x", "ftp://127.0.0.1/x", "http://["],
)
def test_a_redirect_to_another_scheme_is_refused(location: str) -> None:
    async def body(transport: Transport, server: Server) -> None:
        with pytest.raises((InsecureUrlError, BadRequestError)):
            await ask(transport, server)
        with pytest.raises((InsecureUrlError, BadRequestError)):
            async with transport.open_stream(DownloadLink(url=server.url), 0):
                pass
        assert len(server.requests) == 2

    run(scripted(answer("", 302, Location=location)), body)


def test_a_redirect_on_this_machine_is_followed_but_not_for_ever() -> None:
    async def handler(request: Request) -> bytes:
        if request.target == "/x/y":
            return answer("", 307, Location="/there")
        if request.target == "/there":
            return GOOD
        return answer("", 302, Location="/circle")

    async def body(transport: Transport, server: Server) -> None:
        await ask(transport, server)
        with trio.fail_after(1), pytest.raises(UnreadableAnswerError):
            await transport.call(server.url, "circle", [], open_envelope, repeatable=True)

    run(handler, body)


@pytest.mark.parametrize(
    "url", ["http://video.example/api", "ftp://127.0.0.1/", "http://127.0.0.1.example/", "http:x"]
)
def test_no_request_leaves_for_an_insecure_address(url: str) -> None:
    async def body(transport: Transport, server: Server) -> None:
        refused = (InsecureUrlError, BadRequestError)
        with pytest.raises(refused):
            await transport.call(url, "x", [], open_envelope, repeatable=True)
        with pytest.raises(refused):
            async with transport.open_stream(DownloadLink(url=url), 0):
                pass

    run(scripted(GOOD), body)


# --- uploads ---


def film_body(tmp_path: Path, size: int = 300_000, **more: object) -> MultipartBody:
    path = tmp_path / "film"
    path.write_bytes(b"v" * size)
    given: dict[str, object] = {
        "fields": [("title", 'Ü "x"')],
        "path": path,
        "size_bytes": size,
        "file_field": "file",
        "file_name": 'a "b"\r\nü.mp4',
    }
    return MultipartBody(**(given | more))  # type: ignore[arg-type]


def test_an_upload_is_well_formed(tmp_path: Path) -> None:
    bodies: list[bytes] = []
    seen: list[int] = []
    throttled: list[int] = []

    async def handler(request: Request) -> bytes:
        bodies.append(await request.read_body())
        assert int(request.headers["content-length"]) == len(bodies[0])
        assert "transfer-encoding" not in request.headers
        return GOOD

    async def throttle(count: int) -> None:
        throttled.append(count)

    async def body(transport: Transport, server: Server) -> None:
        sent = film_body(
            tmp_path,
            extra_file=SmallFile("snapshot", "s.jpg", b"JPEG"),
            on_progress=seen.append,
            throttle=throttle,
        )
        was_sent = [sent.is_sent]
        await transport.upload(server.url, [], sent, as_it_is)
        assert [*was_sent, sent.is_sent] == [False, True]
        boundary = sent.content_type.partition("boundary=")[2].encode()
        parts = bodies[0].split(b"--" + boundary)
        assert parts[0] == b"" and parts[-1] == b"--\r\n"
        heads = [part.partition(b"\r\n\r\n") for part in parts[1:-1]]
        assert b'name="title"' in heads[0][0]
        assert heads[0][2] == 'Ü "x"\r\n'.encode()
        assert heads[1][2] == b"JPEG\r\n"
        assert 'name="file"; filename="a %22b%22%0D%0Aü.mp4"'.encode() in heads[2][0]
        assert heads[2][2] == b"v" * 300_000 + b"\r\n"

    run(handler, body)
    assert seen[-1] == sum(throttled) == 300_000


@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_a_connection_that_breaks_in_mid_body_stored_nothing(tmp_path: Path, size: int) -> None:
    async def handler(request: Request) -> bytes | None:
        await request.read_body(8_000_000)
        return None

    async def body(transport: Transport, server: Server) -> None:
        with pytest.raises(UploadNodeError):
            await transport.upload(server.url, [], film_body(tmp_path, 40_000_000), as_it_is)
        with pytest.raises(OutcomeUnknownError):
            await transport.upload(server.url, [], film_body(tmp_path, size), as_it_is)

    run(handler, body)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (answer("", 500), OutcomeUnknownError),
        (answer("", 429, Retry_After="3"), RateLimitedError),
        (answer("", 413), UploadRefusedError),
        (answer("", 307, Location="/other"), UploadNodeError),
    ],
)
def test_what_an_upload_servers_status_means(
    tmp_path: Path, reply: bytes, expected: type[HostError]
) -> None:
    async def body(transport: Transport, server: Server) -> None:
        with pytest.raises(expected):
            await transport.upload(server.url, [], film_body(tmp_path), as_it_is)
        assert len(server.requests) == 1

    run(scripted(reply), body)


@pytest.mark.parametrize("location", ["/?op=done", "http://[", "https://other.example/done"])
def test_a_redirect_after_an_upload_leaves_open_whether_it_is_stored(
    tmp_path: Path, location: str
) -> None:
    async def body(transport: Transport, server: Server) -> None:
        for parse in (parse_xvs, parse_openload):
            with pytest.raises(OutcomeUnknownError):
                await transport.upload(server.url, [], film_body(tmp_path), parse)
        assert len(server.requests) == 2, "it was followed"

    run(scripted(*[answer("<html>moved</html>", 302, Location=location)] * 2), body)


def test_a_redirect_that_names_the_result_of_an_upload_is_read(tmp_path: Path) -> None:
    async def body(transport: Transport, server: Server) -> None:
        receipt = await transport.upload(server.url, [], film_body(tmp_path), parse_xvs)
        assert receipt.code == "abcdef123456"
        with pytest.raises(UploadRefusedError, match="unallowed extension"):
            await transport.upload(server.url, [], film_body(tmp_path), parse_xvs)

    ask = "/?op=upload_result&fn=abcdef123456&st=OK"
    refuse = "/?op=upload_result&fn=undef&st=unallowed%20extension"
    run(scripted(answer("", 302, Location=ask), answer("", 303, Location=refuse)), body)


def test_a_stalled_upload_is_given_up(tmp_path: Path) -> None:
    async def body(transport: Transport, server: Server) -> None:
        with pytest.raises(UploadNodeError):
            await transport.upload(server.url, [], film_body(tmp_path, 40_000_000), as_it_is)
        assert 50 < trio.current_time() - server.requests[0].at < 200

    run(hang, body)


def test_a_slow_upload_is_not(tmp_path: Path) -> None:
    async def handler(request: Request) -> bytes:
        left = int(request.headers["content-length"]) - len(request.rest)
        while left > 0:
            await trio.sleep(20)
            left -= len(await request.stream.receive_some(400_000))
        return GOOD

    async def body(transport: Transport, server: Server) -> None:
        await transport.upload(server.url, [], film_body(tmp_path, 12_000_000), as_it_is)
        assert trio.current_time() - server.requests[0].at > 300

    run(handler, body)


def test_a_spool_file_that_lost_bytes_or_is_gone_is_damage(tmp_path: Path) -> None:
    async def body(transport: Transport, server: Server) -> None:
        torn = film_body(tmp_path)
        (tmp_path / "film").write_bytes(b"v" * 1000)
        with pytest.raises(SpoolDamagedError):
            await transport.upload(server.url, [], torn, as_it_is)
        (tmp_path / "film").unlink()
        with pytest.raises(SpoolDamagedError):
            await transport.upload(server.url, [], torn, as_it_is)

    run(scripted(GOOD), body)


def test_plain_http_upload_servers_only_by_wish(tmp_path: Path) -> None:
    async def main() -> None:
        refusing, willing = Transport(), Transport(allow_http_upload=True)
        with pytest.raises(InsecureUrlError):
            await refusing.upload("http://s1.example.invalid/up", [], film_body(tmp_path), as_it_is)
        with pytest.raises(UploadNodeError):  # tried: the name leads nowhere
            await willing.upload("http://s1.example.invalid/up", [], film_body(tmp_path), as_it_is)
        await refusing.aclose()
        await willing.aclose()

    trio.run(main)


# --- downloads ---


def part(content: bytes, where: str, status: int = 206, **headers: str) -> bytes:
    return answer(content, status, "video/mp4", Content_Range=f"bytes {where}", **headers)


@pytest.mark.parametrize(
    ("reply", "start", "total", "content"),
    [
        (part(b"345", "3-5/10"), 3, 10, b"345"),
        (part(b"345", "3-5/*"), 3, None, b"345"),
        (part(b"2345", "2-5/10"), 2, 10, b"2345"),
        (answer(b"0123456789", 200, "video/mp4"), 0, 10, b"012345"),
    ],
)
def test_a_stream_says_where_it_is(
    reply: bytes, start: int, total: int | None, content: bytes
) -> None:
    async def body(transport: Transport, server: Server) -> None:
        async with transport.open_stream(DownloadLink(url=server.url), 3, 6) as stream:
            assert (stream.start_byte, stream.total_bytes) == (start, total)
            assert b"".join([chunk async for chunk in stream]) == content
        assert server.requests[0].headers["range"] == "bytes=3-5"

    run(scripted(reply), body)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (answer("", 404), HostNotFoundError),
        (answer("", 410), HostNotFoundError),
        (answer("", 403), AccessDeniedError),
        (answer("", 416), ContentChangedError),
        (answer("", 502), HostServerError),
        (answer("", 509), RateLimitedError),
        (answer("<html>", 200, "text/html; charset=utf-8"), AccessDeniedError),
        (part(b"789", "7-9/10"), UnreadableAnswerError),
        (answer(b"345", 206, "video/mp4"), UnreadableAnswerError),
        (part(b"345", "3-5/10", Content_Encoding="gzip"), UnreadableAnswerError),
    ],
)
def test_what_is_no_film_is_an_error(reply: bytes, expected: type[HostError]) -> None:
    async def body(transport: Transport, server: Server) -> None:
        with pytest.raises(expected):
            async with transport.open_stream(DownloadLink(url=server.url), 3):
                pass

    run(scripted(reply), body)


def test_a_web_page_that_someone_stored_is_a_file_like_any_other() -> None:
    async def body(transport: Transport, server: Server) -> None:
        link = DownloadLink(url=server.url, size_bytes=6)
        async with transport.open_stream(link, 0) as stream:
            assert b"".join([chunk async for chunk in stream]) == b"<html>"

    run(scripted(answer("<html>", 200, "text/html")), body)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_short_body_is_transient(chunked: bool) -> None:
    whole = part(b"345", "3-5/10")
    cut = whole[:-1].replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    if chunked:  # a length that only Content-Range tells
        cut = (
            b"HTTP/1.1 206 X\r\nContent-Range: bytes 3-5/10\r\nTransfer-Encoding: chunked\r\n"
            b"Connection: close\r\n\r\n2\r\n34\r\n0\r\n\r\n"
        )

    async def body(transport: Transport, server: Server) -> None:
        with pytest.raises(UnreadableAnswerError):
            async with transport.open_stream(DownloadLink(url=server.url), 3) as stream:
                async for _ in stream:
                    pass

    run(scripted(cut), body)


def test_a_stalled_download_is_a_timeout() -> None:
    async def handler(request: Request) -> bytes | None:
        await request.stream.send_all(part(b"345", "3-5/10")[:-2])
        await hang(request)
        return None

    async def body(transport: Transport, server: Server) -> None:
        with pytest.raises(HostTimeoutError):
            async with transport.open_stream(DownloadLink(url=server.url), 3) as stream:
                async for _ in stream:
                    pass

    run(handler, body)


def test_a_stream_left_early_frees_its_connection() -> None:
    async def body(transport: Transport, server: Server) -> None:
        for _ in range(3):
            async with transport.open_stream(DownloadLink(url=server.url), 0) as stream:
                async for _ in stream:
                    break
        with pytest.raises(ZeroDivisionError):
            async with transport.open_stream(DownloadLink(url=server.url), 0) as stream:
                _ = 1 // 0

    run(scripted(part(b"v" * 5_000_000, "0-4999999/5000000")), body)
