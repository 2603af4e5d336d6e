"""Handles Ctrl-C at any time in the life of a process: exit code 130, and never a traceback."""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False  # importing typing takes longer than this whole module
if TYPE_CHECKING:
    from types import FrameType

AGAIN_SECONDS = 0.01


class Interrupt:
    """Sets what Ctrl-C does: end the process, raise KeyboardInterrupt, or nothing.

    Until `leave_from_now` is called, the handler is not changed, since a caller may have set it.
    """

    def __init__(self) -> None:
        self.came = False
        self._is_ours = False

    def leave_from_now(self) -> None:
        """Let Ctrl-C end the process at once: no work has begun yet."""
        # a background job of a shell ignores SIGINT, and must continue to ignore it
        self._is_ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._is_ours:
            signal.signal(signal.SIGINT, _leave)

    def raise_from_now(self) -> None:
        """Let Ctrl-C raise KeyboardInterrupt; a second one ends the process at once."""
        if self._is_ours:
            sys.unraisablehook = self._not_raised
            signal.signal(signal.SIGINT, self._raise)

    def ignore_from_now(self) -> None:
        """Let Ctrl-C do nothing: the command is done, and its exit code is known."""
        if self._is_ours:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def _raise(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True
        signal.signal(signal.SIGINT, _leave)
        raise KeyboardInterrupt

    def _not_raised(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Raise KeyboardInterrupt a moment later if Python was in a callback that cannot raise."""
        if unraisable.exc_type is KeyboardInterrupt:
            signal.signal(signal.SIGALRM, self._raise)
            signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
        else:
            sys.__unraisablehook__(unraisable)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(128 + signal.SIGINT)
