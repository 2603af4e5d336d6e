"""Saves and loads the clusters of an index: a file in its folder, but not part of the index.

INDEX/clusters.safetensors   centres, float32[clusters, dim]; the rest as JSON in its metadata
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from taskembed.errors import IndexDamagedError, NotFoundError, os_errors
from taskembed.guard import require_same_space
from taskembed.outputs import completed_file
from taskembed.space import EmbeddingSpace
from taskembed.vectors import FloatRows
from taskembed.verbs.clustering.clusters import CHANGED_HINT, Cluster, Clustering

NAME = "clusters.safetensors"
_CENTRES, _REST, _CHECKSUM = "centres", "clusters", "crc32"


def save_clusters(folder: str | Path, clustering: Clustering) -> Path:
    """Save the clusters of an index into its folder, replacing earlier ones; return the path.

    Args:
        folder: the folder of the index.
        clustering: the clusters of that index.

    Raises:
        AccessDeniedError: the folder may not be written to.
        StorageError: the disk is full.
    """
    from safetensors.numpy import save

    path = Path(folder) / NAME
    rest = json.dumps(_to_json(clustering))
    metadata = {_REST: rest, _CHECKSUM: str(_checksum(clustering.centres, rest))}
    data = save({_CENTRES: np.ascontiguousarray(clustering.centres)}, metadata)
    with completed_file(path) as stream:
        stream.write(data)
    return path


def load_clusters(folder: str | Path, space: EmbeddingSpace) -> Clustering:
    """Load the clusters that were saved in the folder of an index.

    Args:
        folder: the folder of the index.
        space: the space of the index.

    Raises:
        NotFoundError: the index has no clusters yet.
        IndexDamagedError: the file is damaged.
        SpaceMismatchError: the index has since been built again in another space.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(folder) / NAME
    if not path.exists():
        raise NotFoundError(f"{folder} has no clusters yet", hint="taskembed cluster")
    try:
        with os_errors(path), safe_open(path, framework="numpy") as opened:
            clustering = _checked(opened.metadata(), opened.get_tensor(_CENTRES))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise IndexDamagedError(
            f"{path}: the clusters cannot be read: {error}", hint=CHANGED_HINT
        ) from error
    require_same_space(space, clustering.space, hint=CHANGED_HINT)
    return clustering


def _checked(metadata: dict[str, str], centres: FloatRows) -> Clustering:
    """Read what `save_clusters` wrote.

    Raises:
        KeyError, TypeError, ValueError: the file has another format.
    """
    if int(metadata[_CHECKSUM]) != _checksum(centres, metadata[_REST]):
        raise ValueError("its checksum does not match")
    return _from_json(json.loads(metadata[_REST]), centres)


def _checksum(centres: FloatRows, rest: str) -> int:
    return zlib.crc32(rest.encode(), zlib.crc32(np.ascontiguousarray(centres).tobytes()))


def _to_json(clustering: Clustering) -> dict[str, object]:
    return {
        "space": clustering.space.to_json(),
        "min_similarity": clustering.min_similarity,
        "outliers": clustering.outliers,
        "silhouettes": [list(pair) for pair in clustering.silhouettes.items()],
        "clusters": [[item.size, list(item.terms)] for item in clustering.clusters],
    }


def _from_json(values: Any, centres: FloatRows) -> Clustering:  # noqa: ANN401  # JSON
    """Parse what `_to_json` returned.

    Raises:
        KeyError, TypeError, ValueError: the values have another format, or do not match the
            centres.
    """
    space = EmbeddingSpace.from_json(values["space"])
    least = values["min_similarity"]
    if centres.dtype != np.float32 or centres.shape != (len(values["clusters"]), space.dim):
        raise ValueError("the centres do not match the clusters")
    return Clustering(
        space,
        centres,
        tuple(
            Cluster(number, int(size), tuple(map(str, terms)))
            for number, (size, terms) in enumerate(values["clusters"])
        ),
        int(values["outliers"]),
        None if least is None else float(least),
        {int(number): float(value) for number, value in values["silhouettes"]},
    )
