"""Documents and vectors become the files of a segment."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

import numpy as np

from taskembed.errors import BadVectorError
from taskembed.index._fields import FieldsBuilder
from taskembed.index._words import build, by_row
from taskembed.index.documents import INDEX, TABLE, StoredDocument, insert, of_row
from taskembed.index.kinds import rows as stored_rows
from taskembed.index.kinds.rabitq import CODED_ROWS, SAMPLE_ROWS, CodesBuilder
from taskembed.index.storage import DEFAULT_STORAGE, IndexType, Kind, Storage, VectorType
from taskembed.index.word_tokens import WordTokenizer
from taskembed.vectors import Flags, FloatRows

LARGEST_FP16 = 65_504
Data = bytes | memoryview


def kind_of(rows: int, storage: Storage) -> Kind:
    """Return the kind of a new segment with a number of rows."""
    if storage.index_type is IndexType.AUTO:
        return Kind.RABITQ if rows >= CODED_ROWS else Kind.FLAT
    return Kind.RABITQ if storage.index_type is IndexType.RABITQ and rows else Kind.FLAT


class SegmentBuilder:
    """Documents and their vectors, in memory, until they become the files of a segment."""

    def __init__(self, dim: int, storage: Storage = DEFAULT_STORAGE) -> None:
        self.dim = dim
        self.rows = 0
        self.size_bytes = 0  # of texts, metadata and vectors: what the memory is spent on
        self._storage = storage
        self._vectors: list[FloatRows] = []
        self._database = in_memory()
        self._database.execute(TABLE)
        self._fields_database = in_memory()
        self._fields = FieldsBuilder(self._fields_database)
        self._database.execute("BEGIN")
        self._fields_database.execute("BEGIN")

    @property
    def kind(self) -> Kind:
        """Which kind the segment will be."""
        return kind_of(self.rows, self._storage)

    def add(self, documents: Sequence[StoredDocument], vectors: FloatRows) -> None:
        """Append documents; row i of `vectors` belongs to documents[i], whose `row` is ignored."""
        if (
            self._storage.vectors is VectorType.FP16
            and np.abs(vectors).max(initial=0) > LARGEST_FP16
        ):
            raise BadVectorError(
                "a vector has a number beyond 65,504, which fp16 cannot hold",
                hint="index with --vectors fp32",
            )
        insert(self._database, enumerate(documents, self.rows))
        self._fields.add(enumerate(documents, self.rows))
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
        return of_row(self._database, row)

    def files(self, dead: Flags) -> Iterator[tuple[str, Sequence[Data]]]:
        """Yield the suffix and the bytes of each file; documents of `dead` rows are left empty.

        A dead row keeps its vector, so that row i stays vector i, but neither its id nor its text.
        """
        yield from self._vector_files()
        gone = [int(row) for row in np.flatnonzero(dead)]
        self._database.executemany("DELETE FROM documents WHERE row = ?", [(row,) for row in gone])
        self._fields.remove(gone)
        if self._storage.words:
            texts = self._database.execute("SELECT row, text FROM documents ORDER BY row")
            tokenizer = WordTokenizer.of(self._storage.words)
            yield "words", list(build(by_row(texts, self.rows, tokenizer)))
        self._database.execute(INDEX)
        yield "db", [finished(self._database)]
        yield "fields", [finished(self._fields_database)]

    def _vector_files(self) -> Iterator[tuple[str, Sequence[Data]]]:
        blocks, self._vectors = self._vectors, []
        stored = self._storage.vectors
        raw = [stored_rows.to_raw(block, stored) for block in blocks]
        start = stored_rows.header(self.rows, self.dim, stored)
        yield "faiss", [start, *(block.reshape(-1).data for block in raw if block.size)]
        sums = np.concatenate([np.empty(0, "<u4"), *map(stored_rows.sums_of, raw)])
        yield "sum", [sums.astype("<u4").tobytes()]
        if self.kind is Kind.RABITQ:
            step = max(1, self.rows // SAMPLE_ROWS)
            codes = CodesBuilder(np.concatenate([block[::step] for block in blocks]))
            for block in blocks:
                codes.add(block)
            written: list[Data] = []
            codes.write(written.append)
            yield "codes", written


def in_memory() -> sqlite3.Connection:
    """Return a new database in memory."""
    # Subtle: of a database in this file system SQLite gives its own bytes, where ":memory:" is
    # copied twice to be written
    return sqlite3.connect("file:x?vfs=memdb", uri=True, isolation_level=None)


def finished(database: sqlite3.Connection) -> bytes:
    """Return the bytes of a database in memory, and close it."""
    database.execute("COMMIT")
    data = database.serialize()
    database.close()  # it is a part of a cycle: its memory would wait for the collector
    return data
