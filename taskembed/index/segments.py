"""A segment: vectors (FAISS) and documents (SQLite) that were written together, and never change.

    seg-00000007.faiss   an IndexFlatIP, as faiss.serialize_index gives it; vector i is of row i
    seg-00000007.db      SQLite: documents(row, doc_id, text, metadata, truncated)
    del-00000009-00000007.bin   one bit a row, little-endian: the rows of seg-00000007 that were
                                deleted as of generation 9

The name of a segment is the generation that it was written for. This module turns documents into
the bytes of a segment, and the files of a segment into documents and scores.
"""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import orjson

from taskembed.errors import IndexDamagedError, StorageError, from_os_error
from taskembed.index._files import (
    Damage,
    StoredFile,
    damaged,
    open_file,
    read_file,
    read_into,
    stream_damage,
)
from taskembed.index.generations import Snapshot
from taskembed.index.kinds import flat
from taskembed.reading.bounds import MAX_METADATA_BYTES
from taskembed.vectors import Flags, FloatRows

_TABLE = """CREATE TABLE documents (
  row INTEGER PRIMARY KEY,
  doc_id TEXT NOT NULL,
  text TEXT NOT NULL,
  metadata TEXT NOT NULL,
  truncated INTEGER NOT NULL
) STRICT
"""
_INDEX = "CREATE UNIQUE INDEX documents_doc_id ON documents (doc_id)"
# what a file says of itself must be this, byte for byte: a hostile one could have views, triggers,
# or columns that are computed, and so take any memory and time
_SCHEMA = [
    ("index", "documents_doc_id", "documents", _INDEX),
    ("table", "documents", "documents", _TABLE),
]
_LIMITS = {
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 64 * 2**10,  # our longest: 900 variables
    sqlite3.SQLITE_LIMIT_COLUMN: 8,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 16,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 1,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 100_000,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 64,
}
# without the index SQLite might sort all documents first, in memory
_BY_ID = "SELECT * FROM documents INDEXED BY documents_doc_id ORDER BY doc_id"
_SOUND = "PRAGMA quick_check(1)"
_MADE_IDS = """
SELECT row FROM documents WHERE length(doc_id) = 64 AND doc_id NOT GLOB '*[^0-9a-f]*'
"""
_TRUNCATED = "SELECT row FROM documents WHERE truncated <> 0"
_AS_STORED = orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY
_SQL_VARIABLES = 900  # SQLite allowed no more than 999 before 3.32
_BYTES_PER_NUMBER = 4  # float32
_ROWS_AT_ONCE = 65_536
_OUTERMOST = "SELECT (SELECT min(row) FROM documents), (SELECT max(row) FROM documents)"
_DATABASE_HEADER_BYTES = 100
_JOURNAL = slice(18, 20)  # in that header: the versions that write and read it
_ROLLBACK = b"\x01\x01"  # and not a write-ahead log, which a single file cannot have
_NOT_FINITE = "a vector has a number that is not finite"
_NAME = re.compile(r"seg-\d{8}")
_DELETIONS = re.compile(r"(del-\d{8}-\d{8}\.bin)?")


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """What a manifest says of a segment."""

    name: str
    rows: int
    deletions: str = ""  # the file that says which rows were deleted; "" when none were
    deleted_rows: int = 0

    @property
    def vectors_file(self) -> str:
        """The file of its vectors."""
        return f"{self.name}.faiss"

    @property
    def documents_file(self) -> str:
        """The file of its documents."""
        return f"{self.name}.db"

    @property
    def files(self) -> list[str]:
        """Every file that it needs."""
        return [self.vectors_file, self.documents_file, *([self.deletions] * bool(self.deletions))]

    @property
    def live_rows(self) -> int:
        """How many of its documents were not deleted."""
        return self.rows - self.deleted_rows


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document as a segment holds it; `metadata` is JSON text."""

    row: int
    doc_id: str
    text: str
    metadata: str
    truncated: bool


class SegmentBuilder:
    """Documents and their vectors, in memory, until they become the files of a segment."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.rows = 0
        self.size_bytes = 0  # of texts, metadata and vectors: what the memory is spent on
        self._vectors: list[FloatRows] = []
        # Subtle: of a database in this file system SQLite gives its own bytes, where ":memory:" is
        # copied twice to be written
        self._database = sqlite3.connect("file:x?vfs=memdb", uri=True, isolation_level=None)
        self._database.execute(_TABLE)
        self._database.execute("BEGIN")

    def add(self, documents: Sequence[StoredDocument], vectors: FloatRows) -> None:
        """Append documents; row i of `vectors` belongs to documents[i], whose `row` is ignored."""
        self._database.executemany(
            "INSERT INTO documents VALUES (?, ?, ?, ?, ?)",
            [
                (self.rows + offset, item.doc_id, item.text, item.metadata, int(item.truncated))
                for offset, item in enumerate(documents)
            ],
        )
        self._vectors.append(np.ascontiguousarray(vectors, dtype=np.float32))
        self.rows += len(documents)
        self.size_bytes += vectors.nbytes
        self.size_bytes += sum(len(item.text) + len(item.metadata) for item in documents)

    def vector(self, row: int) -> FloatRows:
        """Return the vector of a row, float32[1, dim]."""
        for block in self._vectors:
            if row < len(block):
                return block[row : row + 1]
            row -= len(block)
        raise IndexError(row)

    def document(self, row: int) -> StoredDocument:
        """Return the document of a row."""
        return next(_select(self._database, "row", [row]))

    def files(self, dead: Flags) -> Iterator[tuple[str, bytes | memoryview]]:
        """Yield ("faiss", bytes) and ("db", bytes); documents of `dead` rows are left empty.

        A dead row keeps its vector, so that row i stays vector i, but neither its id nor its text.
        """
        vectors = np.concatenate(self._vectors) if self._vectors else np.empty((0, self.dim), "f4")
        self._vectors = []
        yield "faiss", flat.to_bytes(vectors)
        del vectors
        self._database.executemany(
            "DELETE FROM documents WHERE row = ?", [(int(row),) for row in np.flatnonzero(dead)]
        )
        self._database.execute(_INDEX)
        self._database.execute("COMMIT")
        data = self._database.serialize()
        self._database.close()  # it is a part of a cycle: its memory would wait for the collector
        yield "db", data


