"""One bit a number: codes that find candidates, whose vectors are then read and scored (RaBitQ).

A file of codes is a FAISS index, `IVF1,RaBitQ`: one list, which the file system need not jump
through, and unlike other kinds of one-bit codes it lets rows be left out of a search. It needs no
training but the mean. FAISS reads a damaged file without a word, so its checksum is compared first.
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

CODED_ROWS = 50_000  # in a segment; fewer are scanned as fast as codes are, and exactly
SAMPLE_ROWS = 8_192  # whose mean is subtracted from every vector
_QUERY_BITS = 8  # a number of the query; 4 costs a quarter less, and finds less
_ROW_BYTES = 1 << 20  # more than FAISS's own header


class CodesBuilder:
    """The codes of a segment that is being made."""

    def __init__(self, sample: FloatRows) -> None:
        self._index = faiss.index_factory(
            sample.shape[1], "IVF1,RaBitQ", faiss.METRIC_INNER_PRODUCT
        )
        # FAISS would look for one centre by k-means, and warn of fewer than 39 vectors
        self._index.quantizer.add(sample.mean(axis=0, keepdims=True, dtype=np.float32))
        self._index.train(sample)

    def add(self, vectors: FloatRows) -> None:
        """Append vectors."""
        self._index.add(vectors)

    def write(self, put: Callable[[bytes], object]) -> None:
        """Give the bytes of the file to `put`, some at a time."""

        def written(data: bytes) -> int:
            put(bytes(data))
            return len(data)

        faiss.write_index(self._index, faiss.PyCallbackIOWriter(written, 4 * 2**20))


class Codes:
    """The codes of a segment, in memory.

    Args:
        data: the bytes of the file, whose checksum was compared.
        rows: of the segment.
        dim: numbers in a vector.

    Raises:
        ValueError: they are not the codes of such a segment.
    """

    def __init__(self, data: bytearray, *, rows: int, dim: int) -> None:
        # Subtle: FAISS does not copy the codes but looks at them here, so they are kept
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
            alive: bool[rows]: only these rows are answered; None for all.

        Raises:
            ValueError: FAISS cannot do it: the codes are not what they should be.
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
            raise ValueError("it does not find as many rows as there are")
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
    """Return the products of each query with some vectors, as a scan of all computes them.

    Args:
        queries: float32[n, dim].
        vectors: float32[m, dim].
        places: int64[n, k]: which vectors, for each query.

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
