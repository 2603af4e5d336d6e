"""Searches RaBitQ codes for many queries at once, in a tenth of the time that FAISS takes for each.

FAISS's fast scan (André, Kermarrec and Le Scouarnec, "Cache locality is not enough", VLDB 2015)
looks up parts of vectors, each a number of four bits, in tables that fit into the registers of the
processor. Four signs are such a number. Its table needs no training: it has the sums of four
numbers of the query with each choice of signs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from taskembed.index.kinds.flat import faiss
from taskembed.vectors import FloatRows, Floats, Rows, largest

_PART = 4  # signs that are looked up together
_ROWS_TOGETHER = 64  # rows that FAISS compares together: a quarter faster than 32, its default
CHOSEN_BY_SIGNS = 2  # rows chosen by their signs alone, for each that is returned


class ArrangedCodes:
    """The codes of some rows, arranged for scanning.

    The code of a row has the signs of r, which is the vector x less the centre of all vectors: bit
    i % 8 of byte i // 8 is set if number i is positive. Two float32 follow: |r|^2 - |x|^2, and
    |r|^2 / <r, s>, where s has the signs, each divided by the square root of the dimension.

    Args:
        codes: uint8[n, bytes of a code], as FAISS stores them; n is at least 1.
        rows: int64[n]: the rows that they belong to.
        centre: float32[dim]: what FAISS has subtracted from every vector.
    """

    def __init__(self, codes: npt.NDArray[np.uint8], rows: Rows, centre: Floats) -> None:
        self._centre = centre
        self._rows = rows
        width = (len(centre) + 7) // 8
        self._factors = np.ascontiguousarray(codes[:, width:]).view("<f4")
        self._index = _fast_scan(np.ascontiguousarray(codes[:, :width]))

    def nearest(self, queries: FloatRows, depth: int) -> tuple[FloatRows, npt.NDArray[np.int64]]:
        """Return estimates float32[n, depth] and rows int64[n, depth] of the best rows, best first.

        No row that is returned equals one that is not, unless it has the lowest estimate. If so
        many rows have equal signs that this could not be, the last estimates of a query are -inf,
        and its rows must be found in another way.

        Args:
            queries: float32[n, dim].
            depth: the number of rows for each query, at most 1 / CHOSEN_BY_SIGNS of all.
        """
        sums, places = self._sums(queries, depth * CHOSEN_BY_SIGNS)
        estimates = self._estimates(queries, sums, places)
        # Others with the same signs as the last ones may be missing, so all of them are left out.
        # FAISS has -1 for a row whose signs all differ from those of the query.
        estimates[(sums == sums[:, -1:]) | (places < 0)] = -np.inf
        return largest(estimates, self._rows[places], depth)

    def _sums(self, queries: FloatRows, depth: int) -> tuple[FloatRows, npt.NDArray[np.int64]]:
        """Return the largest sums of q - centre with the signs of a row, and their places.

        FAISS rounds them to multiples of a step, which differs between queries.
        """
        padded = np.zeros((len(queries), self._index.d), np.float32)
        padded[:, : len(self._centre)] = queries - self._centre
        sums, places = self._index.search(padded, depth)
        return sums, places

    def _estimates(
        self, queries: FloatRows, sums: FloatRows, places: npt.NDArray[np.int64]
    ) -> FloatRows:
        """Return estimates of the inner products <q, x>, as FAISS computes them.

        <q - centre, r> is estimated by its sum, and the rest is exact:
        2 <q, x> = 2 <q - centre, r> + |q|^2 - |q - centre|^2 + |x|^2 - |r|^2.
        """
        rest = queries - self._centre
        exact = np.sum(queries * queries, axis=1) - np.sum(rest * rest, axis=1)
        shorter, scale = self._factors[places].transpose(2, 0, 1)
        products = sums * scale / np.float32(np.sqrt(len(self._centre)))
        estimates: FloatRows = products + (exact[:, np.newaxis] - shorter) / 2
        return estimates


def _fast_scan(signs: npt.NDArray[np.uint8]) -> Any:  # noqa: ANN401  # FAISS publishes no types
    """Return FAISS's index of the signs of rows, uint8[n, ceil(dim / 8)]."""
    dim = signs.shape[1] * 8
    numbers = np.arange(2**_PART)[:, np.newaxis] >> np.arange(_PART) & 1
    table = np.tile(numbers * 2 - 1, (dim // _PART, 1)).astype(np.float32)
    plain = faiss.IndexPQ(dim, dim // _PART, _PART, faiss.METRIC_INNER_PRODUCT)
    faiss.copy_array_to_vector(table.ravel(), plain.pq.centroids)
    plain.is_trained = True
    faiss.copy_array_to_vector(signs.ravel(), plain.codes)
    plain.ntotal = len(signs)
    return faiss.IndexPQFastScan(plain, _ROWS_TOGETHER)
