"""A segment: vectors and documents that were written together, and never change.

    seg-00000007.faiss   vectors: an IndexFlatIP, or a flat fp16 index; vector i belongs to row i
    seg-00000007.sum     the CRC-32 of each vector, little-endian
    vec-00000009-00000007-similarity.faiss, .sum, .codes   the same for one further view
    seg-00000007.codes   one bit for each number of a vector (`kinds.rabitq`), if rows are many
    seg-00000007.db      SQLite: documents(row, doc_id, text, metadata, truncated, checksum)
    seg-00000007.words   the words of the texts, for BM25 (`words_file`); optional
    seg-00000007.chunks  the document and the range of characters of each vector, if documents are
                         cut into chunks (`chunks`); otherwise vector i belongs to row i
    seg-00000007.fields  SQLite: the scalar fields of the metadata, for filters
    del-00000009-00000007.bin   one bit for each row, little-endian: the rows of seg-00000007 that
                                are deleted as of generation 9

The name of a segment contains the generation that it was written for. A search reads few bytes of
these files and checks what it reads: small files as a whole, vectors and documents one by one. A
writer checks every byte.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import numpy as np

from taskembed.errors import IndexDamagedError
from taskembed.index._segments.chunks import (
    ChunksDamageError,
    ChunkTable,
    mean_vectors,
    nearest_documents,
)
from taskembed.index._segments.deletions import read_deletions
from taskembed.index._segments.documents import SegmentDocuments
from taskembed.index._segments.fields import SegmentFields
from taskembed.index._segments.files import SegmentFiles
from taskembed.index._segments.info import SegmentInfo, listed
from taskembed.index._segments.vectors import Found, SegmentVectors
from taskembed.index._segments.words import SegmentWords
from taskembed.index._segments.words_file import Postings
from taskembed.index.disk.files import Damage
from taskembed.index.disk.manifests import Snapshot
from taskembed.index.documents import StoredDocument
from taskembed.index.filtering.field_types import Fields, Value
from taskembed.index.filtering.filters import FieldName, Filter
from taskembed.index.kinds.rows import RawRows, Sums
from taskembed.vectors import Flags, FloatRows, Floats, Rows


class Segment:
    """A segment with its files open; it can be searched even after a writer has removed the files.

    Opening checks the sizes of the files; `check` checks the rest and must be called before any
    other method. A reader opens all segments before it checks the first one, which leaves a writer
    little time to remove files in between.

    Raises:
        FileNotFoundError: a file is missing; a writer may have removed it.
        IndexDamagedError: a file has another size.
    """

    is_format_1 = False
    _vectors_class: type[SegmentVectors] = SegmentVectors
    _fields_class: type[SegmentFields] = SegmentFields

    def __init__(self, folder: Path, snapshot: Snapshot, info: SegmentInfo, *dims: int) -> None:
        self.info = info
        self.dead: Flags = np.zeros(0, dtype=np.bool_)  # bool[rows] after `check`
        self.chunks: ChunkTable | None = None  # where the documents were cut, after `check`
        self.is_checked = False
        files = [listed(folder, snapshot, name) for name in info.files]
        with ExitStack() as stack:
            self._files = SegmentFiles(folder, files)
            stack.callback(self._files.close)
            # one for each open view: a reader opens one view, a writer all
            self._views = [
                self._vectors_class(self._files, info.of_view(number), dim)
                for number, dim in enumerate(dims)
            ]
            self._vectors = self._views[0]  # the view that is searched
            self._documents = SegmentDocuments(self._files, info, is_format_1=self.is_format_1)
            self._fields = self._fields_class(self._files, info, self._documents)
            self._words = SegmentWords(self._files, info)
            stack.pop_all()

    def check(self, *, whole: bool = False) -> None:
        """Check the small files, and the headers of the others; or every byte, if `whole`.

        Raises:
            IndexDamagedError: a file is damaged; the segment is closed.
        """
        try:
            self.dead = self._read_deletions()
            self.chunks = self._read_chunks()
            for vectors in self._views:
                vectors.open()
            if whole:
                self._files.check_all()
            self._documents.check(self.dead, is_whole=whole)
            self.is_checked = True
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the files."""
        self._files.close()
        self._documents.close()
        self._fields.close()

    def release_handles(self) -> None:
        """Read now what a search may need, and close every file that is then no longer needed."""
        self.load()
        self._documents.require_whole()
        kept = [] if self._vectors.are_in_memory else [self.info.vectors_file]
        self._files.close_but(*kept, self.info.words_file)

    @property
    def live_rows(self) -> int:
        """The number of documents that are not deleted."""
        return self.info.live_rows

    def _read_deletions(self) -> Flags:
        if not self.info.deletions:
            return np.zeros(self.info.rows, dtype=np.bool_)
        try:
            return read_deletions(self._files.read(self.info.deletions), self.info)
        except ValueError as error:
            raise self._files.damaged(self.info.deletions, str(error)) from error

    def _read_chunks(self) -> ChunkTable | None:
        if not self.info.chunks:
            return None
        name = self.info.chunks_file
        try:
            return ChunkTable.from_bytes(
                self._files.read(name), vectors=self.info.chunks, documents=self.info.rows
            )
        except ChunksDamageError as error:
            raise self._files.damaged(name, str(error)) from error

    # --- filters ---

    def fields(self) -> Fields:
        """Return the types of each metadata field, by its name in filters."""
        return self._fields.types()

    def examples(self) -> dict[str, list[Value]]:
        """Return a few values of each field, of documents that are not deleted."""
        return self._fields.examples()

    def passing(self, filter_: Filter) -> Flags:
        """Return bool[rows]: the rows that are not deleted and match a filter."""
        return self._fields.passing(filter_)

    def group_values(
        self, field: FieldName, rows: Sequence[int] | None
    ) -> Iterator[tuple[int, Hashable]]:
        """Yield rows with the values of a field, which are texts, numbers or booleans.

        Args:
            field: a field of the metadata; rows without such a value are left out.
            rows: the rows to look up; None for all.
        """
        return self._fields.group_values(field, rows)

    # --- words ---

    def postings(self) -> Postings:
        """Return the words of the texts; the dictionary is checked now, the rest when it is read.

        Raises:
            IndexDamagedError: the file is damaged.
            ValueError: the segment stores no words, or the index is closed.
        """
        return self._words.postings()

    def texts(self) -> Iterator[tuple[int, str]]:
        """Yield the row and the text of every stored document, ordered by row."""
        for document in self._documents.all_by_row():
            yield document.row, document.text

    # --- vectors ---

    def load(self, *, exact: bool = False) -> None:
        """Read and check now what every search needs.

        Raises:
            IndexDamagedError: a file is damaged.
        """
        self._vectors.load(exact=exact)

    def search(self, queries: FloatRows, k: int, *, passing: Flags | None = None) -> Found:
        """Return the exact scores and rows of the best live documents: see `SegmentVectors.search`.

        Only rows set in `passing`, bool[rows], are returned. The score of a document that was cut
        into chunks is that of its best chunk.
        """
        alive = self._alive(passing)
        if self.chunks is None:
            return self._vectors.search(queries, k, alive)
        return nearest_documents(self.chunks, self._vectors.search, queries, k, alive)

    def estimates(
        self, queries: FloatRows, depth: int, *, passing: Flags | None = None
    ) -> Found | None:
        """Return estimates and rows of the documents that codes choose: up to `depth` of them.

        See `SegmentVectors.estimates`; None if a search without codes is faster.
        """
        if not self._vectors.can_estimate(queries, depth, self._alive_chunks(passing)):
            return None
        alive = self._alive(passing)
        if self.chunks is None:
            return self._vectors.estimates(queries, depth, alive)
        return nearest_documents(self.chunks, self._vectors.estimates, queries, depth, alive)

    def scores(self, queries: FloatRows, query: Rows, row: Rows) -> Floats:
        """Return the scores of some documents for some queries: see `SegmentVectors.scores`."""
        if self.chunks is None:
            return self._vectors.scores(queries, query, row)
        counts = np.diff(self.chunks.firsts)[row]
        starts = np.cumsum(counts) - counts
        vectors = np.repeat(self.chunks.firsts[row] - starts, counts) + np.arange(counts.sum())
        scores = self._vectors.scores(queries, np.repeat(query, counts), vectors)
        return np.maximum.reduceat(scores, starts) if len(row) else scores

    def chunk_search(self, queries: FloatRows, k: int, *, passing: Flags | None = None) -> Found:
        """Return scores and vector numbers of the best chunks of live documents: see `search`."""
        return self._vectors.search(queries, k, self._alive_chunks(passing))

    def chunk_estimates(
        self, queries: FloatRows, depth: int, *, passing: Flags | None = None
    ) -> Found | None:
        """Return estimates and vector numbers of the chunks that codes choose: see `estimates`."""
        alive = self._alive_chunks(passing)
        able = self._vectors.can_estimate(queries, depth, alive)
        return self._vectors.estimates(queries, depth, alive) if able else None

    def chunk_scores(self, queries: FloatRows, query: Rows, vector: Rows) -> Floats:
        """Return the scores of some chunks for some queries: see `SegmentVectors.scores`."""
        return self._vectors.scores(queries, query, vector)

    def _alive(self, passing: Flags | None) -> Flags | None:
        return ~self.dead if passing is None and self.dead.any() else passing

    def _alive_chunks(self, passing: Flags | None) -> Flags | None:
        alive = self._alive(passing)
        return alive if alive is None or self.chunks is None else alive[self.chunks.rows]

    def vectors(self, rows: Rows) -> FloatRows:
        """Return one vector for each row, float32[len(rows), dim]; for chunks, their mean.

        If several views are open, each row is the concatenation of the vectors of all views.
        """
        if self.chunks is None:
            return self._read(rows)
        return mean_vectors(self.chunks, rows, self._read)

    def _read(self, rows: Rows) -> FloatRows:
        if len(self._views) == 1:
            return self._vectors.read(rows)
        return np.hstack([vectors.read(rows) for vectors in self._views])

    def chunk_vectors(self, row: int) -> tuple[FloatRows, Rows]:
        """Return float32[n, dim] and int64[n, 2]: a document's chunks, and where they were cut.

        Raises:
            ValueError: the documents were not cut.
        """
        if self.chunks is None:
            raise ValueError(f"the documents of {self.info.name} have no chunks")
        numbers = self.chunks.vectors_of(row)
        return self._read(numbers), self.chunks.cuts[numbers]

    def blocks(self, *, keep: Flags, view: int = 0) -> Iterator[tuple[RawRows, Sums]]:
        """Yield the stored bytes and checksums of the vectors of the rows in `keep`, bool[rows].

        A document that was cut has a vector for each of its chunks.
        """
        flags = keep if self.chunks is None else keep[self.chunks.rows]
        return self._views[view].blocks(keep=flags)

    def sample(self, *, keep: Flags, step: int, view: int = 0) -> FloatRows:
        """Return every `step`-th of the stored vectors of some rows, float32[n, dim]."""
        flags = keep if self.chunks is None else keep[self.chunks.rows]
        return self._views[view].read(np.flatnonzero(flags)[::step])

    def release(self) -> None:
        """Free memory whose contents can be read again."""
        for vectors in self._views:
            vectors.release()

    # --- documents ---

    def find(self, doc_ids: Sequence[str], *, sure: bool = True) -> Iterator[StoredDocument]:
        """Yield the documents with these ids that are stored here and not deleted.

        Args:
            doc_ids: the ids to look up.
            sure: check every byte first, so that an id that is not found is certainly not there.
                Otherwise every document found is correct, but damage may hide others.
        """
        return self._documents.find(doc_ids, sure=sure)

    def has_generated_ids(self) -> bool:
        """Return whether a document that is not deleted has a sha256 as its id."""
        return self._documents.has_generated_ids()

    def count_truncated(self) -> int:
        """Return the number of documents, without deleted ones, that the model truncated."""
        return self._documents.count_truncated()

    def documents(self, rows: Iterable[int]) -> dict[int, StoredDocument]:
        """Return the documents of these rows, by row."""
        return self._documents.of_rows(rows)

    def live_documents(self) -> Iterator[StoredDocument]:
        """Yield every document that is not deleted, ordered by row."""
        return self._documents.live_by_row()

    def documents_by_id(
        self, *, passing: Flags | None = None, after: str = ""
    ) -> Iterator[StoredDocument]:
        """Yield the documents that are not deleted, ordered by id; a few are in memory at a time.

        Args:
            passing: bool[rows], as `Segment.passing` returns: only these rows; None for all.
            after: only ids that come after this one.
        """
        return self._documents.live_by_id(passing=passing, after=after)

    def moved_documents(self, rows: Sequence[int | None]) -> Iterator[tuple[int, StoredDocument]]:
        """Yield (new row, document); rows[i] is the new row of row i, or None to drop the row."""
        for document in self._documents.all_by_row():
            row = rows[document.row]
            if row is not None:
                yield row, document

    def read_documents(self) -> AbstractContextManager[None]:
        """Return a context that translates errors of SQLite while a writer copies documents."""
        return self._documents.copied()

    # --- checks ---

    def check_contents(self) -> Iterator[Damage]:
        """Check the contents of every file, as `verify` does after it has compared the checksums.

        Yields:
            The damage of each file whose checksum is correct but whose contents are not.
        """
        checks = [
            *([vectors.check_contents] for vectors in self._views),
            [  # fields and words are compared with the documents, so the documents come first
                self._documents.check_contents,
                self._fields.check,
                lambda: self._words.check(self.texts()),
                self._check_chunks,
            ],
        ]
        for some in checks:
            try:
                for check in some:
                    check()
            except IndexDamagedError as error:
                yield Damage(error.name, error.reason)

    def _check_chunks(self) -> None:
        """Check that every chunk ends within its text."""
        if self.chunks is None:
            return
        texts = ((row, text) for row, text in self.texts() if not self.dead[row])
        try:
            self.chunks.require_within(texts)
        except ChunksDamageError as error:
            raise self._files.damaged(self.info.chunks_file, str(error)) from error
