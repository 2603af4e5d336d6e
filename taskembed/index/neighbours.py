"""All pairs of vectors with at least a given similarity, by FAISS: for finding duplicates.

Up to EXACT_ROWS vectors, every pair is compared. Beyond that, the vectors are divided into lists by
k-means, and the LISTS_SEARCHED lists nearest to a vector are compared with it. On 52,500 real texts
that found all pairs with a cosine of 0.95 or more, and 99.9 % of those with 0.85 or more.

A list is multiplied with all the queries that look into it at once: FAISS would read it from memory
for each of them, which takes several times as long. That takes about a millisecond for each list,
and in one thread: on a busy machine, several would spend most of it waiting for each other.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable
from contextlib import closing
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

from taskembed.index.kinds.flat import faiss
from taskembed.vectors import FloatRows, Floats, Rows

EXACT_ROWS = 20_000  # vectors; all pairs of so few are compared in seconds
LISTS_SEARCHED = 4
_ROWS_OF_A_LIST = 64  # vectors that k-means is given for each list
_ROUNDS = 10  # iterations of k-means
_SCORES_AT_ONCE = 4_000_000  # of some queries with a list: 16 MB
TRAINED_SEED = 1_234  # k-means begins from the same vectors in every run


_NO_ROWS, _NO_SCORES = np.empty(0, np.int64), np.empty(0, np.float32)


class Near(NamedTuple):
    """Pairs of near vectors: pair i is the query `query[i]` and the added vector `other[i]`."""

    query: Rows  # int64[n]: the position of the query, ascending
    other: Rows  # int64[n]: the number under which the vector was added
    score: Floats  # float32[n]: their inner product


class TooManyPairsError(Exception):
    """More pairs are near each other than were asked for at once."""


class Neighbourhood:
    """Vectors in memory, searched for all that are near a query.

    Args:
        count: how many vectors will be added.
        dim: the numbers in each vector.
        sample: float32[m, dim]: some of the vectors, from which the lists are made; see
            `rows_of_sample`.
    """

    def __init__(self, count: int, dim: int, sample: FloatRows) -> None:
        self._index: Any = faiss.IndexIDMap(faiss.IndexFlatIP(dim))
        self._lists = _lists_of(count) if count > EXACT_ROWS else 0
        if self._lists:
            self._quantizer = faiss.IndexFlatIP(dim)  # FAISS does not keep it alive
            self._index = faiss.IndexIVFFlat(
                self._quantizer, dim, self._lists, faiss.METRIC_INNER_PRODUCT
            )
            self._index.cp.niter = _ROUNDS
            self._index.cp.spherical = True
            self._index.cp.seed = TRAINED_SEED
            self._index.cp.min_points_per_centroid = 1  # FAISS would print a warning
            self._index.train(np.ascontiguousarray(sample))
            self._threads = ThreadpoolController()

    def add(self, blocks: Iterable[tuple[Rows, FloatRows]]) -> None:
        """Add vectors block by block: int64[m], a number for each vector, and float32[m, dim]."""
        for names, vectors in blocks:
            self._index.add_with_ids(np.ascontiguousarray(vectors), np.ascontiguousarray(names))

    def within(self, queries: FloatRows, least: float, *, most: int = sys.maxsize) -> Near:
        """Return every vector whose inner product with a query is at least `least`.

        Args:
            queries: float32[n, dim].
            least: the least inner product.
            most: pairs at most; about so many fill the memory.

        Raises:
            TooManyPairsError: there are more.
        """
        queries = np.ascontiguousarray(queries)
        every = (
            self._of_lists(queries, least) if self._lists else self._of_all(queries, least, most)
        )
        parts: list[Near] = []
        left = most
        with closing(every):  # whether or not all are read, numpy then has its threads again
            for part in every:
                left -= len(part.query)
                if left < 0:
                    raise TooManyPairsError
                parts.append(part)
        query = np.concatenate([_NO_ROWS, *(part.query for part in parts)])
        order = np.argsort(query, kind="stable")
        other = np.concatenate([_NO_ROWS, *(part.other for part in parts)])[order]
        score = np.concatenate([_NO_SCORES, *(part.score for part in parts)])[order]
        return Near(query[order], other, score)

    def _of_all(self, queries: FloatRows, least: float, most: int) -> Generator[Near, None, None]:
        """Yield the pairs of some queries at a time: their vectors among all."""
        # FAISS returns scores above its limit, but not those equal to it
        below = float(np.nextafter(np.float32(least), np.float32(-np.inf)))
        at_once = max(most // max(self._index.ntotal, 1), 1)
        for start in range(0, len(queries), at_once):
            some = queries[start : start + at_once]
            ends, scores, names = self._index.range_search(some, below)
            query = np.repeat(np.arange(len(some)), np.diff(ends.astype(np.int64)))
            yield Near(start + query, names.astype(np.int64), scores)

    def _of_lists(self, queries: FloatRows, least: float) -> Generator[Near, None, None]:
        """Yield the pairs of a list at a time: its vectors among those of all its queries."""
        _, lists = self._quantizer.search(queries, LISTS_SEARCHED)
        order = np.argsort(lists, axis=None, kind="stable")
        ends = np.cumsum(np.bincount(lists.reshape(-1), minlength=self._lists))
        with self._threads.limit(limits=1, user_api="blas"):
            for number, asking in enumerate(np.split(order // LISTS_SEARCHED, ends[:-1])):
                names, vectors = self._list(number)
                at_once = max(_SCORES_AT_ONCE // max(len(names), 1), 1)
                for start in range(0, len(asking), at_once):
                    some = asking[start : start + at_once]
                    scores = queries[some] @ vectors.T
                    rows, columns = np.nonzero(scores >= np.float32(least))
                    yield Near(some[rows], names[columns], scores[rows, columns])

    def _list(self, number: int) -> tuple[Rows, FloatRows]:
        """Return the names, int64[m], and vectors, float32[m, dim], of a list: views of FAISS's."""
        stored = self._index.invlists
        size = stored.list_size(number)
        if not size:
            return _NO_ROWS, np.empty((0, self._index.d), np.float32)
        names = faiss.rev_swig_ptr(stored.get_ids(number), size)
        codes = faiss.rev_swig_ptr(stored.get_codes(number), size * stored.code_size)
        return names, codes.view(np.float32).reshape(size, self._index.d)


def rows_of_sample(count: int) -> int:
    """Return the size of the sample from which the lists are made; 0 if there are no lists."""
    return min(count, _lists_of(count) * _ROWS_OF_A_LIST) if count > EXACT_ROWS else 0


def _lists_of(count: int) -> int:
    return int(2 * sqrt(count))
