from __future__ import annotations

import numpy as np
import numpy.typing as npt

from taskembed.index.kinds.flat import Flat
from taskembed.index.ranking._best import nearest_rows
from taskembed.vectors import FloatRows


class Counted:
    """A segment in memory that counts the queries that it is asked."""

    def __init__(self, *numbers: float) -> None:
        self._flat = Flat(np.array(numbers, np.float32)[:, None])
        self.live_rows = len(numbers)
        self.asked: list[tuple[int, int]] = []

    def search(
        self, queries: FloatRows, k: int, *, exact: bool, candidates: int | None
    ) -> tuple[FloatRows, npt.NDArray[np.int64]]:
        self.asked.append((len(queries), k))
        return self._flat.search(queries, k)


ONE = np.ones((1, 1), np.float32)


def best(k: int, *segments: Counted, queries: FloatRows = ONE) -> list[tuple[int, int, int]]:
    return sorted((q, s, r) for q, _, s, r in nearest_rows(segments, queries, k).tolist())


def test_scores_are_merged_before_anything_is_looked_up() -> None:
    segments = [Counted(0.1, 0.9, 0.2), Counted(0.8, 0.3), Counted(0.7, 0.6)]
    assert best(3, *segments) == [(0, 0, 1), (0, 1, 0), (0, 2, 0)]
    assert [segment.asked for segment in segments] == [[(1, 3)], [(1, 2)], [(1, 2)]]


def test_rows_that_equal_the_last_are_all_returned() -> None:
    segments = [Counted(0.5, 0.5, 0.5, 0.9), Counted(*[0.5] * 9, 0.1)]
    wanted = [(0, 0, row) for row in range(4)] + [(0, 1, row) for row in range(9)]
    assert best(2, *segments) == wanted
    # the second is asked again until its last row is a worse one
    assert segments[1].asked == [(1, 3), (1, 6), (1, 10)]


def test_only_queries_whose_last_rows_are_equal_are_asked_again() -> None:
    segment = Counted(0.5, 0.5, 0.5, 0.9, 0.1)
    queries = np.array([[1.0], [-1.0]], np.float32)  # for the second, 0.1 is the best of all
    assert best(1, segment, queries=queries) == [(0, 0, 3), (1, 0, 4)]
    assert best(2, segment, queries=queries) == [
        *[(0, 0, row) for row in range(4)],
        *[(1, 0, row) for row in (0, 1, 2, 4)],
    ]


def test_fewer_rows_than_asked_for_are_all_of_them() -> None:
    assert best(9, Counted(0.5), Counted(0.7, -0.2)) == [(0, 0, 0), (0, 1, 0), (0, 1, 1)]
    assert best(0, Counted(0.5)) == []
    assert best(3) == []


class Rounding(Counted):
    """A segment whose scores of few queries differ from those of many in the last digit."""

    def search(
        self, queries: FloatRows, k: int, *, exact: bool, candidates: int | None
    ) -> tuple[FloatRows, npt.NDArray[np.int64]]:
        scores, rows = super().search(queries, k, exact=exact, candidates=candidates)
        return (np.nextafter(scores, np.float32(-1)) if len(queries) < 3 else scores), rows


def test_k_rows_are_returned_where_scores_differ_in_the_last_digit() -> None:
    # the first query is asked again alone, since its last row equals others: its scores are then
    # a little lower than the k-th was before
    segment = Rounding(*[0.5] * 9, 0.1, 0.05, 0.02)
    queries = np.array([[1.0], [-1.0], [-1.0]], np.float32)
    assert [q for q, _, _ in best(2, segment, queries=queries)].count(0) == 9
