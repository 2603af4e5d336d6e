"""All pairs of vectors with at least a given similarity, by FAISS: for finding duplicates.

Up to EXACT_ROWS vectors, every pair is compared. Beyond that, the vectors are divided into lists by
k-means, and the LISTS_SEARCHED lists nearest to a vector are compared with it. On 52,500 real texts
that found all pairs with a cosine of 0.95 or more, and 99.9 % of those with 0.85 or more.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from taskembed.index.kinds.flat import faiss
from taskembed.vectors import FloatRows, Floats, Rows

EXACT_ROWS = 20_000  # vectors; all pairs of so few are compared in seconds
LISTS_SEARCHED = 4
_ROWS_OF_A_LIST = 64  # vectors that k-means is given for each list
_ROUNDS = 10  # iterations of k-means
TRAINED_SEED = 1_234  # k-means begins from the same vectors in every run


class Near(NamedTuple):
    """Pairs of near vectors: pair i is the query `query[i]` and the added vector `other[i]`."""

    query: Rows  # int64[n]: the position of the query, ascending
    other: Rows  # int64[n]: the number under which the vector was added
    score: Floats  # float32[n]: their inner product


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
        if count > EXACT_ROWS:
            lists = _lists_of(count)
            self._quantizer = faiss.IndexFlatIP(dim)  # FAISS does not keep it alive
            self._index = faiss.IndexIVFFlat(
                self._quantizer, dim, lists, faiss.METRIC_INNER_PRODUCT
            )
            self._index.cp.niter = _ROUNDS
            self._index.cp.spherical = True
            self._index.cp.seed = TRAINED_SEED
            self._index.cp.min_points_per_centroid = 1  # FAISS would print a warning
            self._index.train(np.ascontiguousarray(sample))
            self._index.nprobe = LISTS_SEARCHED

    def add(self, blocks: Iterable[tuple[Rows, FloatRows]]) -> None:
        """Add vectors block by block: int64[m], a number for each vector, and float32[m, dim]."""
        for names, vectors in blocks:
            self._index.add_with_ids(np.ascontiguousarray(vectors), np.ascontiguousarray(names))

    def within(self, queries: FloatRows, least: float) -> Near:
        """Return every vector whose inner product with a query is at least `least`.

        Args:
            queries: float32[n, dim].
            least: the least inner product.
        """
        # FAISS returns scores above its limit, but not those equal to it
        below = float(np.nextafter(np.float32(least), np.float32(-np.inf)))
        ends, scores, names = self._index.range_search(np.ascontiguousarray(queries), below)
        query = np.repeat(np.arange(len(queries)), np.diff(ends.astype(np.int64)))
        return Near(query, names.astype(np.int64), scores)


def rows_of_sample(count: int) -> int:
    """Return the size of the sample from which the lists are made; 0 if there are no lists."""
    return min(count, _lists_of(count) * _ROWS_OF_A_LIST) if count > EXACT_ROWS else 0


def _lists_of(count: int) -> int:
    return int(2 * sqrt(count))
