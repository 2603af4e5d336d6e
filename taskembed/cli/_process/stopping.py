"""Signals: Ctrl-C and SIGTERM stop a run when it is safe; a second signal stops it at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

from taskembed.cli._process.interrupt import AGAIN_SECONDS
from taskembed.errors import StoppedError

CONTINUE = "run the same command again to continue"
NOTHING_WRITTEN = "no file was written; run the same command again"


class Stopper:
    """A context in which a signal raises StoppedError, but never within `uninterrupted`.

    Args:
        hint: the hint of that error.
    """

    def __init__(self, hint: str = CONTINUE) -> None:
        self._hint = hint
        self._depth = 0
        self._waiting: int | None = None
        self._stopping = False
        self._previous: dict[int, object] = {}
        self._previous_hook = sys.unraisablehook

    def __enter__(self) -> Stopper:
        self._previous_hook, sys.unraisablehook = sys.unraisablehook, self._not_raised
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal gave
        sys.unraisablehook = self._previous_hook

    @contextlib.contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Return a context in which a signal waits until the end of the context."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        if self._waiting is not None and self._depth == 0:
            number, self._waiting = self._waiting, None
            raise self._stopped(number)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._stopping:  # the second signal; committed documents are safe in any case
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self._stopping = True
        self._stop(number)

    def _stop(self, number: int) -> None:
        if self._depth:
            self._waiting = number
            return
        raise self._stopped(number)

    def _not_raised(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Raise StoppedError a moment later if Python was in a callback that cannot raise."""
        error = unraisable.exc_value
        if not isinstance(error, StoppedError):
            self._previous_hook(unraisable)
            return
        signal.signal(signal.SIGALRM, lambda *_: self._stop(error.exit_code - 128))
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)

    def _stopped(self, number: int) -> StoppedError:
        return StoppedError(
            f"stopped by {signal.Signals(number).name}", signal_number=number, hint=self._hint
        )
