"""Filters over a whole index: the fields of its metadata, and the rows that match a filter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from taskembed.activity import doing
from taskembed.batches import batched
from taskembed.index._segments.segment import Segment
from taskembed.index._segments.vectors import Found
from taskembed.index.filtering.field_types import FieldType
from taskembed.index.filtering.filters import (
    EXAMPLES,
    FieldDescription,
    named_types,
    require_fields,
    written,
)
from taskembed.index.ranking.nearest import Searched
from taskembed.vectors import Flags, FloatRows, Floats, Rows

_IDS_AT_ONCE = 1024  # documents in memory while ids are listed


class Selector:
    """Applies filters to the segments of an index.

    Its methods raise UsageError if the text is not a filter, or names a field that no document has,
    and IndexDamagedError if a file is damaged.
    """

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = segments
        self._last: tuple[str, list[Flags]] | None = None  # the filter used last, and its rows

    def fields(self) -> dict[str, set[FieldType]]:
        """Return the types of each metadata field, by its name in filters."""
        types: dict[str, set[FieldType]] = {}
        for segment in self._segments:
            for name, kinds in segment.fields().items():
                types.setdefault(name, set()).update(kinds)
        return types

    def describe_fields(self) -> list[FieldDescription]:
        """Return the metadata fields by name, each with up to EXAMPLES different values."""
        examples: dict[str, list[str]] = {}
        for segment in self._segments:
            for name, values in segment.examples().items():
                known = examples.setdefault(name, [])
                new = [text for text in map(written, values) if text not in known]
                known.extend(new[: EXAMPLES - len(known)])
        return [
            FieldDescription(name, named_types(types), tuple(examples.get(name, ())))
            for name, types in sorted(self.fields().items())
        ]

    def passing(self, where: str) -> list[Flags]:
        """Return bool[rows] for each segment: live rows that match the filter."""
        if self._last is not None and self._last[0] == where:
            return self._last[1]
        # lark: 50 ms
        from taskembed.index.filtering.grammar import parse_filter

        filter_ = parse_filter(where)
        if any(segment.live_rows for segment in self._segments):
            with doing("filtering"):
                require_fields(filter_, self.fields())
                passing = [segment.passing(filter_) for segment in self._segments]
        else:  # without documents there are no fields to check the filter against
            passing = [np.zeros_like(segment.dead) for segment in self._segments]
        self._last = (where, passing)
        return passing

    def ids(self, where: str) -> Iterator[str]:
        """Yield the ids of the documents that match the filter."""
        for segment, passing in zip(self._segments, self.passing(where), strict=True):
            rows = np.flatnonzero(passing).tolist()
            for some in batched(rows, _IDS_AT_ONCE):
                for document in segment.documents(some).values():
                    yield document.doc_id

    def searched(self, where: str | None) -> Sequence[Searched]:
        """Return the segments to search, restricted to the rows that match the filter."""
        if where is None:
            return self._segments
        return restricted(self._segments, self.passing(where))

    def hidden(self, where: str | None) -> list[Flags]:
        """Return bool[rows] for each segment: rows that a search with this filter excludes."""
        if where is None:
            return [segment.dead for segment in self._segments]
        return [~passing for passing in self.passing(where)]


def restricted(segments: Sequence[Segment], passing: Sequence[Flags]) -> Sequence[Searched]:
    """Return segments in which only some rows are searched: bool[rows] for each segment."""
    parts = zip(segments, passing, strict=True)
    return [_Restricted(segment, flags, int(flags.sum())) for segment, flags in parts]


@dataclass(frozen=True, slots=True)
class _Restricted:
    """A segment, restricted to some of its rows."""

    segment: Segment
    passing: Flags
    live_rows: int

    def search(self, queries: FloatRows, k: int) -> Found:
        return self.segment.search(queries, k, passing=self.passing)

    def estimates(self, queries: FloatRows, depth: int) -> Found | None:
        return self.segment.estimates(queries, depth, passing=self.passing)

    def scores(self, queries: FloatRows, query: Rows, row: Rows) -> Floats:
        return self.segment.scores(queries, query, row)
