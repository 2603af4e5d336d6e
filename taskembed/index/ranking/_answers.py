"""Turns the best rows of an index into hits, by reading their documents and chunks."""

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
from taskembed.vectors import Flags, FloatRows, Floats, Rows


def read_scored(
    segments: Sequence[Segment],
    best: Best,
    count: int,
    k: int,
    sides: Sequence[Sides] | None = None,
) -> list[list[ScoredDocument]]:
    """Return the best k documents of each query, best first; each document is read once.

    Args:
        segments: the segments of the index.
        best: the rows that may be hits, with their scores.
        count: number of queries.
        k: number of documents for each query.
        sides: the components of each row's score in a hybrid search; None for other searches.

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
    """Return the best k chunks of each query; `best` contains vector numbers instead of rows."""
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
        segments: the segments of the index.
        found: the documents of each query.
        queries: float32[n, dim], to find the nearest chunk of each document; None for no chunks.
        field: the field that hits are grouped by; None for no groups.

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
    """Add to each document its chunk that is nearest to the query; vectors are read once."""
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
        segment: the segment; its documents are cut into chunks.
        passing: bool[rows]: only chunks of these documents are searched.
    """

    segment: Segment
    passing: Flags

    @property
    def live_rows(self) -> int:
        """The number of chunks that can be returned."""
        table = self.segment.chunks
        return int(self.passing[table.rows].sum()) if table else 0

    def search(self, queries: FloatRows, k: int) -> Found:
        """Return scores and vector numbers: see `Segment.chunk_search`."""
        return self.segment.chunk_search(queries, k, passing=self._passing)

    def estimates(self, queries: FloatRows, depth: int) -> Found | None:
        """Return estimates and vector numbers: see `Segment.chunk_estimates`."""
        return self.segment.chunk_estimates(queries, depth, passing=self._passing)

    def scores(self, queries: FloatRows, query: Rows, row: Rows) -> Floats:
        """Return the scores of some chunks for some queries; `row` has vector numbers."""
        return self.segment.chunk_scores(queries, query, row)

    @property
    def _passing(self) -> Flags | None:
        return None if bool(np.all(self.passing)) else self.passing
