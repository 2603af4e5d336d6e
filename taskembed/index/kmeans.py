"""Spherical k-means by FAISS: centres of unit vectors, so that each vector is near one of them."""

from __future__ import annotations

import numpy as np

from taskembed.index.kinds.flat import faiss
from taskembed.vectors import FloatRows

_SEED = 1_234
_TRIES = ((2_000, 20), (20_000, 5))  # of up to so many vectors
_LEAST_TRIES = 2


def spherical_kmeans(vectors: FloatRows, k: int, *, rounds: int = 20) -> FloatRows:
    """Return the centres of k clusters, float32[k, dim], of unit length; always the same ones.

    Args:
        vectors: float32[n, dim], of unit length; n is at least k.
        k: number of clusters.
        rounds: of each try. There are several, from other first centres, and the best is kept:
            more of them for few vectors, where they cost nothing and a bad start is likelier.
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
