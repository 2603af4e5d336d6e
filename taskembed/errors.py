"""Every failure a user can meet: its exit code, its message, its hint.

    TaskembedError
    ├── UsageError                2   the command's words do not fit together
    ├── BadInputError            65   the input cannot be used
    │   ├── BadRecordError            one record of it, named by file and line
    │   ├── TextTooLongError          a text of which the tokenizer cannot be given a part
    │   └── BadVectorError            a vector of the model is not finite, or has no length
    ├── NotFoundError            66   no such input, no such index
    ├── ModelUnavailableError    69   the model cannot be loaded, or does not know the task
    ├── MissingLibraryError      69   a library that the command needs is not installed
    ├── ServerUnavailableError   69   a server of files did not answer, or failed
    ├── StorageError             74   the disk is full, or an input or output operation failed
    ├── IndexBusyError           75   another process writes to the index
    ├── IndexDamagedError        76   what is on disk is damaged
    ├── AccessDeniedError        77   the operating system does not permit it
    ├── SpaceMismatchError       78   the query or the documents live in another embedding space
    │   └── NewerFormatError          the index was written by a newer taskembed
    └── StoppedError        130, 143  a signal asked to stop; what was committed is safe

A message says what, which, and why; the hint says what to type next. Both are for people: a program
asks for an error's class and its fields, and never reads its message.
"""

from __future__ import annotations

import errno
import os
import re
import reprlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process answers to a shell. The numbers are those of sysexits.h where it has one."""

    OK = 0
    PARTIAL = 1
    USAGE = 2
    BAD_INPUT = 65
    NOT_FOUND = 66
    MODEL_UNAVAILABLE = 69
    BUG = 70
    STORAGE = 74
    BUSY = 75
    DAMAGED = 76
    ACCESS_DENIED = 77
    SPACE_MISMATCH = 78
    INTERRUPTED = 130
    CLOSED_PIPE = 141
    TERMINATED = 143


class TaskembedError(Exception):
    """The root: a message for people, a hint, an exit code for scripts.

    Attributes:
        what: the thing that the error is about, such as a path or "corpus.jsonl:17"; "" where the
            reason names it.
        reason: what is wrong.
        message: both: "what: reason".
        hint: what to type next, or None.
        safe_documents: how many documents the index holds, where `index_corpus` raised the error;
            None elsewhere.
    """

    exit_code: ExitCode = ExitCode.BUG
    safe_documents: int | None = None

    def __init__(self, reason: str, *, what: str = "", hint: str | None = None) -> None:
        self.what = what
        self.reason = reason
        self.message = f"{what}: {reason}" if what else reason
        self.hint = hint
        super().__init__(self.message)


class UsageError(TaskembedError):
    """The command's words do not fit together."""

    exit_code = ExitCode.USAGE


class BadInputError(TaskembedError):
    """The input cannot be used."""

    exit_code = ExitCode.BAD_INPUT


class BadRecordError(BadInputError):
    """One record cannot be used; `source` is "file:line", `raw` its text as far as it is known."""

    def __init__(self, source: str, reason: str, *, raw: str = "", hint: str | None = None) -> None:
        super().__init__(reason, what=source, hint=hint)
        self.source = source
        self.raw = raw


class TextTooLongError(BadInputError):
    """Some texts cannot be tokenised in bounded memory; `reasons` has why, by their positions."""

    def __init__(self, texts: Sequence[str], rows: Sequence[int]) -> None:
        self.reasons = {
            row: f"the text has {len(texts[row]):,} characters, which would have to be tokenised "
            "in one piece and take too much memory; split it"
            for row in rows
        }
        super().__init__(f"{reprlib.repr(texts[rows[0]])}: {self.reasons[rows[0]]}")


class BadVectorError(BadInputError):
    """The model gave a vector that cannot be compared: a number is not finite, or all are zero."""


class NotFoundError(TaskembedError):
    """There is no such input or index."""

    exit_code = ExitCode.NOT_FOUND


class ModelUnavailableError(TaskembedError):
    """The model cannot be loaded, or does not know the task."""

    exit_code = ExitCode.MODEL_UNAVAILABLE


class MissingLibraryError(TaskembedError):
    """The command needs a library that is not installed; an extra of this package installs it."""

    exit_code = ExitCode.MODEL_UNAVAILABLE  # sysexits.h: "a support program or file does not exist"


class ServerUnavailableError(TaskembedError):
    """A server of files cannot be reached, did not answer in time, or failed."""

    exit_code = ExitCode.MODEL_UNAVAILABLE  # sysexits.h: "a service is unavailable"


