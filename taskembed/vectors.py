"""Types of arrays, and functions that combine vectors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatRows = npt.NDArray[np.float32]  # float32[n, dim], C-contiguous
Floats = npt.NDArray[np.float32]  # float32[n]
Flags = npt.NDArray[np.bool_]  # bool[n]
Rows = npt.NDArray[np.int64]  # int64[n]


class Encoded(NamedTuple):
    """The result of an encoder: row i of both arrays belongs to texts[i]."""

    vectors: FloatRows  # float32[n, dim]
    truncated: Flags  # bool[n]: whether the text was longer than the model reads


def gathered(slices: Iterable[tuple[Rows, Encoded]], count: int, dim: int) -> Encoded:
    """Return the slices of `count` texts as one result.

    Args:
        slices: int64[m], the positions of m texts, and their m encoded texts; each text once.
        count: number of texts.
        dim: the dimension of the vectors.

    Returns:
        float32[count, dim] and bool[count]: row i belongs to text i. Rows that are in no slice are
        NaN, which the guard refuses.
    """
    vectors = np.full((count, dim), np.nan, dtype=np.float32)
    truncated = np.zeros(count, dtype=np.bool_)
    for number, (rows, encoded) in enumerate(slices):
        if not number and encoded.vectors.shape[1] != dim:  # the guard refuses it
            vectors = np.full((count, encoded.vectors.shape[1]), np.nan, dtype=np.float32)
        vectors[rows], truncated[rows] = encoded
    return Encoded(vectors, truncated)


def whole_vector(chunks: FloatRows) -> FloatRows:
    """Return the vector of a whole document, float32[1, dim]: the mean of its chunks' vectors.

    The mean is scaled to the average length of the vectors, which is 1 if all have unit length.

    Args:
        chunks: float32[n, dim], n > 0. A single vector is returned unchanged.
    """
    mean = chunks.mean(axis=0, keepdims=True, dtype=np.float64)
    length = np.linalg.norm(mean)
    if len(chunks) == 1 or not length:
        return chunks[:1]
    wanted = np.linalg.norm(chunks, axis=1).mean(dtype=np.float64)
    whole: FloatRows = (mean * (wanted / length)).astype(np.float32)
    return whole


def largest(
    scores: FloatRows, rows: npt.NDArray[np.int64], count: int
) -> tuple[FloatRows, npt.NDArray[np.int64]]:
    """Return the columns with the largest scores of each row, largest first; equal ones in order.

    Args:
        scores: float32[n, m].
        rows: int64[n, m]: what each score belongs to.
        count: how many columns to return; all, if there are fewer.

    Returns:
        float32[n, k] and int64[n, k]; k is the smaller of m and `count`.
    """
    order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)
