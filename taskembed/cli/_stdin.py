"""Reading a query, ids or a text from stdin."""

from __future__ import annotations

import sys

from taskembed.errors import BadInputError, os_errors


def read_stdin(what: str) -> str:
    """Return all of stdin as text.

    Args:
        what: the start of an error message: "the query is".

    Raises:
        BadInputError: stdin is not UTF-8.
        StorageError: stdin cannot be read; it may be closed.
    """
    try:
        with os_errors("stdin"):
            return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInputError(f"stdin: {what} not UTF-8") from error