class StorageError(TaskembedError):
    """The disk is full, or an input or output operation failed."""

    exit_code = ExitCode.STORAGE


class IndexBusyError(TaskembedError):
    """Another process is writing to the index."""

    exit_code = ExitCode.BUSY


class IndexDamagedError(TaskembedError):
    """A file of an index is damaged; `name` is the file, `reason` says what is wrong in it."""

    exit_code = ExitCode.DAMAGED

    def __init__(
        self, message: str, *, hint: str | None = None, name: str = "", reason: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.name = name
        self.reason = reason or message


class AccessDeniedError(TaskembedError):
    """The operating system does not permit it."""

    exit_code = ExitCode.ACCESS_DENIED


class SpaceMismatchError(TaskembedError):
    """The query or the documents live in another embedding space than the index."""

    exit_code = ExitCode.SPACE_MISMATCH


class NewerFormatError(SpaceMismatchError):
    """The index was written by a newer taskembed."""


class StoppedError(TaskembedError):
    """A signal asked to stop; what was committed is safe."""

    def __init__(self, message: str, *, signal_number: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = ExitCode(128 + signal_number)


_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_ABSENT = {errno.ENOENT, errno.ENOTDIR}
_FREE_SPACE = "free some space and run the same command again"
_STORAGE_HINTS = {
    errno.ENOSPC: _FREE_SPACE,
    errno.EDQUOT: _FREE_SPACE,
    errno.EMFILE: "let the process open more files: ulimit -n 4096",
    errno.ENFILE: "the machine has too many files open: close some programs and try again",
    errno.ENOMEM: "free some memory and run the same command again",
}
_REFUSALS = _DENIED | set(_STORAGE_HINTS) | {errno.EIO}
_REASONS = {errno.EBADF: "it is closed"}  # a stream that was, when the process began


def from_os_error(error: OSError, what: str) -> TaskembedError:
    """Return the error of ours that says what the operating system said about `what`."""
    reason = _REASONS.get(error.errno or 0) or (
        os.strerror(error.errno) if error.errno else str(error)
    )
    if error.errno in _DENIED:
        hint = "run as a user who may, or choose another place"
        return AccessDeniedError(reason, what=what, hint=hint)
    if error.errno in _ABSENT:
        return NotFoundError(reason, what=what, hint="check the path")
    return StorageError(reason, what=what, hint=_STORAGE_HINTS.get(error.errno or 0))


@contextmanager
def os_errors(what: object) -> Iterator[None]:
    """Raise what the operating system refuses within as an error of ours about `what`, a path.

    Raises:
        NotFoundError: there is no such file or folder.
        AccessDeniedError: it may not be read, or not be written to.
        StorageError: the disk is full, too many files are open, or the device fails.
    """
    try:
        yield
    except OSError as error:
        raise from_os_error(error, str(what)) from error


def system_error(error: BaseException) -> OSError | None:
    """Return the operating system's error that caused an exception; None if there is none.

    Libraries wrap that error in errors of their own. Rust libraries give its number only in the
    text: "(os error 24)".
    """
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        said = re.search(r"\(os error (\d+)\)", str(cause))
        number = cause.errno if isinstance(cause, OSError) else None
        number = number or (int(said[1]) if said else None)
        if number in _REFUSALS:
            name = cause.filename if isinstance(cause, OSError) else None
            return OSError(number, os.strerror(number), name)
        cause = cause.__cause__ or cause.__context__
    return None


def is_panic(error: BaseException) -> bool:
    """Tell whether a Rust library panicked: a panic is a BaseException, not an Exception."""
    return type(error).__name__ == "PanicException"


def from_library(error: BaseException, what: str, *, hint: str) -> TaskembedError:
    """Return the error that says what a library made of a model's files.

    Args:
        error: whatever it raised.
        what: the model, and what cannot be done with it.
        hint: what to do, where the files are the reason.
    """
    if isinstance(error, TaskembedError):
        return error
    if isinstance(error, MemoryError):
        return StorageError("out of memory", what=what, hint=_STORAGE_HINTS[errno.ENOMEM])
    if refused := system_error(error):
        where = refused.filename if isinstance(refused.filename, str) else what
        return from_os_error(refused, where)
    return ModelUnavailableError(first_line(error), what=what, hint=hint)


def first_line(error: BaseException) -> str:
    """Return the first line of what an exception says; its kind, when it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].strip()
