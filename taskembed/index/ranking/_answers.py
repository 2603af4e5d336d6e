"""The best rows of an index become hits: their documents are read, and their chunks looked up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from taskembed.index._segments.segment import Segment
from taskembed.index._segments.vectors import Found
from taskembed.index.documents import StoredDocument
from taskembed.index.filtering.filters import FieldName
from taskembed.index.ranking._best import Best
from taskembed.index.ranking.fusion import Sides
from taskembed.index.ranking.hits import Chunk, Hit, ScoredDocument, best_of
from taskembed.vectors import Flags, FloatRows


def read_scored(
    segments: Sequence[Segment],
    best: Best,
    count: int,
    k: int,
    sides: Sequence[Sides] | None = None,
) -> list[list[ScoredDocument]]:
    """Return the best k documents of each query, best first: each document is read once.

    Args:
        segments: of the index.
        best: the rows that may be hits.
        count: number of queries.
        k: documents of a query.
        sides: what the score of each row is made of.

    Raises:
        IndexDamagedError: a file is damaged.
    """
    documents = [
        segment.documents(int(row) for row in best.row[best.segment == number])
        for number, segment in enumerate(segments)
    ]
    found: list[list[ScoredDocument]] = [[] for _ in range(count)]
    for item, side in zip(best.tolist(), sides or repeat(None), strict=False):
        query, score, number, row = item
        found[query].append(ScoredDocument(score, documents[number][row], side, number))
    return [best_of(candidates, k) for candidates in found]


def read_chunks(
    segments: Sequence[Segment], best: Best, count: int, k: int
) -> list[list[ScoredDocument]]:
    """Return the best k chunks of each query; `best` has numbers of vectors instead of rows."""
    found: list[list[ScoredDocument]] = [[] for _ in range(count)]
    for number, segment in enumerate(segments):
        table = segment.chunks
        if table is None:
            continue
        mine = best.chosen(best.segment == number)
        documents = segment.documents(table.rows[mine.row].tolist())
        for query, score, _, vector in mine.tolist():
            document = documents[int(table.rows[vector])]
            chunk = _chunk(document, *table.cuts[vector].tolist())
            found[query].append(ScoredDocument(score, document, None, number, chunk))
    return [best_of(candidates, k) for candidates in found]


def as_hits(
    segments: Sequence[Segment],
    found: Sequence[list[ScoredDocument]],
    *,
    queries: FloatRows | None = None,
    field: FieldName | None = None,
) -> list[list[Hit]]:
    """Return the documents of each query as hits, in their order.

    Args:
        segments: of the index.
        found: documents, for each query.
        queries: float32[n, dim], to find the chunk of each document that is nearest; None for no
            chunk.
        field: that they are grouped by; None for no groups.

    Raises:
        IndexDamagedError: a file is damaged.
    """
    if queries is not None and any(segment.chunks for segment in segments):
        found = _with_chunks(segments, found, queries)
    return [
        [item.as_hit(rank, field=field) for rank, item in enumerate(items, start=1)]
        for items in found
    ]


def _with_chunks(
    segments: Sequence[Segment], ordered: Sequence[list[ScoredDocument]], queries: FloatRows
) -> list[list[ScoredDocument]]:
    """Add to each document the chunk that is nearest to its query; its vectors are read once."""
    wanted: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for query, items in enumerate(ordered):
        for rank, item in enumerate(items):
            wanted.setdefault((item.segment, item.document.row), []).append((query, rank))
    for (number, row), places in sorted(wanted.items()):
        vectors, cuts = segments[number].chunk_vectors(row)
        nearest = (queries[[query for query, _ in places]] @ vectors.T).argmax(axis=1)
        for (query, rank), at in zip(places, nearest.tolist(), strict=True):
            item = ordered[query][rank]
            chunk = _chunk(item.document, *cuts[at].tolist())
            ordered[query][rank] = item._replace(chunk=chunk)
    return list(ordered)


def _chunk(document: StoredDocument, start: int, end: int) -> Chunk:
    return Chunk(document.text[start:end], start, end)


@dataclass(frozen=True, slots=True)
class ChunksOf:
    """The chunks of a segment, to be searched one by one.

    Attributes:
        segment: whose documents are cut.
        passing: bool[rows]: only chunks of these documents.
    """

    segment: Segment
    passing: Flags

    @property
    def live_rows(self) -> int:
        """How many chunks can be answered."""
        table = self.segment.chunks
        return int(self.passing[table.rows].sum()) if table else 0

    def search(self, queries: FloatRows, k: int, *, exact: bool, candidates: int | None) -> Found:
        """Return scores and numbers of vectors: see `Segment.search_chunks`."""
        return self.segment.search_chunks(
            queries,
            k,
            exact=exact,
            candidates=candidates,
            passing=None if bool(np.all(self.passing)) else self.passing,
        )
