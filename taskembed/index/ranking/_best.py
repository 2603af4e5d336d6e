"""Rows of an index and their scores, before any document is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from taskembed.vectors import Floats, Rows


@dataclass(frozen=True, slots=True)
class Best:
    """The best rows of each query, as columns: more than k where several equal the k-th score.

    Attributes:
        query: int64[n]: the position of the query.
        score: float32[n]: the score of the row.
        segment: int64[n]: the position of the segment that has the row.
        row: int64[n]: the row within the segment.
    """

    query: Rows
    score: Floats
    segment: Rows
    row: Rows

    def tolist(self) -> list[tuple[int, float, int, int]]:
        """Return a tuple (query, score, segment, row) for each row."""
        columns = (self.query, self.score, self.segment, self.row)
        return list(zip(*(column.tolist() for column in columns), strict=True))

    def chosen(self, keep: npt.NDArray[np.bool_] | Rows) -> Best:
        """Return the rows that a mask bool[n], or an array of positions, selects."""
        return Best(self.query[keep], self.score[keep], self.segment[keep], self.row[keep])


def joined(found: Sequence[Best]) -> Best:
    """Return the rows of several results as one result."""
    if not found:
        nothing = np.empty(0, np.int64)
        return Best(nothing, np.empty(0, np.float32), nothing, nothing)
    return Best(
        np.concatenate([item.query for item in found]),
        np.concatenate([item.score for item in found]),
        np.concatenate([item.segment for item in found]),
        np.concatenate([item.row for item in found]),
    )
