"""Chooses the number of clusters by the mean silhouette, in a few principal components.

In all dimensions of a vector the silhouettes of texts hardly differ, and the best one often belongs
to very many clusters or to two. docs/adr/0032-the-number-of-clusters.md has the measurements.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

import numpy as np

from taskembed.activity import doing
from taskembed.index.kmeans import spherical_kmeans
from taskembed.vectors import FloatRows, Rows
from taskembed.verbs.clustering.components import principal_components

COMPONENTS = 15  # principal components in which silhouettes are computed
JUDGED = 2_000  # vectors whose silhouettes are computed
NUMBERS = (2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 22, 27, 33, 40, 50, 64, 80, 100, 128, 160, 200, 256)
_ROUNDS = 10  # of k-means, for each number


def candidates(count: int) -> list[int]:
    """Return the numbers of clusters to try for `count` vectors, up to 2 sqrt(count/2)."""
    most = max(2, int(2 * sqrt(count / 2)))
    return [number for number in NUMBERS if number <= min(most, count - 1)]


def silhouettes(vectors: FloatRows) -> dict[int, float]:
    """Return the mean silhouette of the clusters for each number of clusters that is tried.

    The numbers are those of `candidates`; the silhouettes are smoothed by `smoothed`.

    Args:
        vectors: float32[n, dim], of unit length.
    """
    points = principal_components(vectors, COMPONENTS)
    points /= np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-9)  # equal: all zeros
    some = np.sort(np.random.default_rng(0).permutation(len(points))[:JUDGED])
    distances = np.maximum(1 - points[some] @ points[some].T, 0)
    found: dict[int, float] = {}
    tried = candidates(len(points))
    with doing("choosing the number of clusters", unit="numbers", total=len(tried)) as step:
        for k in tried:
            centres = spherical_kmeans(points, k, rounds=_ROUNDS)
            found[k] = silhouette(distances, (points[some] @ centres.T).argmax(axis=1))
            step.done += 1
    return smoothed(found)


def smoothed(silhouettes: Mapping[int, float]) -> dict[int, float]:
    """Return the silhouette of each number, averaged with those of the numbers next to it.

    A single silhouette depends on the random start of k-means. The number itself counts twice; the
    first and the last number are their own neighbours.

    Args:
        silhouettes: the mean silhouette for each number of clusters, ascending.
    """
    values = [*silhouettes.values()]
    before, after = [values[0], *values[:-1]], [*values[1:], values[-1]]
    averages = [
        (left + 2 * own + right) / 4 for left, own, right in zip(before, values, after, strict=True)
    ]
    return dict(zip(silhouettes, averages, strict=True))


def best_number(silhouettes: Mapping[int, float]) -> int:
    """Return the number of clusters with the greatest silhouette; of equal ones, the smallest.

    Args:
        silhouettes: the mean silhouette for each number of clusters.
    """
    return min(silhouettes, key=lambda k: (-silhouettes[k], k))


def silhouette(distances: FloatRows, clusters: Rows) -> float:
    """Return the mean silhouette, -1 to 1: how much nearer a vector's cluster is than the next.

    Args:
        distances: float32[n, n].
        clusters: int64[n]: the cluster of each vector.
    """
    numbers, clusters = np.unique(clusters, return_inverse=True)
    if len(numbers) < 2:  # noqa: PLR2004  # needs a second cluster
        return -1.0
    sizes = np.bincount(clusters)
    member = np.zeros((len(clusters), len(numbers)), np.float32)
    member[np.arange(len(clusters)), clusters] = 1
    sums = distances @ member
    rows = np.arange(len(clusters))
    own_size = sizes[clusters]
    own = sums[rows, clusters] / np.maximum(own_size - 1, 1)
    means = sums / sizes
    means[rows, clusters] = np.inf
    other = means.min(axis=1)
    largest = np.maximum(own, other)
    values = np.where(largest > 0, (other - own) / np.where(largest > 0, largest, 1), 0)
    return float(np.where(own_size > 1, values, 0).mean())
