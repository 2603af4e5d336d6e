from __future__ import annotations

import numpy as np

from taskembed.index.kinds.flat import Flat
from taskembed.index.ranking.nearest import Found, nearest_rows
from taskembed.vectors import FloatRows, Floats, Rows


class Counted:
    """A segment in memory that counts the queries that it is asked."""

    def __init__(self, *numbers: float) -> None:
        self._flat = Flat(np.array(numbers, np.float32)[:, None])
        self.live_rows = len(numbers)
        self.asked: list[tuple[int, int]] = []

    def search(self, queries: FloatRows, k: int) -> Found:
        self.asked.append((len(queries), k))
        return self._flat.search(queries, k)

    def estimates(self, queries: FloatRows, depth: int) -> Found | None:
        return None

    def scores(self, queries: FloatRows, query: Rows, row: Rows) -> Floats:
        raise AssertionError("nothing was estimated")


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

    def search(self, queries: FloatRows, k: int) -> Found:
        scores, rows = super().search(queries, k)
        return (np.nextafter(scores, np.float32(-1)) if len(queries) < 3 else scores), rows


def test_k_rows_are_returned_where_scores_differ_in_the_last_digit() -> None:
    # the first query is asked again alone, since its last row equals others: its scores are then
    # a little lower than the k-th was before
    segment = Rounding(*[0.5] * 9, 0.1, 0.05, 0.02)
    queries = np.array([[1.0], [-1.0], [-1.0]], np.float32)
    assert [q for q, _, _ in best(2, segment, queries=queries)].count(0) == 9


class Coded(Counted):
    """A segment whose estimates are its scores rounded to one digit, and that counts its scores."""

    def __init__(self, *numbers: float) -> None:
        super().__init__(*numbers)
        self._numbers = np.array(numbers, np.float32)
        self.scored = 0

    def estimates(self, queries: FloatRows, depth: int) -> Found | None:
        if depth > len(self._numbers):
            return None
        rounded = np.round(queries @ self._numbers[None], 1)
        order = np.argsort(-rounded, axis=1, kind="stable")[:, :depth]
        return np.take_along_axis(rounded, order, axis=1), order

    def scores(self, queries: FloatRows, query: Rows, row: Rows) -> Floats:
        self.scored += len(row)
        scores: Floats = queries[query, 0] * self._numbers[row]
        return scores


def coded_best(k: int, *segments: Counted, candidates: int) -> list[tuple[int, int]]:
    found = nearest_rows(segments, ONE, k, candidates=candidates)
    return sorted((s, r) for _, _, s, r in found.tolist())


def test_candidates_are_chosen_over_all_segments() -> None:
    first = Coded(0.91, 0.1, 0.2, 0.3)
    second = Coded(0.52, 0.72, 0.84, 0.1)
    third = Counted(0.73, 0.2)
    assert coded_best(2, first, second, third, candidates=3) == [(0, 0), (1, 2)]
    assert (first.scored, second.scored) == (1, 2)  # three of eight
    assert third.asked == [(1, 2)]


def test_more_candidates_are_scored_if_the_last_may_equal_one_that_is_not() -> None:
    # by their estimates, each of 0.71, 0.72 and 0.74 may be the second
    first = Coded(0.91, 0.1, 0.2, 0.3, 0.0, 0.0)
    second = Coded(0.52, 0.71, 0.72, 0.74, 0.1, 0.1)
    assert coded_best(1, first, second, candidates=2) == [(0, 0)]
    assert first.scored + second.scored == 3  # 0.91, and two of the estimate 0.7
    assert coded_best(2, first, second, candidates=2) == [(0, 0), (1, 3)]


def test_equal_rows_in_several_segments_are_all_found() -> None:
    segments = [Coded(*[0.5] * 9, *[0.1] * 9), Coded(*[0.5] * 3, *[0.2] * 9), Coded(*[0.4] * 99)]
    wanted = [*((0, row) for row in range(9)), *((1, row) for row in range(3))]
    assert coded_best(2, *segments, candidates=3) == wanted


def test_exact_searches_use_no_estimates() -> None:
    segment = Coded(0.91, 0.1, 0.2, 0.3)
    assert len(nearest_rows([segment], ONE, 2, exact=True, candidates=3).row) == 2
    assert (segment.scored, segment.asked) == (0, [(1, 3)])
