"""Many requests at once, one plain error if any fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import trio

from vidfs.errors import VidfsError

T = TypeVar("T")


async def run_parallel(jobs: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """The results of *jobs*, in order. How many really run at once is the transport's affair.

    Errors: the first VidfsError, bare (a nursery would wrap it); the other jobs are cancelled.
    """
    if len(jobs) == 1:
        return [await jobs[0]()]
    results: dict[int, T] = {}
    failures: list[VidfsError] = []

    async def run_one(index: int, job: Callable[[], Awaitable[T]]) -> None:
        try:
            results[index] = await job()
        except VidfsError as error:
            failures.append(error)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for index, job in enumerate(jobs):
            nursery.start_soon(run_one, index, job)
    if failures:
        raise failures[0]
    return [results[index] for index in range(len(jobs))]
