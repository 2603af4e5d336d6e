"""The scalar fields of a segment's metadata, as a table for filters: field, row, value.

    fields(field, name, type)     one row for each name and type of value
    scalars(field, row, value)    one row for each value of a document

Types are "boolean", "integer", "number", "text" and "long text"; the value of a long text is not in
the table, and is looked up in the metadata. Lists, objects and null are not in it. Filters read a
field as one range of the file, whose checksum is one over all of it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

import orjson

from taskembed.index.documents import StoredDocument

FIELDS = """CREATE TABLE fields (
  field INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  type TEXT NOT NULL
) STRICT
"""
SCALARS = """CREATE TABLE scalars (
  field INTEGER NOT NULL,
  row INTEGER NOT NULL,
  value ANY NOT NULL,
  PRIMARY KEY (field, row)
) STRICT, WITHOUT ROWID
"""
SCHEMA = [
    ("table", "fields", "fields", FIELDS),
    ("table", "scalars", "scalars", SCALARS),
]
LONGEST_TEXT = 1024  # characters of a text that is in the table
_LARGEST = 2**63 - 1  # SQLite's integers; a larger one is a number
_EMPTY = "{}"

Scalar = bool | int | float | str


class FieldsBuilder:
    """The table of a segment that is being made; it numbers fields as they come."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._numbers: dict[tuple[str, str], int] = {}
        database.execute(FIELDS)
        database.execute(SCALARS)

    def add(self, documents: Iterable[StoredDocument]) -> None:
        """Put the scalar fields of documents, by their rows."""
        self._database.executemany(
            "INSERT INTO scalars VALUES (?, ?, ?)",
            (
                (self._number(name, kind), document.row, value)
                for document in documents
                if document.metadata != _EMPTY
                for name, kind, value in _scalars(orjson.loads(document.metadata))
            ),
        )

    def remove(self, rows: Iterable[int]) -> None:
        """Take out the values of rows; a name that only they had stays."""
        numbers = list(self._numbers.values())
        self._database.executemany(
            "DELETE FROM scalars WHERE field = ? AND row = ?",
            ((number, row) for row in rows for number in numbers),
        )

    def copy(self, source: str, moved: str) -> None:
        """Copy the values of another segment.

        Args:
            source: the name under which its file is attached.
            moved: an SQL expression of `row`: the new row, or null for one that is left out.
        """
        rows = self._database.execute(f"SELECT field, name, type FROM {source}.fields").fetchall()  # noqa: S608  # our literal
        for number, name, kind in rows:
            self._database.execute(
                f"INSERT INTO scalars SELECT ?, {moved}, value FROM {source}.scalars "  # noqa: S608  # our literals
                f"WHERE field = ? AND {moved} IS NOT NULL",
                [self._number(name, kind), number],
            )

    def _number(self, name: str, kind: str) -> int:
        number = self._numbers.get((name, kind))
        if number is None:
            number = self._numbers[name, kind] = len(self._numbers)
            self._database.execute("INSERT INTO fields VALUES (?, ?, ?)", (number, name, kind))
        return number


def _scalars(metadata: Mapping[str, object]) -> Iterable[tuple[str, str, Scalar]]:
    for name, value in metadata.items():
        if isinstance(value, bool):
            yield name, "boolean", int(value)
        elif isinstance(value, int):
            yield (
                (name, "integer", value)
                if abs(value) <= _LARGEST
                else (name, "number", float(value))
            )
        elif isinstance(value, float):
            yield name, "number", value
        elif isinstance(value, str):
            yield ((name, "text", value) if len(value) <= LONGEST_TEXT else (name, "long text", ""))


def check_fields(
    database: sqlite3.Connection, documents: Iterable[StoredDocument], rows: int
) -> None:
    """Check that a table of fields says what the metadata of the documents says.

    Args:
        database: its open file, of the right schema.
        documents: all of the segment, by row; memory is taken for one at a time.
        rows: of the segment.

    Raises:
        ValueError: it does not.
        sqlite3.Error: the file cannot be read.
    """
    names = {
        (name, kind): number for number, name, kind in database.execute("SELECT * FROM fields")
    }
    wanted = 0
    for document in documents:
        for name, kind, value in _scalars(orjson.loads(document.metadata)):
            wanted += 1
            found = database.execute(
                "SELECT value FROM scalars WHERE field = ? AND row = ?",
                (names.get((name, kind), -1), document.row),
            ).fetchone()
            if found != (value,):
                raise ValueError(f"the field {name!r} of row {document.row} is not its metadata's")
    (count,) = database.execute("SELECT count(*) FROM scalars").fetchone()
    if count != wanted:
        raise ValueError(f"{count:,} values for {wanted:,} in the metadata of {rows:,} rows")
