"""Classifier heads: compute the probabilities of labels from a vector and labelled examples.

Either the nearest examples or the centres of the labels are weighted by the softmax of their
cosines. Unweighted votes were 1 to 34 points worse with many labels, so they are not offered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from taskembed.activity import doing
from taskembed.extras import EVALUATE, require_extra
from taskembed.vectors import FloatRows, Floats, Rows
from taskembed.verbs.classifying.labels import Examples
from taskembed.verbs.defaults import HeadName

NEIGHBOURS = 20
TEMPERATURE = 0.05  # of the softmax of cosines
JUDGED = 2_000  # examples used to compare the heads, by leave-one-out
STRENGTH = 10.0  # C of the logistic regression: the best of 1, 10 and 100 as measured
_ITERATIONS = 1_000

DoubleRows = npt.NDArray[np.float64]  # float64[n, dim]


class Head(Protocol):
    """Computes the probability of each label for vectors."""

    def probabilities(self, vectors: FloatRows) -> FloatRows:
        """Return float32[n, labels]: rows that add up to 1.

        Args:
            vectors: float32[n, dim], of unit length.
        """


@dataclass(frozen=True, slots=True)
class Knn:
    """The nearest examples, weighted by the softmax of their cosines."""

    examples: Examples

    def probabilities(self, vectors: FloatRows) -> FloatRows:
        """Return the share of each label in the weights of the nearest examples."""
        scores, rows = self.examples.positions.nearest(vectors, NEIGHBOURS)
        return voted(self.examples, scores, rows)


def voted(examples: Examples, scores: FloatRows, rows: Rows) -> FloatRows:
    """Return the share of each label in the weights of examples.

    Args:
        examples: the examples of the index.
        scores: float32[n, k], cosines.
        rows: int64[n, k], the examples; one with several labels divides its weight.
    """
    count, k = rows.shape
    weights = softmax(scores).ravel()
    places, labels = examples.spread(rows.ravel())
    shares = (weights / (examples.starts[rows.ravel() + 1] - examples.starts[rows.ravel()]))[places]
    cells = (places // max(k, 1)) * len(examples.names) + labels
    summed = np.bincount(cells, weights=shares, minlength=count * len(examples.names))
    return summed.reshape(count, len(examples.names)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Centroid:
    """The centre of each label, by the softmax of the cosines.

    Attributes:
        centres: float32[labels, dim], of unit length.
    """

    centres: FloatRows

    def probabilities(self, vectors: FloatRows) -> FloatRows:
        """Return the softmax of the cosines with the centres."""
        return softmax(vectors @ self.centres.T)


@dataclass(frozen=True, slots=True)
class LogisticRegression:
    """A logistic regression that was fitted to the examples."""

    model: Any  # scikit-learn publishes no types

    def probabilities(self, vectors: FloatRows) -> FloatRows:
        """Return the probabilities of the regression."""
        return np.asarray(self.model.predict_proba(vectors), np.float32)


def softmax(scores: FloatRows) -> FloatRows:
    """Return the softmax of each row, at `TEMPERATURE`."""
    if not scores.shape[1]:
        return scores
    shifted = np.exp((scores - scores.max(axis=1, keepdims=True)) / TEMPERATURE)
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), np.float32)


def unit(rows: FloatRows | DoubleRows) -> FloatRows:
    """Return rows scaled to unit length; rows of zeros stay zero."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1), np.float32)


@dataclass(frozen=True, slots=True)
class Sums:
    """The sum of the vectors of each label, from which single examples can be subtracted.

    Attributes:
        sums: float64[labels, dim]; an example with several labels counts for each.
    """

    sums: DoubleRows

    @classmethod
    def of(cls, examples: Examples) -> Sums:
        """Add up the vectors of all examples; a block is in memory at a time."""
        sums = np.zeros((len(examples.names), examples.positions.dim))
        with doing("reading vectors", unit="documents", total=len(examples.positions)) as step:
            for rows, vectors in examples.positions.blocks():
                places, labels = examples.spread(rows)
                np.add.at(sums, labels, vectors[places])
                step.done += len(rows)
        return cls(sums)

    def centroid(self) -> Centroid:
        """Return the head with these centres."""
        return Centroid(unit(self.sums))

    def cosines_without(self, examples: Examples, rows: Rows, vectors: FloatRows) -> FloatRows:
        """Return float32[n, labels]: cosines with the centres, each without the row's own example.

        A label whose only example is left out has minus infinity.

        Args:
            examples: the examples of the index.
            rows: int64[n]: the examples to compare.
            vectors: float32[n, dim]: their vectors.
        """
        products = vectors @ self.sums.T
        squares = np.broadcast_to((self.sums**2).sum(axis=1), products.shape).copy()
        places, labels = examples.spread(rows)
        own = products[places, labels]
        squares[places, labels] += 1 - 2 * own
        products[places, labels] = own - 1
        counts = np.bincount(examples.numbers, minlength=len(examples.names))
        with np.errstate(divide="ignore", invalid="ignore"):
            cosines = products / np.sqrt(np.maximum(squares, 0))
        cosines[places, labels] = np.where(counts[labels] > 1, cosines[places, labels], -np.inf)
        return np.asarray(np.nan_to_num(cosines, nan=-np.inf, neginf=-np.inf), np.float32)


def leave_one_out(examples: Examples, sums: Sums) -> dict[HeadName, float]:
    """Return the leave-one-out accuracy of knn and centroid on the examples.

    At most `JUDGED` examples are used, always the same ones.
    """
    count = len(examples.positions)
    rows = np.sort(np.random.default_rng(0).permutation(count)[:JUDGED])
    vectors = examples.positions.vectors_at(rows)
    by_centre = sums.cosines_without(examples, rows, vectors).argmax(axis=1)
    scores, found = examples.positions.nearest(vectors, NEIGHBOURS + 1)
    others = _without(scores, found, rows)
    by_vote = voted(examples, *others).argmax(axis=1) if others[1].size else by_centre * 0 - 1
    return {
        HeadName.KNN: float(examples.has(rows, by_vote).mean()),
        HeadName.CENTROID: float(examples.has(rows, by_centre).mean()),
    }


def _without(scores: FloatRows, found: Rows, rows: Rows) -> tuple[FloatRows, Rows]:
    """Remove each row from its own neighbours; if it is not among them, remove the last one."""
    own = found == rows[:, np.newaxis]
    own[~own.any(axis=1), -1] = True
    shape = (len(rows), found.shape[1] - 1)
    return scores[~own].reshape(shape), found[~own].reshape(shape)


def fitted(examples: Examples) -> LogisticRegression:
    """Fit a logistic regression to the examples, whose vectors are all in memory.

    Raises:
        MissingLibraryError: scikit-learn is not installed.
    """
    linear = require_extra("sklearn.linear_model", EVALUATE)
    rows = np.arange(len(examples.positions))
    places, labels = examples.spread(rows)
    weights: Floats = (1 / np.diff(examples.starts)[places]).astype(np.float32)
    with doing("fitting the logistic regression"):
        model = linear.LogisticRegression(C=STRENGTH, max_iter=_ITERATIONS)
        model.fit(examples.positions.vectors_at(rows)[places], labels, sample_weight=weights)
    return LogisticRegression(model)


def better(accuracies: Mapping[HeadName, float]) -> HeadName:
    """Return the head with the better accuracy; knn if both are equal."""
    return max((HeadName.KNN, HeadName.CENTROID), key=accuracies.__getitem__)
