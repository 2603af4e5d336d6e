"""Types for files of vectors: documents with their vectors, and properties of all vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from taskembed.errors import BadVectorError
from taskembed.space import EmbeddingSpace, PromptType
from taskembed.vectors import Flags, FloatRows, Rows


class NumberType(StrEnum):
    """The type of the numbers of vectors in a file.

    Raises:
        ValueError: a value names no such type.
    """

    FLOAT32 = "float32"
    FLOAT16 = "float16"

    @classmethod
    def _missing_(cls, value: object) -> NumberType:
        raise ValueError(f"{value!r} is not a type of numbers; valid types: {', '.join(cls)}")


class VectorRows(NamedTuple):
    """Some documents with their vectors.

    Attributes:
        doc_ids: the ids of n documents.
        texts: their whole texts.
        metadata: their metadata, as JSON.
        truncated: bool[n]: whether the model did not read all of a document.
        vectors: float32[n, dim]; or, with `cuts`, float32[m, dim]: the vectors of the chunks of
            each document, one document after the other.
        cuts: int64[k, 2] for each document: begin and end of its k chunks, in characters; None if
            documents are not cut into chunks.
    """

    doc_ids: Sequence[str]
    texts: Sequence[str]
    metadata: Sequence[str]
    truncated: Flags
    vectors: FloatRows
    cuts: Sequence[Rows] | None = None


@dataclass(frozen=True, slots=True)
class VectorHeader:
    """Properties of all vectors of a file, which are stored in its header.

    Attributes:
        space: the space of the vectors.
        side: whether the vectors are of documents or of queries.
        dtype: the type of their numbers.
        is_chunked: whether documents were cut into chunks, so that a row is a chunk.
        index: the settings of the index that the vectors were exported from, as a JSON object;
            empty if they are not from an index.
    """

    space: EmbeddingSpace
    side: PromptType = PromptType.DOCUMENT
    dtype: NumberType = NumberType.FLOAT32
    is_chunked: bool = False
    index: Mapping[str, object] = field(default_factory=dict)


def as_type(rows: VectorRows, dtype: NumberType) -> npt.NDArray[Any]:
    """Return the vectors of some documents, float32[n, dim], converted to a type.

    Raises:
        BadVectorError: a number is too large for the type.
    """
    if dtype is NumberType.FLOAT32:
        return rows.vectors
    with np.errstate(over="ignore"):
        vectors = rows.vectors.astype(np.float16)
    bad = ~np.isfinite(vectors).all(axis=1)
    if bad.any():
        counts = [1] * len(rows.doc_ids) if rows.cuts is None else list(map(len, rows.cuts))
        owner = int(np.repeat(np.arange(len(rows.doc_ids)), counts)[int(bad.argmax())])
        raise BadVectorError(
            f"document {rows.doc_ids[owner]!r}: a number of its vector is too large for float16",
            hint="--dtype float32",
        )
    return vectors
