"""A file of vectors that is read by position: a header, followed by rows of fixed size.

The file is a FAISS index that `faiss.read_index` can open: an IndexFlatIP (float32), or an
IndexScalarQuantizer of fp16. The position of row i follows from i; another file has a checksum for
each row. The file is not memory-mapped: if it shrinks, a read returns fewer bytes, but access to a
memory map would kill the process (SIGBUS).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from taskembed.errors import BadVectorError
from taskembed.index.disk.files import read_at
from taskembed.index.storage import VectorType
from taskembed.vectors import FloatRows, Rows

Sums = npt.NDArray[np.uint32]  # uint32[rows]: CRC-32 of the bytes of each row
RawRows = npt.NDArray[np.uint8]  # uint8[n, bytes of a row], as in the file

# kind, dim, rows, two unused numbers, whether it is trained, metric (0: inner product)
_INDEX = struct.Struct("<4siqqq?i")
_UNUSED = 2**20
_FLAT_TAIL = struct.Struct("<Q")  # the count of numbers that follow
# quantiser (4: fp16), its range (0, 0.0), dim, bytes of a vector, trained numbers, bytes of rows
_FP16_TAIL = struct.Struct("<iifQQQQ")
_FP16 = 4
BLOCK_BYTES = 32 * 2**20  # held in memory while the whole file is read
_GAP_BYTES = 16 * 2**10  # a smaller gap between two rows is read too, which saves a system call


_LARGEST_FP16 = 65_504
_DTYPES: dict[VectorType, np.dtype[Any]] = {
    VectorType.FP32: np.dtype("<f4"),
    VectorType.FP16: np.dtype("<f2"),
}


def header(rows: int, dim: int, kind: VectorType) -> bytes:
    """Return the header that precedes the rows, byte for byte as FAISS 1.15 writes it."""
    if kind is VectorType.FP32:
        start = _INDEX.pack(b"IxFI", dim, rows, _UNUSED, _UNUSED, True, 0)  # noqa: FBT003  # a field
        return start + _FLAT_TAIL.pack(rows * dim)
    start = _INDEX.pack(b"IxSQ", dim, rows, _UNUSED, _UNUSED, True, 0)  # noqa: FBT003  # a field
    return start + _FP16_TAIL.pack(_FP16, 0, 0.0, dim, dim * 2, 0, rows * dim * 2)


def header_bytes(kind: VectorType) -> int:
    """Return the length of the header in bytes."""
    return len(header(0, 1, kind))


def file_bytes(rows: int, dim: int, kind: VectorType) -> int:
    """Return the size of the file in bytes."""
    return header_bytes(kind) + rows * dim * kind.bytes


def require_storable(vectors: FloatRows, kind: VectorType) -> None:
    """Check that the numbers of vectors, float32[n, dim], can be stored.

    Raises:
        BadVectorError: a number is too large for fp16.
    """
    if kind is VectorType.FP16 and np.abs(vectors).max(initial=0) > _LARGEST_FP16:
        raise BadVectorError(
            "a vector has a number beyond 65,504, which fp16 cannot hold",
            hint="make the index with --vectors fp32",
        )


def to_raw(vectors: FloatRows, kind: VectorType) -> RawRows:
    """Return the stored form of vectors, float32[n, dim]: uint8[n, bytes of a row]."""
    stored: npt.NDArray[Any] = np.ascontiguousarray(vectors, dtype=_DTYPES[kind])
    return stored.view(np.uint8).reshape(len(vectors), vectors.shape[1] * kind.bytes)


def to_vectors(raw: RawRows, kind: VectorType) -> FloatRows:
    """Return float32[n, dim] from the bytes of `to_raw`; float32 is not copied."""
    vectors: FloatRows = raw.view(_DTYPES[kind]).astype(np.float32, copy=False)
    return vectors


def sums_of(raw: RawRows) -> Sums:
    """Return the checksum of each row of uint8[n, bytes of a row]: uint32[n]."""
    view, size = raw.reshape(-1).data, raw.shape[1]
    starts = range(0, raw.size, size)
    return np.fromiter(
        (zlib.crc32(view[start : start + size]) for start in starts), np.uint32, len(raw)
    )


class RowDamageError(ValueError):
    """The file is damaged; `str()` is the reason."""


@dataclass(frozen=True, slots=True)
class RowsFile:
    """The open file of a segment's vectors.

    Its methods raise RowDamageError if the file is damaged, and OSError if the operating system
    cannot read it.

    Attributes:
        descriptor: the descriptor of the file, whose size was checked.
        rows: the number of rows.
        dim: the numbers in each row.
        kind: how numbers are stored.
        sums: uint32[rows]: the checksum of each row.
        crc32: the checksum of the whole file.
    """

    descriptor: int
    rows: int
    dim: int
    kind: VectorType
    sums: Sums
    crc32: int

    @property
    def _row_bytes(self) -> int:
        return self.dim * self.kind.bytes

    def require_header(self) -> None:
        """Check that the header is that of a file of this shape."""
        wanted = header(self.rows, self.dim, self.kind)
        found = bytearray(len(wanted))
        self._fill(memoryview(found), 0)
        if found != wanted:
            raise RowDamageError(
                f"it is not a flat index of {self.rows:,} vectors of {self.dim} numbers"
            )

    def read(self, rows: Rows) -> FloatRows:
        """Return the vectors of rows, float32[len(rows), dim], after comparing their checksums."""
        return to_vectors(self.read_raw(rows), self.kind)

    def read_raw(self, rows: Rows) -> RawRows:
        """Return the stored bytes of n rows, uint8[n, bytes of a row], checked by their sums."""
        wanted, places = np.unique(rows, return_inverse=True)
        raw = np.empty((len(wanted), self._row_bytes), np.uint8)
        gaps = np.flatnonzero(np.diff(wanted) * self._row_bytes > _GAP_BYTES) + 1
        edges = [0, *gaps.tolist(), len(wanted)]
        for start, stop in pairwise(edges):
            if start < stop:
                self._read_range(wanted[start:stop], raw[start:stop])
        self._require(raw, wanted)
        return raw if np.array_equal(wanted, rows) else raw[places]

    def blocks(self, into: RawRows | None = None) -> Iterator[tuple[int, RawRows]]:
        """Yield the bytes of all rows in blocks, each with the position of its first row.

        Subtle: the checksum of the whole file is compared after the last block, which takes half
        the time of comparing that of each row. So a caller must not use any result before the end.

        Args:
            into: the array to read all rows into; None for a new array for each block.

        Raises:
            RowDamageError: after the last block: the checksum does not match.
        """
        checksum = zlib.crc32(header(self.rows, self.dim, self.kind))
        count = max(1, BLOCK_BYTES // self._row_bytes)
        for start in range(0, self.rows, count):
            if into is None:
                raw = np.empty((min(count, self.rows - start), self._row_bytes), np.uint8)
            else:
                raw = into[start : start + count]
            place = header_bytes(self.kind) + start * self._row_bytes
            self._fill(raw.reshape(-1).data, place)
            checksum = zlib.crc32(raw.reshape(-1).data, checksum)
            yield start, raw
        if checksum != self.crc32:
            raise RowDamageError("its checksum does not match")

    def _read_range(self, rows: Rows, raw: RawRows) -> None:
        """Read ascending rows that are close to each other, in one call."""
        first, count = int(rows[0]), int(rows[-1] - rows[0]) + 1
        place = header_bytes(self.kind) + first * self._row_bytes
        if count == len(rows):
            self._fill(raw.reshape(-1).data, place)
            return
        between = np.empty((count, self._row_bytes), np.uint8)
        self._fill(between.reshape(-1).data, place)
        raw[:] = between[rows - first]

    def _fill(self, view: memoryview, place: int) -> None:
        if read_at(self.descriptor, view, place) < len(view):
            raise RowDamageError("it is shorter than when it was opened")

    def _require(self, raw: RawRows, rows: Rows) -> None:
        wrong = np.flatnonzero(sums_of(raw) != self.sums[rows])
        if len(wrong):
            raise RowDamageError(f"row {int(rows[wrong[0]]):,}: its checksum does not match")
