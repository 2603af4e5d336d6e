"""Spherical k-means by FAISS (Dhillon and Modha, "Concept decompositions", 2001).

It finds centres of unit length such that the cosine of each vector and its nearest centre is high.
"""

from __future__ import annotations

import numpy as np

from taskembed.index.kinds.flat import faiss
from taskembed.vectors import FloatRows

_SEED = 1_234
_TRIES = ((2_000, 20), (20_000, 5))  # (vectors at most, tries)
_LEAST_TRIES = 2


def spherical_kmeans(vectors: FloatRows, k: int, *, rounds: int = 20) -> FloatRows:
    """Return the centres of k clusters, float32[k, dim], of unit length; the same in every call.

    Args:
        vectors: float32[n, dim], of unit length; n is at least k.
        k: the number of clusters.
        rounds: iterations of each try. Several tries start from different centres, and the best is
            kept. For few vectors there are more tries: they are cheap, and a bad start is more
            likely.
    """
    tries = next((tries for most, tries in _TRIES if len(vectors) <= most), _LEAST_TRIES)
    model = faiss.Kmeans(
        vectors.shape[1],
        k,
        niter=rounds,
        nredo=tries,
        spherical=True,
        seed=_SEED,
        # otherwise FAISS leaves vectors out, or prints a warning that there are few
        min_points_per_centroid=1,
        max_points_per_centroid=max(len(vectors), 1),
    )
    model.train(np.ascontiguousarray(vectors))
    return np.asarray(model.centroids, np.float32).reshape(k, vectors.shape[1])
