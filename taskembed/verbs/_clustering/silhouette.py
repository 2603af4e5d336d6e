"""Chooses the number of clusters by the mean silhouette."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

import numpy as np

from taskembed.activity import doing
from taskembed.index.kmeans import spherical_kmeans
from taskembed.vectors import FloatRows, Rows

JUDGED = 2_000  # vectors whose silhouettes are computed
NUMBERS = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 64, 80, 100, 128, 160, 200, 256)
# Silhouettes this near the best are as good: 8 and 128 clusters of 12,340 snippets had 0.095
TOLERANCE = 0.02
_ROUNDS = 10  # of k-means, for each number


def candidates(count: int) -> list[int]:
    """Return the numbers of clusters to try for `count` vectors, up to 2 sqrt(count/2)."""
    most = max(2, int(2 * sqrt(count / 2)))
    return [number for number in NUMBERS if number <= min(most, count - 1)]


def silhouettes(vectors: FloatRows) -> dict[int, float]:
    """Return the mean silhouette of the clusters for each number of clusters that is tried.

    Args:
        vectors: float32[n, dim], of unit length.
    """
    some = np.sort(np.random.default_rng(0).permutation(len(vectors))[:JUDGED])
    distances = np.maximum(1 - vectors[some] @ vectors[some].T, 0)
    found: dict[int, float] = {}
    tried = candidates(len(vectors))
    with doing("choosing the number of clusters", unit="numbers", total=len(tried)) as step:
        for k in tried:
            centres = spherical_kmeans(vectors, k, rounds=_ROUNDS)
            found[k] = silhouette(distances, (vectors[some] @ centres.T).argmax(axis=1))
            step.done += 1
    return found


def best_number(silhouettes: Mapping[int, float]) -> int:
    """Return the smallest number of clusters whose silhouette is as good as the best, or nearly.

    Args:
        silhouettes: the mean silhouette for each number of clusters.
    """
    best = max(silhouettes.values())
    return min(k for k, value in silhouettes.items() if value >= best - TOLERANCE * abs(best))


def silhouette(distances: FloatRows, clusters: Rows) -> float:
    """Return the mean silhouette, -1 to 1: how much nearer the own cluster is than the next.

    Args:
        distances: float32[n, n].
        clusters: int64[n]: the cluster of each.
    """
    numbers, clusters = np.unique(clusters, return_inverse=True)
    if len(numbers) < 2:  # noqa: PLR2004  # there is no next cluster
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
