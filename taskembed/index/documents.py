"""The documents of a segment: one SQLite file, with a checksum for each row.

A search reads only the documents of its hits, and compares each with its checksum. To look up an id
that may be absent, the whole file is read and checked first (`SegmentDocuments`).
"""

from __future__ import annotations

import errno
import os
import sqlite3
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from taskembed.batches import batched
from taskembed.errors import StorageError, from_os_error
from taskembed.vectors import Flags

_COLUMNS = """
  row INTEGER PRIMARY KEY,
  doc_id TEXT NOT NULL,
  text TEXT NOT NULL,
  metadata TEXT NOT NULL,
  truncated INTEGER NOT NULL"""
TABLE = f"CREATE TABLE documents ({_COLUMNS},\n  checksum INTEGER NOT NULL\n) STRICT\n"
TABLE_OF_FORMAT_1 = f"CREATE TABLE documents ({_COLUMNS}\n) STRICT\n"
INDEX = "CREATE UNIQUE INDEX documents_doc_id ON documents (doc_id)"
_INSERT = "INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?)"
LIMITS = {
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 64 * 2**10,  # our longest statement has 900 variables
    sqlite3.SQLITE_LIMIT_COLUMN: 8,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 16,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 1,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 100_000,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 64,
}
# without the index SQLite might sort all documents first, in memory
_BY_ID = "SELECT * FROM documents INDEXED BY documents_doc_id WHERE doc_id > ? ORDER BY doc_id"
# the index alone answers: no text is read
_ROWS_BY_ID = (
    "SELECT row FROM documents INDEXED BY documents_doc_id WHERE doc_id > ? ORDER BY doc_id"
)
_GENERATED_IDS = """
SELECT row FROM documents WHERE length(doc_id) = 64 AND doc_id NOT GLOB '*[^0-9a-f]*'
"""
_TRUNCATED = "SELECT row FROM documents WHERE truncated <> 0"
_OUTERMOST = "SELECT (SELECT min(row) FROM documents), (SELECT max(row) FROM documents)"
_CHOSEN_AT_ONCE = 16  # documents in memory: a text may have any length
SQL_VARIABLES = 900  # SQLite allowed no more than 999 before 3.32
HEADER_BYTES = 100
_JOURNAL = slice(18, 20)  # bytes of the header: the format versions for writing and reading
_ROLLBACK = b"\x01\x01"  # a rollback journal; a write-ahead log would be a second file
_LENGTHS = struct.Struct("<QQQB")


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document as a segment stores it; `metadata` is a JSON string."""

    row: int
    doc_id: str
    text: str
    metadata: str
    truncated: bool


def checksum_of(document: StoredDocument, row: int) -> int:
    """Return the checksum of a document in a row.

    The checksum is CRC-32 over the lengths of id, text and metadata, `truncated`, and the three in
    UTF-8; plus the row, modulo 2^32. So when a document moves to another row, its checksum is
    adjusted by the difference of the rows, and a damaged document keeps a wrong checksum.
    """
    doc_id, text = document.doc_id.encode(), document.text.encode()
    metadata = document.metadata.encode()
    lengths = _LENGTHS.pack(len(doc_id), len(text), len(metadata), document.truncated)
    return (zlib.crc32(b"".join((lengths, doc_id, text, metadata))) + row) & 0xFFFFFFFF


def insert(database: sqlite3.Connection, documents: Iterable[tuple[int, StoredDocument]]) -> None:
    """Insert documents into the table of a new file, each given with its row."""
    database.executemany(
        _INSERT,
        (
            (
                row,
                item.doc_id,
                item.text,
                item.metadata,
                int(item.truncated),
                checksum_of(item, row),
            )
            for row, item in documents
        ),
    )


class Documents:
    """The open file of a segment's documents.

    Its methods raise sqlite3.Error or ValueError if the file is damaged.

    Args:
        stream: the open file.
        path: the path of the file.
        rows: the number of rows of the segment.
        is_format_1: whether the segment has format 1, whose documents have no checksums.

    Raises:
            FileNotFoundError: the path is now another file, or none.
            TaskembedError: the operating system does not let SQLite open the file.
    """

    def __init__(
        self, stream: BinaryIO, path: Path, rows: int, *, is_format_1: bool = False
    ) -> None:
        self.rows = rows
        self.database = connect(stream, path)
        self._table = TABLE_OF_FORMAT_1 if is_format_1 else TABLE
        self._read = _unchecked if is_format_1 else _checked

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def trust(self) -> None:
        """Stop comparing single documents with their checksums: the whole file was checked."""
        self._read = _unchecked

    def require_schema(self, header: bytes) -> None:
        """Check that the file has the tables of a segment; `header` is its first 100 bytes."""
        schema = [
            ("index", "documents_doc_id", "documents", INDEX),
            ("table", "documents", "documents", self._table),
        ]
        require_schema(self.database, header, schema)

    def require_rows(self) -> None:
        """Check that every document belongs to a row of the segment."""
        first, last = self.database.execute(_OUTERMOST).fetchone()
        if first is not None and not 0 <= first <= last < self.rows:
            raise ValueError(f"there is no row {first if first < 0 else last}")

    def of_rows(self, rows: Iterable[int]) -> dict[int, StoredDocument]:
        """Return the documents of these rows, by row."""
        wanted = sorted(set(rows))
        found = {item.row: item for item in self._select("row", wanted)}
        if len(found) != len(wanted):
            raise ValueError("a document of a vector is missing")
        return found

    def of_ids(self, doc_ids: Sequence[str]) -> Iterator[StoredDocument]:
        """Yield the stored documents with these ids."""
        for start in range(0, len(doc_ids), SQL_VARIABLES):
            some = doc_ids[start : start + SQL_VARIABLES]
            for count, document in enumerate(self._select("doc_id", some), 1):
                if count > len(some):
                    raise ValueError("it has an id twice")
                yield document

    def by_row(self) -> Iterator[StoredDocument]:
        """Yield every document, ordered by row.

        A row that is yielded twice is an error: in a hostile file the pages may form a circle.
        """
        last = -1
        for values in self.database.execute("SELECT * FROM documents ORDER BY row"):
            document = self._read(values)
            if document.row <= last:
                raise ValueError(f"the row {document.row} is out of order")
            if document.row >= self.rows:
                raise ValueError(f"there is no row {document.row}")
            last = document.row
            yield document

    def by_id(self, after: str = "") -> Iterator[StoredDocument]:
        """Yield the documents in the order of their ids; one is in memory at a time.

        Args:
            after: only ids that come after this one.
        """
        return _in_order(map(self._read, self.database.execute(_BY_ID, [after])), after)

    def chosen_by_id(self, chosen: Flags, after: str = "") -> Iterator[StoredDocument]:
        """Yield some documents in the order of their ids; a few are in memory at a time.

        Args:
            chosen: bool[rows]: only these rows.
            after: only ids that come after this one.
        """
        return _in_order(self._chosen(chosen, after), after)

    def _chosen(self, chosen: Flags, after: str) -> Iterator[StoredDocument]:
        rows = (row for (row,) in self.database.execute(_ROWS_BY_ID, [after]))
        # the SQL index of a hostile file may have rows that do not exist: `of_rows` misses them
        wanted = (row for row in rows if 0 <= row < self.rows and chosen[row])
        for some in batched(wanted, _CHOSEN_AT_ONCE):
            found = self.of_rows(some)
            for row in some:
                yield found[row]

    def rows_with_generated_ids(self) -> Iterator[int]:
        """Yield the rows of documents whose id is a sha256."""
        yield from (row for (row,) in self.database.execute(_GENERATED_IDS))

    def truncated_rows(self) -> list[int]:
        """Return the rows of documents that the model truncated."""
        return [row for (row,) in self.database.execute(_TRUNCATED)]

    def require_integrity(self) -> None:
        """Check every page of the file; the error has SQLite's own message."""
        (answer,) = self.database.execute("PRAGMA integrity_check(1)").fetchone()
        if answer != "ok":
            raise ValueError(answer)

    def _select(
        self, column: str, values: Sequence[str] | Sequence[int]
    ) -> Iterator[StoredDocument]:
        for start in range(0, len(values), SQL_VARIABLES):
            some = values[start : start + SQL_VARIABLES]
            marks = ",".join("?" * len(some))
            # `column` is one of our two literals, and the values are bound
            sql = f"SELECT * FROM documents WHERE {column} IN ({marks})"  # noqa: S608
            yield from map(self._read, self.database.execute(sql, some))


