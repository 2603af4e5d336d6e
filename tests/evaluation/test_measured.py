"""Differences with their intervals, and runs side by side."""

from __future__ import annotations

import numpy as np
import pytest

from taskembed.evaluation.compare import compare, measure_run
from taskembed.evaluation.measured import Measured, paired_difference


def measured(values: list[float]) -> Measured:
    units = np.asarray(values, dtype=np.float64)[:, None]
    names = [str(row) for row in range(len(values))]
    return Measured("accuracy", {"accuracy": float(np.mean(values))}, names, units, {})


def test_a_constant_difference_is_certain() -> None:
    found = paired_difference(measured([0.1, 0.5, 0.9]), measured([0.2, 0.6, 1.0]))
    assert found == pytest.approx((0.1, 0.1, 0.1))


def test_the_interval_is_about_two_standard_errors() -> None:
    generator = np.random.default_rng(0)
    ours, change = generator.normal(size=400), generator.normal(0.3, 1.0, size=400)
    found = paired_difference(measured(ours.tolist()), measured((ours + change).tolist()))
    error = change.std() / 20
    assert found.value == pytest.approx(change.mean())
    assert found.low == pytest.approx(change.mean() - 1.96 * error, abs=0.02)
    assert found.high == pytest.approx(change.mean() + 1.96 * error, abs=0.02)


def test_one_unit_has_no_interval() -> None:
    found = paired_difference(measured([0.1]), measured([0.3]))
    assert found.value == pytest.approx(0.2)
    assert np.isnan(found.low)
    assert np.isnan(found.high)


def test_a_correlation_is_taken_again_of_each_sample() -> None:
    expected = np.arange(50, dtype=np.float64)
    right = Measured("spearman", {}, [], np.stack([expected, expected], axis=1), {})
    wrong = Measured("spearman", {}, [], np.stack([expected, -expected], axis=1), {})
    assert paired_difference(right, wrong, resamples=50) == pytest.approx((-2, -2, -2))


def test_a_correlation_that_does_not_exist_has_no_interval() -> None:
    flat = Measured("spearman", {}, [], np.ones((50, 2)), {})
    assert np.isnan(paired_difference(flat, flat)).all()


def test_a_sample_without_spread_does_not_count() -> None:
    """Of four pairs with scores of 0 and 1, many samples have one score only."""
    expected, cosines = np.array([0.0, 0, 0, 1]), np.array([0.1, 0.2, 0.3, 0.9])
    ours = Measured("spearman", {}, [], np.stack([expected, cosines], axis=1), {})
    theirs = Measured("spearman", {}, [], np.stack([expected, -cosines], axis=1), {})
    found = paired_difference(ours, theirs, resamples=200)
    assert found.value < 0
    assert -2 <= found.low <= found.high < 0


JUDGEMENTS = {"q1": {"a": 1}, "q2": {"a": 1}, "q3": {"a": 1}}


def test_runs_are_tested_against_the_first() -> None:
    worse = {query: {"x": 0.9, "a": 0.5} for query in JUDGEMENTS}
    better = {query: {"a": 0.9, "x": 0.5} for query in JUDGEMENTS}
    first, second, third = compare(JUDGEMENTS, [("w", worse), ("b", better), ("w2", worse)])
    assert first.difference is None
    assert first.p is None
    assert second.difference is not None
    assert second.difference.value == pytest.approx(1 - 1 / np.log2(3))
    # of the 8 ways to give each query's two values to the two runs, 2 differ as much: 2 / 8
    assert second.p == pytest.approx(0.25)
    assert third.p == 1.0


def test_a_run_is_measured_on_every_judged_query() -> None:
    found = measure_run(JUDGEMENTS, {"q1": {"a": 1.0}})
    assert found.values["nDCG@10"] == pytest.approx(1 / 3)
    assert found.names == ["q1", "q2", "q3"]
    assert found.per_unit["nDCG@10"] == [1.0, 0.0, 0.0]
