"""Spherical k-means by FAISS: centres of unit vectors, so that each vector is near one of them."""

from __future__ import annotations

import numpy as np

from taskembed.index.kinds.flat import faiss
from taskembed.vectors import FloatRows

_SEED = 1_234
_TRIES = ((2_000, 20), (20_000, 5))  # (vectors at most, tries)
_LEAST_TRIES = 2


def spherical_kmeans(vectors: FloatRows, k: int, *, rounds: int = 20) -> FloatRows:
    """Return the centres of k clusters, float32[k, dim], of unit length; always the same ones.

    Args:
        vectors: float32[n, dim], of unit length; n is at least k.
        k: number of clusters.
        rounds: iterations of each try. Several tries start from different centres and the best is
            kept. Few vectors get more tries: they are cheap, and a bad start is more likely.
    """
    tries = next((tries for most, tries in _TRIES if len(vectors) <= most), _LEAST_TRIES)
    model = faiss.Kmeans(
        vectors.shape[1],
        k,
        niter=rounds,
        nredo=tries,
        spherical=True,
        seed=_SEED,
        # FAISS would leave vectors out, or print a warning of few
        min_points_per_centroid=1,
        max_points_per_centroid=max(len(vectors), 1),
    )
    model.train(np.ascontiguousarray(vectors))
    return np.asarray(model.centroids, np.float32).reshape(k, vectors.shape[1])
