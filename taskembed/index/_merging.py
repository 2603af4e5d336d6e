"""Merging: several segments become one, in little memory (`_merge_choice` says which).

Memory holds one block of vectors, and of the new segment the checksums (4 bytes a row) and the
codes (about 64 bytes a row): 250 MB for 3,000,000 rows of 384 numbers. SQLite copies the documents
into a scratch file beside the index, whose bytes are then copied into a file of the index.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np

from taskembed.errors import StorageError
from taskembed.index._segments.building import finished, in_memory, kind_of
from taskembed.index._segments.chunks import ChunkTable, joined
from taskembed.index._segments.fields_file import FieldsBuilder
from taskembed.index._segments.info import SegmentInfo, ViewFiles, stem_of
from taskembed.index._segments.segment import Segment
from taskembed.index._segments.words_file import Postings, build, by_row
from taskembed.index._segments.words_file import merge as merged_words
from taskembed.index.contents import View
from taskembed.index.disk.commit import StoreWriter
from taskembed.index.disk.files import CHUNK_BYTES, read_at
from taskembed.index.documents import INDEX, TABLE, insert, uri_of
from taskembed.index.kinds import rows as stored_rows
from taskembed.index.kinds.rabitq import SAMPLE_ROWS, CodesBuilder
from taskembed.index.kinds.rows import RawRows, Sums
from taskembed.index.storage import Kind, Storage, VectorType
from taskembed.index.word_tokens import WordTokenizer
from taskembed.vectors import Flags, FloatRows, Rows

WORDS_ROWS = 16_384  # documents whose words are computed in memory at a time
SCRATCH_BYTES = 64 * 2**20  # bytes of documents up to which they are copied in memory


@dataclass(frozen=True, slots=True)
class Source:
    """A segment to merge, and bool[rows]: the rows to keep."""

    segment: Segment
    keep: Flags

    @property
    def rows(self) -> int:
        """The number of rows that are kept."""
        return int(self.keep.sum())

    @property
    def chunks(self) -> ChunkTable | None:
        """The chunks of the documents that are kept; None if the segment has none."""
        table = self.segment.chunks
        return table.kept(self.keep) if table else None


def new_views(
    name: str, views: Sequence[View], kind: Kind, storage: Storage
) -> tuple[ViewFiles, ...]:
    """Return the files of a new segment for the views after the first."""
    generation = int(name.removeprefix("seg-"))
    return tuple(
        ViewFiles(stem_of(name, generation, view.space.task), kind, storage.vectors)
        for view in views[1:]
    )


def merge(
    store: StoreWriter,
    name: str,
    sources: Sequence[Source],
    views: Sequence[View],
    storage: Storage,
) -> SegmentInfo:
    """Write the rows of several segments as one new segment; return its entry in the manifest.

    Raises:
        IndexDamagedError: a segment is damaged.
        StorageError: the disk is full, or fails.
    """
    rows = sum(source.rows for source in sources)
    cut = [table for table in (source.chunks for source in sources) if table]
    chunks = joined(cut) if cut else None
    count = len(chunks.rows) if chunks else rows
    kind = kind_of(count, storage)
    info = SegmentInfo(
        name,
        rows,
        kind=kind,
        vectors=storage.vectors,
        words=storage.words,
        chunks=len(chunks.rows) if chunks else 0,
        views=new_views(name, views, kind, storage),
    )
    for number, view in enumerate(views):
        _write_vectors(store, info, sources, number, view.space.dim)
    for source in sources:
        source.segment.release()
    if chunks:
        store.write(info.chunks_file, chunks.to_bytes())
    _write_documents(store, info, sources)
    if storage.words:
        with ExitStack() as stack:
            parts = list(_words_of(store, info, sources, stack))
            with store.new_file(info.words_file) as file:
                for data in merged_words(parts):
                    file.write(data)
    return info


def _write_vectors(
    store: StoreWriter, whole: SegmentInfo, sources: Sequence[Source], view: int, dim: int
) -> None:
    """Write the vectors of one view of a new segment."""
    info = whole.of_view(view)
    codes = CodesBuilder(_sample(sources, view)) if info.kind is Kind.RABITQ else None
    sums: list[Sums] = []
    with store.new_file(info.vectors_file) as file:
        file.write(stored_rows.header(info.vector_rows, dim, info.vectors))
        for raw, block_sums in _blocks(sources, info.vectors, view):
            file.write(raw.reshape(-1).data)
            sums.append(block_sums)
            if codes:
                codes.add(stored_rows.to_vectors(raw, info.vectors))
    store.write(info.sums_file, *(item.astype("<u4").data.cast("B") for item in sums))
    if codes:
        with store.new_file(info.codes_file) as file:
            codes.write(file.write)


def _words_of(
    store: StoreWriter, info: SegmentInfo, sources: Sequence[Source], stack: ExitStack
) -> Iterator[tuple[Postings, Rows]]:
    """Yield the words of each source, and int64[rows]: the new row of each row, -1 if dropped."""
    first = 0
    for source in sources:
        rows = np.where(source.keep, np.cumsum(source.keep) - 1 + first, -1)
        first += source.rows
        if source.segment.info.words == info.words:
            yield source.segment.postings(), rows
        else:
            yield from _made_words(store, info, source.segment, rows, stack)


def _made_words(
    store: StoreWriter, info: SegmentInfo, segment: Segment, rows: Rows, stack: ExitStack
) -> Iterator[tuple[Postings, Rows]]:
    """Compute the words of a segment that has none, in blocks that a scratch file keeps."""
    tokenizer = WordTokenizer.of(info.words)
    path = stack.enter_context(store.scratch(f"{segment.info.name}.words.tmp"))
    with store.translated(path.name):
        file = stack.enter_context(path.open("w+b", buffering=0))
    blocks = groupby(segment.texts(), lambda item: item[0] // WORDS_ROWS)
    block, begin = next(blocks, None), 0
    for start in range(0, len(rows), WORDS_ROWS):
        count = min(WORDS_ROWS, len(rows) - start)
        some: list[tuple[int, str]] = []
        if block and block[0] == start // WORDS_ROWS:
            some = [(row - start, text) for row, text in block[1]]
            block = next(blocks, None)
        data = b"".join(build(by_row(some, count, tokenizer)))
        with store.translated(path.name):
            file.write(data)
        read = partial(_read_from, file.fileno(), begin)
        yield Postings(read, len(data)), rows[start : start + count]
        begin += len(data)


def _read_from(descriptor: int, begin: int, at: int, size: int) -> bytes:
    data = bytearray(size)
    return bytes(data[: read_at(descriptor, memoryview(data), begin + at)])


def _sample(sources: Sequence[Source], view: int) -> FloatRows:
    """Return vectors spread over all sources, from which the codes compute their mean."""
    count = sum(source.segment.info.live_vectors for source in sources)
    step = max(1, count // SAMPLE_ROWS)
    some = []
    for source in sources:
        some.append(source.segment.sample(keep=source.keep, step=step, view=view))
        source.segment.release()
    return np.concatenate(some)


def _blocks(
    sources: Sequence[Source], wanted: VectorType, view: int
) -> Iterator[tuple[RawRows, Sums]]:
    """Yield the bytes of all rows with their checksums, block by block.

    Subtle: checksums are copied, not recomputed, so that damage during the merge is found later.
    """
    for source in sources:
        stored = source.segment.info.of_view(view).vectors
        for raw, sums in source.segment.blocks(keep=source.keep, view=view):
            if not len(raw):
                continue
            if stored is wanted:
                yield raw, sums
            else:
                other = stored_rows.to_raw(stored_rows.to_vectors(raw, stored), wanted)
                yield other, stored_rows.sums_of(other)
        source.segment.release()


def _write_documents(store: StoreWriter, info: SegmentInfo, sources: Sequence[Source]) -> None:
    size = sum(store.size_of(source.segment.info.documents_file) for source in sources)
    with _database(store, info.documents_file, size) as database:
        database.execute(TABLE)
        database.execute("BEGIN")
        first = 0
        for source in sources:
            with source.segment.read_documents():
                _copy_documents(store, database, source, first)
            first += source.rows
        database.execute(INDEX)
    with _database(store, info.fields_file, size) as database:
        fields = FieldsBuilder(database)
        database.execute("BEGIN")
        first = 0
        for source in sources:
            with source.segment.read_documents():
                _copy_fields(store, database, fields, source, first)
            first += source.rows


def _copy_documents(
    store: StoreWriter, database: sqlite3.Connection, source: Source, first: int
) -> None:
    segment = source.segment
    if segment.is_format_1:
        moved = _new_rows(source, first)
        insert(database, segment.moved_documents(moved))
    else:
        with _attached(store, database, segment.info.documents_file):
            row = _moved(database, source, first)
            database.execute(
                f"INSERT INTO documents SELECT {row}, doc_id, text, metadata, truncated, "  # noqa: S608  # our literals
                f"(checksum + {row} - row) & 4294967295 FROM source.documents "
                f"WHERE {row} IS NOT NULL ORDER BY row"
            )
    (count,) = database.execute("SELECT count(*) FROM documents WHERE row >= ?", [first]).fetchone()
    if count != source.rows:
        raise ValueError("a document of a vector is missing")


def _copy_fields(
    store: StoreWriter,
    database: sqlite3.Connection,
    fields: FieldsBuilder,
    source: Source,
    first: int,
) -> None:
    segment = source.segment
    if segment.is_format_1:
        fields.add(segment.moved_documents(_new_rows(source, first)))
    else:
        with _attached(store, database, segment.info.fields_file):
            fields.copy("source", _moved(database, source, first))


def _new_rows(source: Source, first: int) -> list[int | None]:
    """Return the new row of each row; None for a row that is left out."""
    numbers = np.cumsum(source.keep) - 1 + first
    return [
        number if keep else None
        for number, keep in zip(numbers.tolist(), source.keep.tolist(), strict=True)
    ]


def _moved(database: sqlite3.Connection, source: Source, first: int) -> str:
    """Return an SQL expression of `row` for its new row; null for a row that is left out."""
    if source.keep.all():
        return f"(row + {first})"
    rows = _new_rows(source, first)
    database.create_function(
        "moved", 1, lambda row: rows[row] if 0 <= row < len(rows) else None, deterministic=True
    )
    return "moved(row)"


@contextmanager
def _attached(store: StoreWriter, database: sqlite3.Connection, name: str) -> Iterator[None]:
    """Attach another file to a database as `source`, within the context.

    The file is on disk even where the database is in memory, so its file system is named.
    """
    database.execute("COMMIT")
    database.execute("ATTACH ? AS source", [uri_of(store.folder / name) + "&vfs=unix"])
    database.execute("BEGIN")
    yield
    database.execute("COMMIT")
    database.execute("DETACH source")
    database.execute("BEGIN")


@contextmanager
def _database(store: StoreWriter, name: str, size: int) -> Iterator[sqlite3.Connection]:
    """Yield a new database, and write its bytes as a file of the index when the context ends."""
    if size <= SCRATCH_BYTES:
        with closing(in_memory()) as database:
            yield database
            store.write(name, finished(database))
        return
    with store.scratch(f"{name}.tmp") as path:
        try:
            with closing(
                sqlite3.connect(uri_of(path, mode="rwc"), uri=True, isolation_level=None)
            ) as database:
                # after a crash the next writer deletes this file, so it needs no journal
                database.execute("PRAGMA journal_mode = OFF")
                database.execute("PRAGMA synchronous = OFF")
                yield database
                database.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise StorageError(
                str(error), what=str(path), hint="free some space and run the same command again"
            ) from error
        _copy_file(store, path, name)


def _copy_file(store: StoreWriter, path: Path, name: str) -> None:
    with store.new_file(name) as file:
        with store.translated(path.name):
            stream = path.open("rb", buffering=0)
        with stream:
            while True:
                with store.translated(path.name):
                    data = stream.read(CHUNK_BYTES)
                if not data:
                    return
                file.write(data)
