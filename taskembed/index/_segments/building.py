"""Builds the files of a segment from documents and their vectors."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

import numpy as np

from taskembed.index._segments.chunks import ChunkTable
from taskembed.index._segments.fields_file import FieldsBuilder
from taskembed.index._segments.words_file import build, by_row
from taskembed.index.documents import INDEX, TABLE, StoredDocument, insert, of_row
from taskembed.index.kinds import rows as stored_rows
from taskembed.index.kinds.rabitq import CODED_ROWS, SAMPLE_ROWS, CodesBuilder
from taskembed.index.storage import DEFAULT_STORAGE, IndexType, Kind, Storage, VectorType
from taskembed.index.word_tokens import WordTokenizer
from taskembed.vectors import Flags, FloatRows, Rows

Data = bytes | memoryview


def kind_of(rows: int, storage: Storage) -> Kind:
    """Return the kind of a new segment with a number of rows."""
    if storage.index_type is IndexType.AUTO:
        return Kind.RABITQ if rows >= CODED_ROWS else Kind.FLAT
    return Kind.RABITQ if storage.index_type is IndexType.RABITQ and rows else Kind.FLAT


class SegmentBuilder:
    """Documents and their vectors, in memory, until they become the files of a segment.

    Args:
        dim: the dimension of the vectors of the first view.
        storage: how the segment is stored.
        views: the task and the dimension of each view after the first. If there are any, each
            vector passed to `add` is the concatenation of the vectors of all views, in this order.
    """

    def __init__(
        self,
        dim: int,
        storage: Storage = DEFAULT_STORAGE,
        *,
        views: Sequence[tuple[str, int]] = (),
    ) -> None:
        self.dim = dim
        self._views = views
        self.rows = 0
        self.size_bytes = 0  # bytes of texts, metadata and vectors held in memory
        self._storage = storage
        self._vectors: list[FloatRows] = []
        self._cuts: list[Rows] = []
        self._firsts: list[int] = [0]  # the first vector of each document, and the next
        self._database = in_memory()
        self._database.execute(TABLE)
        self._fields_database = in_memory()
        self._fields = FieldsBuilder(self._fields_database)
        self._database.execute("BEGIN")
        self._fields_database.execute("BEGIN")

    @property
    def kind(self) -> Kind:
        """The kind that the segment will have."""
        return kind_of(self._firsts[-1], self._storage)

    @property
    def chunks(self) -> int:
        """The number of chunks of all documents; 0 if documents are not cut into chunks."""
        return self._firsts[-1] if self._storage.chunks else 0

    def add(
        self,
        documents: Sequence[StoredDocument],
        vectors: FloatRows,
        cuts: Sequence[Rows] | None = None,
    ) -> None:
        """Append documents, whose `row` is ignored.

        Args:
            documents: the documents; their ids must not be in the segment yet.
            vectors: float32[n, dim]: row i belongs to documents[i]; or, with `cuts`, the vectors of
                the chunks of the first document, then those of the second, and so on.
            cuts: int64[n, 2] for each document: where its n chunks begin and end, in characters;
                None if documents are not cut into chunks.

        Raises:
            BadVectorError: a number is too large for fp16.
        """
        stored_rows.require_storable(vectors, self._storage.vectors)
        insert(self._database, enumerate(documents, self.rows))
        self._fields.add(enumerate(documents, self.rows))
        self._vectors.append(np.ascontiguousarray(vectors, dtype=np.float32))
        self._cuts += cuts or []
        for count in map(len, cuts) if cuts is not None else [1] * len(documents):
            self._firsts.append(self._firsts[-1] + count)
        self.rows += len(documents)
        self.size_bytes += vectors.nbytes
        self.size_bytes += sum(len(item.text) + len(item.metadata) for item in documents)

    def vectors(self, row: int) -> tuple[FloatRows, Rows | None]:
        """Return float32[n, dim], the vectors of a row, and int64[n, 2], where its chunks are.

        Raises:
            IndexError: there is no such row.
        """
        first, last = self._firsts[row], self._firsts[row + 1]
        for block in self._vectors:
            if first < len(block):  # the chunks of a document are in one block
                return block[first:last], self._cuts[row] if self._storage.chunks else None
            first, last = first - len(block), last - len(block)
        raise IndexError(row)

    def document(self, row: int) -> StoredDocument:
        """Return the document of a row."""
        return of_row(self._database, row)

    def files(self, dead: Flags) -> Iterator[tuple[str, Sequence[Data]]]:
        """Yield the suffix and the bytes of each file; rows set in `dead`, bool[rows], are deleted.

        The suffix of a file of a further view begins with its task: "similarity.faiss".

        A dead row keeps its vector, so that row i stays vector i, but neither its id nor its text.
        """
        for task, blocks in self._blocks_by_view():
            before = f"{task}." if task else ""
            for suffix, data in vector_files(blocks, self.kind, self._storage.vectors):
                yield before + suffix, data
        if self._storage.chunks:
            yield "chunks", [ChunkTable.of(self._cuts).to_bytes()]
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

    def _blocks_by_view(self) -> Iterator[tuple[str, list[FloatRows]]]:
        """Yield the task of each view, "" for the first, and its blocks of vectors."""
        blocks, self._vectors = self._vectors, []
        blocks = blocks or [np.empty((0, self.dim), np.float32)]
        if not self._views:
            yield "", blocks
            return
        begin = 0
        for task, dim in (("", self.dim), *self._views):
            yield task, [np.ascontiguousarray(block[:, begin : begin + dim]) for block in blocks]
            begin += dim


def vector_files(
    blocks: Sequence[FloatRows], kind: Kind, stored: VectorType
) -> Iterator[tuple[str, Sequence[Data]]]:
    """Yield the suffix and the bytes of each file of the vectors of one view.

    Args:
        blocks: float32[n, dim], at least one: all vectors of the segment, in their order.
        kind: the kind of the segment.
        stored: how the numbers are stored.
    """
    raw = [stored_rows.to_raw(block, stored) for block in blocks]
    rows = sum(map(len, blocks))
    start = stored_rows.header(rows, blocks[0].shape[1], stored)
    yield "faiss", [start, *(block.reshape(-1).data for block in raw if block.size)]
    sums = np.concatenate([np.empty(0, "<u4"), *map(stored_rows.sums_of, raw)])
    yield "sum", [sums.astype("<u4").tobytes()]
    if kind is Kind.RABITQ:
        step = max(1, rows // SAMPLE_ROWS)
        codes = CodesBuilder(np.concatenate([block[::step] for block in blocks]))
        for block in blocks:
            codes.add(block)
        written: list[Data] = []
        codes.write(written.append)
        yield "codes", written


def in_memory() -> sqlite3.Connection:
    """Return a new database in memory."""
    # Subtle: SQLite serializes a database of its memdb file system without a copy; a ":memory:"
    # database would be copied twice.
    return sqlite3.connect("file:x?vfs=memdb", uri=True, isolation_level=None)


def finished(database: sqlite3.Connection) -> bytes:
    """Return the bytes of a database in memory, and close it."""
    database.execute("COMMIT")
    data = database.serialize()
    # frees its memory now: the object is in a reference cycle, which is collected much later
    database.close()
    return data
