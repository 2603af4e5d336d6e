"""The best rows over all segments, by their vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from taskembed.index.ranking._best import Best, joined
from taskembed.vectors import FloatRows, Floats, Rows

LEAST_CANDIDATES = 400  # rows that are scored for a query, enough for FIRST_HITS; docs/adr/0013
FIRST_HITS = 20
CANDIDATES_OF_A_LATER_HIT = 5

Found = tuple[FloatRows, npt.NDArray[np.int64]]


class Searched(Protocol):
    """A set of vectors that can be searched: a segment, or a segment behind a filter."""

    @property
    def live_rows(self) -> int:
        """The number of rows that a search can return."""

    def search(self, queries: FloatRows, k: int) -> Found:
        """Return exact scores float32[n, k'] and rows int64[n, k'] of the best k' <= k."""

    def estimates(self, queries: FloatRows, depth: int) -> Found | None:
        """Return estimates float32[n, m] and rows int64[n, m] of the best m <= depth, best first.

        No row that is returned equals one that is not, unless it has the lowest estimate. None if
        every row should be scored instead.
        """

    def scores(self, queries: FloatRows, query: Rows, row: Rows) -> Floats:
        """Return the exact scores, float32[m], of some rows for some of the queries."""


def candidates_for(k: int) -> int:
    """Return how many rows are scored for a query of k hits, where codes choose them."""
    return LEAST_CANDIDATES + CANDIDATES_OF_A_LATER_HIT * max(k - FIRST_HITS, 0)


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
    by document id. For the same reason, more candidates are scored if the last of them might equal
    one that is not.

    Args:
        segments: what to search.
        queries: float32[n, dim].
        k: rows of each query.
        exact: score every vector, also where a segment has codes.
        candidates: how many rows are scored for a query, over all segments that have codes; None
            for the default.
    """
    depth = max(candidates or candidates_for(k), k + 1)
    estimates: dict[int, Found] = {}
    whole: dict[int, Searched] = {}
    for number, segment in enumerate(segments):
        found = None if exact else segment.estimates(queries, depth)
        if found is None:
            whole[number] = segment
        else:
            estimates[number] = found
    chosen, bars = _chosen(estimates, len(queries), depth)
    scored = _scored(segments, queries, chosen)
    every, last = _with_all(whole, queries, k, scored)
    best = every.chosen(every.score >= last[every.query])
    is_unsure = (scored.score >= last[scored.query]) & (chosen.score <= bars[chosen.query])
    unsure = np.unique(scored.query[is_unsure])
    if not len(unsure):
        return best
    again = nearest_rows(segments, queries[unsure], k, candidates=depth * 2)
    return joined(
        [best.chosen(~np.isin(best.query, unsure)), replace(again, query=unsure[again.query])]
    )


def _chosen(estimates: Mapping[int, Found], count: int, depth: int) -> tuple[Best, Floats]:
    """Return the rows with the best estimates, and what those that were not chosen cannot exceed.

    Args:
        estimates: the best rows of some segments, by the number of the segment.
        count: the number of queries.
        depth: how many rows to choose for each query; all that equal the last one are chosen.

    Returns:
        The rows with their estimates, and float32[count].
    """
    if not estimates:
        return joined([]), np.full(count, -np.inf, np.float32)
    values = np.hstack([found[0] for found in estimates.values()])
    rows = np.hstack([found[1] for found in estimates.values()])
    widths = [found[0].shape[1] for found in estimates.values()]
    numbers = np.repeat(np.array(list(estimates)), widths)
    if len(numbers) < depth:  # each segment has returned all of its rows
        bars = np.full(count, -np.inf, np.float32)
    else:
        bars = -np.partition(-values, depth - 1, axis=1)[:, depth - 1]
    query, column = np.nonzero(values >= bars[:, np.newaxis])
    return Best(query, values[query, column], numbers[column], rows[query, column]), bars


def _scored(segments: Sequence[Searched], queries: FloatRows, chosen: Best) -> Best:
    """Return rows with their exact scores in place of estimates."""
    scores = np.empty_like(chosen.score)
    for number in np.unique(chosen.segment).tolist():
        mine = np.flatnonzero(chosen.segment == number)
        scores[mine] = segments[number].scores(queries, chosen.query[mine], chosen.row[mine])
    return replace(chosen, score=scores)


def _with_all(
    segments: Mapping[int, Searched], queries: FloatRows, k: int, scored: Best
) -> tuple[Best, Floats]:
    """Add the best rows of segments in which every row is scored; return the k-th best scores too.

    If the last row that a segment returned has the k-th score, the segment is searched again for
    more rows.

    Args:
        segments: the segments by their numbers.
        queries: float32[n, dim].
        k: rows of each query.
        scored: rows of other segments.
    """
    count = len(queries)
    found = {
        number: _found(segment, number, queries, np.arange(count), min(k + 1, segment.live_rows))
        for number, segment in segments.items()
    }
    last = _last_scores([*found.values(), scored], count, k)
    for number, segment in segments.items():
        asked, latest = min(k + 1, segment.live_rows), found[number]
        while k and asked < segment.live_rows:
            more = _not_exhausted(latest, last, asked)
            if not len(more):
                break
            asked = min(asked * 2, segment.live_rows)
            latest = _found(segment, number, queries[more], more, asked)
            others = found[number].chosen(~np.isin(found[number].query, more))
            found[number] = joined([others, latest])
            # Subtle: FAISS computes the scores of few queries in another way than of many. A score
            # may then differ in its last digit and be below the k-th score found before, which
            # would leave fewer than k rows.
            last = np.minimum(last, _last_scores([*found.values(), scored], count, k))
    return joined([*found.values(), scored]), last


def _found(segment: Searched, number: int, queries: FloatRows, names: Rows, asked: int) -> Best:
    """Search segment `number`; `names` are the positions of the queries in the whole batch."""
    scores, rows = segment.search(queries, asked)
    asked = scores.shape[1]
    return Best(
        np.repeat(names, asked),
        scores.ravel(),
        np.full(scores.size, number, np.int64),
        rows.ravel(),
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
