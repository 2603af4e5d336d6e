"""Differences with their intervals, and runs side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from taskembed.errors import BadInputError, NotFoundError
from taskembed.evaluation.compare import compare, measure_run, read_run
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
    assert paired_difference(right, wrong) == pytest.approx((-2, -2, -2))


def test_a_sample_without_spread_does_not_count() -> None:
    """Of four pairs with scores of 0 and 1, many samples have one score only."""
    expected, cosines = np.array([0.0, 0, 0, 1]), np.array([0.1, 0.2, 0.3, 0.9])
    ours = Measured("spearman", {}, [], np.stack([expected, cosines], axis=1), {})
    theirs = Measured("spearman", {}, [], np.stack([expected, -cosines], axis=1), {})
    found = paired_difference(ours, theirs)
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


def test_a_run_is_read_as_trec_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "a.run"
    path.write_text("q1 Q0 a 1 0.5 tag\nq1 Q0 b 2 -1e-3 tag\n\nq2\tQ0\ta\t1\t7\ttag\n")
    assert read_run(path) == {"q1": {"a": 0.5, "b": -0.001}, "q2": {"a": 7.0}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("q1 Q0 a 1 0.5\n", "a.run:1: it has not the six columns of a TREC run"),
        ("q1 Q0 a 1 high tag\n", "a.run:1: the score is not a number: 'high'"),
        ("", "a.run: it has no hits"),
        ("q1 Q0 \xe9 1 0.5 tag\n", "a.run:1: not UTF-8 at byte 7"),
    ],
)
def test_what_is_no_run_is_refused_by_its_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.run"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(BadInputError) as refusal:
        read_run(path)
    assert refusal.value.message == f"{tmp_path}/{message}"


def test_a_run_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no such file: .*/none\.run"):
        read_run(tmp_path / "none.run")
