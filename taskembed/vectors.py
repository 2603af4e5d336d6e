"""Vectors as arrays: the names of their types."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatRows = npt.NDArray[np.float32]  # float32[n, dim], C-contiguous
Floats = npt.NDArray[np.float32]  # float32[n]
Flags = npt.NDArray[np.bool_]  # bool[n]


class Encoded(NamedTuple):
    """What an encoder gives: row i of both is of texts[i]."""

    vectors: FloatRows  # float32[n, dim]
    truncated: Flags  # bool[n]: the model did not read all of the text
