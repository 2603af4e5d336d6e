"""Reads ids of documents from arguments or from stdin."""

from __future__ import annotations

from collections.abc import Sequence

from taskembed.cli._process.stdin import read_stdin
from taskembed.escaping import id_of_line


def read_ids(arguments: Sequence[str]) -> list[str]:
    """Return the ids in the arguments; if the only argument is "-", those in the lines of stdin.

    Raises:
        BadInputError: stdin is not UTF-8.
        StorageError: stdin cannot be read; it may be closed.
    """
    if list(arguments) != ["-"]:
        return list(arguments)
    return ids_in(read_stdin("the ids are"))


def ids_in(text: str) -> list[str]:
    """Return the ids of lines as `search --format ids` prints them; empty lines are left out."""
    lines = text.split("\n")  # not splitlines: only \n ends an id, which may consist of spaces
    return [id_of_line(line.rstrip("\r")) for line in lines if line.rstrip("\r")]
