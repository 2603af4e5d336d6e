"""The best rows of all segments together: scores are merged first, documents are not looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from taskembed.vectors import FloatRows, Floats, Rows


class Searched(Protocol):
    """What answers with rows and scores: a segment."""

    @property
    def live_rows(self) -> int:
        """How many rows can be answered."""

    def search(
        self, queries: FloatRows, k: int, *, exact: bool, candidates: int | None
    ) -> tuple[FloatRows, npt.NDArray[np.int64]]:
        """Return scores float32[n, k'] and rows int64[n, k'] of the best k' <= k, best first."""


@dataclass(frozen=True, slots=True)
class Best:
    """Rows that are among the best k of a query, with all that equal its k-th.

    Attributes:
        query: the number of the query.
        score: of the row.
        segment: the number of the segment that the row is in.
        row: its number there.
    """

    query: Rows
    score: Floats
    segment: Rows
    row: Rows

    def tolist(self) -> list[tuple[int, float, int, int]]:
        """Return (query, score, segment, row) of each."""
        columns = (self.query, self.score, self.segment, self.row)
        return list(zip(*(column.tolist() for column in columns), strict=True))

    def chosen(self, keep: npt.NDArray[np.bool_] | Rows) -> Best:
        """Return some of them."""
        return Best(self.query[keep], self.score[keep], self.segment[keep], self.row[keep])


@dataclass(frozen=True, slots=True)
class _How:
    """How segments are searched: see `Segment.search`."""

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
    """Return the best k rows of each query over all segments, with all that equal the k-th.

    Subtle: which of equal scores come first must not depend on k, nor on the segments that the
    documents are in. So every row that equals the k-th is returned, and the caller orders them by
    document id: where the last row of a segment equals the k-th, that segment is asked for more.
    """
    count = len(queries)
    every, how = np.arange(count), _How(exact, candidates)
    found = [
        _found(segment, number, queries, every, min(k + 1, segment.live_rows), how)
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
            latest = _found(segment, number, queries[more], more, asked, how)
            others = found[number].chosen(~np.isin(found[number].query, more))
            found[number] = joined([others, latest])
    best = joined(found)
    return best.chosen(best.score >= last[best.query])


def _found(
    segment: Searched, number: int, queries: FloatRows, names: Rows, asked: int, how: _How
) -> Best:
    """Search a segment; `names` are the numbers of the queries."""
    scores, rows = segment.search(queries, asked, exact=how.exact, candidates=how.candidates)
    asked = scores.shape[1]
    return Best(
        np.repeat(names, asked),
        scores.ravel(),
        np.full(scores.size, number, np.int64),
        rows.ravel(),
    )


def joined(found: Sequence[Best]) -> Best:
    """Return the rows of several as one."""
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
    """Return the k-th best score of each query; minus infinity where there are fewer."""
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
    """Return the queries whose last row of a segment is still among the best."""
    queries = found.query[::asked]
    ends = found.score[asked - 1 :: asked]
    return queries[ends >= last[queries]]
