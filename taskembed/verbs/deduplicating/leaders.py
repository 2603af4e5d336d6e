"""Greedy leaders: chooses the vectors to keep, so that each other vector is near a kept one.

Vectors are visited in a given order. A vector that is near an earlier kept one is dropped, and
assigned to the nearest such vector; any other vector is kept. So every dropped vector is within the
threshold of the one that is kept for it. Following pairs instead ("a" near "b", "b" near "c") would
put vectors into one group that are far from each other: on a million texts, such groups had up to
364 members.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

from taskembed.activity import doing
from taskembed.index.neighbours import Near, Neighbourhood, TooManyPairsError
from taskembed.vectors import FloatRows, Floats, Rows

FIRST_BATCH = 64  # queries; if all texts are alike, each query finds every text
LEAST_BATCH, LARGEST_BATCH = 16, 16_384  # queries
PAIRS_AT_ONCE = 4_000_000  # 64 MB


class Leaders:
    """The choice so far, over vectors with positions from 0.

    Attributes:
        keeper: int64[count]: the position of the kept vector that each vector is assigned to; a
            kept vector is assigned to itself.
        score: float32[count]: the similarity to that kept vector; 1 for a kept vector.
        pairs: the number of pairs that are near each other.
    """

    def __init__(self, count: int, *, with_groups: bool) -> None:
        self.keeper: Rows = np.arange(count)
        self.score: Floats = np.ones(count, np.float32)
        self.pairs = 0
        self._group: Rows | None = np.arange(count) if with_groups else None

    def choose(
        self,
        order: Rows,
        neighbourhood: Neighbourhood,
        vectors_at: Callable[[Rows], FloatRows],
        threshold: float,
    ) -> None:
        """Visit vectors in order, and keep or drop each.

        Args:
            order: int64[n]: the positions, in order of preference.
            neighbourhood: contains the vector of each position.
            vectors_at: returns the vectors at some positions, float32[n, dim].
            threshold: the least similarity of a duplicate.
        """
        rank = np.full(len(self.keeper), len(order), np.int64)
        rank[order] = np.arange(len(order))
        start, size = 0, FIRST_BATCH
        with doing("comparing", unit="documents", total=len(order)) as step:
            while start < len(order):
                some = order[start : start + size]
                most = PAIRS_AT_ONCE if len(some) > LEAST_BATCH else sys.maxsize
                try:
                    near = neighbourhood.within(vectors_at(some), threshold, most=most)
                except TooManyPairsError:
                    size = max(len(some) // 4, LEAST_BATCH)
                    continue
                self._take(some, near, rank)
                start += len(some)
                a_query = len(near.query) // len(some) + 1
                size = min(
                    max(PAIRS_AT_ONCE // (2 * a_query), LEAST_BATCH), 2 * size, LARGEST_BATCH
                )
                step.done = start

    def join(self, one: int, others: Rows) -> None:
        """Record that vectors are near each other, if groups are asked for."""
        if self._group is not None:
            roots = _roots(self._group, np.append(others, one))
            self._group[roots] = roots.min()

    def groups(self) -> list[Rows]:
        """Return the positions of each group of at least two vectors, ascending."""
        if self._group is None:
            return []
        roots = _roots(self._group, np.arange(len(self._group)))
        order = np.argsort(roots, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(roots[order])) + 1)
        return [part for part in parts if len(part) > 1]

    def _take(self, some: Rows, near: Near, rank: Rows) -> None:
        """Keep or drop the vectors of a batch; all earlier vectors are decided."""
        asker = some[near.query]
        earlier = rank[near.other] < rank[asker]
        asker, other, score = asker[earlier], near.other[earlier], near.score[earlier]
        self.pairs += len(asker)
        edges = np.flatnonzero(np.diff(asker, prepend=-1))
        for first, end in zip(edges.tolist(), [*edges[1:].tolist(), len(asker)], strict=False):
            one, others = int(asker[first]), other[first:end]
            self.join(one, others)
            is_kept = self.keeper[others] == others
            if is_kept.any():
                kept, scores = others[is_kept], score[first:end][is_kept]
                best = kept[scores == scores.max()]
                self.keeper[one] = best[np.argmin(rank[best])]
                self.score[one] = scores.max()


def _roots(parent: Rows, names: Rows) -> Rows:
    """Return the first member of each vector's group, and store it as a shortcut."""
    roots = names
    while True:
        above = parent[roots]
        if np.array_equal(above, roots):
            break
        roots = above
    parent[names] = roots
    return roots