def _in_order(documents: Iterable[StoredDocument], last: str) -> Iterator[StoredDocument]:
    for document in documents:
        if document.doc_id <= last:
            raise ValueError(f"the id {document.doc_id!r} is out of order")
        last = document.doc_id
        yield document


def of_row(database: sqlite3.Connection, row: int) -> StoredDocument:
    """Return the document of a row from a database that is being written.

    Raises:
        ValueError: the values of the row do not have the types of a document.
    """
    return _unchecked(database.execute("SELECT * FROM documents WHERE row = ?", [row]).fetchone())


def _checked(values: tuple[object, ...]) -> StoredDocument:
    document = _unchecked(values)
    if values[5:] != (checksum_of(document, document.row),):
        raise ValueError(f"the document of row {document.row}: its checksum does not match")
    return document


def _unchecked(values: tuple[object, ...]) -> StoredDocument:
    if tuple(map(type, values))[:5] != (int, str, str, str, int):
        raise ValueError("a document has wrong types")  # hostile: the schema is STRICT
    row, doc_id, text, metadata, truncated = values[:5]
    return StoredDocument(row, doc_id, text, metadata, bool(truncated))  # type: ignore[arg-type]  # looked at above


def require_schema(
    database: sqlite3.Connection, header: bytes, schema: Sequence[tuple[str, str, str, str]]
) -> None:
    """Check that a database has exactly these tables and indexes, character for character.

    A hostile database could have views, triggers or computed columns, which take any amount of
    memory and time.

    Args:
        database: the open database.
        header: the first 100 bytes of its file.
        schema: (type, name, table, SQL statement) of each table and index, sorted.

    Raises:
        ValueError: the schema differs.
        sqlite3.Error: the file is not a database.
    """
    if header[_JOURNAL] != _ROLLBACK:
        raise ValueError("it has a separate journal file")
    limit = len(schema) + 1
    rows = database.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema LIMIT ?", [limit])
    if sorted(rows.fetchall(), key=str) != sorted(schema, key=str):
        raise ValueError("its tables are not those of an index")


