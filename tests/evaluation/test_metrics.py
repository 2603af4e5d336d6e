"""The measures: against values worked by hand, and what makes them MTEB's."""

from __future__ import annotations

import math

import numpy as np
import pytest

from taskembed.evaluation.metrics import (
    classification_quality,
    cluster_quality,
    correlations,
    rank_quality,
)


def test_the_measures_of_a_ranking_by_hand() -> None:
    judgements = {"q1": {"a": 1, "b": 2}, "q2": {"c": 1}, "q3": {"d": 1}}
    run = {"q1": {"x": 0.9, "a": 0.8, "b": 0.7}, "q2": {"c": 0.5}, "unjudged": {"a": 1.0}}
    found = rank_quality(judgements, run)
    # q1: a at rank 2, b at rank 3; the ideal order is b, a
    gained = 1 / math.log2(3) + 2 / math.log2(4)
    ideal = 2 / math.log2(2) + 1 / math.log2(3)
    assert found["nDCG@10"] == pytest.approx({"q1": gained / ideal, "q2": 1.0, "q3": 0.0})
    assert found["RR@10"] == {"q1": 0.5, "q2": 1.0, "q3": 0.0}
    assert found["AP"] == pytest.approx({"q1": (1 / 2 + 2 / 3) / 2, "q2": 1.0, "q3": 0.0})
    assert found["R@100"] == {"q1": 1.0, "q2": 1.0, "q3": 0.0}


def test_the_measures_are_cut_at_their_rank() -> None:
    run = {"q": {f"x{number}": 1.0 - number / 200 for number in range(99)} | {"a": 0.1, "b": 0.05}}
    found = rank_quality({"q": {"a": 1, "b": 1}}, run)
    assert found["nDCG@10"]["q"] == found["RR@10"]["q"] == 0.0
    assert found["R@100"]["q"] == 0.5  # a is at rank 100, b at 101


def test_documents_of_equal_scores_have_one_order_in_all_measures() -> None:
    run = {"q": {f"d{number:02}": 0.5 for number in range(20)}}
    found = rank_quality({"q": {"d00": 1}}, run)
    # TREC's program puts the last name first: d00 is at rank 20
    assert (found["nDCG@10"]["q"], found["RR@10"]["q"]) == (0.0, 0.0)
    assert found["AP"]["q"] == pytest.approx(1 / 20)
    found = rank_quality({"q": {"d10": 1}}, run)
    assert found["RR@10"]["q"] == pytest.approx(1 / 10) == found["AP"]["q"]


def test_correlations_by_hand() -> None:
    # ranks 1 2 3 4 against 1 2 4 3: 1 - 6 * (1 + 1) / (4 * 15) = 0.8
    found = correlations([1, 2, 3, 4], [0.1, 0.2, 0.9, 0.3])
    assert found["spearman"] == pytest.approx(0.8)
    # deviations -1.5 -.5 .5 1.5 and -.275 -.175 .525 -.075
    covariance = 1.5 * 0.275 + 0.5 * 0.175 + 0.5 * 0.525 - 1.5 * 0.075
    spread = math.sqrt(5 * (0.275**2 + 0.175**2 + 0.525**2 + 0.075**2))
    assert found["pearson"] == pytest.approx(covariance / spread)


def test_without_any_spread_there_is_no_correlation() -> None:
    assert math.isnan(correlations([1, 2, 3], [0.5, 0.5, 0.5])["spearman"])
    assert math.isnan(correlations([1], [0.5])["pearson"])


def test_classes_that_are_apart_are_told_apart() -> None:
    train = np.repeat(np.eye(2, dtype=np.float32), 20, axis=0)
    labels = ["a"] * 20 + ["b"] * 20
    test = np.eye(2, dtype=np.float32)
    found = classification_quality(train, labels, test, ["a", "b"])
    assert set(found) == {"accuracy", "f1", "knn_accuracy", "knn_f1"}
    assert all(values == [1.0] * 10 for values in found.values())
    found = classification_quality(train, labels, test, ["b", "b"])  # one of them is wrong
    assert found["accuracy"] == [0.5] * 10
    # F1 of b: precision 1, recall 1/2; of a, which is never right: 0
    assert found["f1"] == pytest.approx([(2 / 3 + 0) / 2] * 10)


def test_a_draw_takes_eight_texts_of_a_label() -> None:
    """By MTEB's own lines, written here again: shuffled on by the same seed, the first eight."""
    from taskembed.evaluation.metrics import _draws

    labels = ["a", "b", "b"] * 30
    order = list(range(90))
    for draw in _draws(labels):
        np.random.RandomState(42).shuffle(order)
        expected = {
            label: [row for row in order if labels[row] == label][:8] for label in ("a", "b")
        }
        assert set(draw) == set(expected["a"]) | set(expected["b"])
        assert len(draw) == 16


def test_clusters_that_are_apart_are_found() -> None:
    vectors = np.repeat(np.eye(4, dtype=np.float32), 50, axis=0)
    labels = [label for label in "abcd" for _ in range(50)]
    found = cluster_quality(vectors, labels, texts=400)
    assert len(found["v_measure"]) == 10
    assert max(found["v_measure"]) == pytest.approx(1.0)
    mixed = ["ab"[row % 2] for row in range(200)]  # labels that the vectors know nothing of
    assert max(cluster_quality(vectors, mixed, texts=4_000)["v_measure"]) < 0.01
