"""Joins files of vectors that contain the same documents, one file for each view."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest

import numpy as np

from taskembed.errors import BadInputError
from taskembed.vectors import Rows
from taskembed.verbs._importing.vector_rows import VectorDocument, VectorDocuments

HINT = "export each view from the same index, with the same --where"


def joined(files: Sequence[VectorDocuments]) -> Iterator[VectorDocument]:
    """Yield the documents of the first file, each with the concatenated vectors of all files.

    Args:
        files: files with the same documents, in the same order.

    Raises:
        BadInputError: the files do not contain the same documents.
    """
    for first, *others in zip_longest(*(file.items() for file in files)):
        for other in others:
            _require_same(first, other)
        each = [first, *others]
        truncated = any(one.stored.truncated for one in each)
        vectors = np.hstack([one.vectors for one in each]) if others else first.vectors
        yield first._replace(stored=replace(first.stored, truncated=truncated), vectors=vectors)


def _require_same(first: VectorDocument | None, other: VectorDocument | None) -> None:
    if first is None or other is None:
        longer = first or other
        where = longer.where if longer else ""
        raise BadInputError("the other file has fewer documents", what=where, hint=HINT)
    # `truncated` is not compared: the models of two views may read different lengths of a text
    is_same = replace(other.stored, truncated=first.stored.truncated) == first.stored
    if not is_same or not np.array_equal(_cuts(first), _cuts(other)):
        raise BadInputError(
            f"the document differs from {first.where}, or is cut into different chunks",
            what=other.where,
            hint=HINT,
        )


def _cuts(document: VectorDocument) -> Rows:
    return np.empty((0, 2), np.int64) if document.cuts is None else document.cuts
