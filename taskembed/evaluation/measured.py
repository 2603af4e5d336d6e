"""Measurements with a value for each unit (query, pair or draw), for paired comparisons."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from taskembed.evaluation.metrics import SEED, correlations
from taskembed.extras import EVALUATE, require_extra
from taskembed.vectors import Rows

RESAMPLES = 1000  # bootstrap samples
CONFIDENCE = 0.95  # confidence level of intervals


@dataclass(frozen=True, slots=True)
class Measured:
    """The result of one evaluation.

    Attributes:
        main: name of the task's main measure.
        values: measure -> value, the main measure among them.
        names: names of the n units: queries, pairs or draws.
        units: float64[n, 1], whose mean is the main value; for a correlation float64[n, 2], the
            expected and the predicted scores.
        per_unit: column -> one value for each unit, for output.
    """

    main: str
    values: Mapping[str, float]
    names: Sequence[str]
    units: npt.NDArray[np.float64]
    per_unit: Mapping[str, Sequence[float]]

    @property
    def value(self) -> float:
        """The value of the main measure."""
        return self.values[self.main]

    def value_of(self, rows: Rows) -> float:
        """Return the main value over some units.

        Args:
            rows: int64[m], positions of units; a position may occur several times.
        """
        if self.units.shape[1] > 1:
            expected, predicted = self.units[rows].T
            return correlations(expected.tolist(), predicted.tolist())[self.main]
        return float(self.units[rows, 0].mean())


class ScoreDifference(NamedTuple):
    """A difference of two values, and the ends of its 95 % bootstrap interval (NaN if unknown)."""

    value: float  # the difference
    low: float  # lower end of the interval
    high: float  # upper end of the interval


def paired_difference(
    ours: Measured, theirs: Measured, *, resamples: int = RESAMPLES
) -> ScoreDifference:
    """Return `theirs` minus `ours`, with its confidence interval.

    The interval is scipy's percentile bootstrap with seed 42 (Efron & Tibshirani 1993, chapter 13):
    units are sampled with replacement, the same ones for both. A sample without a value (a
    correlation of units without spread) does not count; if no sample has one, the ends are NaN.

    Args:
        ours: the first measurement.
        theirs: the second measurement, of the same units.
        resamples: number of bootstrap samples.

    Raises:
        MissingLibraryError: scipy is not installed.
    """
    stats = require_extra("scipy.stats", EVALUATE)
    rows = np.arange(len(ours.units))
    value = theirs.value_of(rows) - ours.value_of(rows)
    # one unit has only one sample; units without spread have none in any sample
    if len(rows) < 2 or np.isnan(value):  # noqa: PLR2004
        return ScoreDifference(value, np.nan, np.nan)
    ends = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about units without spread: the result is NaN
        samples = stats.bootstrap(
            (rows,),
            lambda sample: theirs.value_of(sample) - ours.value_of(sample),
            vectorized=False,
            n_resamples=resamples,
            method="percentile",
            rng=np.random.default_rng(SEED),
        ).bootstrap_distribution
        low, high = np.nanquantile(samples, ends)
    return ScoreDifference(value, float(low), float(high))
