"""Compares whole documents that were cut into chunks, by the mean of their chunks' vectors.

A search scores a document by its best chunk, since a query is about one thing. When two documents
are compared with each other, each is represented by the mean of its chunks' vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from taskembed.index._segments.segment import Segment
from taskembed.index._segments.vectors import Found, candidates_for
from taskembed.index.kinds.rabitq import inner_products
from taskembed.index.ranking._best import Searched
from taskembed.vectors import Flags, FloatRows, Rows

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

    def search(self, queries: FloatRows, k: int, *, exact: bool, candidates: int | None) -> Found:
        """Return scores and rows of the best documents: see `Segment.search`.

        Documents with the best chunks are candidates, whose means are scored; all, if `exact`.
        """
        k = min(k, self.live_rows)
        depth = max(candidates or candidates_for(k), k)
        if exact or depth >= self.live_rows:
            return self._best_of_all(queries, k)
        chosen = self.segment.search(queries, depth, passing=self.passing)[1]
        rows, places = np.unique(chosen, return_inverse=True)
        means = self.segment.vectors(rows)
        return _best(inner_products(queries, means, places.reshape(chosen.shape)), chosen, k)

    def _best_of_all(self, queries: FloatRows, k: int) -> Found:
        scores = np.empty((len(queries), 0), np.float32)
        rows = np.empty((len(queries), 0), np.int64)
        for here in self._blocks():
            block = queries @ self.segment.vectors(here).T
            its_rows = np.broadcast_to(here, block.shape)
            scores, rows = _best(np.hstack([scores, block]), np.hstack([rows, its_rows]), k)
        return scores, rows

    def _blocks(self) -> Iterator[Rows]:
        rows = np.flatnonzero(self.passing)
        for start in range(0, len(rows), _BLOCK_ROWS):
            yield rows[start : start + _BLOCK_ROWS]


def _best(scores: FloatRows, rows: Rows, k: int) -> Found:
    """Return the scores and rows of the k best columns; of equal scores, the first column."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)
