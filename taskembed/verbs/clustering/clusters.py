"""The clusters of an index, to which new texts can be assigned."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from taskembed.reading.document import Document
from taskembed.space import EmbeddingSpace
from taskembed.vectors import FloatRows, Floats, Rows

OUTLIER = -1  # the cluster number of texts that are not near any centre
CHANGED_HINT = "run `taskembed cluster` again"


@dataclass(frozen=True, slots=True)
class Assignment:
    """The cluster of a text.

    Attributes:
        doc_id: the id of the text.
        cluster: the number of its cluster; -1 for an outlier.
        score: the cosine of its vector and the centre of the nearest cluster.
    """

    doc_id: str
    cluster: int
    score: float


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster of documents.

    Attributes:
        number: 0 for the largest.
        size: the number of documents in it.
        terms: the words that distinguish it from the other clusters, the best first.
        nearest: the documents nearest to its centre, the nearest first.
    """

    number: int
    size: int
    terms: tuple[str, ...]
    nearest: tuple[Document, ...] = ()


@dataclass(frozen=True, slots=True)
class Clustering:
    """The clusters of an index, to which new texts can be assigned.

    Attributes:
        space: the space of the centres.
        centres: float32[clusters, dim], of unit length.
        clusters: the clusters, the largest first.
        outliers: the number of documents in no cluster.
        min_similarity: the lowest cosine of a text and the centre of its cluster; None for no
            limit.
        silhouettes: the mean silhouette for each number of clusters that was tried; empty if the
            number was given.
    """

    space: EmbeddingSpace
    centres: FloatRows
    clusters: tuple[Cluster, ...]
    outliers: int
    min_similarity: float | None = None
    silhouettes: dict[int, float] = field(default_factory=dict)

    @property
    def runner_up(self) -> int | None:
        """The number of clusters with the second-best silhouette; None if only one was tried."""
        others = [k for k in self.silhouettes if k != len(self.centres)]
        return max(others, key=self.silhouettes.__getitem__, default=None)

    def nearest(self, vectors: FloatRows) -> tuple[Rows, Floats]:
        """Return the cluster of each vector, int64[n], and the cosine with its centre, float32[n].

        Args:
            vectors: float32[n, dim], of unit length.
        """
        cosines = vectors @ self.centres.T
        found = cosines.argmax(axis=1)
        scores = cosines[np.arange(len(vectors)), found]
        if self.min_similarity is not None:
            found = np.where(scores >= self.min_similarity, found, OUTLIER)
        return found, scores
