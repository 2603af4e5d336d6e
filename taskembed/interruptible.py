"""Calls of libraries that handle no signals, or catch what a signal handler raises.

A call runs in a thread. Python runs signal handlers in the main thread, which waits for the thread
where an exception can be raised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

T = TypeVar("T")


def interruptible(call: Callable[[], T]) -> T:
    """Return what a call returns; what a signal raises meanwhile is raised at once.

    The call then goes on in its thread, until the process ends.
    """
    from queue import SimpleQueue  # 0.004 s with those below, which most commands need not spend
    from threading import Thread

    answers: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def answer() -> None:
        try:
            answers.put((call(), None))
        except BaseException as error:  # noqa: BLE001  # raised below
            answers.put((None, error))

    Thread(target=answer, daemon=True).start()
    value, error = answers.get()
    if error is not None:
        raise error
    return cast("T", value)


def completed(call: Callable[[], T]) -> T:
    """Return what a call returns; what a signal raises meanwhile is raised when the call is done.

    For calls that must not be left half done.
    """
    from concurrent.futures import ThreadPoolExecutor, wait

    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(call)
        try:
            return future.result()
        except BaseException:
            wait([future])
            raise
