"""The documents of an index by position: in the order in which they were indexed, from 0."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from taskembed.errors import IndexDamagedError
from taskembed.index._segments.segment import Segment
from taskembed.index.disk.files import DAMAGED_HINT
from taskembed.index.documents import StoredDocument
from taskembed.index.ranking._whole import are_cut, whole_documents
from taskembed.index.ranking.hits import as_document
from taskembed.index.ranking.nearest import Searched, nearest_rows
from taskembed.index.ranking.selection import restricted
from taskembed.reading.document import Document
from taskembed.vectors import Flags, FloatRows, Rows

BLOCK_ROWS = 8_192  # vectors in memory at a time; 12 MiB at 384 dimensions


class Positions:
    """The documents and vectors of an open index by position; an updated document counts as new.

    The methods raise ValueError if the index is closed, and IndexDamagedError if a file is damaged.
    """

    def __init__(
        self, segments: Sequence[Segment], dim: int, rows: Sequence[Rows] | None = None
    ) -> None:
        self._segments = segments
        self.dim = dim
        live = rows or [np.flatnonzero(~segment.dead) for segment in segments]
        self._rows = list(live)
        self._is_part = rows is not None
        self._starts = np.cumsum([0, *map(len, self._rows)])

    def __len__(self) -> int:
        """Return the number of documents."""
        return int(self._starts[-1])

    def only(self, keep: Flags) -> Positions:
        """Return some of the documents, at new positions from 0.

        Args:
            keep: bool[n]: whether to keep the document at each position.
        """
        edges = self._starts[1:-1].tolist()
        rows = (
            [rows[mine] for rows, mine in zip(self._rows, np.split(keep, edges), strict=True)]
            if self._rows
            else []
        )
        return Positions(self._segments, self.dim, rows)

    def documents(self) -> Iterator[StoredDocument]:
        """Yield every document, by position; one is in memory at a time.

        Raises:
            IndexDamagedError: a document cannot be read, or is missing.
        """
        for segment, rows in zip(self._segments, self._rows, strict=True):
            wanted = iter(rows.tolist())
            row = next(wanted, None)
            for document in segment.live_documents():
                if document.row == row:
                    yield document
                    row = next(wanted, None)
            if row is not None:
                reason = "the index is damaged: a document of a vector is missing"
                raise IndexDamagedError(reason, hint=DAMAGED_HINT)

    def documents_at(self, positions: Rows) -> list[Document]:
        """Return the documents at `positions`, int64[n], in the same order."""
        found: dict[int, Document] = {}
        for number, here in self._by_segment(positions):
            rows = self._rows[number][here - self._starts[number]].tolist()
            documents = self._segments[number].documents(rows)
            found |= {
                position: as_document(documents[row])
                for position, row in zip(here.tolist(), rows, strict=True)
            }
        return [found[position] for position in positions.tolist()]

    def vectors_at(self, positions: Rows) -> FloatRows:
        """Return the vectors at some positions: float32[n, dim]; row i is that of positions[i]."""
        vectors = np.empty((len(positions), self.dim), np.float32)
        owners = self._owners(positions)
        for number, segment in enumerate(self._segments):
            mine = np.flatnonzero(owners == number)
            if len(mine):
                rows = self._rows[number][positions[mine] - self._starts[number]]
                vectors[mine] = segment.vectors(rows)
        return vectors

    def chunks_of(self, position: int) -> tuple[FloatRows, Rows]:
        """Return the vectors of a document's chunks, and where they were cut.

        Returns:
            float32[n, dim], and int64[n, 2]: where each chunk begins and ends, in characters.

        Raises:
            ValueError: the documents were not cut.
        """
        number = int(self._owners(np.array([position]))[0])
        row = int(self._rows[number][position - int(self._starts[number])])
        return self._segments[number].chunk_vectors(row)

    def blocks(self, size: int = BLOCK_ROWS) -> Iterator[tuple[Rows, FloatRows]]:
        """Yield positions, int64[m], and their vectors, float32[m, dim], block by block."""
        for start in range(0, len(self), size):
            positions = np.arange(start, min(start + size, len(self)))
            yield positions, self.vectors_at(positions)

    def nearest(self, queries: FloatRows, k: int) -> tuple[FloatRows, Rows]:
        """Return the k best documents of each query, best first; equal scores by position.

        A document that was cut into chunks is scored by the mean of its chunks' vectors.

        Args:
            queries: float32[n, dim], vectors of the index's space.
            k: number of documents for each query; fewer if the index has fewer.

        Returns:
            Scores float32[n, k'] and positions int64[n, k'], k' <= k.
        """
        for segment in self._segments:
            segment.load()
        k = min(k, len(self))
        best = nearest_rows(self._searched(), queries, k)
        positions = np.empty(len(best.row), np.int64)
        for number, rows in enumerate(self._rows):
            mine = best.segment == number
            positions[mine] = np.searchsorted(rows, best.row[mine]) + self._starts[number]
        order = np.lexsort((positions, -best.score, best.query))
        # each query has at least k rows, including all rows with the same score as its k-th row
        first = np.searchsorted(best.query[order], np.arange(len(queries)))
        chosen = order[first[:, np.newaxis] + np.arange(k)]
        return best.score[chosen], positions[chosen]

    def _searched(self) -> Sequence[Searched]:
        """Return the segments to search, restricted to the documents that have a position."""
        is_cut = are_cut(self._segments)
        if not (self._is_part or is_cut):
            return self._segments
        passing = [np.zeros(segment.info.rows, np.bool_) for segment in self._segments]
        for flags, rows in zip(passing, self._rows, strict=True):
            flags[rows] = True
        return (whole_documents if is_cut else restricted)(self._segments, passing)

    def _owners(self, positions: Rows) -> Rows:
        """Return the segment number of each position, int64[n]."""
        return np.asarray(np.searchsorted(self._starts, positions, side="right") - 1, np.int64)

    def _by_segment(self, positions: Rows) -> Iterator[tuple[int, Rows]]:
        owners = self._owners(positions)
        for number in np.unique(owners).tolist():
            yield number, positions[owners == number]
