"""`bwlimit=`: all uploads together stay below it, and none of them falls silent for long."""

from __future__ import annotations

from pathlib import Path

import trio

from tests.unit.fakes import run
from vidfs.content.throttle import Throttle
from vidfs.hosts.multipart import MultipartBody

LIMIT_BYTES_S = 64 << 10
FILE_BYTES = 4 << 20
SENDERS = 4
SILENCE_S_MAX = 5.0
"""A server's patience with a connection that says nothing is a minute, often less."""


def test_senders_share_the_limit_in_blocks_that_keep_their_connections_alive(
    tmp_path: Path,
) -> None:
    path = tmp_path / "film"
    path.write_bytes(bytes(FILE_BYTES))
    throttle = Throttle(LIMIT_BYTES_S)
    gaps_s: list[float] = []

    async def send() -> None:
        body = MultipartBody(
            fields=(),
            path=path,
            size_bytes=FILE_BYTES,
            file_field="file",
            file_name="film",
            throttle=throttle.wait,
        )
        last_at = trio.current_time()
        sent = 0
        async for block in body:
            now = trio.current_time()
            if sent > FILE_BYTES // 4:  # by then the blocks have the right size
                gaps_s.append(now - last_at)
            last_at, sent = now, sent + len(block)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(SENDERS):
                nursery.start_soon(send)
        took_s = trio.current_time()
        expected_s = SENDERS * FILE_BYTES / LIMIT_BYTES_S
        assert expected_s - 2 < took_s < 1.1 * expected_s

    run(main)
    assert max(gaps_s) < SILENCE_S_MAX
