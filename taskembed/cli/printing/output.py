"""What is printed: results on stdout, messages on stderr, and no control character on either."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from taskembed.cli.printing.log import LOG
from taskembed.english import counted
from taskembed.errors import ExitCode, TaskembedError, UsageError, from_os_error, os_errors
from taskembed.escaping import escaped, json_text
from taskembed.outputs import completed_file, is_stream

STDOUT = {"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}
STDERR = {"/dev/stderr", "/dev/fd/2", "/proc/self/fd/2"}


class ClosedPipeError(TaskembedError):
    """The reader of the output closed the pipe: `taskembed search ... | head -1`."""

    exit_code = ExitCode.CLOSED_PIPE


class Status:
    """The progress line at the bottom of a terminal, erased before anything else is printed.

    A process has one terminal, and one object of this class.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # reentrant: a signal handler may print while it is held
        self._width = 0  # cells of the line that is shown

    def draw(self, text: str) -> None:
        """Replace the line; "" erases it."""
        with self._lock, contextlib.suppress(OSError, ValueError):
            if not text:
                self._erase()
                return
            from rich.cells import cell_len

            line = _fitting(escaped(text), _columns() - 1)
            width = cell_len(line)
            sys.stderr.write(f"\r{line}{' ' * (self._width - width)}")
            sys.stderr.flush()
            self._width = width

    @contextlib.contextmanager
    def hidden(self) -> Iterator[None]:
        """Return a context without the line, in which something else can be printed."""
        with self._lock:
            with contextlib.suppress(OSError, ValueError):
                self._erase()
            yield

    def _erase(self) -> None:
        if self._width:
            blank, self._width = " " * self._width, 0
            sys.stderr.write(f"\r{blank}\r")
            sys.stderr.flush()


def _fitting(line: str, room: int) -> str:
    """Return a line of at most `room` cells; its end, which has the time left, is kept."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(line) <= room:
        return line
    end = line[-LAST:]
    return f"{set_cell_size(line, room - cell_len(end) - 1)}…{end}"


STATUS = Status()
COLUMNS = 80  # of a terminal of unknown width
LAST = 12  # characters at the end of a line that are kept in any terminal


def _columns() -> int:
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    return max(columns or COLUMNS, 2 * LAST)


def message(text: str, *, logged: str | None = None) -> None:
    """Print a line for people on stderr, and in the log file, if there is one.

    Args:
        text: of the line.
        logged: what is written to the log file; None for `text`.
    """
    log(text if logged is None else logged)
    _print(text)


def log(text: str) -> None:
    """Write a line to the log file, if there is one; what the log cannot take is printed once."""
    was_open = LOG.is_open
    LOG.write(text)
    if was_open and LOG.failure is not None:
        reason = os.strerror(LOG.failure.errno or 0)
        _print(f"note: the log file cannot be written any more: {reason}; the command continues")


def _print(text: str) -> None:
    with (
        STATUS.hidden(),
        contextlib.suppress(OSError, ValueError),
    ):  # stderr is closed: nobody reads it
        print("taskembed:", escaped(text, keep="\n"), file=sys.stderr, flush=True)


def report(error: TaskembedError, *, as_json: bool) -> None:
    """Print an error on stderr: its message, its hint, and how many documents are safe."""
    safe = error.safe_documents
    if as_json:
        log(f"error: {error.message}")
        value = {
            "error": error.message,
            "exit_code": int(error.exit_code),
            "hint": error.hint,
            "safe_documents": safe,
        }
        with contextlib.suppress(OSError, ValueError):
            print(json_text(value), file=sys.stderr, flush=True)
        return
    lines = [f"error: {error.message}"]
    if safe is not None:
        lines.append(f"{counted(safe, 'document is', 'documents are')} safe in the index")
    if error.hint:
        lines.append(f"hint: {error.hint}")
    for line in lines:
        message(line)


def write(text: str, stream: TextIO | None = None) -> None:
    """Write results without delay.

    Args:
        text: to write.
        stream: an open one; stdout if None.

    Raises:
        ClosedPipeError: the reader of stdout has closed the pipe.
        StorageError: the disk behind the stream is full.
    """
    target = stream or sys.stdout
    try:
        with STATUS.hidden():
            target.write(text)
            target.flush()
    except BrokenPipeError:
        # Python flushes stdout again when it ends: into /dev/null, not into the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise ClosedPipeError("the output was closed") from None
    except OSError as error:
        name = "stdout" if target is sys.stdout else str(getattr(target, "name", "output"))
        os.dup2(os.open(os.devnull, os.O_WRONLY), target.fileno())
        raise from_os_error(error, name) from error


def require_output(
    option: str,
    path: Path | None,
    read: Iterable[Path | str | None],
    *,
    in_place: bool = False,
) -> None:
    """Check, before any work, that results can and may be written to a file.

    Args:
        option: the option that names the file, such as "--run".
        path: of the file; None if the option was not given.
        read: the files and folders that the command reads.
        in_place: an existing file is overwritten, rather than replaced by a new one.

    Raises:
        UsageError: the file is stdout, where other results go, or a file that is read.
        NotFoundError: the folder of the file does not exist.
        AccessDeniedError: the file, or its folder, is not writable.
        StorageError: the path is a folder.
    """
    if path is None:
        return
    if str(path) in STDOUT:
        raise UsageError(f"{option} needs a file: other results go to stdout")
    if is_one_of(path, read):
        raise UsageError(f"{option} would write into the input: {path}", hint="another file")
    if not path.parent.is_dir():
        raise from_os_error(FileNotFoundError(errno.ENOENT, ""), str(path))
    if path.is_dir():
        raise from_os_error(IsADirectoryError(errno.EISDIR, ""), str(path))
    over = path.exists() and (in_place or is_stream(path))
    written = path if over else path.resolve().parent
    if not os.access(written, os.W_OK):
        raise from_os_error(PermissionError(errno.EACCES, ""), str(path))


def require_other_log(option: str, path: Path | None, read: Iterable[Path | str | None]) -> None:
    """Check that the open log file is none of the files that are read; nothing is logged if it is.

    Raises:
        UsageError: it is one of them.
    """
    try:
        require_output(option, path, read, in_place=True)
    except UsageError:
        LOG.close()
        raise


def is_one_of(path: Path, places: Iterable[Path | str | None]) -> bool:
    """Whether a file is one of the places, or inside one of them."""
    known = [Path(place) for place in places if place is not None]
    if any(path.resolve().is_relative_to(place.resolve()) for place in known):
        return True
    return path.exists() and any(place.exists() and place.samefile(path) for place in known)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    # "a": a file that a shell opened with >> keeps its contents
    with os_errors(path), path.open("a", encoding="utf-8", newline="\n") as stream:
        yield stream


@contextlib.contextmanager
def results(output: Path | None) -> Iterator[TextIO]:
    """Yield the stream for results: stdout, or a file that appears once it is complete."""
    if output is None or str(output) in STDOUT:
        yield sys.stdout
        return
    if str(output) in STDERR:
        yield sys.stderr
        return
    if is_stream(output):
        with _opened(output) as stream:
            yield stream
        return
    with completed_file(output, "w", encoding="utf-8", newline="\n") as stream:
        yield stream
