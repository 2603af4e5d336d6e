"""Ctrl-C, from the first moment of a process to its last: 130, and never a traceback."""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False  # importing typing takes longer than this whole module
if TYPE_CHECKING:
    from types import FrameType

AGAIN_SECONDS = 0.01


class Interrupt:
    """What Ctrl-C does: it leaves, raises KeyboardInterrupt, or nothing, as the process is.

    Until `leave_from_now` was called it does what it always did, as for a caller in Python.
    """

    def __init__(self) -> None:
        self.came = False
        self._is_ours = False

    def leave_from_now(self) -> None:
        """End the process at once: nothing is begun, and no import is half done."""
        # a background job of a shell ignores it, and goes on to
        self._is_ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._is_ours:
            signal.signal(signal.SIGINT, _leave)

    def raise_from_now(self) -> None:
        """Raise KeyboardInterrupt; the second time, end at once."""
        if self._is_ours:
            sys.unraisablehook = self._not_raised
            signal.signal(signal.SIGINT, self._raise)

    def ignore_from_now(self) -> None:
        """Do nothing: all is done, and the exit code is known."""
        if self._is_ours:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _raise(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True
        signal.signal(signal.SIGINT, _leave)
        raise KeyboardInterrupt

    def _not_raised(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Raise again, a moment later, what Python could not raise where it was: in a callback."""
        if unraisable.exc_type is KeyboardInterrupt:
            signal.signal(signal.SIGALRM, self._raise)
            signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
        else:
            sys.__unraisablehook__(unraisable)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(128 + signal.SIGINT)
