"""Samples pairs of documents of an index by similarity, to help choose a threshold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from taskembed.activity import doing
from taskembed.arguments import require_positive
from taskembed.index.ranking.positions import Positions
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.vectors import Floats, Rows
from taskembed.verbs.deduplicating.duplicates import require_dedup_index

EDGES = (0.98, 0.95, 0.9, 0.85, 0.8, 0.7)  # the lower end of each band
PAIRS_OF_A_BAND = 5
DRAWN = 1_000  # documents compared with all others; takes seconds for 100,000 documents
_SPARE = 8  # factor: more pairs are drawn than needed, since pairs of equal texts are left out


@dataclass(frozen=True, slots=True)
class Pair:
    """Two documents of an index with different texts.

    Attributes:
        score: the cosine of their vectors.
        one: the document that was indexed first.
        other: the other one.
    """

    score: float
    one: Document
    other: Document


@dataclass(frozen=True, slots=True)
class Band:
    """Pairs of about the same similarity.

    Attributes:
        least: the least cosine of the band.
        most: the upper end of the band, exclusive unless it is 1.
        pairs: a few pairs, the most similar first.
    """

    least: float
    most: float
    pairs: list[Pair]


def sample_pairs(
    index: Index, *, per_band: int = PAIRS_OF_A_BAND, drawn: int = DRAWN
) -> list[Band]:
    """Return a few pairs of documents for each band of similarity, the most similar band first.

    A random sample of documents, always the same, is compared with all documents. Pairs of equal
    texts are left out.

    Args:
        index: an open index for the task "similarity".
        per_band: the largest number of pairs in a band.
        drawn: the size of the sample.

    Raises:
        SpaceMismatchError: the index is for another task.
        UsageError: the metric of the index is "dot".
        TypeError: the index is not an `Index`.
        ValueError: per_band or drawn is below 1, or the index is closed.
    """
    require_positive(per_band, "per_band")
    require_positive(drawn, "drawn")
    require_dedup_index(index)
    positions = index.by_position()
    random = np.random.default_rng(0)
    queries = np.sort(random.permutation(len(positions))[:drawn])
    kept = {edge: _Drawn(per_band * _SPARE, random) for edge in EDGES}
    for one, other, score in _near_pairs(positions, queries):
        for edge, most in zip(EDGES, (np.inf, *EDGES), strict=False):
            here = (score >= edge) & (score < most)
            kept[edge].take(one[here], other[here], score[here])
    return [
        Band(edge, most, kept[edge].pairs(positions, per_band))
        for edge, most in zip(EDGES, (1.0, *EDGES), strict=False)
    ]


def _near_pairs(positions: Positions, queries: Rows) -> Iterator[tuple[Rows, Rows, Floats]]:
    """Yield each pair of a query and a document whose cosine is in a band, once."""
    vectors = positions.vectors_at(queries)
    is_query = np.isin(np.arange(len(positions)), queries)
    with doing("comparing", unit="documents", total=len(positions)) as step:
        for here, block in positions.blocks():
            scores = vectors @ block.T
            row, column = np.nonzero(scores >= EDGES[-1])
            one, other = queries[row], here[column]
            once = (one < other) | ((one > other) & ~is_query[other])
            yield (
                np.minimum(one, other)[once],
                np.maximum(one, other)[once],
                scores[row, column][once],
            )
            step.done += len(here)


class _Drawn:
    """A uniform random sample of many pairs."""

    def __init__(self, count: int, random: np.random.Generator) -> None:
        self._count = count
        self._random = random
        self._lots = np.empty(0)
        self._rows = np.empty((0, 2), np.int64)
        self._scores = np.empty(0, np.float32)

    def take(self, one: Rows, other: Rows, score: Floats) -> None:
        """Add pairs to the population that is sampled."""
        lots = np.concatenate([self._lots, self._random.random(len(one))])
        least = np.argsort(lots, kind="stable")[: self._count]
        self._lots = lots[least]
        self._rows = np.concatenate([self._rows, np.stack([one, other], axis=1)])[least]
        self._scores = np.concatenate([self._scores, score])[least]

    def pairs(self, positions: Positions, count: int) -> list[Pair]:
        """Return `count` pairs of different texts, the most similar first."""
        ones, others = (positions.documents_at(self._rows[:, side]) for side in (0, 1))
        pairs = [
            Pair(score, one, other)
            for score, one, other in zip(self._scores.tolist(), ones, others, strict=True)
            if one.text != other.text
        ]
        return sorted(pairs[:count], key=lambda pair: -pair.score)
