"""Tables of a segment's metadata, which filters read.

    fields(field, name, type)     one row for each name and type of value, see `field_types`
    scalars(field, row, value)    one row for each value of a document
    items(field, value, row)      one row for each item of a document's list

A filter reads the values of a field from one range of the file. One checksum covers the whole file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import orjson

from taskembed.index.documents import HEADER_BYTES, StoredDocument, connect, require_schema
from taskembed.index.filtering.field_types import ITEMS, Entry, FieldType, entries

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
ITEMS_TABLE = """CREATE TABLE items (
  field INTEGER NOT NULL,
  value ANY NOT NULL,
  row INTEGER NOT NULL,
  PRIMARY KEY (field, value, row)
) STRICT, WITHOUT ROWID
"""
SCHEMA = [
    ("table", "fields", "fields", FIELDS),
    ("table", "items", "items", ITEMS_TABLE),
    ("table", "scalars", "scalars", SCALARS),
]
_EMPTY = "{}"
_AT_ONCE = 1024  # documents whose entries are held in memory
_STORED = {  # SQL for the stored value of an entry: a scalar, or an item of a list
    False: "SELECT value FROM scalars WHERE field = ? AND row = ?",
    True: "SELECT value FROM items WHERE field = ? AND row = ? AND value = ?",
}


class FieldsBuilder:
    """The tables of a new segment; fields are numbered in the order in which they occur."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._numbers: dict[tuple[str, str], int] = {}
        for _, _, _, statement in SCHEMA:
            database.execute(statement)

    def add(self, documents: Iterable[tuple[int, StoredDocument]]) -> None:
        """Add the fields of documents, each given with its row."""
        scalars: list[tuple[int, int, object]] = []
        items: list[tuple[int, object, int]] = []
        for count, (row, document) in enumerate(documents, 1):
            for entry in _entries_of(document):
                number = self._number(entry.name, entry.type)
                if entry.type in ITEMS:
                    items.append((number, entry.value, row))
                else:
                    scalars.append((number, row, entry.value))
            if count % _AT_ONCE == 0:
                self._insert(scalars, items)
        self._insert(scalars, items)

    def remove(self, rows: Collection[int]) -> None:
        """Remove the values of rows; the name of a field stays, even if no other row has it."""
        if not rows:
            return
        gone = frozenset(rows)
        self._database.create_function("is_gone", 1, gone.__contains__, deterministic=True)
        for table in ("scalars", "items"):
            self._database.execute(f"DELETE FROM {table} WHERE is_gone(row)")  # noqa: S608  # our literals

    def copy(self, source: str, moved: str) -> None:
        """Copy the values of another segment.

        Args:
            source: the name under which the other segment's file is attached.
            moved: an SQL expression of `row`: the new row, or null for one that is left out.
        """
        rows = self._database.execute(f"SELECT field, name, type FROM {source}.fields").fetchall()  # noqa: S608  # our literal
        for number, name, kind in rows:
            table, columns = (
                ("items", f"value, {moved}") if kind in ITEMS else ("scalars", f"{moved}, value")
            )
            self._database.execute(
                f"INSERT INTO {table} SELECT ?, {columns} FROM {source}.{table} "  # noqa: S608  # our literals
                f"WHERE field = ? AND {moved} IS NOT NULL",
                [self._number(name, kind), number],
            )

    def _insert(
        self, scalars: list[tuple[int, int, object]], items: list[tuple[int, object, int]]
    ) -> None:
        """Insert rows into the tables, and empty the lists."""
        self._database.executemany("INSERT INTO scalars VALUES (?, ?, ?)", scalars)
        self._database.executemany("INSERT INTO items VALUES (?, ?, ?)", items)
        scalars.clear()
        items.clear()

    def _number(self, name: str, kind: str) -> int:
        number = self._numbers.get((name, kind))
        if number is None:
            number = self._numbers[name, kind] = len(self._numbers)
            self._database.execute("INSERT INTO fields VALUES (?, ?, ?)", (number, name, str(kind)))
        return number


def _entries_of(document: StoredDocument) -> Iterator[Entry]:
    if document.metadata != _EMPTY:
        yield from entries(orjson.loads(document.metadata))


def open_fields(stream: BinaryIO, path: Path) -> sqlite3.Connection:
    """Open the tables of a segment with SQLite, from the file that `stream` has open.

    Subtle: a writer may have removed the file's name in the meantime; the open stream can still be
    read, but SQLite cannot open the name. Then the bytes are read into memory.

    Raises:
        ValueError: the tables are not those of a segment.
        sqlite3.Error: the file is not a database.
        TaskembedError: the operating system cannot read the file.
    """
    try:
        database = connect(stream, path)
    except FileNotFoundError:
        stream.seek(0)
        database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        database.deserialize(stream.read())
    try:
        stream.seek(0)
        require_schema(database, stream.read(HEADER_BYTES), SCHEMA)
    except BaseException:
        database.close()
        raise
    return database


def check_fields(
    database: sqlite3.Connection, documents: Iterable[StoredDocument], rows: int
) -> None:
    """Check that the tables have the same values as the metadata of the documents.

    Args:
        database: the open tables, whose schema was checked.
        documents: all documents of the segment, ordered by row; one is in memory at a time.
        rows: the number of rows of the segment.

    Raises:
        ValueError: a value is missing, or differs.
        sqlite3.Error: the file cannot be read.
    """
    names: dict[tuple[str, FieldType], int] = {
        (name, FieldType(kind)): number
        for number, name, kind in database.execute("SELECT * FROM fields")
    }
    wanted = 0
    for document in documents:
        for entry in _entries_of(document):
            wanted += 1
            is_item = entry.type in ITEMS
            key = (names.get((entry.name, entry.type), -1), document.row)
            values = (*key, entry.value) if is_item else key
            found = database.execute(_STORED[is_item], values).fetchone()
            if found != (entry.value,):
                raise ValueError(
                    f"the field {entry.name} of row {document.row} differs from the metadata"
                )
    (count,) = database.execute(
        "SELECT (SELECT count(*) FROM scalars) + (SELECT count(*) FROM items)"
    ).fetchone()
    if count != wanted:
        raise ValueError(
            f"there are {count:,} values, but the metadata of {rows:,} rows has {wanted:,}"
        )
