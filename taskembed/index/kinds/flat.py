"""Exact search by inner product with FAISS, over vectors in memory, without copying them.

A file of vectors is a FAISS IndexFlatIP, which `faiss.read_index` can open. taskembed does not use
that function: the rows follow a header of fixed size, so they are read directly into an array,
while FAISS's reader holds three copies at a time (4.6 GB for a million vectors of 384 numbers,
docs/adr/0013-search-without-reading-everything.md).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from taskembed.vectors import Flags, FloatRows, Floats, Rows


class _Faiss:
    """FAISS, imported when it is first used, while a search loads its model (0.03 s)."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # see below
        import faiss

        return getattr(faiss, name)


# FAISS's published types are those of the C++ signatures, which its Python layer replaces.
faiss: Any = _Faiss()


def prepare() -> None:
    """Import FAISS now rather than at the first search."""
    import faiss as _  # noqa: F401  # kept by Python


# the type of the index, dim, rows, two unused numbers, whether it is trained, its metric, and the
# count of the numbers that follow
_HEADER = struct.Struct("<4siq16x?iQ")
HEADER_BYTES = _HEADER.size
# numbers in all queries (n * dim) from which FAISS multiplies matrices: five times as fast a query
MATRIX_NUMBERS = 128_000


class Flat:
    """Vectors in memory: float32[rows, dim], inner product."""

    def __init__(self, vectors: FloatRows) -> None:
        self.vectors = np.ascontiguousarray(vectors, dtype=np.float32)

    def search(
        self, queries: FloatRows, k: int, alive: Flags | None = None
    ) -> tuple[FloatRows, npt.NDArray[np.int64]]:
        """Return the k best rows of each query, best first.

        Args:
            queries: float32[n, dim].
            k: at most the number of (alive) rows.
            alive: bool[rows]: only these rows are returned; None for all.

        Returns:
            Scores float32[n, k] and rows int64[n, k].

        Raises:
            ValueError: a query does not have `dim` numbers.
        """
        if k == 0 or not len(queries):
            shape = (len(queries), k)
            return np.empty(shape, np.float32), np.empty(shape, np.int64)
        if queries.size < MATRIX_NUMBERS:
            return _knn(queries, self.vectors, k, _selector(alive))
        if alive is None:
            return _knn(queries, self.vectors, k)
        # with a selector FAISS does not multiply matrices; copying the live rows costs less
        kept = np.flatnonzero(alive)
        scores, rows = _knn(queries, self.vectors[kept], k)
        return scores, np.where(rows < 0, -1, kept[rows])

    def rows(self, rows: npt.NDArray[np.int64]) -> FloatRows:
        """Return the vectors of these rows, float32[len(rows), dim]."""
        return self.vectors[rows]


def _selector(alive: Flags | None) -> Any:  # noqa: ANN401  # FAISS publishes no types
    # Subtle: without any selector FAISS divides the vectors of a single query among threads, which
    # takes 2.6 times as long as one thread (128 ms against 49 for a million vectors)
    if alive is None:
        return faiss.IDSelectorAll()
    return faiss.IDSelectorBitmap(np.packbits(alive, bitorder="little"))


def _knn(
    queries: FloatRows,
    vectors: FloatRows,
    k: int,
    selector: Any = None,  # noqa: ANN401  # FAISS publishes no types
) -> tuple[FloatRows, npt.NDArray[np.int64]]:
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    if queries.shape[1:] != vectors.shape[1:]:  # FAISS would read past the end
        raise ValueError(f"queries of shape {queries.shape} for vectors of {vectors.shape[1]}")
    scores = np.empty((len(queries), k), np.float32)
    rows = np.empty((len(queries), k), np.int64)
    pointer = faiss.swig_ptr
    faiss.knn_inner_product(
        pointer(queries), pointer(vectors), vectors.shape[1], len(queries), len(vectors), k,
        pointer(scores), pointer(rows), selector,
    )  # fmt: skip
    return scores, rows


def scores_of(
    queries: FloatRows, query: Rows, row: Rows, read: Callable[[Rows], FloatRows], *, at_once: int
) -> Floats:
    """Return the scores of some rows for some queries, float32[m], as a search computes them.

    Args:
        queries: float32[n, dim].
        query: int64[m]: which of the queries.
        row: int64[m]: the row to score for it.
        read: returns the vectors of ascending rows, float32[rows, dim]; each row is read once.
        at_once: the number of rows in memory at a time.
    """
    scores = np.empty(len(row), np.float32)
    wanted, places = np.unique(row, return_inverse=True)
    for start in range(0, len(wanted), at_once):
        vectors = read(wanted[start : start + at_once])
        mine = np.flatnonzero((places >= start) & (places < start + len(vectors)))
        scores[mine] = _inner_products(queries, query[mine], vectors, places[mine] - start)
    return scores


def _inner_products(queries: FloatRows, query: Rows, vectors: FloatRows, place: Rows) -> Floats:
    """Return the inner products of queries[query[i]] and vectors[place[i]], float32[len(query)]."""
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    query, place = np.ascontiguousarray(query), np.ascontiguousarray(place)
    products = np.empty(len(query), np.float32)
    pointer = faiss.swig_ptr
    faiss.pairwise_indexed_inner_product(
        queries.shape[1], len(query), pointer(queries), pointer(query), pointer(vectors),
        pointer(place), pointer(products),
    )  # fmt: skip
    return products


def to_bytes(vectors: FloatRows) -> memoryview:
    """Return a serialised IndexFlatIP of float32[n, dim]."""
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return memoryview(faiss.serialize_index(index))


def require_header(header: bytes | bytearray, *, size: int, rows: int, dim: int) -> None:
    """Check the header of a serialised IndexFlatIP, without reading the vectors.

    Args:
        header: the first HEADER_BYTES of the file.
        size: the size of the file in bytes.
        rows: the number of vectors that the file should have.
        dim: the numbers in each vector.

    Raises:
        ValueError: the bytes are not such a header, or have another size, `rows` or `dim`.
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
    if size != HEADER_BYTES + rows * dim * 4:
        raise _other_shape(rows, dim)


def _other_shape(rows: int, dim: int) -> ValueError:
    return ValueError(f"it is not a flat index of {rows:,} vectors of {dim} numbers")


def _other_metric() -> ValueError:
    return ValueError("its metric is not the inner product")
