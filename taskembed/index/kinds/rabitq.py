"""RaBitQ codes, one bit for each number: they select candidates, whose vectors are then scored.

RaBitQ: Gao and Long, SIGMOD 2024 (https://arxiv.org/abs/2405.12497). A file of codes is a FAISS
index, `IVF1,RaBitQ`. It has a single list, so it is read sequentially; unlike the other one-bit
codes of FAISS, it can exclude rows from a search. Its only training is the mean of the vectors.
FAISS reads a damaged file without an error, so the checksum is compared first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from taskembed.index.kinds.flat import faiss
from taskembed.index.kinds.sign_scan import CHOSEN, ArrangedCodes, can_scan
from taskembed.vectors import Flags, FloatRows, largest

CODED_ROWS = 50_000  # rows of a segment; scoring fewer vectors exactly is as fast as by codes
SAMPLE_ROWS = 8_192  # rows whose mean is subtracted from every vector
_QUERY_BITS = 8  # bits of each number of a query; 4 bits take a quarter less time at a lower recall
_ROW_BYTES = 1 << 20  # an upper bound of the size of FAISS's own header
# queries from which codes are scanned for all of them together. Arranging the codes takes as long
# as FAISS needs for some ten queries.
MANY_QUERIES = 16
_BLOCK_ROWS = 2**20  # rows that are arranged together: 150 MB of memory for a moment


class CodesBuilder:
    """The codes of a new segment."""

    def __init__(self, sample: FloatRows) -> None:
        self._index = faiss.index_factory(
            sample.shape[1], "IVF1,RaBitQ", faiss.METRIC_INNER_PRODUCT
        )
        # the mean is set here: FAISS would run k-means for it, and warn of fewer than 39 vectors
        self._index.quantizer.add(sample.mean(axis=0, keepdims=True, dtype=np.float32))
        self._index.train(sample)

    def add(self, vectors: FloatRows) -> None:
        """Append vectors, float32[n, dim]."""
        self._index.add(vectors)

    def write(self, put: Callable[[bytes], object]) -> None:
        """Pass the bytes of the file to `put`, a few at a time."""

        def written(data: bytes) -> int:
            put(bytes(data))
            return len(data)

        faiss.write_index(self._index, faiss.PyCallbackIOWriter(written, 4 * 2**20))


class Codes:
    """The codes of a segment, in memory.

    Args:
        data: the bytes of the file, whose checksum was compared.
        rows: the number of rows of the segment.
        dim: the numbers in a vector.

    Raises:
        ValueError: the bytes are not the codes of such a segment.
    """

    def __init__(self, data: bytearray | memoryview, *, rows: int, dim: int) -> None:
        # Subtle: FAISS refers to these bytes without copying them, so they must stay in memory
        self._data = data
        reader = faiss.ZeroCopyIOReader(faiss.swig_ptr(np.frombuffer(data, np.uint8)), len(data))
        try:
            with _limits(len(data) + _ROW_BYTES):
                index = faiss.read_index(reader)
        except (RuntimeError, AssertionError, MemoryError) as error:
            raise ValueError("FAISS cannot read it") from error
        if not _is_of(index, rows, dim):
            raise ValueError(f"it does not have the codes of {rows:,} vectors of {dim} numbers")
        self._index = index
        self._arranged: tuple[Flags | None, list[ArrangedCodes]] | None = None

    def scans_together(self, queries: int) -> bool:
        """Return whether so many queries take much less time than each of them by itself."""
        return queries >= MANY_QUERIES and self._can_scan

    def search(
        self, queries: FloatRows, depth: int, alive: Flags | None
    ) -> tuple[FloatRows, npt.NDArray[np.int64]]:
        """Return estimates float32[n, depth] and rows int64[n, depth], best first.

        No row that is returned equals one that is not, unless it has the lowest estimate.

        Args:
            queries: float32[n, dim].
            depth: at most the number of (alive) rows.
            alive: bool[rows]: only these rows are returned; None for all.

        Raises:
            ValueError: FAISS cannot search the codes: they are damaged.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        count = self._index.ntotal if alive is None else int(alive.sum())
        block = count // _blocks(count) if count else 0
        together = 0 < depth * CHOSEN <= block and self.scans_together(len(queries))
        scan = self._together if together else self._one_by_one
        try:
            estimates, rows = scan(queries, depth, alive)
        except RuntimeError as error:
            raise ValueError("FAISS cannot search it") from error
        if (rows < 0).any() or not np.isfinite(estimates).all():
            raise ValueError("a search returns fewer rows than it should")
        return estimates, rows

    def _one_by_one(
        self, queries: FloatRows, depth: int, alive: Flags | None
    ) -> tuple[FloatRows, npt.NDArray[np.int64]]:
        settings = faiss.IVFRaBitQSearchParameters()
        settings.nprobe, settings.qb = 1, _QUERY_BITS
        selector = None
        if alive is not None:
            bits = np.packbits(alive, bitorder="little")
            selector = faiss.IDSelectorBitmap(bits)
            settings.sel = selector
        found: tuple[FloatRows, npt.NDArray[np.int64]]
        found = self._index.search(queries, depth, params=settings)
        return found

    def _together(
        self, queries: FloatRows, depth: int, alive: Flags | None
    ) -> tuple[FloatRows, npt.NDArray[np.int64]]:
        arranged = self._arranged
        if arranged is None or not _are_equal(arranged[0], alive):
            arranged = self._arranged = (alive, list(self._arrange(alive)))
        found = [block.nearest(queries, depth) for block in arranged[1]]
        estimates, rows = (np.hstack(parts) for parts in zip(*found, strict=True))
        if len(found) > 1:
            estimates, rows = largest(estimates, rows, depth)
        doubtful = np.any([np.isneginf(some[:, -1]) for some, _ in found], axis=0)
        if doubtful.any():
            estimates[doubtful], rows[doubtful] = self._one_by_one(queries[doubtful], depth, alive)
        return estimates, rows

    def _arrange(self, alive: Flags | None) -> Iterator[ArrangedCodes]:
        """Yield the (alive) rows in blocks that are scanned one after the other."""
        codes, centre = self._row_codes(), self._index.quantizer.reconstruct(0)
        rows = np.arange(len(codes)) if alive is None else np.flatnonzero(alive)
        for block in np.array_split(rows, _blocks(len(rows))):
            yield ArrangedCodes(codes[block], block, centre)

    @cached_property
    def _can_scan(self) -> bool:
        return can_scan(self._row_codes(), self._index.d)

    def _row_codes(self) -> npt.NDArray[np.uint8]:
        size, count = self._index.code_size, self._index.ntotal
        codes = faiss.rev_swig_ptr(self._index.invlists.get_codes(0), count * size)
        return np.asarray(codes).reshape(count, size)


