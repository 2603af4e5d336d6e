"""Prints results to stdout and messages to stderr, without control characters from documents."""

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
from taskembed.errors import (
    ExitCode,
    StorageError,
    TaskembedError,
    UsageError,
    from_os_error,
    os_errors,
)
from taskembed.escaping import escaped, json_text
from taskembed.outputs import completed_file, is_stream, resolved

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
        """Hide the line within a context, so that something else can be printed."""
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
    """Shorten a line to at most `room` cells; its end, with the time left, is kept."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(line) <= room:
        return line
    end = line[-LAST:]
    return f"{set_cell_size(line, room - cell_len(end) - 1)}…{end}"


STATUS = Status()
COLUMNS = 80  # the assumed width of a terminal of unknown width
LAST = 12  # characters at the end of a line that are kept in any terminal


def _columns() -> int:
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    return max(columns or COLUMNS, 2 * LAST)


def message(text: str, *, logged: str | None = None) -> None:
    """Print a line for people to stderr and to the log file, if there is one.

    Args:
        text: the text of the line.
        logged: the text for the log file; None for `text`.
    """
    log(text if logged is None else logged)
    _print(text)


def log(text: str) -> None:
    """Write a line to the log file, if there is one; a failure is reported once on stderr."""
    was_open = LOG.is_open
    LOG.write(text)
    if was_open and LOG.failure is not None:
        reason = os.strerror(LOG.failure.errno or 0)
        _print(f"note: the log file can no longer be written: {reason}; the command continues")


def _print(text: str) -> None:
    with (
        STATUS.hidden(),
        contextlib.suppress(OSError, ValueError),
    ):  # stderr is closed
        print("taskembed:", escaped(text, keep="\n"), file=sys.stderr, flush=True)


def report(error: TaskembedError, *, as_json: bool) -> None:
    """Print an error to stderr: its message, its hint, and the number of safe documents."""
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
        text: the text to write.
        stream: an open stream; None for stdout.

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
        # Python flushes stdout again at exit: into /dev/null rather than the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise ClosedPipeError("the output was closed") from None
    except OSError as error:
        name = "stdout" if target is sys.stdout else str(getattr(target, "name", "output"))
        os.dup2(os.open(os.devnull, os.O_WRONLY), target.fileno())
        raise from_os_error(error, name) from error


def write_done(text: str, done: str) -> None:
    """Write the result of a command that has changed something; an error says that it is done.

    Args:
        text: the text to write to stdout.
        done: what is done: "the index is published".

    Raises:
        ClosedPipeError: the reader of stdout has closed the pipe.
        StorageError: the disk behind stdout is full, or stdout is closed.
    """
    try:
        write(text)
    except StorageError as error:
        error.hint = f"only this message is lost: {done}"
        raise


def require_output(
    option: str,
    path: Path | None,
    read: Iterable[Path | str | None],
    *,
    in_place: bool = False,
) -> None:
    """Check, before any work, that results can be written to a file.

    Args:
        option: the option that names the file, such as "--run".
        path: the path of the file; None if the option was not given.
        read: the files and folders that the command reads.
        in_place: an existing file is overwritten, rather than replaced by a new one.

    Raises:
        UsageError: the file is stdout, where other results go, or a file that is read.
        NotFoundError: the folder of the file does not exist.
        AccessDeniedError: the file, or its folder, is not writable.
        StorageError: the path is a folder, or a link that points back to itself.
    """
    if path is None:
        return
    if str(path) in STDOUT:
        raise UsageError(f"{option} needs a file, since other results are printed to stdout")
    if is_one_of(path, read):
        raise UsageError(f"{option} would overwrite the input: {path}", hint="name another file")
    with os_errors(path), contextlib.suppress(FileNotFoundError, NotADirectoryError):
        path.stat()  # a link that points back to itself
    if not path.parent.is_dir():
        raise from_os_error(FileNotFoundError(errno.ENOENT, ""), str(path))
    if path.is_dir():
        raise from_os_error(IsADirectoryError(errno.EISDIR, ""), str(path))
    over = path.exists() and (in_place or is_stream(path))
    written = path if over else resolved(path).parent
    if not os.access(written, os.W_OK):
        raise from_os_error(PermissionError(errno.EACCES, ""), str(path))


def require_other_log(option: str, path: Path | None, read: Iterable[Path | str | None]) -> None:
    """Check that the open log file is not one of the inputs; if it is, nothing is logged.

    Raises:
        UsageError: the log file is one of the inputs.
    """
    try:
        require_output(option, path, read, in_place=True)
    except UsageError:
        LOG.close()
        raise


def is_one_of(path: Path, places: Iterable[Path | str | None]) -> bool:
    """Return whether a file is one of the places, or inside one of them."""
    known = [Path(place) for place in places if place is not None]
    if any(resolved(path).is_relative_to(resolved(place)) for place in known):
        return True
    return path.exists() and any(place.exists() and place.samefile(path) for place in known)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    # "a": a file that a shell opened with >> keeps its contents
    with os_errors(path), path.open("a", encoding="utf-8", newline="\n") as stream:
        yield stream


@contextlib.contextmanager
def results(output: Path | None) -> Iterator[TextIO]:
    """Yield the stream for results: stdout, or a file that gets its name once it is complete."""
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
