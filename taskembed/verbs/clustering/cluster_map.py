"""A map of the clusters of an index: similar documents are points near each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from taskembed.activity import doing
from taskembed.batches import batched
from taskembed.guard import require_same_space
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.vectors import FloatRows
from taskembed.verbs.clustering.clusters import CHANGED_HINT, OUTLIER, Clustering
from taskembed.verbs.clustering.projection import projected

MOST_POINTS = 50_000  # documents on a map: as many as a browser can draw and move smoothly
SHOWN_CHARACTERS = 200  # characters of each text shown
MOST_VALUES = 30  # most values of a field with their own colour; the others become OTHER
OTHER = "(other)"
_AT_ONCE = 512  # documents read per batch

Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class ClusterMap:
    """Documents as points in a plane.

    Attributes:
        points: float32[n, 2]: similar documents are near each other; large distances mean little.
        documents: the id and the beginning of the text of each point.
        clusters: the cluster of each point; -1 for an outlier.
        names: the name of each cluster: its number and its terms.
        fields: for each field of numbers, or with a few common values, its value at each point;
            rare values are "(other)".
        left_out: the number of documents of the index that are not on the map.
    """

    points: FloatRows
    documents: tuple[tuple[str, str], ...]
    clusters: tuple[int, ...]
    names: dict[int, str]
    fields: dict[str, tuple[Value, ...]] = field(default_factory=dict)
    left_out: int = 0


def map_of(index: Index, clustering: Clustering, *, most: int = MOST_POINTS) -> ClusterMap:
    """Return the documents of an index, or a random sample of many, as points in a plane.

    Args:
        index: an open index with the space of the clusters.
        clustering: the clusters of that index.
        most: the largest number of documents on the map.

    Raises:
        MissingLibraryError: openTSNE is not installed.
        SpaceMismatchError: the clusters have another space.
    """
    require_same_space(index.space, clustering.space, hint=CHANGED_HINT)
    positions = index.by_position()
    drawn = np.sort(np.random.default_rng(0).permutation(len(positions))[:most])
    vectors = positions.vectors_at(drawn)
    numbers, _ = clustering.nearest(vectors)
    documents: list[tuple[str, str]] = []
    metadata = []
    with doing("reading texts", unit="documents", total=len(drawn)) as step:
        for some in batched(drawn, _AT_ONCE):
            for document in positions.documents_at(np.array(some, np.int64)):
                documents.append((document.doc_id, _beginning(document)))
                metadata.append(document.metadata)
            step.done += len(some)
    names = {
        cluster.number: ", ".join([str(cluster.number), *cluster.terms[:3]])
        for cluster in clustering.clusters
    }
    if (numbers == OUTLIER).any():
        names[OUTLIER] = "in no cluster"
    return ClusterMap(
        projected(vectors),
        tuple(documents),
        tuple(numbers.tolist()),
        names,
        _fields(metadata),
        len(positions) - len(drawn),
    )


def _beginning(document: Document) -> str:
    text = " ".join(document.text[: 2 * SHOWN_CHARACTERS].split())
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def _fields(metadata: Sequence[Mapping[str, object]]) -> dict[str, tuple[Value, ...]]:
    """Return the fields that points can be coloured by: numbers, and texts with common values."""
    names = dict.fromkeys(name for fields in metadata for name in fields)
    found = {}
    for name in names:
        values = [fields.get(name) for fields in metadata]
        scalars = [v if isinstance(v, str | int | float) else None for v in values]
        counts = Counter(v for v in scalars if v is not None)
        if len(counts) < 2:  # noqa: PLR2004  # all points would have one colour
            continue
        if not is_numeric(counts) and len(counts) > MOST_VALUES:
            common = dict(counts.most_common(MOST_VALUES - 1))
            if sum(common.values()) < len(values) / 2:
                continue
            scalars = [v if v is None or v in common else OTHER for v in scalars]
        found[name] = tuple(scalars)
    return found


def is_numeric(values: Iterable[Value]) -> bool:
    """Whether values are all numbers, so that points are coloured by a scale."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