def connect(stream: BinaryIO, path: Path) -> sqlite3.Connection:
    """Open the file that `stream` has open with SQLite, for reading.

    Raises:
        FileNotFoundError: the path is now another file, or none.
        TaskembedError: the operating system does not let SQLite open the file.
    """
    opened = os.fstat(stream.fileno())
    try:
        # any thread may search: SQLite serialises the calls on a connection by itself
        database = sqlite3.connect(
            uri_of(path), uri=True, isolation_level=None, check_same_thread=False
        )
    except sqlite3.OperationalError as error:
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except FileNotFoundError:
            raise
        except OSError as reason:
            raise from_os_error(reason, str(path)) from reason
        raise StorageError(f"SQLite cannot open it: {error}", what=str(path)) from error
    try:
        # Subtle: an index never uses a file name twice. So SQLite has opened the same file as
        # `stream`, unless the folder was replaced, which the comparison shows.
        _require_same(path, opened)
        # no text is longer than the file
        longest = min(max(opened.st_size, 2**16), 2**30)
        for limit, value in {**LIMITS, sqlite3.SQLITE_LIMIT_LENGTH: longest}.items():
            database.setlimit(limit, value)
    except BaseException:
        database.close()
        raise
    return database


def _require_same(path: Path, opened: os.stat_result) -> None:
    here = path.stat()
    if (here.st_dev, here.st_ino) != (opened.st_dev, opened.st_ino):
        raise FileNotFoundError(errno.ENOENT, "another file is there now", str(path))


def uri_of(path: Path, *, mode: str = "ro") -> str:
    """Return the URI by which SQLite opens a file: to read an immutable one, or to create one."""
    never_changes = "&immutable=1" if mode == "ro" else ""
    return f"file:{quote(os.fsencode(path.absolute()))}?mode={mode}{never_changes}"
