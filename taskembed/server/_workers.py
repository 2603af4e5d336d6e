"""Runs requests in a few threads, with limits on the number of waiting requests and on time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import anyio

from taskembed.errors import IndexBusyError

THREADS = 4
WAITING = 64  # most requests that run or wait for a thread
SECONDS = 50.0  # longest time for a request; some hosts end a request after 60 s

_T = TypeVar("_T")


class Workers:
    """Threads that run requests.

    Args:
        threads: the number of requests that run at the same time.
        waiting: the most requests that run or wait.
        seconds: the longest time for a request.
    """

    def __init__(
        self, threads: int = THREADS, *, waiting: int = WAITING, seconds: float = SECONDS
    ) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="taskembed")
        self._waiting = waiting
        self._seconds = seconds
        self._unfinished = 0  # unfinished requests; only the event loop changes it

    async def run(self, work: Callable[[], _T]) -> _T:
        """Run a function in a thread, and return its result.

        A request that is cancelled while it waits never runs; if it is already running, it
        continues to its end and its result is discarded.

        Raises:
            IndexBusyError: too many requests are waiting, or the request took too long.
        """
        if self._unfinished >= self._waiting:
            raise IndexBusyError(
                f"{self._unfinished} requests are already running or waiting",
                hint="try again when some of them are finished",
            )
        future = self._start(work)
        with anyio.move_on_after(self._seconds):
            return await asyncio.wrap_future(future)
        raise IndexBusyError(
            f"the request took more than {self._seconds:g} s",
            hint="try again later: the index or model will have been loaded by then",
        )

    def start(self, work: Callable[[], None]) -> None:
        """Run a function in the background."""
        self._pool.submit(work)

    def close(self) -> None:
        """Cancel the functions that have not begun."""
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
