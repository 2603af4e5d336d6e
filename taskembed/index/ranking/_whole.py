"""Compares whole documents that were cut into chunks, by the mean of their chunks' vectors.

A search scores a document by its best chunk, since a query is about one thing. When two documents
are compared with each other, each is represented by the mean of its chunks' vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from taskembed.index._segments.segment import Segment
from taskembed.index._segments.vectors import Found
from taskembed.index.kinds.flat import scores_of
from taskembed.index.ranking.nearest import Searched
from taskembed.vectors import Flags, FloatRows, Floats, Rows, largest

_BLOCK_ROWS = 8_192  # means that are in memory together


def are_cut(segments: Sequence[Segment]) -> bool:
    """Return whether the documents of these segments are cut into chunks."""
    return any(segment.chunks is not None for segment in segments)


def whole_documents(segments: Sequence[Segment], passing: Sequence[Flags]) -> Sequence[Searched]:
    """Return segments in which the rows set in `passing` are scored as whole documents.

    Args:
        segments: the segments of the index.
        passing: bool[rows] for each segment.
    """
    return [_Whole(segment, rows) for segment, rows in zip(segments, passing, strict=True)]


@dataclass(frozen=True, slots=True)
class _Whole:
    """The documents of a segment, each scored by the mean of its chunks' vectors.

    Attributes:
        segment: the segment; its documents are cut into chunks.
        passing: bool[rows]: only these documents are searched.
    """

    segment: Segment
    passing: Flags

    @property
    def live_rows(self) -> int:
        """The number of documents that can be returned."""
        return int(self.passing.sum())

    def search(self, queries: FloatRows, k: int) -> Found:
        """Return the scores and rows of the best documents, after scoring all."""
        scores = np.empty((len(queries), 0), np.float32)
        rows = np.empty((len(queries), 0), np.int64)
        for here in self._blocks():
            block = queries @ self.segment.vectors(here).T
            its_rows = np.broadcast_to(here, block.shape)
            scores, rows = largest(np.hstack([scores, block]), np.hstack([rows, its_rows]), k)
        return scores, rows

    def estimates(self, queries: FloatRows, depth: int) -> Found | None:
        """Return the documents with the best chunks, and the scores of these or their estimates."""
        if depth >= self.live_rows:
            return None
        found = self.segment.estimates(queries, depth, passing=self.passing)
        return found or self.segment.search(queries, depth, passing=self.passing)

    def scores(self, queries: FloatRows, query: Rows, row: Rows) -> Floats:
        """Return the scores of some documents for some queries, float32[m]."""
        return scores_of(queries, query, row, self.segment.vectors, at_once=_BLOCK_ROWS)

    def _blocks(self) -> Iterator[Rows]:
        rows = np.flatnonzero(self.passing)
        for start in range(0, len(rows), _BLOCK_ROWS):
            yield rows[start : start + _BLOCK_ROWS]
