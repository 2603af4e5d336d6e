"""A segment: vectors (FAISS) and documents (SQLite) that were written together, and never change.

    seg-00000007.faiss   an IndexFlatIP, as faiss.serialize_index gives it; vector i is of row i
    seg-00000007.db      SQLite: documents(row, doc_id, text, metadata, truncated)
    del-00000009-00000007.bin   one bit a row, little-endian: the rows of seg-00000007 that were
                                deleted as of generation 9

The name of a segment is the generation that it was written for. This module turns documents into
the bytes of a segment, and the files of a segment into documents and scores.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import orjson

from taskembed import flat
from taskembed.store import Damage, Snapshot, StoredFile, damaged, file_damage, open_file, read_file
from taskembed.vectors import Flags, FloatRows

_SCHEMA = """
CREATE TABLE documents (
  row INTEGER PRIMARY KEY,
  doc_id TEXT NOT NULL,
  text TEXT NOT NULL,
  metadata TEXT NOT NULL,
  truncated INTEGER NOT NULL
) STRICT
"""
_FOREIGN = """
SELECT sql FROM sqlite_schema
WHERE type NOT IN ('table', 'index') OR sql LIKE 'CREATE VIRTUAL%' LIMIT 1
"""
_MADE_IDS = """
SELECT row FROM documents WHERE length(doc_id) = 64 AND doc_id NOT GLOB '*[^0-9a-f]*'
"""
_SQL_VARIABLES = 900  # SQLite allowed no more than 999 before 3.32


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
        self._database = sqlite3.connect(":memory:", isolation_level=None)
        self._database.execute(_SCHEMA)
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
        self._database.execute("CREATE UNIQUE INDEX documents_doc_id ON documents (doc_id)")
        self._database.execute("COMMIT")
        yield "db", self._database.serialize()


class Segment:
    """The open files of a segment; a writer that removes them does not disturb it.

    Raises:
        FileNotFoundError: a file is not there (any more).
        IndexDamagedError: a file is not what was written.
    """

    def __init__(self, folder: Path, snapshot: Snapshot, info: SegmentInfo, dim: int) -> None:
        self.info = info
        self._folder = folder
        self._dim = dim
        self._files = {name: _listed(folder, snapshot, name) for name in info.files}
        self._vectors: flat.Flat | None = None
        self._reading = threading.Lock()
        self._vectors_stream: BinaryIO | None = open_file(folder, self._files[info.vectors_file])
        with ExitStack() as stack:
            stack.callback(self._vectors_stream.close)
            self._database = self._open_database()
            stack.callback(self._database.close)
            self.dead = self._read_deletions()
            stack.pop_all()

    def close(self) -> None:
        """Close the files."""
        self._database.close()
        if self._vectors_stream:
            self._vectors_stream.close()

    def find(self, doc_ids: Sequence[str]) -> Iterator[StoredDocument]:
        """Yield the documents of those ids that are stored here and not deleted."""
        with self._translated():
            for start in range(0, len(doc_ids), _SQL_VARIABLES):
                some = doc_ids[start : start + _SQL_VARIABLES]
                for document in _select(self._database, "doc_id", some):
                    if not self._is_dead(document):
                        yield document

    def has_made_ids(self) -> bool:
        """Say whether a document that is not deleted is named by a sha256."""
        with self._translated():
            for (row,) in self._database.execute(_MADE_IDS):
                if 0 <= row < self.info.rows and not self.dead[row]:
                    return True
        return False

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
            for row in self._database.execute("SELECT * FROM documents ORDER BY row"):
                document = _document(row)
                if not self._is_dead(document):
                    yield document

    def vectors(self) -> flat.Flat:
        """Return the vectors, read and checked at the first call, whichever thread makes it."""
        with self._reading:
            return self._read_vectors()

    def _read_vectors(self) -> flat.Flat:
        if self._vectors is None:
            file = self._files[self.info.vectors_file]
            stream = self._vectors_stream
            if stream is None:
                raise ValueError("the segment is closed")
            data = read_file(self._folder, file, stream)
            stream.close()
            self._vectors_stream = None
            try:
                self._vectors = flat.from_bytes(data, rows=self.info.rows, dim=self._dim)
            except ValueError as error:
                raise self._damaged(file.name, str(error)) from error
        return self._vectors

    def search(self, queries: FloatRows, k: int) -> tuple[FloatRows, npt.NDArray[np.int64]]:
        """Return scores float32[n, k'] and rows int64[n, k'] of the best k' <= k, best first."""
        alive = None if not self.info.deleted_rows and not self.dead.any() else ~self.dead
        return self.vectors().search(queries, min(k, self.info.live_rows), alive)

    def _is_dead(self, document: StoredDocument) -> bool:
        if not 0 <= document.row < self.info.rows:
            raise ValueError(f"there is no row {document.row}")
        return bool(self.dead[document.row])

    def _open_database(self) -> sqlite3.Connection:
        file = self._files[self.info.documents_file]
        path = self._folder / file.name
        open_file(self._folder, file).close()  # what is no file is damage: SQLite would wait for it
        # Subtle: the connection opens the file here, before it is checked, so what is checked is
        # what is read, also when a writer removes the name meanwhile. No name is ever used again.
        try:
            uri = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
            # any thread may search: SQLite serialises the calls on a connection by itself
            database = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        except sqlite3.OperationalError:
            if not path.exists():
                raise FileNotFoundError(2, "no such file", str(path)) from None
            raise self._damaged(file.name, "it cannot be opened") from None
        damage = file_damage(self._folder, file)
        if damage:
            database.close()
            if not path.exists():
                raise FileNotFoundError(2, "no such file", str(path))
            raise damaged(self._folder, damage)
        try:
            with self._translated():
                foreign = database.execute(_FOREIGN).fetchone()
        except BaseException:
            database.close()
            raise
        if foreign:  # a view called documents may have no end
            database.close()
            raise self._damaged(file.name, f"it has more than tables in it: {foreign[0]}")
        return database

    def _read_deletions(self) -> Flags:
        if not self.info.deletions:
            return np.zeros(self.info.rows, dtype=np.bool_)
        file = self._files[self.info.deletions]
        with open_file(self._folder, file) as stream:
            data = read_file(self._folder, file, stream)
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        flags = bits[: self.info.rows].astype(np.bool_)
        if len(flags) != self.info.rows or int(flags.sum()) != self.info.deleted_rows:
            raise self._damaged(file.name, "it does not fit its segment")
        return flags

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Damage behind a valid checksum is a hostile file: SQLite says so without crashing."""
        try:
            yield
        except (sqlite3.Error, ValueError) as error:
            raise self._damaged(self.info.documents_file, str(error)) from error

    def _damaged(self, name: str, reason: str) -> Exception:
        return damaged(self._folder, Damage(name, reason))


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
    if not 0 <= info.deleted_rows <= info.rows or bool(info.deletions) != bool(info.deleted_rows):
        raise ValueError(f"the segment {info.name} cannot have these numbers of rows")
    return info


def metadata_json(metadata: Mapping[str, object]) -> str:
    """Return metadata as it is stored: the same fields and values always give the same text."""
    return orjson.dumps(metadata, option=orjson.OPT_SORT_KEYS).decode()


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
