"""What a command reads from stdin, when it is not a corpus."""

from __future__ import annotations

import sys

from taskembed.errors import BadInputError, os_errors


def read_stdin(what: str) -> str:
    """Return all of stdin as text.

    Args:
        what: it is, for a message: "the query is".

    Raises:
        BadInputError: it is not UTF-8.
        StorageError: it cannot be read; it was closed.
    """
    try:
        with os_errors("stdin"):
            return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInputError(f"stdin: {what} not UTF-8") from error
