"""Exact search by inner product with FAISS: the one module that knows FAISS.

FAISS is used on bytes that we wrote, synced and checked ourselves: its own `write_index` returns
normally with a truncated file when the disk is full (64 of 399 sizes measured), and its reader
loads damaged vectors without a word. See docs/adr/0003-commit-protocol.md.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import faiss as _faiss
import numpy as np
import numpy.typing as npt

from taskembed.vectors import Flags, FloatRows

# FAISS's published types are those of the C++ signatures, which its Python layer replaces.
faiss: Any = _faiss

MIN_HEADER_BYTES = 256  # more than the header of a flat index
# its kind, dim, rows, two numbers that mean nothing, whether it is trained, its metric, and how
# many numbers follow
_HEADER = struct.Struct("<4siq16x?iQ")
HEADER_BYTES = _HEADER.size


class Flat:
    """Vectors in memory: float32[rows, dim], inner product."""

    def __init__(self, index: Any) -> None:  # noqa: ANN401  # FAISS publishes no types
        self._index = index

    def search(
        self, queries: FloatRows, k: int, alive: Flags | None = None
    ) -> tuple[FloatRows, npt.NDArray[np.int64]]:
        """Return the k best rows of each query, best first.

        Args:
            queries: float32[n, dim].
            k: at most the number of (alive) rows.
            alive: bool[rows]: only these rows are answered; None for all.

        Returns:
            Scores float32[n, k] and rows int64[n, k].
        """
        if k == 0:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        if alive is None:
            return self._index.search(queries, k)  # type: ignore[no-any-return]
        bits = np.packbits(alive, bitorder="little")
        chosen = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))
        return self._index.search(queries, k, params=chosen)  # type: ignore[no-any-return]

    def rows(self, rows: npt.NDArray[np.int64]) -> FloatRows:
        """Return the vectors of those rows, float32[len(rows), dim]."""
        return self._index.reconstruct_batch(rows)  # type: ignore[no-any-return]


def to_bytes(vectors: FloatRows) -> memoryview:
    """Return a serialised IndexFlatIP of float32[n, dim]."""
    return memoryview(faiss.serialize_index(_filled(vectors)))


def from_vectors(vectors: FloatRows) -> Flat:
    """Return an index in memory of float32[n, dim]."""
    return Flat(_filled(vectors))


def _filled(vectors: FloatRows) -> Any:  # noqa: ANN401  # FAISS publishes no types
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return index


def from_bytes(data: bytearray, *, rows: int, dim: int) -> Flat:
    """Read what `to_bytes` gave.

    Raises:
        ValueError: it is not that, or not of that shape.
    """
    try:
        with _limits(len(data) + MIN_HEADER_BYTES):
            index = faiss.deserialize_index(np.frombuffer(data, np.uint8))
    except (RuntimeError, AssertionError, MemoryError) as error:
        raise ValueError("FAISS cannot read it") from error
    if not isinstance(index, faiss.IndexFlat) or (index.ntotal, index.d) != (rows, dim):
        raise _other_shape(rows, dim)
    if index.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise _other_metric()
    return Flat(index)


def require_header(header: bytes, *, rows: int, dim: int) -> None:
    """Check the first HEADER_BYTES of what `to_bytes` gave, without reading the vectors.

    Raises:
        ValueError: it is not that, or not of that shape.
    """
    if len(header) < HEADER_BYTES or not header.startswith(b"I"):
        raise ValueError("FAISS cannot read it")
    kind, its_dim, its_rows, is_trained, metric, numbers = _HEADER.unpack(header[:HEADER_BYTES])
    if kind == b"IxF2":
        raise _other_metric()
    if (kind, its_dim, its_rows, numbers) != (b"IxFI", dim, rows, rows * dim) or not is_trained:
        raise _other_shape(rows, dim)
    if metric != faiss.METRIC_INNER_PRODUCT:
        raise _other_metric()


def _other_shape(rows: int, dim: int) -> ValueError:
    return ValueError(f"it is not a flat index of {rows:,} vectors of {dim} numbers")


def _other_metric() -> ValueError:
    return ValueError("its metric is not the inner product")


_reading = threading.Lock()


@contextmanager
def _limits(size: int) -> Iterator[None]:
    """Let FAISS allocate no more than `size` bytes: a hostile header can ask for gigabytes.

    Its limits are those of the process, so they hold for one reading at a time, and are put back.
    """
    with _reading:
        before = (
            faiss.get_deserialization_vector_byte_limit(),
            faiss.get_deserialization_loop_limit(),
        )
        faiss.set_deserialization_vector_byte_limit(size)
        faiss.set_deserialization_loop_limit(size)
        try:
            yield
        finally:
            faiss.set_deserialization_vector_byte_limit(before[0])
            faiss.set_deserialization_loop_limit(before[1])
