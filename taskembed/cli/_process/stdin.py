"""Reads a query, ids or a text from stdin or a file, and asks the user for confirmation."""

from __future__ import annotations

import sys
from pathlib import Path

from taskembed.cli.printing.output import message
from taskembed.errors import BadInputError, os_errors
from taskembed.objects import address_in
from taskembed.reading.places import place_of


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


def read_text(path: Path, what: str) -> str:
    """Return all of a file as text; "-" is stdin.

    Args:
        path: the path of the file, or an address as a path.
        what: the start of an error message: "the query is".

    Raises:
        BadInputError: the text is not UTF-8.
        NotFoundError: there is no such file.
        StorageError: the file cannot be read.
        ServerUnavailableError: the server of the address cannot be reached, or fails.
    """
    if str(path) == "-":
        return read_stdin(what)
    place = place_of(address_in(path) or str(path))
    try:
        with os_errors(place), place.open("rb") as stream:
            return stream.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInputError(f"{what} not UTF-8", what=str(place)) from error


def confirmed(question: str) -> bool:
    """Ask a question on stderr, and return whether the answer is yes.

    Args:
        question: the question, including its question mark.
    """
    message(f"{question} [y/N]")
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
