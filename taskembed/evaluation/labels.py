"""Measures predicted labels: accuracy, macro F1, calibration, coverage, confusions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

BINS = 10  # bins of confidence for the calibration error
SHARES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.25)  # fractions of texts in the coverage curve


@dataclass(frozen=True, slots=True)
class Judged:
    """The known labels of a text, and its predicted label.

    Attributes:
        gold: the right labels, at least one.
        predicted: the predicted label.
        confidence: the probability of the predicted label, 0 to 1.
    """

    gold: tuple[str, ...]
    predicted: str
    confidence: float

    @property
    def is_right(self) -> bool:
        """Whether the predicted label is one of the right ones."""
        return self.predicted in self.gold


@dataclass(frozen=True, slots=True)
class Coverage:
    """The accuracy of the predictions with the highest confidence.

    Attributes:
        share: the fraction of the texts with these predictions, 0 to 1.
        accuracy: the fraction of these predictions that is right.
        least: their smallest confidence; a threshold at this value selects these texts.
    """

    share: float
    accuracy: float
    least: float


@dataclass(frozen=True, slots=True)
class Confusion:
    """The number of texts with one label that were predicted to have another."""

    gold: str  # the right label
    predicted: str  # the wrong label that was predicted
    count: int  # texts


@dataclass(frozen=True, slots=True)
class LabelReport:
    """The quality of predictions.

    Attributes:
        texts: the number of texts.
        accuracy: the fraction of right predictions.
        macro_f1: the mean F1 over all labels that a text has or was predicted to have.
        ece: the expected calibration error: the mean difference of confidence and accuracy over ten
            bins of confidence, weighted by their size (Guo et al. 2017,
            https://arxiv.org/abs/1706.04599).
        coverage: the accuracy of the texts with the highest confidence, from all texts to few.
        f1: the F1 of each label.
        confusions: pairs of confused labels, the most frequent first.
    """

    texts: int
    accuracy: float
    macro_f1: float
    ece: float
    coverage: list[Coverage]
    f1: dict[str, float]
    confusions: list[Confusion]


def judge_labels(items: Iterable[Judged]) -> LabelReport:
    """Return the quality of predictions.

    Raises:
        ValueError: there are no predictions.
    """
    judged = list(items)
    if not judged:
        raise ValueError("there are no predictions to judge")
    right = [item.is_right for item in judged]
    confidence = [item.confidence for item in judged]
    f1 = _f1(judged)
    return LabelReport(
        texts=len(judged),
        accuracy=float(np.mean(right)),
        macro_f1=float(np.mean(list(f1.values()))),
        ece=calibration_error(right, confidence),
        coverage=_coverage(right, confidence),
        f1=f1,
        confusions=_confusions(judged),
    )


def calibration_error(right: Sequence[bool], confidence: Sequence[float]) -> float:
    """Return the expected calibration error: [right, wrong] at confidence 0.8 gives 0.3.

    Args:
        right: bool[n]: whether each prediction is right.
        confidence: float[n], 0 to 1.
    """
    is_right, sure = np.asarray(right, np.float64), np.asarray(confidence, np.float64)
    bins = np.clip((sure * BINS).astype(np.int64), 0, BINS - 1)
    gaps = np.bincount(bins, is_right - sure, BINS)
    return float(np.abs(gaps).sum() / len(is_right))


def _f1(judged: Sequence[Judged]) -> dict[str, float]:
    """Return the F1 of each label, by name; a text with several right labels needs one of them."""
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for item in judged:
        if item.is_right:
            right[item.predicted] += 1
        else:
            wrong[item.predicted] += 1
            missed.update(item.gold)
    return {
        label: 2 * right[label] / (2 * right[label] + wrong[label] + missed[label])
        for label in sorted({*right, *wrong, *missed})
    }


def _coverage(right: Sequence[bool], confidence: Sequence[float]) -> list[Coverage]:
    is_right, sure = np.asarray(right, np.float64), np.asarray(confidence, np.float64)
    order = np.argsort(-sure, kind="stable")
    points = []
    for share in SHARES:
        some = order[: max(1, round(share * len(order)))]
        points.append(Coverage(share, float(is_right[some].mean()), float(sure[some[-1]])))
    return points


def _confusions(judged: Sequence[Judged]) -> list[Confusion]:
    counts = Counter((item.gold[0], item.predicted) for item in judged if not item.is_right)
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return [Confusion(gold, predicted, count) for (gold, predicted), count in ordered]
