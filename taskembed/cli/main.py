"""The entry point: sets up streams and Ctrl-C before anything that takes time is imported."""

from __future__ import annotations

import atexit
import gc
import os
import sys

from taskembed.cli._process.interrupt import Interrupt

TYPE_CHECKING = False  # importing typing takes longer than this whole module
if TYPE_CHECKING:
    from collections.abc import Sequence


# Imports create many objects but no garbage. Python's default, a collection after every 700
# objects, would take 0.03 s of a search.
OBJECTS_UNTIL_COLLECTED = 200_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; no exception is raised.

    Args:
        arguments: the arguments of the command; None for those of the process. In the latter case
            the function controls the process: it replaces closed streams and handles Ctrl-C.
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
    # The command has closed what it opened. Python's normal exit would free every object, which
    # takes 0.1 s of a search; and would kill the process by SIGINT if Ctrl-C came within `exec`.
    atexit._run_exitfuncs()  # noqa: SLF001  # no public function runs registered exit handlers
    os._exit(code)


def complete_streams() -> None:
    """Reserve the file descriptors of standard streams that are closed at the start.

    Otherwise the next file that is opened, such as a file of an index, would become stdout.
    Reading and writing still fail as if the stream were closed; messages to stderr are dropped.
    """
    for number, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # gets the lowest free descriptor: this one
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  # a number
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def release_streams() -> None:
    """Flush and detach streams, since an error in Python's flush at exit would give code 120."""
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
