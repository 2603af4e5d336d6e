"""Vectors near others: all of few, nearly all of many."""

from __future__ import annotations

from contextlib import suppress
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from taskembed.index import neighbours
from taskembed.index.neighbours import Neighbourhood, TooManyPairsError, rows_of_sample
from taskembed.vectors import FloatRows, Rows


def unit(rows: npt.NDArray[np.float64]) -> FloatRows:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def clumps(count: int, dim: int = 16) -> FloatRows:
    """Return unit vectors in groups of three that are close to each other."""
    random = np.random.default_rng(3)
    centres = np.repeat(random.standard_normal((count // 3 + 1, dim)), 3, axis=0)[:count]
    return unit(centres + 0.15 * random.standard_normal((count, dim)))


def pairs_found(vectors: FloatRows, least: float) -> set[tuple[int, int]]:
    names = np.arange(len(vectors)) + 100
    sample = vectors[: rows_of_sample(len(vectors))]
    near = Neighbourhood(len(vectors), vectors.shape[1], sample)
    near.add(
        (names[start : start + 500], vectors[start : start + 500])
        for start in range(0, len(vectors), 500)
    )
    found = near.within(vectors, least)
    assert (np.diff(found.query) >= 0).all()
    scores = (vectors[found.query] * vectors[found.other - 100]).sum(axis=1)
    assert np.allclose(found.score, scores, atol=1e-5)
    return set(zip(found.query.tolist(), (found.other - 100).tolist(), strict=True))


def true_pairs(vectors: FloatRows, least: float) -> set[tuple[int, int]]:
    return {(int(one), int(two)) for one, two in np.argwhere(vectors @ vectors.T >= least)}


def test_every_pair_of_few_vectors_is_found() -> None:
    vectors = clumps(300)
    assert pairs_found(vectors, 0.9) == true_pairs(vectors, 0.9)


def test_nearly_every_pair_of_many_vectors_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "EXACT_ROWS", 500)
    vectors = clumps(1_500)
    found, true = pairs_found(vectors, 0.9), true_pairs(vectors, 0.9)
    assert found <= true
    assert len(found) >= 0.99 * len(true)


def test_a_vector_just_at_the_limit_is_found() -> None:
    vectors = np.array([[1, 0], [0.5, 0], [0.25, 0]], np.float32)
    near = Neighbourhood(3, 2, vectors[:0])
    near.add([(np.arange(3), vectors)])
    assert near.within(vectors[:1], 0.5).other.tolist() == [0, 1]


@pytest.mark.parametrize("exact_rows", [10, 1_000])  # in lists, and all compared
def test_more_pairs_than_asked_for_are_refused(
    exact_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "EXACT_ROWS", exact_rows)
    vectors = np.tile(unit(np.arange(1.0, 17.0)[np.newaxis]), (100, 1))
    near = Neighbourhood(100, 16, vectors[: rows_of_sample(100)])
    near.add([(np.arange(100), vectors)])
    assert len(near.within(vectors[:20], 0.9, most=2_000).query) == 2_000
    with pytest.raises(TooManyPairsError):
        near.within(vectors[:20], 0.9, most=1_999)


class Watched(Neighbourhood):
    """Notes the number of threads with which each list is multiplied."""

    threads: ClassVar[set[int]] = set()

    def _list(self, number: int) -> tuple[Rows, FloatRows]:
        self.threads.update(blas_threads())
        return super()._list(number)


def blas_threads() -> set[int]:
    return {item["num_threads"] for item in threadpool_info() if item["user_api"] == "blas"}


@pytest.mark.parametrize("most", [2_000, 1_999])  # the second stops within a list
def test_lists_are_multiplied_in_one_thread_and_others_have_theirs_again(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "EXACT_ROWS", 10)
    monkeypatch.setattr(Watched, "threads", set())
    vectors = np.tile(unit(np.arange(1.0, 17.0)[np.newaxis]), (100, 1))
    near = Watched(100, 16, vectors[: rows_of_sample(100)])
    near.add([(np.arange(100), vectors)])
    with threadpool_limits(2, user_api="blas"):
        with suppress(TooManyPairsError):
            near.within(vectors[:20], 0.9, most=most)
        assert (Watched.threads, blas_threads()) == ({1}, {2})


def test_few_vectors_need_no_sample() -> None:
    assert rows_of_sample(neighbours.EXACT_ROWS) == 0
    assert rows_of_sample(40_000) == 400 * 64
