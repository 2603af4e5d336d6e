"""Estimates inner products from RaBitQ codes for many queries at once: a tenth of FAISS's time.

FAISS's fast scan (André, Kermarrec and Le Scouarnec, "Cache locality is not enough", VLDB 2015)
looks up the parts of a code, each a number of four bits, in tables that fit into the registers of
the processor. Four signs are such a number; its table has the sums of four numbers of the query
with each choice of signs, so it needs no training. The two numbers that a code has beside its signs
are rounded, and looked up in the same way. The best rows are then estimated without rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from taskembed.index.kinds.flat import faiss
from taskembed.vectors import FloatRows, Floats, Rows

CHOSEN = 2  # rows chosen with rounded numbers, for each that is returned
_PART = 4  # signs that are looked up together; bits of a part
_ROWS_TOGETHER = 64  # rows that FAISS compares together: a quarter faster than 32, its default
_NUMBER_PARTS = 2  # parts of each rounded number, which are added
_LEVELS = (2**_PART - 1) * _NUMBER_PARTS  # values of a rounded number, less one
_LARGE = 4  # a large sum of signs, such as near rows have, in standard deviations: see `_sums`
_SPREAD = 0.25  # the largest standard deviation of lengths, in parts of their mean
_LONGEST = 3  # the largest length, in parts of their mean


def can_scan(codes: npt.NDArray[np.uint8], dim: int) -> bool:
    """Return whether lengths differ so little that the best rows are found with rounded numbers.

    The lengths of unit vectors of real models, less their centre, have a standard deviation of 0.02
    to 0.03 of their mean; docs/adr/0013 tells what was tried.

    Args:
        codes: uint8[n, bytes of a code], as FAISS stores them; n is at least 1.
        dim: the numbers in a vector.
    """
    factors = _factors(codes, dim)
    lengths = factors[:, 1].astype(np.float64)
    mean = lengths.mean()
    if not np.isfinite(factors).all() or mean <= 0:
        return False
    return bool(lengths.std() <= _SPREAD * mean and lengths.max() <= _LONGEST * mean)


class ArrangedCodes:
    """The codes of some rows, arranged for scanning.

    The code of a row has the signs of r, which is the vector x less the centre c of all vectors:
    bit i % 8 of byte i // 8 is set if number i is positive. Two float32 follow: |r|^2 - |x|^2, and
    the length |r|^2 / <r, s>, where s has the signs, each divided by the square root of the
    dimension.

    Args:
        codes: uint8[n, bytes of a code], as FAISS stores them; `can_scan` is true of them.
        rows: int64[n]: the rows that they belong to.
        centre: float32[dim]: what FAISS has subtracted from every vector.
    """

    def __init__(self, codes: npt.NDArray[np.uint8], rows: Rows, centre: Floats) -> None:
        self._centre = centre
        self._rows = rows
        self._shorter, self._lengths = np.ascontiguousarray(_factors(codes, len(centre)).T)
        mean = self._lengths.mean(dtype=np.float64)
        scale = mean / np.sqrt(len(centre))
        numbers = np.stack([self._lengths / mean - 1, -self._shorter / 2 / scale])
        steps = np.ptp(numbers, axis=1, keepdims=True) / _LEVELS
        lowest = numbers.min(axis=1, keepdims=True)
        levels = np.rint((numbers - lowest) / np.where(steps > 0, steps, 1))
        self._added: FloatRows = (levels * steps).astype(np.float32)  # of two numbers; [2, n]
        signs = codes[:, : _sign_bytes(len(centre))]
        self._index = _fast_scan(np.hstack([signs, _packed(levels)]), steps)

    def nearest(self, queries: FloatRows, depth: int) -> tuple[FloatRows, npt.NDArray[np.int64]]:
        """Return estimates float32[n, depth] and rows int64[n, depth] of the best rows, best first.

        No row that is returned equals one that is not, unless it has the lowest estimate. If so
        many rows have equal codes that this could not be, the last estimates of a query are -inf,
        and its rows must be found in another way.

        Args:
            queries: float32[n, dim].
            depth: the number of rows for each query, at most 1 / CHOSEN of all.
        """
        totals, sums, places = self._sums(queries, depth * CHOSEN)
        estimates = self._estimates(queries, sums, places)
        # Others with the same code as the last ones may be missing, so all of them are left out.
        # FAISS has -1 for a row whose parts all have the lowest values in their tables.
        estimates[(totals == totals[:, -1:]) | (places < 0)] = -np.inf
        order = np.argsort(-estimates, axis=1)[:, :depth]
        rows = self._rows[np.take_along_axis(places, order, axis=1)]
        return np.take_along_axis(estimates, order, axis=1), rows

    def _sums(
        self, queries: FloatRows, depth: int
    ) -> tuple[FloatRows, FloatRows, npt.NDArray[np.int64]]:
        """Return totals, sums and places of the rows with the largest totals, each [n, depth].

        A sum is that of q - c with the signs of a row. A total approximates the estimate: the two
        terms that depend on the row are S L / mean(L) - (|r|^2 - |x|^2) / (2 scale) for the sum S
        and the length L. S L is not a sum, but near a large sum S' it is about
        S + S' (L / mean(L) - 1). FAISS rounds totals to multiples of a step, which differs
        between queries.
        """
        rest = queries - self._centre
        large = _LARGE * np.linalg.norm(rest, axis=1, keepdims=True)
        weights = np.hstack([large, np.ones_like(large)])
        padded = np.zeros((len(queries), self._index.d), np.float32)
        padded[:, : rest.shape[1]] = rest
        numbers = _sign_bytes(rest.shape[1]) * 8
        padded[:, numbers::_PART] = np.repeat(weights, _NUMBER_PARTS, axis=1)
        totals, places = self._index.search(padded, depth)
        of_lengths, of_rest = self._added
        return totals, totals - (large * of_lengths[places] + of_rest[places]), places

    def _estimates(
        self, queries: FloatRows, sums: FloatRows, places: npt.NDArray[np.int64]
    ) -> FloatRows:
        """Return estimates of the inner products <q, x>, as FAISS computes them.

        <q - c, r> is estimated by its sum, and the rest is exact:
        2 <q, x> = 2 <q - c, r> + |q|^2 - |q - c|^2 + |x|^2 - |r|^2.
        """
        rest = queries - self._centre
        exact = np.sum(queries * queries, axis=1) - np.sum(rest * rest, axis=1)
        products = sums * self._lengths[places] / np.float32(np.sqrt(len(self._centre)))
        estimates: FloatRows = products + (exact[:, np.newaxis] - self._shorter[places]) / 2
        return estimates


def _sign_bytes(dim: int) -> int:
    return (dim + 7) // 8


def _factors(codes: npt.NDArray[np.uint8], dim: int) -> FloatRows:
    """Return the two numbers that follow the signs of each row: see `ArrangedCodes`."""
    return np.ascontiguousarray(codes[:, _sign_bytes(dim) :]).view("<f4")


def _packed(levels: FloatRows) -> npt.NDArray[np.uint8]:
    """Divide numbers from 0 to _LEVELS, [2, n], into parts of which each is a number of four bits.

    Returns:
        uint8[n, 2 * _NUMBER_PARTS / 2]: two parts in a byte, the first in its lower half.
    """
    each = levels.T.astype(np.uint8)[:, :, np.newaxis] + np.arange(_NUMBER_PARTS, dtype=np.uint8)
    parts = (each // _NUMBER_PARTS).astype(np.uint8).reshape(len(each), -1)
    return parts[:, ::2] | (parts[:, 1::2] << np.uint8(_PART))


def _fast_scan(codes: npt.NDArray[np.uint8], steps: FloatRows) -> Any:  # noqa: ANN401  # FAISS publishes no types
    """Return FAISS's index of codes: signs, uint8[n, ceil(dim / 8)], and two rounded numbers.

    Args:
        codes: uint8[n, bytes].
        steps: float[2, 1]: the difference between two levels of each number.
    """
    parts = codes.shape[1] * 8 // _PART
    signs = np.arange(2**_PART)[:, np.newaxis] >> np.arange(_PART) & 1
    table = np.tile(signs * 2 - 1, (parts, 1, 1)).astype(np.float32)
    values = np.arange(2**_PART) * np.repeat(steps, _NUMBER_PARTS, axis=0)
    table[-len(values) :] = 0
    table[-len(values) :, :, 0] = values
    plain = faiss.IndexPQ(parts * _PART, parts, _PART, faiss.METRIC_INNER_PRODUCT)
    faiss.copy_array_to_vector(table.ravel(), plain.pq.centroids)
    plain.is_trained = True
    faiss.copy_array_to_vector(codes.ravel(), plain.codes)
    plain.ntotal = len(codes)
    return faiss.IndexPQFastScan(plain, _ROWS_TOGETHER)
