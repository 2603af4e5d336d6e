"""Requests run in a few threads; neither their number nor their time grows without a limit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import anyio

from taskembed.errors import IndexBusyError

THREADS = 4
WAITING = 64  # requests at most that run or wait for a thread
SECONDS = 50.0  # for an answer: some hosts end a request after 60

_T = TypeVar("_T")


class Workers:
    """Threads that answer requests.

    Args:
        threads: requests that run at the same time.
        waiting: requests at most that run or wait.
        seconds: for an answer.
    """

    def __init__(
        self, threads: int = THREADS, *, waiting: int = WAITING, seconds: float = SECONDS
    ) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="taskembed")
        self._waiting = waiting
        self._seconds = seconds
        self._unfinished = 0  # as the event loop knows it

    async def run(self, work: Callable[[], _T]) -> _T:
        """Return what a function returns, which runs in a thread.

        A request that is cancelled while it waits never runs; one that runs goes on until its end,
        and its answer is dropped.

        Raises:
            IndexBusyError: too many requests wait, or the answer took too long.
        """
        if self._unfinished >= self._waiting:
            raise IndexBusyError(
                f"{self._unfinished} requests are waiting for an answer",
                hint="ask again when some of them are answered",
            )
        future = self._start(work)
        with anyio.move_on_after(self._seconds):
            return await asyncio.wrap_future(future)
        raise IndexBusyError(
            f"the answer takes more than {self._seconds:g} s",
            hint="ask again later: what was being read or loaded is then ready",
        )

    def start(self, work: Callable[[], None]) -> None:
        """Run a function whose end nobody waits for."""
        self._pool.submit(work)

    def close(self) -> None:
        """Run nothing that has not begun."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self, work: Callable[[], _T]) -> Future[_T]:
        loop = asyncio.get_running_loop()
        future = self._pool.submit(work)
        self._unfinished += 1

        def finished(_: Future[_T]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._finished)

        future.add_done_callback(finished)
        return future

    def _finished(self) -> None:
        self._unfinished -= 1
