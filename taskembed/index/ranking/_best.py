"""The best rows over all segments, found before any document is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from taskembed.vectors import FloatRows, Floats, Rows


class Searched(Protocol):
    """A set of vectors that can be searched: a segment, or a segment behind a filter."""

    @property
    def live_rows(self) -> int:
        """The number of rows that a search can return."""

    def search(
        self, queries: FloatRows, k: int, *, exact: bool, candidates: int | None
    ) -> tuple[FloatRows, npt.NDArray[np.int64]]:
        """Return scores float32[n, k'] and rows int64[n, k'] of the best k' <= k, best first."""


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


@dataclass(frozen=True, slots=True)
class _SearchOptions:
    """How each segment is searched: see `Segment.search`."""

    exact: bool
    candidates: int | None


def nearest_rows(
    segments: Sequence[Searched],
    queries: FloatRows,
    k: int,
    *,
    exact: bool = False,
    candidates: int | None = None,
) -> Best:
    """Return the best k rows of each query over all segments, and every row that equals the k-th.

    Subtle: the order of equal scores must depend neither on k nor on which segments the documents
    are in. So every row whose score equals the k-th is returned, and the caller orders equal scores
    by document id. If the last row that a segment returned has the k-th score, the segment is
    searched again for more rows.

    Args:
        segments: what to search.
        queries: float32[n, dim].
        k: rows of each query.
        exact: score every vector, also where a segment has codes.
        candidates: how many vectors of a segment the codes choose for a query; None for the
            default.
    """
    count = len(queries)
    every, options = np.arange(count), _SearchOptions(exact, candidates)
    found = [
        _found(segment, number, queries, every, min(k + 1, segment.live_rows), options)
        for number, segment in enumerate(segments)
    ]
    last = _last_scores(found, count, k)
    for number, segment in enumerate(segments):
        asked, latest = min(k + 1, segment.live_rows), found[number]
        while k and asked < segment.live_rows:
            more = _not_exhausted(latest, last, asked)
            if not len(more):
                break
            asked = min(asked * 2, segment.live_rows)
            latest = _found(segment, number, queries[more], more, asked, options)
            others = found[number].chosen(~np.isin(found[number].query, more))
            found[number] = joined([others, latest])
            # Subtle: FAISS computes the scores of few queries in another way than of many. A score
            # may then differ in its last digit and be below the k-th score found before, which
            # would leave fewer than k rows.
            last = np.minimum(last, _last_scores(found, count, k))
    best = joined(found)
    return best.chosen(best.score >= last[best.query])


def _found(
    segment: Searched,
    number: int,
    queries: FloatRows,
    names: Rows,
    asked: int,
    options: _SearchOptions,
) -> Best:
    """Search segment `number`; `names` are the positions of the queries in the whole batch."""
    scores, rows = segment.search(
        queries, asked, exact=options.exact, candidates=options.candidates
    )
    asked = scores.shape[1]
    return Best(
        np.repeat(names, asked),
        scores.ravel(),
        np.full(scores.size, number, np.int64),
        rows.ravel(),
    )


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


def _last_scores(found: Sequence[Best], count: int, k: int) -> Floats:
    """Return float32[count]: the k-th best score of each query; -inf where there are fewer."""
    last = np.full(count, np.inf if k < 1 else -np.inf, dtype=np.float32)
    if k < 1:
        return last
    together = joined(found)
    order = np.lexsort((-together.score, together.query))
    query, score = together.query[order], together.score[order]
    first = np.searchsorted(query, np.arange(count))
    held = np.bincount(query, minlength=count)
    enough = held >= k
    last[enough] = score[first[enough] + k - 1]
    return last


def _not_exhausted(found: Best, last: Floats, asked: int) -> Rows:
    """Return the queries for which the last row that a segment returned is among the best k."""
    queries = found.query[::asked]
    ends = found.score[asked - 1 :: asked]
    return queries[ends >= last[queries]]
