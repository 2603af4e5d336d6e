"""The k nearest neighbours of vectors among themselves: every pair is compared, by FAISS."""

from __future__ import annotations

import numpy as np

from taskembed.index.kinds.flat import faiss
from taskembed.vectors import Floats, Rows


def knn_graph(vectors: Floats, k: int) -> tuple[Floats, Rows]:
    """Return the k nearest other vectors of each vector, the nearest first.

    Args:
        vectors: float32[n, dim]; n is above k.
        k: the number of neighbours of a vector.

    Returns:
        Euclidean distances, float32[n, k], and rows, int64[n, k]. Of more than k + 1 equal vectors,
        one may be among its own neighbours.
    """
    vectors = np.ascontiguousarray(vectors, np.float32)
    squares, rows = faiss.knn(vectors, vectors, k + 1)
    own = rows == np.arange(len(vectors))[:, np.newaxis]
    own[~own.any(axis=1), -1] = True  # equal vectors hide the own row: drop the farthest instead
    shape = (len(vectors), k)
    distances = np.sqrt(np.maximum(squares[~own].reshape(shape), 0))
    return distances, rows[~own].reshape(shape).astype(np.int64)
