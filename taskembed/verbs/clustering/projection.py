"""Projects vectors into a plane so that similar ones are near each other: t-SNE, by openTSNE.

On five sets of labelled texts, 54 to 83 % of the ten nearest points in the plane had the label of
the point itself, about as many as among the vectors. After a PCA, 19 to 66 % did
(docs/adr/0022-maps-by-t-sne.md).
"""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from taskembed.activity import Step, doing
from taskembed.extras import MAP, require_extra
from taskembed.index.knn_graph import knn_graph
from taskembed.vectors import FloatRows
from taskembed.verbs.clustering.components import principal_components

PERPLEXITY = 30  # roughly the number of neighbours of a point: the library's default
_PLAIN_DIMENSIONS = 50  # principal components in which neighbours are searched, as is usual
_EARLY, _LATE = 250, 500  # the library's numbers of iterations, with and without exaggeration
_REPORTED = 25  # iterations between two reports of progress
_START = 1e-4  # standard deviation of the initial points, as the library expects


def projected(vectors: FloatRows) -> FloatRows:
    """Return points in a plane, float32[n, 2], so that similar vectors are near each other.

    Distances between points that are far apart mean little. On one machine, the same vectors
    always give the same points.

    Args:
        vectors: float32[n, dim], of unit length; n is at least 1.

    Raises:
        MissingLibraryError: openTSNE is not installed.
    """
    reduced = principal_components(vectors, _PLAIN_DIMENSIONS)
    perplexity = min(PERPLEXITY, (len(vectors) - 1) // 3)
    if perplexity < 1:  # too few for neighbours
        plane = np.zeros((len(vectors), 2), np.float32)
        plane[:, : reduced.shape[1]] = reduced[:, :2]
        return plane
    with doing("drawing the map", unit="iterations", total=_EARLY + _LATE) as step:
        return _by_tsne(reduced, perplexity, step)


def _by_tsne(reduced: FloatRows, perplexity: int, step: Step) -> FloatRows:
    library = require_extra("openTSNE", MAP)
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.nearest_neighbors import PrecomputedNeighbors

    distances, rows = knn_graph(reduced, 3 * perplexity)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else -1
    affinities = PerplexityBasedNN(
        knn_index=PrecomputedNeighbors(rows, distances), perplexity=perplexity, n_jobs=cores
    )

    def report(*_: object) -> None:
        step.done += _REPORTED

    tsne = library.TSNE(
        perplexity=perplexity,
        early_exaggeration_iter=_EARLY,
        n_iter=_LATE,
        n_jobs=cores,
        random_state=0,
        callbacks=report,
        callbacks_every_iters=_REPORTED,
    )
    points = tsne.fit(affinities=affinities, initialization=_start(reduced))
    return np.asarray(points, np.float32)


def _start(reduced: FloatRows) -> npt.NDArray[np.float64]:
    """Return the initial points: the first two principal components, and a little noise.

    This start preserves the large structure: https://doi.org/10.1038/s41587-020-00809-z.
    """
    first = reduced[:, :2].astype(np.float64)
    spread = first[:, 0].std()
    noise = np.random.default_rng(0).normal(0, _START / 100, first.shape)
    return (first * (_START / spread) if spread > 0 else np.zeros_like(first)) + noise