class Segment:
    """The open files of a segment; a writer that removes them does not disturb it.

    Its sizes are checked when it is opened, and all else by `check`, which comes before anything is
    asked: a reader opens every segment first, so that a slow disk gives a writer no time between.

    Raises:
        FileNotFoundError: a file is not there (any more).
        IndexDamagedError: a file is not what was written.
    """

    def __init__(self, folder: Path, snapshot: Snapshot, info: SegmentInfo, dim: int) -> None:
        self.info = info
        self.dead: Flags = np.zeros(0, dtype=np.bool_)  # until `check`
        self._folder = folder
        self._dim = dim
        self._files = {name: _listed(folder, snapshot, name) for name in info.files}
        self._vectors: flat.Flat | None = None
        self._reading = threading.Lock()
        self._closed = False
        self.is_checked = False
        self._has_schema = False  # which `check` finds
        with ExitStack() as stack:
            self._streams = {
                name: stack.enter_context(open_file(folder, file))
                for name, file in self._files.items()
            }
            self._database = self._connect(self._streams[info.documents_file])
            stack.callback(self._database.close)
            stack.pop_all()

    def check(self, *, vectors: bool = False) -> None:
        """Check the documents and the deletions; and the vectors, which `vectors()` does else.

        Raises:
            IndexDamagedError: a file is not what was written; the segment is closed.
        """
        try:
            self._check_database()
            self.dead = self._read_deletions()
            if vectors:
                self._check_vectors()
            self.is_checked = True
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the files."""
        self._closed = True
        self._database.close()
        for stream in self._streams.values():
            stream.close()
        self._streams = {}

    def find(self, doc_ids: Sequence[str]) -> Iterator[StoredDocument]:
        """Yield the documents of those ids that are stored here and not deleted."""
        with self._translated():
            for start in range(0, len(doc_ids), _SQL_VARIABLES):
                some = doc_ids[start : start + _SQL_VARIABLES]
                for count, document in enumerate(_select(self._database, "doc_id", some), 1):
                    if count > len(some):
                        raise ValueError("it has an id twice")
                    if not self._is_dead(document):
                        yield document

    def has_made_ids(self) -> bool:
        """Say whether a document that is not deleted is named by a sha256."""
        with self._translated():
            for (row,) in self._database.execute(_MADE_IDS):
                if 0 <= row < self.info.rows and not self.dead[row]:
                    return True
        return False

    def count_truncated(self) -> int:
        """Return how many of its live documents the model did not read whole."""
        with self._translated():
            rows = [row for (row,) in self._database.execute(_TRUNCATED)]
        return sum(0 <= row < self.info.rows and not self.dead[row] for row in rows)

    def documents(self, rows: Iterable[int]) -> dict[int, StoredDocument]:
        """Return the documents of those rows, by row."""
        wanted = sorted(set(rows))
        found: dict[int, StoredDocument] = {}
        with self._translated():
            for start in range(0, len(wanted), _SQL_VARIABLES):
                for item in _select(self._database, "row", wanted[start : start + _SQL_VARIABLES]):
                    found[item.row] = item
        if len(found) != len(wanted):
            raise self._damaged(self.info.documents_file, "a document of a vector is missing")
        return found

    def live_documents(self) -> Iterator[StoredDocument]:
        """Yield every document that was not deleted, by row."""
        with self._translated():
            for document in _ordered(self._database):
                if not self._is_dead(document):
                    yield document

    def documents_by_id(self) -> Iterator[StoredDocument]:
        """Yield every document that was not deleted, in the order of their ids.

        One is in memory at a time, however many there are.
        """
        count, last = 0, None
        with self._translated():
            for row in self._database.execute(_BY_ID):
                document = _document(row)
                if last is not None and document.doc_id <= last:
                    raise ValueError(f"the id {document.doc_id!r} is not where it belongs")
                last = document.doc_id
                if not self._is_dead(document):
                    count += 1
                    yield document
            if count != self.info.live_rows:
                raise ValueError("a document of a vector is missing")

    def vectors(self) -> flat.Flat:
        """Return the vectors, read and checked at the first call, whichever thread makes it."""
        with self._reading:
            return self._read_vectors()

    def _read_vectors(self) -> flat.Flat:
        if self._vectors is None:
            file = self._files[self.info.vectors_file]
            self._require_open()
            # one that was checked whole is opened again: by the writer, for whom it stays
            stream = self._streams.pop(file.name, None) or self._reopened(file)
            with stream:
                self._vectors = self._read_flat(file, stream)
        return self._vectors

    def _read_flat(self, file: StoredFile, stream: BinaryIO) -> flat.Flat:
        header = bytearray(min(flat.HEADER_BYTES, file.size))
        vectors = np.empty((self.info.rows, self._dim), np.float32)
        rest = vectors.data.cast("B") if vectors.size else memoryview(b"")
        if len(header) + len(rest) != file.size:
            data = read_file(self._folder, file, stream)
            header, rest = data[: flat.HEADER_BYTES], memoryview(data)[flat.HEADER_BYTES :]
        else:
            read_into(self._folder, file, stream, [memoryview(header), rest])
        try:
            shape = {"rows": self.info.rows, "dim": self._dim}
            flat.require_header(header, size=file.size, **shape)
        except ValueError as error:
            raise self._damaged(file.name, str(error)) from error
        return flat.Flat(vectors)

    @property
    def live_rows(self) -> int:
        """How many of its documents were not deleted."""
        return self.info.live_rows

    def search(self, queries: FloatRows, k: int) -> tuple[FloatRows, npt.NDArray[np.int64]]:
        """Return scores float32[n, k'] and rows int64[n, k'] of the best k' <= k, best first."""
        alive = None if not self.info.deleted_rows and not self.dead.any() else ~self.dead
        scores, rows = self.vectors().search(queries, min(k, self.info.live_rows), alive)
        if not np.isfinite(scores).all() or (rows < 0).any():
            raise self._damaged(self.info.vectors_file, _NOT_FINITE)
        return scores, rows

    def _is_dead(self, document: StoredDocument) -> bool:
        if not 0 <= document.row < self.info.rows:
            raise ValueError(f"there is no row {document.row}")
        return bool(self.dead[document.row])

    def _reopened(self, file: StoredFile) -> BinaryIO:
        try:
            return open_file(self._folder, file)
        except FileNotFoundError:
            raise self._damaged(file.name, "it is missing") from None

    def _connect(self, stream: BinaryIO) -> sqlite3.Connection:
        """Let SQLite open the file that `stream` has open."""
        path = self._folder / self.info.documents_file
        # Subtle: the connection opens the file here, before it is checked, so what is checked is
        # what is read, also when a writer removes the name meanwhile. No name is ever used again;
        # and that the folder is still the same one is compared.
        uri = f"file:{quote(os.fsencode(path.absolute()))}?mode=ro&immutable=1"
        try:
            # any thread may search: SQLite serialises the calls on a connection by itself
            database = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        except sqlite3.OperationalError as error:
            try:
                os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            except FileNotFoundError:
                raise
            except OSError as reason:
                raise from_os_error(reason, str(path)) from reason
            raise StorageError(f"{path}: SQLite cannot open it: {error}") from error
        try:
            opened = os.fstat(stream.fileno())
            _require_same(path, opened)
            for limit, value in {**_LIMITS, sqlite3.SQLITE_LIMIT_LENGTH: _longest(opened)}.items():
                database.setlimit(limit, value)
        except BaseException:
            database.close()
            raise
        return database

    def _check_database(self) -> None:
        header = self._check_whole(self.info.documents_file, _DATABASE_HEADER_BYTES)
        with self._translated():
            try:
                require_schema(self._database, header)
            except sqlite3.Error:
                require_schema(self._database, header)  # it may be that a read failed: see below
            self._has_schema = True
            first, last = self._database.execute(_OUTERMOST).fetchone()
            if first is not None and not 0 <= first <= last < self.info.rows:
                raise ValueError(f"there is no row {first if first < 0 else last}")

    def _check_vectors(self) -> None:
        name = self.info.vectors_file
        header = self._check_whole(name, flat.HEADER_BYTES)
        try:
            size = self._files[name].size
            flat.require_header(header, size=size, rows=self.info.rows, dim=self._dim)
        except ValueError as error:
            raise self._damaged(name, str(error)) from error

    def _check_whole(self, name: str, first: int) -> bytes:
        """Read a file that is open back, and close it; return its first bytes."""
        path = self._folder / name
        with self._streams.pop(name) as stream:
            damage = stream_damage(self._folder, self._files[name], stream)
            if damage:
                raise damaged(self._folder, damage)
            try:
                stream.seek(0)
                return stream.read(first)
            except OSError as error:
                raise from_os_error(error, str(path)) from error

    def _read_deletions(self) -> Flags:
        if not self.info.deletions:
            return np.zeros(self.info.rows, dtype=np.bool_)
        file = self._files[self.info.deletions]
        with self._streams.pop(file.name) as stream:
            data = read_file(self._folder, file, stream)
        try:
            return read_deletions(data, self.info)
        except ValueError as error:
            raise self._damaged(file.name, str(error)) from error

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Damage behind a valid checksum is a hostile file: SQLite says so without crashing."""
        self._require_open()
        try:
            yield
        except (
            UnicodeEncodeError
        ):  # what was asked for cannot be in any index: no fault of the file
            raise
        except (sqlite3.Error, ValueError) as error:
            self._require_open()  # another thread may have closed it meanwhile
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code == sqlite3.SQLITE_IOERR or (
                code == sqlite3.SQLITE_CORRUPT and self._is_sound()
            ):
                path = self._folder / self.info.documents_file
                raise from_os_error(OSError(errno.EIO, ""), str(path)) from error
            raise self._damaged(self.info.documents_file, str(error)) from error

    def _is_sound(self) -> bool:
        """Say whether a file that SQLite called malformed is not.

        Subtle: that is also what it says when a read failed with EIO (SQLITE_IOERR_CORRUPTFS).

        Raises:
            TaskembedError: a read fails again.
        """
        file = self._files[self.info.documents_file]
        with suppress(FileNotFoundError, IndexDamagedError), open_file(self._folder, file) as again:
            stream_damage(self._folder, file, again)
        try:
            return self._has_schema and self._database.execute(_SOUND).fetchone() == ("ok",)
        except sqlite3.Error:
            return False

    def _require_open(self) -> None:
        if self._closed:
            raise ValueError(f"the index {self._folder} is closed")

    def _damaged(self, name: str, reason: str) -> Exception:
        return damaged(self._folder, Damage(name, reason))


def read_deletions(data: bytes | bytearray, info: SegmentInfo) -> Flags:
    """Read what `deletions_bytes` gave.

    Raises:
        ValueError: it is not that, or not of that segment.
    """
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    flags = bits[: info.rows].astype(np.bool_)
    is_whole = len(flags) == info.rows and deletions_bytes(flags) == data
    if not is_whole or int(flags.sum()) != info.deleted_rows:
        raise ValueError("it does not fit its segment")
    return flags


def check_vectors(data: bytearray, info: SegmentInfo, dim: int) -> None:
    """Check that the bytes of a vectors file are vectors that can be searched.

    Raises:
        ValueError: they are not.
    """
    flat.require_header(data, size=len(data), rows=info.rows, dim=dim)
    vectors = np.frombuffer(data, np.float32, offset=flat.HEADER_BYTES).reshape(info.rows, dim)
    for start in range(0, info.rows, _ROWS_AT_ONCE):
        if not np.isfinite(vectors[start : start + _ROWS_AT_ONCE]).all():
            raise ValueError(_NOT_FINITE)


def check_documents(data: bytearray, info: SegmentInfo, dead: Flags) -> None:
    """Check that the bytes of a documents file answer whatever a search or a writer may ask.

    Raises:
        ValueError: they do not.
    """
    database = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for limit, value in _LIMITS.items():
            database.setlimit(limit, value)
        database.deserialize(bytes(data))
        require_schema(database, bytes(data[:_DATABASE_HEADER_BYTES]))
        (answer,) = database.execute("PRAGMA integrity_check(1)").fetchone()
        if answer != "ok":
            raise ValueError(answer)
        alive = ~dead
        for document in _ordered(database):
            if document.row >= info.rows:
                raise ValueError(f"there is no row {document.row}")
            read_metadata(document)
            alive[document.row] = False
        if alive.any():
            raise ValueError("a document of a vector is missing")
    except sqlite3.Error as error:
        raise ValueError(str(error)) from error
    finally:
        database.close()


def require_schema(database: sqlite3.Connection, header: bytes) -> None:
    """Check that a database is what `SegmentBuilder` makes, and nothing more.

    Args:
        database: an open one.
        header: the first bytes of its file.

    Raises:
        ValueError: it is not.
        sqlite3.Error: it is no database.
    """
    if header[_JOURNAL] != _ROLLBACK:
        raise ValueError("it has a journal of its own")
    rows = database.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema LIMIT 3")
    if sorted(rows.fetchall(), key=str) != _SCHEMA:
        raise ValueError("its tables are not those of an index")


def _ordered(database: sqlite3.Connection) -> Iterator[StoredDocument]:
    """Yield every document by row: each row once, or a hostile tree of pages has no end."""
    last = -1
    for row in database.execute("SELECT * FROM documents ORDER BY row"):
        document = _document(row)
        if document.row <= last:
            raise ValueError(f"the row {document.row} is not where it belongs")
        last = document.row
        yield document


def _require_same(path: Path, opened: os.stat_result) -> None:
    here = path.stat()
    if (here.st_dev, here.st_ino) != (opened.st_dev, opened.st_ino):
        raise FileNotFoundError(errno.ENOENT, "another file is there now", str(path))


def _longest(opened: os.stat_result) -> int:
    """Return how long a text in a file can be: no longer than the file."""
    return min(max(opened.st_size, 2**16), 2**30)


def deletions_bytes(dead: Flags) -> bytes:
    """Return the bytes of a deletions file: bit i says that row i is deleted."""
    return np.packbits(dead, bitorder="little").tobytes()


def segment_infos(values: object) -> list[SegmentInfo]:
    """Read the segments of a manifest.

    Raises:
        ValueError: they are not what a manifest holds.
    """
    if not isinstance(values, list):
        raise ValueError("its segments are not a list")
    return [_segment_info(value) for value in values]


def _segment_info(value: object) -> SegmentInfo:
    fields = {"name": str, "rows": int, "deletions": str, "deleted_rows": int}
    if not isinstance(value, dict) or {key: type(item) for key, item in value.items()} != fields:
        raise ValueError("a segment without its exact fields")
    info = SegmentInfo(**value)
    if not _NAME.fullmatch(info.name) or not _DELETIONS.fullmatch(info.deletions):
        raise ValueError(f"{info.name!r} is not the name of a segment")
    if not 0 <= info.deleted_rows <= info.rows or bool(info.deletions) != bool(info.deleted_rows):
        raise ValueError(f"the segment {info.name} cannot have these numbers of rows")
    return info


def metadata_json(metadata: Mapping[str, object]) -> str:
    """Return metadata as it is stored: the same fields and values always give the same text.

    Raises:
        ValueError: JSON cannot hold it; the message names the field.
    """
    try:
        data = orjson.dumps(dict(metadata), option=_AS_STORED)
    except orjson.JSONEncodeError as error:
        raise ValueError(f"the metadata{_bad_field(metadata)} cannot be JSON: {error}") from error
    if len(data) > MAX_METADATA_BYTES:
        raise ValueError(
            f"the metadata takes {len(data):,} bytes as JSON, and {MAX_METADATA_BYTES:,} are stored"
        )
    return data.decode()


def read_metadata(document: StoredDocument) -> dict[str, object]:
    """Read what `metadata_json` gave.

    Raises:
        ValueError: it is not that: nothing that could be printed.
    """
    try:
        metadata = orjson.loads(document.metadata)
        if isinstance(metadata, dict):
            metadata_json(metadata)
            return metadata
    except ValueError as error:
        raise ValueError(f"the metadata of document {document.doc_id!r}: {error}") from error
    raise ValueError(f"the metadata of document {document.doc_id!r} is no object")


def _bad_field(metadata: Mapping[str, object]) -> str:
    for name, value in metadata.items():
        try:
            orjson.dumps({name: value}, option=_AS_STORED)
        except orjson.JSONEncodeError:
            return f" field {name!r}"
    return ""


def require_listed(folder: Path, snapshot: Snapshot, info: SegmentInfo, dim: int) -> None:
    """Check that a manifest lists the files of a segment, with sizes that can be.

    Raises:
        IndexDamagedError: one is not listed, or the vectors cannot be in a file of that size.
    """
    files = {name: _listed(folder, snapshot, name) for name in info.files}
    size = files[info.vectors_file].size
    if info.rows * dim * _BYTES_PER_NUMBER > size:  # before memory is taken for so many rows
        reason = f"{size:,} bytes cannot hold {info.rows:,} vectors of {dim:,} numbers"
        raise damaged(folder, Damage(info.vectors_file, reason))


def _listed(folder: Path, snapshot: Snapshot, name: str) -> StoredFile:
    try:
        return snapshot.files[name]
    except KeyError:
        raise damaged(folder, Damage(name, "the manifest does not list it")) from None


def _select(
    database: sqlite3.Connection, column: str, values: Sequence[str] | Sequence[int]
) -> Iterator[StoredDocument]:
    marks = ",".join("?" * len(values))
    # `column` is one of our two literals, and the values are bound
    rows = database.execute(f"SELECT * FROM documents WHERE {column} IN ({marks})", values)  # noqa: S608
    return map(_document, rows)


def _document(row: tuple[int, str, str, str, int]) -> StoredDocument:
    if tuple(map(type, row)) != (int, str, str, str, int):
        raise ValueError("a document is of another shape")  # a hostile file: the schema is STRICT
    return StoredDocument(row[0], row[1], row[2], row[3], bool(row[4]))
