"""The entry of the process: its streams and Ctrl-C, before anything that takes time is imported."""

from __future__ import annotations

import atexit
import gc
import os
import sys

from taskembed.cli._interrupt import Interrupt

TYPE_CHECKING = False  # importing typing takes longer than this whole module
if TYPE_CHECKING:
    from collections.abc import Sequence


# Importing makes many objects and no garbage: looking for it after every 700 objects, as Python
# does, takes a search 0.03 s.
OBJECTS_UNTIL_COLLECTED = 200_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; no exception passes.

    Args:
        arguments: of the command. Without them they are those of the process, which this then is
            the whole of: its streams are completed, and Ctrl-C never shows a traceback.
    """
    if arguments is not None:
        from taskembed.cli.app import run

        return run(list(arguments))
    interrupt = Interrupt()
    interrupt.leave_from_now()
    gc.set_threshold(OBJECTS_UNTIL_COLLECTED)
    complete_streams()
    from taskembed.cli.app import run

    code = run(sys.argv[1:], interrupt=interrupt)
    release_streams()
    # What a command opened is closed. Python would free every object, one by one, which takes a
    # search 0.1 s; and kill itself, if Ctrl-C came within `exec`.
    atexit._run_exitfuncs()  # noqa: SLF001  # nothing public runs what others have registered
    os._exit(code)


def complete_streams() -> None:
    """Make a stream that was closed at the start one that cannot be used, and keep its number.

    Otherwise the next file that is opened, an index's perhaps, would get the number of stdout.
    Reading and writing then fail as if it were closed; but messages to a closed stderr vanish.
    """
    for number, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # gets the lowest number that is free: this one
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  # a number
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def release_streams() -> None:
    """Leave nothing for Python to write when it ends: it would exit with a code of its own, 120."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
