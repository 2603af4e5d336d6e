"""Figures about predicted labels, worked out by hand."""

from __future__ import annotations

import pytest

from taskembed.evaluation.labels import (
    Confusion,
    Judged,
    LabelReport,
    calibration_error,
    judge_labels,
)


@pytest.fixture
def report() -> LabelReport:
    return judge_labels(
        [
            Judged(("a",), "a", 0.95),
            Judged(("a",), "b", 0.55),
            Judged(("b",), "b", 0.75),
            Judged(("b", "c"), "c", 0.65),
        ]
    )


def test_accuracy_and_f1(report: LabelReport) -> None:
    assert report.texts == 4
    assert report.accuracy == 0.75
    # a: 1 right, 1 missed; b: 1 right, 1 wrong; c: 1 right
    assert report.f1 == {"a": pytest.approx(2 / 3), "b": pytest.approx(2 / 3), "c": 1}
    assert report.macro_f1 == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)


def test_macro_f1_is_that_of_a_library() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    gold, predicted = list("aabbbcca"), list("ababccca")
    judged = [Judged((g,), p, 0.5) for g, p in zip(gold, predicted, strict=True)]
    expected = metrics.f1_score(gold, predicted, average="macro")
    assert judge_labels(judged).macro_f1 == pytest.approx(expected)


def test_the_calibration_error_is_the_gap_in_each_bin(report: LabelReport) -> None:
    # one text in each bin: gaps of 0.05, 0.55, 0.25 and 0.35
    assert report.ece == pytest.approx((0.05 + 0.55 + 0.25 + 0.35) / 4)
    assert calibration_error([True, False], [0.8, 0.8]) == pytest.approx(0.3)
    assert calibration_error([True], [1.0]) == 0


def test_the_surest_are_right_more_often(report: LabelReport) -> None:
    by_share = {point.share: point for point in report.coverage}
    assert (by_share[1.0].accuracy, by_share[1.0].least) == (0.75, 0.55)
    assert (by_share[0.5].accuracy, by_share[0.5].least) == (1, 0.75)


def test_what_is_confused_is_counted() -> None:
    judged = [Judged(("a",), "b", 1), Judged(("a",), "b", 1), Judged(("b",), "a", 1)]
    assert judge_labels(judged).confusions == [Confusion("a", "b", 2), Confusion("b", "a", 1)]


def test_nothing_cannot_be_judged() -> None:
    with pytest.raises(ValueError, match="no predictions"):
        judge_labels([])
