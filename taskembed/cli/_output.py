"""What is printed: results on stdout, messages on stderr, and no control character on either."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from taskembed.english import counted
from taskembed.errors import ExitCode, TaskembedError, UsageError, from_os_error, os_errors
from taskembed.escaping import escaped, json_text

STDOUT = {"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}
STDERR = {"/dev/stderr", "/dev/fd/2", "/proc/self/fd/2"}


class ClosedPipeError(TaskembedError):
    """Whoever read our output has read enough: `taskembed search ... | head -1`."""

    exit_code = ExitCode.CLOSED_PIPE


class Status:
    """The last line of a terminal, which says what is being done and is gone before anything else.

    There is one for the process, as there is one terminal.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal may come while it is held
        self._width = 0  # of what is drawn

    def draw(self, text: str) -> None:
        """Show a line in place of the one that is shown; "" for none."""
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
        """Give a context in which none is shown, so that something else can be printed."""
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
    """Return a line of so many cells at most; its end, which says how long it takes, stays."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(line) <= room:
        return line
    end = line[-LAST:]
    return f"{set_cell_size(line, room - cell_len(end) - 1)}…{end}"


STATUS = Status()
COLUMNS = 80  # of a terminal that does not say
LAST = 12  # characters of a line are kept, however narrow the terminal


def _columns() -> int:
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    return max(columns or COLUMNS, 2 * LAST)


def message(text: str) -> None:
    """Print a line for people on stderr."""
    with (
        STATUS.hidden(),
        contextlib.suppress(OSError, ValueError),
    ):  # nobody listens: then nothing is to be said
        print("taskembed:", escaped(text, keep="\n"), file=sys.stderr, flush=True)


def report(error: TaskembedError, *, as_json: bool) -> None:
    """Print an error on stderr: what, which, why; a hint; and what is safe."""
    safe = error.safe_documents
    if as_json:
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
        said = counted(safe, "document is", "documents are")
        lines.append(f"{said} safe in the index")
    if error.hint:
        lines.append(f"hint: {error.hint}")
    for line in lines:
        message(line)


def write(text: str, stream: TextIO | None = None) -> None:
    """Write results, at once.

    Raises:
        ClosedPipeError: nobody reads them any more.
        StorageError: they cannot be written: the disk behind stdout is full.
    """
    target = stream or sys.stdout
    try:
        with STATUS.hidden():
            target.write(text)
            target.flush()
    except BrokenPipeError:
        # Python flushes stdout again when it ends: into nothing, rather than into the pipe.
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
    """Refuse, before any work, a file that results cannot or must not go to.

    Args:
        option: that names it, such as "--run".
        path: None when it was not given.
        read: the files and folders that the command reads.
        in_place: a file that is there is written over, rather than replaced by a new one.

    Raises:
        UsageError: it is stdout, where other results go, or a file that is read.
        NotFoundError: its folder does not exist.
        AccessDeniedError: it, or its folder, may not be written to.
        StorageError: it is a folder.
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
    over = path.exists() and (in_place or _is_stream(path))
    written = path if over else path.resolve().parent
    if not os.access(written, os.W_OK):
        raise from_os_error(PermissionError(errno.EACCES, ""), str(path))


def is_one_of(path: Path, places: Iterable[Path | str | None]) -> bool:
    """Whether a file is one of those, or in a folder that is."""
    known = [Path(place) for place in places if place is not None]
    if any(path.resolve().is_relative_to(place.resolve()) for place in known):
        return True
    return path.exists() and any(place.exists() and place.samefile(path) for place in known)


def _is_stream(path: Path) -> bool:
    """Whether a path leads to a pipe, a device, or a file that is open: nothing to replace."""
    special = path.exists() and not path.is_file()
    return special or path.parts[:2] in {("/", "dev"), ("/", "proc")}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    # "a": a file that a shell has open there is not emptied
    with os_errors(path), path.open("a", encoding="utf-8", newline="\n") as stream:
        yield stream


@contextlib.contextmanager
def results(output: Path | None) -> Iterator[TextIO]:
    """Yield where results go: stdout, or a file that appears only when it is whole."""
    if output is None or str(output) in STDOUT:
        yield sys.stdout
        return
    if str(output) in STDERR:
        yield sys.stderr
        return
    if _is_stream(output):
        with _opened(output) as stream:
            yield stream
        return
    output = output.resolve()  # what a link leads to is written, and the link stays
    with os_errors(output):
        descriptor, name = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}-")
    temporary = Path(name)
    try:
        # by an opener: so messages name the file, and neither its descriptor nor a temporary one
        with open(  # Path.open has no opener
            output, "w", encoding="utf-8", newline="\n", opener=lambda *_: descriptor
        ) as stream:
            yield stream
            stream.flush()
            os.fsync(descriptor)
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)  # as any new file, not as a temporary one
        temporary.replace(output)
    except OSError as error:
        raise from_os_error(error, str(output)) from error
    finally:
        temporary.unlink(missing_ok=True)
