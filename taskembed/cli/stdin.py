"""What a command reads from stdin, when it is not a corpus."""

from __future__ import annotations

import sys

from taskembed.errors import BadInputError, from_os_error


def read_stdin(what: str) -> str:
    """Return all of stdin as text.

    Args:
        what: it is, for a message: "the query is".

    Raises:
        BadInputError: it is not UTF-8.
        StorageError: it cannot be read; it was closed.
    """
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except OSError as error:
        raise from_os_error(error, "stdin") from error
    except UnicodeDecodeError as error:
        raise BadInputError(f"stdin: {what} not UTF-8") from error
