"""Errors: what they know, and what the operating system's become."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from taskembed.errors import (
    AccessDeniedError,
    BadInputError,
    BadRecordError,
    ExitCode,
    IndexDamagedError,
    MissingLibraryError,
    NotFoundError,
    StorageError,
    TaskembedError,
    first_line,
    from_os_error,
    os_errors,
    system_error,
)


def test_a_message_is_what_the_error_is_about_and_the_reason() -> None:
    error = BadInputError("not UTF-8", what="corpus.jsonl", hint="--encoding latin-1")
    assert error.message == str(error) == "corpus.jsonl: not UTF-8"
    assert (error.what, error.reason) == ("corpus.jsonl", "not UTF-8")
    assert error.hint == "--encoding latin-1"
    assert error.safe_documents is None


def test_a_reason_may_name_what_it_is_about() -> None:
    error = TaskembedError("no such model: 'a: b'")
    assert error.message == error.reason == "no such model: 'a: b'"
    assert error.what == ""
    assert error.hint is None


def test_a_bad_record_is_named_by_its_place() -> None:
    error = BadRecordError("corpus.jsonl:17", "the id is empty", raw="{}")
    assert error.message == "corpus.jsonl:17: the id is empty"
    assert (error.what, error.source, error.reason, error.raw) == (
        "corpus.jsonl:17",
        "corpus.jsonl:17",
        "the id is empty",
        "{}",
    )


def test_a_damaged_index_names_the_file() -> None:
    error = IndexDamagedError(
        "the index is damaged", name="a.db", reason="a.db: 3 bytes are missing"
    )
    assert (error.message, error.name) == ("the index is damaged", "a.db")
    assert error.reason == "a.db: 3 bytes are missing"


@pytest.mark.parametrize(
    ("number", "kind", "reason", "hint"),
    [
        (errno.ENOENT, NotFoundError, "No such file or directory", "check the path"),
        (errno.ENOTDIR, NotFoundError, "Not a directory", "check the path"),
        (
            errno.EACCES,
            AccessDeniedError,
            "Permission denied",
            "run as a user with the permission, or choose another path",
        ),
        (
            errno.ENOSPC,
            StorageError,
            "No space left on device",
            "free some space and run the same command again",
        ),
        (errno.EIO, StorageError, "Input/output error", None),
        (errno.EBADF, StorageError, "it is closed", None),
        (errno.ELOOP, StorageError, "it is a link that points back to itself", None),
    ],
)
def test_what_the_operating_system_refuses_is_an_error_of_ours(
    number: int, kind: type[TaskembedError], reason: str, hint: str | None
) -> None:
    refused = OSError(number, "other words", "another name")
    with pytest.raises(kind) as caught, os_errors(Path("there/a.txt")):
        raise refused
    assert caught.value.message == f"there/a.txt: {reason}"
    assert (caught.value.what, caught.value.reason) == ("there/a.txt", reason)
    assert caught.value.hint == hint
    assert caught.value.__cause__ is refused


def test_what_is_no_refusal_of_the_system_passes() -> None:
    with pytest.raises(ValueError, match="as it was"), os_errors("a"):
        raise ValueError("as it was")
    with os_errors("a"):
        found = 3
    assert found == 3


def test_an_error_without_a_number_says_what_it_says() -> None:
    assert from_os_error(OSError("the tape is torn"), "a").message == "a: the tape is torn"


def test_a_missing_library_has_the_code_of_what_is_not_available() -> None:
    assert MissingLibraryError("no").exit_code is ExitCode.MODEL_UNAVAILABLE


def test_a_refusal_is_found_behind_a_library_s_own_error() -> None:
    library = RuntimeError("cannot save")
    library.__cause__ = OSError(errno.ENOSPC, "full", "a.bin")
    found = system_error(library)
    assert found is not None
    assert (found.errno, found.filename) == (errno.ENOSPC, "a.bin")
    rust = system_error(Exception("Too many open files (os error 24)"))
    assert rust is not None
    assert rust.errno == errno.EMFILE
    assert system_error(Exception("(os error 2)")) is None  # a missing file is no refusal


def test_the_first_line_of_an_error() -> None:
    assert first_line(ValueError("\n one \ntwo")) == "one"
    assert first_line(ValueError("")) == "ValueError"
