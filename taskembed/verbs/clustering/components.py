"""The principal components of vectors: the directions in which they differ most."""

from __future__ import annotations

import numpy as np

from taskembed.vectors import FloatRows


def principal_components(vectors: FloatRows, most: int) -> FloatRows:
    """Return the leading principal components of vectors, float32[n, at most `most`].

    Args:
        vectors: float32[n, dim]; n is at least 1.
        most: the largest number of components to keep.
    """
    centred = vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)  # by ascending variance
    reduced: FloatRows = np.ascontiguousarray(centred @ axes[:, ::-1][:, :most])
    return reduced
