"""Hybrid search: ranks documents by vectors and by words, and fuses the two lists into one.

The lists are the best max(100, 10 k) documents of each side. "convex" maps the scores of each list
to 0..1 (min-max) and adds them, weighted (Bruch, Gai and Ingber, arXiv 2210.11934). "rrf" adds
weighted 1 / (60 + rank) (Cormack, Clarke and Buettcher, SIGIR 2009). docs/adr/0018 has figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from taskembed.index._segments.words_file import Bm25, Postings
from taskembed.index.ranking._best import Best, joined
from taskembed.index.ranking.modes import Method
from taskembed.index.word_tokens import names_identifier
from taskembed.vectors import Flags, Floats

Doubles = npt.NDArray[np.float64]

LEAST_LISTED = 100  # documents in each list, at least
LISTED_PER_HIT = 10  # documents in each list for each hit
RRF_K = 60  # ranks; the constant of the paper
FEW_WORDS, MANY_WORDS = 5, 12  # words in a query; `Fusion.weight` is linear between the two


@dataclass(frozen=True, slots=True)
class Fusion:
    """How the lists of a hybrid search are fused.

    BM25 ranks worse for a query of few words, so a short query can give the vectors more weight. A
    query with an identifier, such as an error code, is an exception: only the words find it.

    Attributes:
        alpha: the weight of the vectors, 0 to 1; the words have the rest.
        method: how scores are added: "convex" or "rrf".
        short_alpha: the weight of the vectors for queries of at most 5 words; between 5 and 12
                words it changes linearly to `alpha`. None to use `alpha` at any length.
            depth: the number of documents in each list; None for max(100, 10 k).

    Raises:
        ValueError: a weight is not from 0 to 1, or the method is unknown.
    """

    alpha: float = 0.6
    method: Method = Method.CONVEX
    short_alpha: float | None = None
    depth: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "method", Method(self.method))
        for name, weight in (("alpha", self.alpha), ("short_alpha", self.short_alpha)):
            if weight is not None and not 0 <= weight <= 1:
                raise ValueError(f"{name} is {weight}; it must be from 0 to 1")

    def weight(self, query: str, words: int) -> float:
        """Return the weight of the vectors for a query.

        Args:
            query: the query as a string.
            words: the number of words that the index's tokenizer finds in the query.
        """
        if self.short_alpha is None or names_identifier(query):
            return self.alpha
        shortness = (MANY_WORDS - words) / (MANY_WORDS - FEW_WORDS)
        return self.alpha + (self.short_alpha - self.alpha) * min(max(shortness, 0), 1)


@dataclass(frozen=True, slots=True)
class Side:
    """The place of a document in one of the lists.

    Attributes:
        rank: 1 for the best; equal scores have equal ranks.
        score: the inner product of the vectors, or BM25.
        part: the part of the document's fused score that comes from this list.
    """

    rank: int
    score: float
    part: float


@dataclass(frozen=True, slots=True)
class Sides:
    """The parts of a document's score in a hybrid search; None for a list without the document."""

    dense: Side | None = None
    words: Side | None = None

    @property
    def score(self) -> float:
        """The sum of the parts."""
        return sum(side.part for side in (self.dense, self.words) if side)


def listed(k: int) -> int:
    """Return the number of documents in each list, for k hits."""
    return max(LEAST_LISTED, LISTED_PER_HIT * k)


def best_by_words(
    segments: Sequence[Postings], dead: Sequence[Flags], queries: Sequence[Sequence[str]], k: int
) -> Best:
    """Return the k documents of each query with the highest BM25 scores, and ties with the k-th.

    Args:
        segments: the words of each segment of the index.
        dead: bool[rows] for each segment: the documents to leave out.
        queries: the words of each query.
        k: the number of documents of a query; fewer are returned if fewer have any of its words.
    """
    bm25 = Bm25(segments)
    return joined(
        [_of_query(bm25.scores(words), dead, number, k) for number, words in enumerate(queries)]
    )


def _of_query(scores: Sequence[Floats], dead: Sequence[Flags], number: int, k: int) -> Best:
    found = []
    for segment, (scored, gone) in enumerate(zip(scores, dead, strict=True)):
        scored[gone] = 0
        rows = np.flatnonzero(scored)
        if len(rows) > k:  # few go on: a common word is in most documents
            rows = rows[scored[rows] >= np.partition(scored, -k)[-k]]
        query, place = np.full_like(rows, number), np.full_like(rows, segment)
        found.append(Best(query, scored[rows], place, rows))
    best = joined(found)
    if len(best.score) <= k:
        return best
    return best.chosen(best.score >= np.partition(best.score, -k)[-k])


def fuse(
    dense: Best, words: Best, weights: Sequence[float], k: int, method: Method = Method.CONVEX
) -> tuple[Best, list[Sides]]:
    """Return the k best documents of two lists, and ties with the k-th, with their scores.

    Args:
        dense: the list by vectors.
        words: the list by words.
        weights: the weight of the vectors for each query.
        k: the number of documents of each query.
        method: how scores are added.

    Returns:
        The documents with their fused scores, and the parts of each score.
    """
    columns: list[tuple[int, float, int, int]] = []
    all_sides: list[Sides] = []
    lists = [_by_query(item, len(weights)) for item in (dense, words)]
    for query, alpha in enumerate(weights):
        by_vector, by_word = (
            _sides(some[query], weight, method)
            for some, weight in zip(lists, (alpha, 1 - alpha), strict=True)
        )
        places = by_vector.keys() | by_word.keys()
        fused = {place: Sides(by_vector.get(place), by_word.get(place)) for place in places}
        least = sorted((sides.score for sides in fused.values()), reverse=True)[:k][-1:]
        for place, sides in fused.items():
            if least and sides.score >= least[0]:
                columns.append((query, sides.score, *place))
                all_sides.append(sides)
    return _best_of(columns), all_sides


def _by_query(best: Best, count: int) -> list[list[tuple[float, int, int]]]:
    found: list[list[tuple[float, int, int]]] = [[] for _ in range(count)]
    for query, score, segment, row in best.tolist():
        found[query].append((score, segment, row))
    return found


def _sides(
    found: Sequence[tuple[float, int, int]], weight: float, method: Method
) -> dict[tuple[int, int], Side]:
    scores = np.array([score for score, _, _ in found], np.float64)
    ranks = np.searchsorted(np.sort(-scores), -scores) + 1
    parts = weight * (_min_max(scores) if method is Method.CONVEX else 1 / (RRF_K + ranks))
    return {
        (segment, row): Side(int(rank), score, float(part))
        for (score, segment, row), rank, part in zip(found, ranks, parts, strict=True)
    }


def _min_max(scores: Doubles) -> Doubles:
    """Scale the scores of a list to 0..1; if all are equal, each becomes 1."""
    if not len(scores) or scores.min() == scores.max():
        return np.ones_like(scores)
    scaled: Doubles = (scores - scores.min()) / (scores.max() - scores.min())
    return scaled


def _best_of(columns: Sequence[tuple[int, float, int, int]]) -> Best:
    query, score, segment, row = zip(*columns, strict=True) if columns else ((), (), (), ())
    return Best(
        np.array(query, np.int64),
        np.array(score, np.float32),
        np.array(segment, np.int64),
        np.array(row, np.int64),
    )
