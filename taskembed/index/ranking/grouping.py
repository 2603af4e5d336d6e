"""Hits in groups: for each value of a metadata field, the best documents that have it.

A search for k groups must return k groups whenever the index has k. So it takes the best documents
of a query, and then repeatedly four times as many, until they contain k groups or no documents are
left. At first, the values of the field are looked up for these documents only. When a query needs
many documents, all values are read: that gives the number and the sizes of all groups.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from taskembed.arguments import require_positive, require_string
from taskembed.batches import batched
from taskembed.errors import UsageError
from taskembed.index._segments.segment import Segment
from taskembed.index.documents import StoredDocument
from taskembed.index.filtering.field_types import SCALARS, Fields, names_of, spelled
from taskembed.index.filtering.filters import FIELDS_HINT, FieldName, named_types, no_such_field
from taskembed.index.ranking._best import Best
from taskembed.index.ranking.fusion import Sides
from taskembed.index.ranking.hits import Hit, ScoredDocument
from taskembed.vectors import Flags, Floats, Rows

LEAST_DEPTH = 50  # documents of a query that are taken first, at least
_GROWTH = 4  # factor: documents taken first for each hit; then the growth of their number
_ALL_FROM = 400  # documents of a query; before more are taken, all values are read
_TAKEN_AT_ONCE = 200_000  # documents of all queries that are in memory at the same time
_UNREAD, _ALONE = -2, -1  # codes: the value of a document is not read yet; it has no value

Codes = npt.NDArray[np.int32]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ranking:
    """How the documents of some queries are ranked.

    Attributes:
        queries: the number of queries.
        best: a function of the numbers of some queries and of a count: returns that many best
            documents of each query, and every document whose score equals the last one; and, for a
            hybrid search, the parts of each score.
        depth: the number of documents of a query that are taken first.
    """

    queries: int
    best: Callable[[Sequence[int], int], tuple[Best, Sequence[Sides] | None]]
    depth: int


@dataclass(frozen=True, slots=True)
class Grouping:
    """How hits are grouped.

    Attributes:
        field: a metadata field, named as in a filter. A document without the field, or whose value
            is a list or an object, is a group of its own.
        per_group: the largest number of hits of a group.

    Raises:
        TypeError: `field` is not a string, or `per_group` is not an integer.
        ValueError: per_group is below 1.
    """

    field: str
    per_group: int = 1

    def __post_init__(self) -> None:
        require_string(self.field, "the field of groups")
        require_positive(self.per_group, "per_group")


@dataclass(frozen=True, slots=True)
class Member:
    """A document of a group, as a search found it.

    Attributes:
        group: a number; equal for documents of the same group.
        score: the score of the document.
        segment: the position of its segment in the index.
        row: its row in that segment.
        sides: the parts of its score in a hybrid search; None in any other.
    """

    group: int
    score: float
    segment: int
    row: int
    sides: Sides | None

    def scored(self, documents: Mapping[int, StoredDocument]) -> ScoredDocument:
        """Return the hit with its document, taken from the documents of its segment by row."""
        return ScoredDocument(self.score, documents[self.row], self.sides, self.segment)


def require_group_field(field: str, fields: Fields) -> FieldName:
    """Return a field that hits can be grouped by.

    Raises:
        UsageError: no document has the field, or it is a list or an object in all that do.
    """
    names = next(
        (names for names in ((field,), names_of(field)) if names and spelled(names) in fields), None
    )
    if names is None:
        raise no_such_field(field, fields)
    found = FieldName(names, 1)
    types = fields[str(found)]
    if not any(kind in SCALARS for kind in types):
        raise UsageError(
            f"hits cannot be grouped by `{found}`, which is {named_types(types)}: groups are of "
            "texts, numbers, or true and false",
            hint=FIELDS_HINT,
        )
    return found


def group_key(hit: Hit) -> Hashable:
    """Return a key that is equal for two hits exactly if they are in the same group."""
    if hit.group is None:
        return (None, hit.doc_id)
    return (isinstance(hit.group, bool), hit.group)  # 1 == True, but they are two groups


def in_groups(
    ordered: Iterable[T], group: Callable[[T], Hashable], k: int, per_group: int
) -> list[T]:
    """Return the first `per_group` items of each of the first k groups, group by group.

    in_groups(["b1", "a1", "b2", "a2"], lambda item: item[0], k=2, per_group=2) returns
    ["b1", "b2", "a1", "a2"].
    """
    groups: dict[Hashable, list[T]] = {}
    for item in ordered:
        name = group(item)
        if name in groups or len(groups) < k:
            members = groups.setdefault(name, [])
            if len(members) < per_group:
                members.append(item)
    return [item for members in groups.values() for item in members]


def best_in_groups(
    found: Iterable[tuple[int, ScoredDocument]], k: int, per_group: int
) -> list[ScoredDocument]:
    """Return the best documents of the k best groups: group by group, the best group first.

    Args:
        found: pairs of the number of a group and a document.
        k: the number of groups.
        per_group: the largest number of documents of a group.
    """
    ordered = sorted(found, key=lambda pair: pair[1].order)
    chosen = in_groups(ordered, lambda pair: pair[0], k, per_group)
    return [item for _, item in chosen]


class Groups:
    """The groups of the documents of an index by one field; values are read when they are needed.

    Safe to use from several threads. Each different value of the field has a number, its code,
    which is the same in all segments.
    """

    def __init__(self, segments: Sequence[Segment], field: FieldName) -> None:
        self.field = field
        self._segments = segments
        self._codes: list[Codes] = [
            np.full(segment.info.rows, _UNREAD, np.int32) for segment in segments
        ]
        self._firsts = np.cumsum([0, *(segment.info.rows for segment in segments)])
        self._numbers: dict[Hashable, int] = {}
        self._lock = threading.Lock()
        self._is_whole = False

    def names(self, segment: Rows, row: Rows) -> Rows:
        """Return int64[n]: a number for each document's group; equal numbers are the same group.

        Args:
            segment: int64[n]: the number of each document's segment.
            row: int64[n]: the row of each document in its segment.
        """
        names = np.empty(len(row), np.int64)
        for number, codes in enumerate(self._codes):
            here = segment == number
            rows = row[here]
            self._read(number, np.unique(rows[codes[rows] == _UNREAD]))
            alone = -1 - (self._firsts[number] + rows)
            names[here] = np.where(codes[rows] >= 0, codes[rows], alone)
        return names

    def sizes(self, hidden: Sequence[Flags]) -> tuple[Rows, int]:
        """Return int64[groups]: the size of each group; and how many documents have no group.

        Args:
            hidden: bool[rows] for each segment: documents that no search returns.
        """
        with self._lock:
            if not self._is_whole:
                for number, segment in enumerate(self._segments):
                    self._set(number, np.arange(segment.info.rows), rows=None)
                self._is_whole = True
            sizes = np.zeros(len(self._numbers), np.int64)
        alone = 0
        for codes, gone in zip(self._codes, hidden, strict=True):
            found = codes[~gone]
            alone += int((found < 0).sum())
            sizes += np.bincount(found[found >= 0], minlength=len(sizes))
        return sizes, alone

    def _read(self, number: int, rows: Rows) -> None:
        if len(rows):
            with self._lock:
                self._set(number, rows, rows=rows.tolist())

    def _set(self, number: int, places: Rows, *, rows: Sequence[int] | None) -> None:
        """Set the codes of rows of a segment; a row is set once its value is known."""
        codes = np.full(self._segments[number].info.rows, _ALONE, np.int32)
        for row, value in self._segments[number].group_values(self.field, rows):
            codes[row] = self._numbers.setdefault(value, len(self._numbers))
        self._codes[number][places] = codes[places]


def best_groups(
    ranking: Ranking, groups: Groups, hidden: Sequence[Flags], *, k: int, per_group: int
) -> list[list[Member]]:
    """Return the best documents of the k best groups of each query.

    Where several groups, or several documents of a group, have the same score as the last one that
    is returned, all of them are returned: the caller orders equal scores by document id.

    Args:
        ranking: how the documents are ranked.
        groups: the groups of the documents.
        hidden: bool[rows] for each segment: documents that no search returns.
        k: the number of groups of a query.
        per_group: the number of documents of a group.
    """
    found: list[list[Member]] = [[] for _ in range(ranking.queries)]
    waiting, depth = list(range(ranking.queries)), ranking.depth
    sizes = None
    while waiting:
        later: list[int] = []
        for some in batched(waiting, max(1, _TAKEN_AT_ONCE // depth)):
            best, sides = ranking.best(some, depth)
            for place, query in enumerate(some):
                rows = np.flatnonzero(best.query == place)
                mine = best.chosen(rows)
                chosen, is_enough = _chosen(mine, groups, k, per_group, sizes)
                if not is_enough and sizes is None and depth * _GROWTH >= _ALL_FROM:
                    sizes = groups.sizes(hidden)
                    chosen, is_enough = _chosen(mine, groups, k, per_group, sizes)
                if is_enough or len(rows) < depth:
                    found[query] = _members(best, rows[chosen], groups, sides)
                else:
                    later.append(query)
        waiting, depth = later, depth * _GROWTH
    return found


def first_depth(k: int, per_group: int) -> int:
    """Return the number of documents of a query that are taken first."""
    return max(LEAST_DEPTH, _GROWTH * k * per_group)


def _chosen(
    best: Best, groups: Groups, k: int, per_group: int, sizes: tuple[Rows, int] | None
) -> tuple[Rows, bool]:
    """Return the positions of the documents of the k best groups, and whether they are final.

    They are final if further documents, whose scores are lower, cannot change them.
    """
    names = groups.names(best.segment, best.row)
    order = np.lexsort((-best.score, names))  # by group, the best of each first
    known, first, held = np.unique(names[order], return_index=True, return_counts=True)
    scores: Floats = best.score[order]
    tops = scores[first]
    is_kept = np.ones(len(known), np.bool_)
    if len(known) > k:
        is_kept = tops >= np.partition(tops, -k)[-k]
    lasts = scores[first + np.minimum(held, per_group) - 1]
    chosen = np.repeat(is_kept, held) & (scores >= np.repeat(lasts, held))
    is_full = held >= np.minimum(per_group, _sizes_of(known, sizes))
    there_are = np.inf if sizes is None else int((sizes[0] > 0).sum()) + sizes[1]
    is_enough = len(known) >= min(k, there_are) and bool(is_full[is_kept].all())
    return order[chosen], is_enough


def _sizes_of(names: Rows, sizes: tuple[Rows, int] | None) -> npt.NDArray[np.float64]:
    """Return float64[n]: the size of each group; infinite where it is not known yet."""
    known = np.where(names < 0, 1.0, np.inf)
    if sizes is not None:
        is_value = names >= 0
        known[is_value] = sizes[0][names[is_value]]
    return known


def _members(
    best: Best, places: Rows, groups: Groups, sides: Sequence[Sides] | None
) -> list[Member]:
    some = best.chosen(places)
    names = groups.names(some.segment, some.row).tolist()
    parts = [sides[place] for place in places.tolist()] if sides else [None] * len(names)
    return [
        Member(name, score, segment, row, part)
        for name, (_, score, segment, row), part in zip(names, some.tolist(), parts, strict=True)
    ]
