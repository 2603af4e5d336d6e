"""Clusters the documents of an index for "clustering", and assigns new texts to the clusters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from taskembed.activity import doing
from taskembed.arguments import require_positive
from taskembed.batches import batched
from taskembed.errors import BadInputError, UsageError
from taskembed.guard import require_same_space
from taskembed.index.kmeans import spherical_kmeans
from taskembed.index.ranking.positions import Positions
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.space import Task
from taskembed.vectors import Rows
from taskembed.verbs.clustering.clusters import (
    CHANGED_HINT,
    OUTLIER,
    Assignment,
    Cluster,
    Clustering,
)
from taskembed.verbs.clustering.silhouette import best_number, silhouettes
from taskembed.verbs.clustering.terms import terms_of
from taskembed.verbs.opening.tasks import document_vectors, require_encoder_of, require_index_of
from taskembed.verbs.opening.whole_texts import whole_text_encoder
from taskembed.verbs.protocols import Encoder

TRAINED_ROWS = 256_000  # most vectors to compute the centres from: 400 MB with 384 dimensions
SHOWN_TEXTS = 3  # documents shown for each cluster
READ_TEXTS = 100_000  # most documents whose words are counted to find the terms
_AT_ONCE = 512  # texts encoded, or read, per batch


def cluster_index(
    index: Index, *, k: int | None = None, min_similarity: float | None = None
) -> Clustering:
    """Find the clusters of an index's documents; nothing is changed, and no model runs.

    Args:
        index: an open index for the task "clustering".
        k: the number of clusters; None for the number with the best silhouette.
        min_similarity: documents whose cosine with every centre is lower are outliers.

    Raises:
        SpaceMismatchError: the index is for another task.
        UsageError: there are fewer documents than clusters; or the metric of the index is "dot".
        BadInputError: `k` is None and there are fewer than three documents.
        TypeError: the index is not an `Index`.
        ValueError: k is below 1, or the index is closed.
    """
    if k is not None:
        require_positive(k, "k")
    require_clustering(index)
    positions = index.by_position()
    _require_enough(index, k)
    drawn = np.sort(np.random.default_rng(0).permutation(len(positions))[:TRAINED_ROWS])
    vectors = positions.vectors_at(drawn)
    tried = silhouettes(vectors) if k is None else {}
    chosen = k if k is not None else best_number(tried)
    with doing("clustering", unit="documents", total=len(positions)) as step:
        centres = spherical_kmeans(vectors, chosen)
        step.done = len(positions)
    del vectors
    return _described(positions, Clustering(index.space, centres, (), 0, min_similarity, tried))


def assignments(index: Index, clustering: Clustering) -> Iterator[Assignment]:
    """Yield the cluster of every document of an index, in the order in which they were indexed.

    Args:
        index: an open index with the space of the clusters.
        clustering: the clusters of that index, possibly of an earlier generation.

    Raises:
        SpaceMismatchError: the clusters have another space.
    """
    require_same_space(index.space, clustering.space, hint=CHANGED_HINT)
    positions = index.by_position()
    for here, vectors in positions.blocks(_AT_ONCE):
        names = [document.doc_id for document in positions.documents_at(here)]
        found, scores = clustering.nearest(vectors)
        yield from map(Assignment, names, found.tolist(), scores.tolist())


def assign_documents(
    documents: Iterable[Document], encoder: Encoder, index: Index, clustering: Clustering
) -> Iterator[Assignment]:
    """Yield the cluster of each new text; only a few hundred are in memory at a time.

    Args:
        documents: the texts.
        encoder: an encoder of the index's space.
        index: an open index for the task "clustering".
        clustering: the clusters of that index.

    Raises:
        SpaceMismatchError: the index is for another task, or the encoder or the clusters have
            another space.
        BadVectorError: a text's vector cannot be compared.
        TypeError: the index is not an `Index`, or the encoder is not an `Encoder`.
    """
    require_clustering(index)
    require_encoder_of(index, encoder)
    require_same_space(index.space, clustering.space, hint=CHANGED_HINT)
    return _assigned(documents, whole_text_encoder(index, encoder), clustering)


def require_clustering(index: Index) -> None:
    """Check that the documents of an index can be clustered.

    Raises:
        SpaceMismatchError: the index is for another task than clustering.
        UsageError: the metric of the index is "dot".
        TypeError: `index` is not an `Index`.
    """
    require_index_of("cluster", Task.CLUSTERING, index)


def _require_enough(index: Index, k: int | None) -> None:
    if k is not None and k > len(index):
        raise UsageError(f"-k {k}: {index.folder} has {len(index)} documents")
    if k is None and len(index) < 3:  # noqa: PLR2004  # two clusters of one document each
        raise BadInputError(
            f"{len(index)} documents are too few to find clusters", what=str(index.folder)
        )


def _described(positions: Positions, found: Clustering) -> Clustering:
    """Return a clustering with the size, the terms and the nearest documents of each cluster.

    Args:
        positions: the documents of the index.
        found: the clustering, with centres in any order.
    """
    count = len(found.centres)
    numbers = np.empty(len(positions), np.int64)
    scores = np.empty(len(positions), np.float32)
    for here, vectors in positions.blocks():
        numbers[here], scores[here] = found.nearest(vectors)
    sizes = np.bincount(numbers[numbers >= 0], minlength=count)
    order = np.argsort(-sizes, kind="stable")  # the largest first
    numbers = np.append(np.argsort(order), OUTLIER)[numbers]
    terms = terms_of(_texts(positions, numbers), count)
    clusters = []
    for number, size in enumerate(sizes[order].tolist()):
        members = np.flatnonzero(numbers == number)
        best = members[np.argsort(-scores[members], kind="stable")[:SHOWN_TEXTS]]
        nearest = tuple(positions.documents_at(best))
        clusters.append(Cluster(number, size, tuple(terms[number]), nearest))
    outliers = int((numbers == OUTLIER).sum())
    return replace(found, centres=found.centres[order], clusters=tuple(clusters), outliers=outliers)


def _texts(positions: Positions, numbers: Rows) -> Iterator[tuple[int, str]]:
    """Yield the clusters and the texts of documents; of a random sample if there are very many."""
    drawn = np.sort(np.random.default_rng(0).permutation(len(positions))[:READ_TEXTS])
    with doing("reading texts", unit="documents", total=len(drawn)) as step:
        for some in batched(drawn, _AT_ONCE):
            here = np.array(some, np.int64)
            for number, document in zip(
                numbers[here].tolist(), positions.documents_at(here), strict=True
            ):
                yield number, document.text
            step.done += len(here)


def _assigned(
    documents: Iterable[Document], encoder: Encoder, clustering: Clustering
) -> Iterator[Assignment]:
    with doing("", unit="documents") as step:
        for some in batched(documents, _AT_ONCE):
            found, scores = clustering.nearest(document_vectors(some, encoder))
            names = [item.doc_id for item in some]
            yield from map(Assignment, names, found.tolist(), scores.tolist())
            step.done += len(some)
