"""What was measured, unit by unit, so that two measurements can be compared in pairs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from taskembed.evaluation.metrics import SEED, correlations
from taskembed.extras import EVALUATE, require_extra

RESAMPLES = 1000
CONFIDENCE = 0.95

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Measured:
    """The result of one evaluation.

    Attributes:
        main: the name of the measure that the task goes by.
        values: measure -> value, the main one among them.
        names: of the units: queries, pairs, texts, draws.
        units: float64[units, 1]: what the main value is the mean of; of a correlation
            float64[units, 2]: expected and predicted.
        per_unit: measure -> a value for each unit, where it has one.
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
        """Return the main value of some of the units; one may be there several times."""
        if self.units.shape[1] > 1:
            expected, predicted = self.units[rows].T
            return correlations(expected.tolist(), predicted.tolist())[self.main]
        return float(self.units[rows, 0].mean())


class Difference(NamedTuple):
    """Of two values: with the interval that holds it in 95 of 100 bootstrap samples."""

    value: float
    low: float
    high: float


def paired_difference(
    ours: Measured, theirs: Measured, *, resamples: int = RESAMPLES
) -> Difference:
    """Return `theirs` minus `ours`, with its confidence interval.

    The units are drawn again with replacement, the same for both: the percentile bootstrap of
    scipy (Efron & Tibshirani 1993, chapter 13), by the seed 42. A sample that has no value (a
    correlation of units without spread) does not count; without any, the ends are NaN.

    Args:
        ours: the first measurement.
        theirs: the second, of the same units.
        resamples: how many times the units are drawn.
    """
    stats = require_extra("scipy.stats", EVALUATE)
    rows = np.arange(len(ours.units))
    value = theirs.value_of(rows) - ours.value_of(rows)
    # one unit cannot be drawn differently; units without spread have none in any sample
    if len(rows) < 2 or np.isnan(value):  # noqa: PLR2004
        return Difference(value, np.nan, np.nan)
    ends = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of no spread: NaN says it
        samples = stats.bootstrap(
            (rows,),
            lambda drawn: theirs.value_of(drawn) - ours.value_of(drawn),
            vectorized=False,
            n_resamples=resamples,
            method="percentile",
            rng=np.random.default_rng(SEED),
        ).bootstrap_distribution
        low, high = np.nanquantile(samples, ends)
    return Difference(value, float(low), float(high))