def _blocks(rows: int) -> int:
    return -(-rows // _BLOCK_ROWS)


def _are_equal(one: Flags | None, other: Flags | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)


def _is_of(index: Any, rows: int, dim: int) -> bool:  # noqa: ANN401  # FAISS publishes no types
    if not isinstance(index, faiss.IndexIVFRaBitQ) or (index.ntotal, index.d) != (rows, dim):
        return False
    if (index.is_trained, index.metric_type, index.nlist) != (True, faiss.METRIC_INNER_PRODUCT, 1):
        return False
    quantizer = faiss.downcast_index(index.quantizer)
    if not isinstance(quantizer, faiss.IndexFlat) or (quantizer.ntotal, quantizer.d) != (1, dim):
        return False
    lists = index.invlists
    if lists.nlist != 1 or lists.list_size(0) != rows or lists.code_size != index.code_size:
        return False
    if index.code_size != index.rabitq.code_size or index.rabitq.d != dim:
        return False
    ids = faiss.rev_swig_ptr(lists.get_ids(0), rows) if rows else np.empty(0, np.int64)
    return bool((ids == np.arange(rows)).all())


_reading = threading.Lock()


@contextmanager
def _limits(size: int) -> Iterator[None]:
    """Limit the memory that FAISS allocates to `size` bytes: a hostile header can ask for more.

    The limits apply to the whole process: only one file is read at a time, and they are restored.
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
