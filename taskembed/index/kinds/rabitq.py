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
from typing import Any

import numpy as np
import numpy.typing as npt

from taskembed.index.kinds.flat import faiss
from taskembed.vectors import Flags, FloatRows, Floats, Rows

CODED_ROWS = 50_000  # rows of a segment; scoring fewer vectors exactly is as fast as by codes
SAMPLE_ROWS = 8_192  # rows whose mean is subtracted from every vector
_QUERY_BITS = 8  # bits of each number of a query; 4 bits take a quarter less time at a lower recall
_ROW_BYTES = 1 << 20  # an upper bound of the size of FAISS's own header


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

    def __init__(self, data: bytearray, *, rows: int, dim: int) -> None:
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

    def search(
        self, queries: FloatRows, depth: int, alive: Flags | None
    ) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Return estimates float32[n, depth] and rows int64[n, depth], the best first.

        Args:
            queries: float32[n, dim].
            depth: at most the number of (alive) rows.
            alive: bool[rows]: only these rows are returned; None for all.

        Raises:
            ValueError: FAISS cannot search the codes: they are damaged.
        """
        settings = faiss.IVFRaBitQSearchParameters()
        settings.nprobe, settings.qb = 1, _QUERY_BITS
        selector = None
        if alive is not None:
            bits = np.packbits(alive, bitorder="little")
            selector = faiss.IDSelectorBitmap(bits)
            settings.sel = selector
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        try:
            estimates, rows = self._index.search(queries, depth, params=settings)
        except RuntimeError as error:
            raise ValueError("FAISS cannot search it") from error
        if (rows < 0).any() or not np.isfinite(estimates).all():
            raise ValueError("a search returns fewer rows than it should")
        return estimates, rows


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


def inner_products(queries: FloatRows, vectors: FloatRows, places: Rows) -> FloatRows:
    """Return the inner products of each query with some vectors, as an exact search computes them.

    Args:
        queries: float32[n, dim].
        vectors: float32[m, dim].
        places: int64[n, k]: the rows of `vectors` for each query.

    Returns:
        float32[n, k].
    """
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    places = np.ascontiguousarray(places, dtype=np.int64)
    products = np.empty(places.shape, np.float32)
    pointer = faiss.swig_ptr
    faiss.fvec_inner_products_by_idx(
        pointer(products), pointer(queries), pointer(vectors), pointer(places),
        queries.shape[1], len(queries), places.shape[1],
    )  # fmt: skip
    return products


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
