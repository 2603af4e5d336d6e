"""Vectors as arrays: the names of their types."""

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
    """What an encoder gives: row i of both is of texts[i]."""

    vectors: FloatRows  # float32[n, dim]
    truncated: Flags  # bool[n]: the model did not read all of the text


def gathered(slices: Iterable[tuple[Rows, Encoded]], count: int, dim: int) -> Encoded:
    """Return what the slices of `count` texts make together, row i of text i.

    Args:
        slices: the numbers of some texts, and what they were encoded as; each text once.
        count: how many texts there are.
        dim: numbers in a vector.
    """
    # a row that no slice has stays without a number, which the guard refuses
    vectors = np.full((count, dim), np.nan, dtype=np.float32)
    truncated = np.zeros(count, dtype=np.bool_)
    for number, (rows, encoded) in enumerate(slices):
        if not number and encoded.vectors.shape[1] != dim:  # for the guard to refuse
            vectors = np.full((count, encoded.vectors.shape[1]), np.nan, dtype=np.float32)
        vectors[rows], truncated[rows] = encoded
    return Encoded(vectors, truncated)
