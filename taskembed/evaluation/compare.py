"""Compares runs, with a paired significance test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from taskembed.evaluation.measured import Measured, ScoreDifference, paired_difference
from taskembed.evaluation.metrics import SEED, rank_quality
from taskembed.extras import EVALUATE, require_extra
from taskembed.reading.trec import Judgements, Run

PERMUTATIONS = 10_000
_AT_ONCE = 100  # permutations in memory


class Compared(NamedTuple):
    """One run, and its difference from the first run.

    Attributes:
        name: name of the run's file.
        measured: the run's figures.
        difference: the run's nDCG@10 minus that of the first run; None for the first.
        p: the p-value: the probability of a difference at least as large by chance, 0 to 1; None
            for the first run, and if there is only one query.
    """

    name: str
    measured: Measured
    difference: ScoreDifference | None
    p: float | None

    def to_json(self) -> dict[str, object]:
        """Return the row as a JSON object; a number that does not exist is NaN."""
        return {
            "run": self.name,
            "values": self.measured.values,
            "difference": self.difference.value if self.difference else None,
            "interval": [self.difference.low, self.difference.high] if self.difference else None,
            "p": self.p,
        }


def compare(judgements: Judgements, runs: Sequence[tuple[str, Run]]) -> list[Compared]:
    """Measure runs, and test each against the first, query by query.

    The test is scipy's: Fisher's randomisation test with 10,000 permutations and seed 42 (Smucker,
    Allan and Carterette 2007, https://doi.org/10.1145/1321440.1321528).

    Args:
        judgements: query -> document -> relevance.
        runs: names, each with its run: query -> document -> score. There is at least one.

    Returns:
        One row for each run, in their order.

    Raises:
        MissingLibraryError: a library of the extra `evaluate` is not installed.
    """
    measured = [(name, measure_run(judgements, run)) for name, run in runs]
    first = measured[0][1]
    rest = [
        Compared(name, item, paired_difference(first, item), _p(first, item))
        for name, item in measured[1:]
    ]
    return [Compared(measured[0][0], first, None, None), *rest]


def measure_run(judgements: Judgements, run: Run) -> Measured:
    """Return the measures of a run: means over the judged queries.

    Raises:
        MissingLibraryError: ir-measures is not installed.
    """
    per_query = rank_quality(judgements, run)
    names = list(judgements)
    per_unit = {name: [values[query] for query in names] for name, values in per_query.items()}
    return Measured(
        main="nDCG@10",
        values={name: float(np.mean(values)) for name, values in per_unit.items()},
        names=names,
        units=np.asarray(per_unit["nDCG@10"], dtype=np.float64)[:, None],
        per_unit=per_unit,
    )


def _p(first: Measured, second: Measured) -> float | None:
    ours, theirs = first.units[:, 0], second.units[:, 0]
    if len(ours) < 2:  # noqa: PLR2004  # nothing to test
        return None
    if np.array_equal(ours, theirs):
        return 1.0
    result = require_extra("scipy.stats", EVALUATE).permutation_test(
        (ours, theirs),
        lambda a, b, axis: (a - b).mean(axis=axis),
        permutation_type="samples",
        n_resamples=PERMUTATIONS,
        batch=_AT_ONCE,
        vectorized=True,
        rng=np.random.default_rng(SEED),
    )
    return float(result.pvalue)
