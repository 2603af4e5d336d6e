"""Runs side by side, with a paired test of whether they differ by more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from taskembed.evaluation.measured import Difference, Measured, paired_difference
from taskembed.evaluation.metrics import SEED, rank_quality
from taskembed.extras import EVALUATE, require_extra
from taskembed.reading.trec import Judgements, Run

PERMUTATIONS = 10_000
_AT_ONCE = 100  # permutations in memory


class Compared(NamedTuple):
    """One run, and how it stands to the first.

    Attributes:
        name: of its file.
        measured: it.
        difference: of its nDCG@10 from the first's; None for the first.
        p: how often chance alone gives a difference at least as large; None for the first, and
            when there is one query only.
    """

    name: str
    measured: Measured
    difference: Difference | None
    p: float | None

    def to_json(self) -> dict[str, object]:
        """Return the row as what JSON can hold, but for numbers that do not exist."""
        return {
            "run": self.name,
            "values": self.measured.values,
            "difference": self.difference.value if self.difference else None,
            "interval": [self.difference.low, self.difference.high] if self.difference else None,
            "p": self.p,
        }


def compare(judgements: Judgements, runs: Sequence[tuple[str, Run]]) -> list[Compared]:
    """Measure runs, and test each against the first, query by query.

    The test is Fisher's randomisation test with 10,000 permutations, by the seed 42 (Smucker, Allan
    and Carterette 2007, https://doi.org/10.1145/1321440.1321528), by scipy.
    """
    measured = [(name, measure_run(judgements, run)) for name, run in runs]
    first = measured[0][1]
    rest = [
        Compared(name, item, paired_difference(first, item), _p(first, item))
        for name, item in measured[1:]
    ]
    return [Compared(measured[0][0], first, None, None), *rest]


def measure_run(judgements: Judgements, run: Run) -> Measured:
    """Return the measures of a run: means over the judged queries."""
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
    found = require_extra("scipy.stats", EVALUATE).permutation_test(
        (ours, theirs),
        lambda a, b, axis: (a - b).mean(axis=axis),
        permutation_type="samples",
        n_resamples=PERMUTATIONS,
        batch=_AT_ONCE,
        vectorized=True,
        rng=np.random.default_rng(SEED),
    )
    return float(found.pvalue)
