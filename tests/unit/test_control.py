"""The control socket, both ends."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from vidfs.control import (
    REQUEST_BYTES_MAX,
    SOCKET_NAME,
    ControlServer,
    Message,
    Send,
    ask,
    ask_lines,
    to_leaf,
)
from vidfs.errors import AlreadyMountedError, MountError, NotMountedError, UsageError


async def echo(request: Message, send: Send) -> Message:
    return {"got": request["text"]}


async def count(request: Message, send: Send) -> Message:
    for number in range(request["up_to"]):
        if not await send({"number": number}):
            break
    return {"counted": True}


async def refuse(request: Message, send: Send) -> Message:
    async with trio.open_nursery():
        raise AlreadyMountedError("still mounted on /x")


async def crash(request: Message, send: Send) -> Message:
    raise KeyError("internal thing")


HANDLERS = {"echo": echo, "count": count, "refuse": refuse, "crash": crash}


@asynccontextmanager
async def serving(state_dir: Path, **more: Any) -> AsyncIterator[ControlServer]:
    server = ControlServer(state_dir, {**HANDLERS, **more})
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        yield server
        nursery.cancel_scope.cancel()


def run(state_dir: Path, client: Callable[[], Any], **more: Any) -> Any:
    """*client* in a thread against a server in trio."""

    async def both() -> Any:
        with trio.fail_after(20):
            async with serving(state_dir, **more):
                return await trio.to_thread.run_sync(client)

    try:
        return trio.run(both)
    except ExceptionGroup as group:
        raise to_leaf(group) from None


def test_an_answer_ends_with_end(tmp_path: Path) -> None:
    assert run(tmp_path, lambda: ask(tmp_path, "echo", text="ä\n")) == {
        "got": "ä\n",
        "end": True,
    }


def test_lines_come_one_by_one(tmp_path: Path) -> None:
    lines = run(tmp_path, lambda: list(ask_lines(tmp_path, "count", up_to=3)))
    assert lines == [{"number": 0}, {"number": 1}, {"number": 2}, {"counted": True, "end": True}]


def test_an_error_arrives_as_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(AlreadyMountedError, match="still mounted on /x"):
        run(tmp_path, lambda: ask(tmp_path, "refuse"))


def test_an_internal_error_shows_its_class_alone(tmp_path: Path) -> None:
    with pytest.raises(MountError) as caught:
        run(tmp_path, lambda: ask(tmp_path, "crash"))
    assert str(caught.value) == "internal error (KeyError)"


def test_no_daemon_is_not_mounted(tmp_path: Path) -> None:
    with pytest.raises(NotMountedError):
        ask(tmp_path, "echo", text="")
    with pytest.raises(NotMountedError):
        ask(tmp_path / "absent", "echo", text="")


def test_a_dead_daemons_socket_is_replaced_and_ours_goes_away(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / SOCKET_NAME))
    left.close()
    with pytest.raises(NotMountedError):
        ask(tmp_path, "echo", text="")
    assert run(tmp_path, lambda: ask(tmp_path, "echo", text="x"))["got"] == "x"
    assert not (tmp_path / SOCKET_NAME).exists()


def test_the_socket_is_for_its_owner_alone_and_its_path_may_be_long(tmp_path: Path) -> None:
    deep = tmp_path
    while len(os.fsencode(deep)) < 300:
        deep = deep / ("x" * 60)
    deep.mkdir(parents=True)

    def client() -> tuple[int, Message]:
        mode = (deep / SOCKET_NAME).stat().st_mode
        return stat.S_IMODE(mode), ask(deep, "echo", text="deep")

    mode, answer = run(deep, client)
    assert mode == 0o600
    assert answer["got"] == "deep"


def raw(state_dir: Path, data: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        fd = os.open(state_dir, os.O_PATH)
        connection.connect(f"/proc/self/fd/{fd}/{SOCKET_NAME}")
        os.close(fd)
        connection.sendall(data)
        return connection.makefile("rb").readline()


@pytest.mark.parametrize(
    "data",
    [
        b"\n",
        b"not json\n",
        b"[1]\n",
        b'{"cmd": "nothing"}\n',
        b'{"cmd": ["echo"]}\n',
        b"{}\n",
        b"\xff\xfe\n",
        b"x" * (REQUEST_BYTES_MAX + 1),
    ],
)
def test_nonsense_is_refused_and_the_server_lives_on(tmp_path: Path, data: bytes) -> None:
    def client() -> tuple[dict[str, Any], Message]:
        return json.loads(raw(tmp_path, data)), ask(tmp_path, "echo", text="alive")

    refusal, answer = run(tmp_path, client)
    assert refusal["kind"] == "UsageError"
    assert refusal["end"] is True
    assert answer["got"] == "alive"


def test_a_client_that_goes_ends_only_its_own_answer(tmp_path: Path) -> None:
    def client() -> Message:
        lines = ask_lines(tmp_path, "count", up_to=1_000_000)
        next(lines)
        del lines  # closes its connection
        return ask(tmp_path, "echo", text="alive")

    assert run(tmp_path, client)["got"] == "alive"


def test_finish_answers_what_is_under_way_and_takes_no_more(tmp_path: Path) -> None:
    async def both() -> None:
        release = trio.Event()
        asked = trio.Event()

        async def slow(request: Message, send: Send) -> Message:
            asked.set()
            await release.wait()
            return {"slow": "done"}

        answers: list[Message] = []

        async def ask_slow() -> None:
            answers.append(await trio.to_thread.run_sync(lambda: ask(tmp_path, "slow")))

        with trio.fail_after(20):
            async with serving(tmp_path, slow=slow) as server, trio.open_nursery() as nursery:
                nursery.start_soon(ask_slow)
                await asked.wait()
                nursery.start_soon(server.finish, 10.0)
                await trio.testing.wait_all_tasks_blocked(0.01)
                with pytest.raises((NotMountedError, MountError)):
                    await trio.to_thread.run_sync(lambda: ask(tmp_path, "echo", text="late"))
                release.set()
        assert answers == [{"slow": "done", "end": True}]

    trio.run(both)


def test_a_silent_daemon_is_given_up(tmp_path: Path) -> None:
    async def never(request: Message, send: Send) -> Message:
        await trio.sleep_forever()
        raise AssertionError

    with pytest.raises(MountError, match="doesn't answer"):
        run(tmp_path, lambda: ask(tmp_path, "never", timeout_s=0.2), never=never)


def test_usage_errors_keep_their_class(tmp_path: Path) -> None:
    async def picky(request: Message, send: Send) -> Message:
        raise UsageError("paths must be a list of texts")

    with pytest.raises(UsageError, match="list of texts"):
        run(tmp_path, lambda: ask(tmp_path, "picky", paths=3), picky=picky)
