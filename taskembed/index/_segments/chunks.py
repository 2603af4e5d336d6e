"""The chunks of a segment's documents: where each of its vectors was cut from.

    seg-00000007.chunks    for each vector, three little-endian numbers of 32 bits: the row of its
                           document, and where the chunk begins and ends, in characters of the text

The chunks of a document are one after the other, in the order of the text. A segment without this
file has one vector for each document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from taskembed.index._segments.vectors import Found
from taskembed.vectors import Flags, FloatRows, Rows, whole_vector

_ENTRY = np.dtype("<u4")
_WIDTH = 3
_MORE = 4  # vectors fetched in the first round for each document to find
_WIDENINGS = 3  # rounds for all queries; later rounds are for single queries that need more
_MOST_MORE = 65_536  # largest number of vectors fetched for one query in a round

Search = Callable[[FloatRows, int, Flags | None], Found]


class ChunksDamageError(ValueError):
    """The table does not belong to the segment; `str()` is the reason."""


@dataclass(frozen=True)
class ChunkTable:
    """The document and the range of characters that each vector of a segment was made from.

    Attributes:
        rows: int64[vectors]: the row of the document, ascending.
        cuts: int64[vectors, 2]: where the chunk begins and ends in the document's text.
        documents: number of rows of the segment.
    """

    rows: Rows
    cuts: Rows
    documents: int

    @classmethod
    def of(cls, cuts: Sequence[Rows]) -> ChunkTable:
        """Return the table of documents; `cuts` has one int64[n, 2] for each: its n chunks."""
        counts = [len(some) for some in cuts]
        rows = np.repeat(np.arange(len(cuts)), counts)
        return cls(rows, np.concatenate([np.empty((0, 2), np.int64), *cuts]), len(cuts))

    @classmethod
    def from_bytes(cls, data: bytes | memoryview, *, vectors: int, documents: int) -> ChunkTable:
        """Read the output of `to_bytes`.

        Raises:
            ChunksDamageError: the bytes are not the table of a segment of this size.
        """
        if len(data) != vectors * _WIDTH * _ENTRY.itemsize:
            raise ChunksDamageError("it does not fit its segment")
        entries = np.frombuffer(data, _ENTRY).reshape(-1, _WIDTH).astype(np.int64)
        rows, cuts = entries[:, 0], entries[:, 1:]
        steps = np.diff(rows, prepend=-1, append=documents)
        # every document has at least one chunk, and its chunks are consecutive
        if (steps[:-1] < 0).any() or (steps[:-1] > 1).any() or (vectors and steps[-1] != 1):
            raise ChunksDamageError("it does not have the chunks of each document")
        if (cuts[:, 0] > cuts[:, 1]).any():
            raise ChunksDamageError("a chunk ends before it begins")
        return cls(np.ascontiguousarray(rows), np.ascontiguousarray(cuts), documents)

    def to_bytes(self) -> bytes:
        """Return the table as it is stored."""
        return np.column_stack([self.rows, self.cuts]).astype(_ENTRY).tobytes()

    @cached_property
    def firsts(self) -> Rows:
        """int64[documents + 1]: the first vector of each document, and the number of vectors."""
        return np.searchsorted(self.rows, np.arange(self.documents + 1), "left")

    def vectors_of(self, row: int) -> Rows:
        """Return the numbers of a document's vectors, int64[n]."""
        return np.arange(self.firsts[row], self.firsts[row + 1])

    def kept(self, keep: Flags) -> ChunkTable:
        """Return the table of some documents: bool[documents]."""
        chosen = keep[self.rows]
        places = np.cumsum(keep) - 1
        return ChunkTable(places[self.rows[chosen]], self.cuts[chosen], int(keep.sum()))

    def require_within(self, texts: Iterable[tuple[int, str]]) -> None:
        """Check that chunks are within their texts, each given with its row.

        Raises:
            ChunksDamageError: a chunk ends after its text.
        """
        last = self.cuts[:, 1]
        ends = np.maximum.reduceat(last, self.firsts[:-1]) if self.documents else last
        for row, text in texts:
            if ends[row] > len(text):
                raise ChunksDamageError(f"a chunk of row {row:,} ends after its text")


def joined(tables: Sequence[ChunkTable]) -> ChunkTable:
    """Return several tables as one; the documents of each follow those of the one before."""
    firsts = np.cumsum([0, *(table.documents for table in tables)])
    rows = [table.rows + first for table, first in zip(tables, firsts[:-1], strict=True)]
    cuts = [table.cuts for table in tables]
    return ChunkTable(np.concatenate(rows), np.concatenate(cuts), int(firsts[-1]))


def mean_vectors(table: ChunkTable, rows: Rows, read: Callable[[Rows], FloatRows]) -> FloatRows:
    """Return one vector for each document, float32[len(rows), dim]: see `whole_vector`.

    Args:
        table: the chunks of the segment.
        rows: int64[n]: the rows of the documents.
        read: returns vectors of the segment by their numbers.
    """
    means = [whole_vector(read(table.vectors_of(row))) for row in rows.tolist()]
    return np.concatenate([read(np.empty(0, np.int64)), *means])


def nearest_documents(
    table: ChunkTable, search: Search, queries: FloatRows, k: int, alive: Flags | None
) -> Found:
    """Return the k best documents of each query by their best chunk: scores and rows, [n, k'].

    k' is the smaller of k and the number of documents. If many of the best chunks belong to the
    same documents, more chunks are fetched until there are k' documents.

    Args:
        table: the chunks of the segment.
        search: returns scores and numbers of the best vectors among those whose flag is set.
        queries: float32[n, dim].
        k: the number of documents for each query.
        alive: bool[documents]: only these rows are returned; None for all.
    """
    passing = None if alive is None else alive[table.rows]
    k = min(k, table.documents if alive is None else int(alive.sum()))
    most = len(table.rows) if passing is None else int(passing.sum())
    scores, rows = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    lacking, asked = np.arange(len(queries)), min(_MORE * k, most)
    for turn in range(_WIDENINGS):
        if not k or not len(lacking):
            break
        found, vectors = search(queries[lacking], asked, passing)
        few = []
        for at, query in enumerate(lacking.tolist()):
            some = _first_of_each(found[at], table.rows[vectors[at]], k)
            if len(some[0]) < k and turn + 1 == _WIDENINGS:
                some = _search_further(some, table, search, queries[query : query + 1], k, passing)
            if len(some[0]) == k:
                scores[query], rows[query] = some
            else:
                few.append(query)
        lacking, asked = np.array(few, np.int64), min(asked * _MORE, most)
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)


def _first_of_each(scores: FloatRows, rows: Rows, k: int) -> Found:
    """Return the first k different rows, with the score of the first of each."""
    firsts = np.sort(np.unique(rows, return_index=True)[1])[:k]
    return scores[firsts], rows[firsts]


def _search_further(
    found: Found,
    table: ChunkTable,
    search: Search,
    query: FloatRows,
    k: int,
    passing: Flags | None,
) -> Found:
    """Search on until k documents are found, without the chunks of those found already."""
    scores, rows = found
    others = np.ones(len(table.rows), np.bool_) if passing is None else passing
    asked = k
    while len(rows) < k:
        others = others & ~np.isin(table.rows, rows)
        asked = min(asked * _MORE, _MOST_MORE, int(others.sum()))
        more, vectors = search(query, asked, others)
        new = _first_of_each(more[0], table.rows[vectors[0]], k - len(rows))
        scores, rows = np.concatenate([scores, new[0]]), np.concatenate([rows, new[1]])
    return scores, rows
