"""The errors that users can get, with exit codes, messages and hints.

    TaskembedError
    ├── UsageError                2   the options or arguments do not fit together
    ├── BadInputError            65   the input cannot be used
    │   ├── BadRecordError            a record cannot be used; the message has its position
    │   ├── TextTooLongError          a text is too long to be tokenised in one piece
    │   └── BadVectorError            a vector of the model is not finite, or has no length
    ├── NotFoundError            66   no such input, no such index
    ├── ModelUnavailableError    69   the model cannot be loaded, or does not know the task
    ├── MissingLibraryError      69   a library that the command needs is not installed
    ├── ServerUnavailableError   69   an object store or file server did not answer, or failed
    ├── StorageError             74   the disk is full, or an input or output operation failed
    ├── IndexBusyError           75   another process writes to the index
    ├── IndexDamagedError        76   a file of the index is damaged
    ├── AccessDeniedError        77   the operating system or a server denies access
    ├── SpaceMismatchError       78   queries or documents have another embedding space
    │   └── NewerFormatError          the index was written by a newer taskembed
    └── StoppedError        130, 143  a signal stopped the command; committed documents are safe

A message names the thing and the reason; the hint names the next step. Both are for people;
programs use the class and the fields of an error, and never parse its message.
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
    """The exit codes of the command line; most are from sysexits.h (see docs/exit-codes.md)."""

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
    """The base class of all errors, with a message, a hint and an exit code.

    Attributes:
        what: the subject of the error, such as a path or "corpus.jsonl:17"; "" if the reason names
            it.
        reason: what is wrong.
        message: "what: reason", or the reason alone.
        hint: what to do next; None if there is no hint.
        safe_documents: the number of documents in the index, if `index_corpus` raised the error;
            otherwise None.
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
    """The options or arguments do not fit together."""

    exit_code = ExitCode.USAGE


class BadInputError(TaskembedError):
    """The input cannot be used."""

    exit_code = ExitCode.BAD_INPUT


class BadRecordError(BadInputError):
    """A record cannot be used; `source` is "file:line", `raw` the text of the record, if known."""

    def __init__(self, source: str, reason: str, *, raw: str = "", hint: str | None = None) -> None:
        super().__init__(reason, what=source, hint=hint)
        self.source = source
        self.raw = raw


class TextTooLongError(BadInputError):
    """Some texts cannot be tokenised in bounded memory; `reasons` maps positions to reasons."""

    def __init__(self, texts: Sequence[str], rows: Sequence[int]) -> None:
        self.reasons = {
            row: f"the text has {len(texts[row]):,} characters, which would have to be tokenised "
            "in one piece and take too much memory; split it"
            for row in rows
        }
        super().__init__(f"{reprlib.repr(texts[rows[0]])}: {self.reasons[rows[0]]}")


class BadVectorError(BadInputError):
    """A vector of the model cannot be compared: a number is not finite, or all numbers are 0."""


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
    """An object store or file server cannot be reached, did not answer in time, or failed."""

    exit_code = ExitCode.MODEL_UNAVAILABLE  # sysexits.h: "a service is unavailable"


class StorageError(TaskembedError):
    """The disk is full, or an input or output operation failed."""

    exit_code = ExitCode.STORAGE


class IndexBusyError(TaskembedError):
    """Another process is writing to the index."""

    exit_code = ExitCode.BUSY


class IndexDamagedError(TaskembedError):
    """A file of an index is damaged; `name` is the file, `reason` what is wrong with it."""

    exit_code = ExitCode.DAMAGED

    def __init__(
        self, message: str, *, hint: str | None = None, name: str = "", reason: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.name = name
        self.reason = reason or message


class AccessDeniedError(TaskembedError):
    """The operating system or a server denies access."""

    exit_code = ExitCode.ACCESS_DENIED


class SpaceMismatchError(TaskembedError):
    """The queries or the documents have another embedding space than the index."""

    exit_code = ExitCode.SPACE_MISMATCH


class NewerFormatError(SpaceMismatchError):
    """The index was written by a newer taskembed."""


class StoppedError(TaskembedError):
    """A signal stopped the command; committed documents are safe."""

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
_REASONS = {
    errno.EBADF: "it is closed",  # a standard stream, when the process started
    errno.ELOOP: "it is a link that points back to itself",
}


def from_os_error(error: OSError, what: str) -> TaskembedError:
    """Return the TaskembedError for an error of the operating system about `what`."""
    reason = _REASONS.get(error.errno or 0) or (
        os.strerror(error.errno) if error.errno else str(error)
    )
    if error.errno in _DENIED:
        hint = "run as a user with the permission, or choose another path"
        return AccessDeniedError(reason, what=what, hint=hint)
    if error.errno in _ABSENT:
        return NotFoundError(reason, what=what, hint="check the path")
    return StorageError(reason, what=what, hint=_STORAGE_HINTS.get(error.errno or 0))


@contextmanager
def os_errors(what: object) -> Iterator[None]:
    """Turn errors of the operating system within the context into TaskembedErrors about a path.

    Args:
        what: the path, for messages.

    Raises:
        NotFoundError: there is no such file or folder.
        AccessDeniedError: it may not be read or written.
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
    """Return whether an error is the panic of a Rust library, which is not an Exception."""
    return type(error).__name__ == "PanicException"


def from_library(error: BaseException, what: str, *, hint: str) -> TaskembedError:
    """Return the TaskembedError for an error that a library raised about a model's files.

    Args:
        error: the error of the library.
        what: the model, and the operation that failed.
        hint: what to do if the files are the cause.
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
    """Return the first line of an exception's message; its class name if there is no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].strip()
