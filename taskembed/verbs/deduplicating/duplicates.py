"""Definitions for `dedup`: duplicates, equal texts, and which of several documents is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from taskembed.activity import doing
from taskembed.errors import UsageError
from taskembed.index.documents import StoredDocument
from taskembed.index.ranking.positions import Positions
from taskembed.index.reader import Index
from taskembed.index.stored_metadata import read_metadata
from taskembed.reading.template import value_of
from taskembed.space import Task
from taskembed.vectors import Rows
from taskembed.verbs.opening.tasks import require_index_of

_DIGEST_BYTES = 16  # long enough that different texts practically never have the same hash

Digests = npt.NDArray[np.bytes_]  # bytes[n, 16]


class KeepRule(StrEnum):
    """Which of several duplicates is kept."""

    FIRST = "first"
    LONGEST = "longest"
    NEWEST = "newest"


@dataclass(frozen=True, slots=True)
class Keep:
    """Which of several duplicates is kept: the first, the longest, or the newest by a field.

    Attributes:
        rule: how to choose.
        field: with "newest", the metadata field whose greatest value is kept: a number, or a text
            such as an ISO date. Documents without the field come last.
    """

    rule: KeepRule = KeepRule.FIRST
    field: str = ""

    @classmethod
    def parse(cls, words: str) -> Keep:
        """Parse "first", "longest" or "newest:FIELD".

        Raises:
            UsageError: the text is none of them.
        """
        name, colon, field = words.partition(":")
        needs_field = name == KeepRule.NEWEST
        if name not in set(KeepRule) or needs_field != bool(field) or needs_field != bool(colon):
            raise UsageError(f"{words!r} is not one of: first, longest or newest:FIELD")
        return cls(KeepRule(name), field)


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A document that has the same meaning as one that is kept.

    Attributes:
        doc_id: the id of the duplicate.
        kept: the id of the document that is kept for it.
        score: the cosine of their vectors.
        exact: whether both have the same text.
    """

    doc_id: str
    kept: str
    score: float
    exact: bool


def require_threshold(threshold: float) -> None:
    """Check that a number can be the least cosine of near duplicates: above 0, at most 1.

    Raises:
        ValueError: the number is outside these bounds.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold is {threshold}; it must be above 0, at most 1")


def require_dedup_index(index: Index) -> None:
    """Check that duplicates can be found in an index.

    Raises:
        SpaceMismatchError: the index is for another task than similarity.
        UsageError: the metric of the index is "dot".
        TypeError: `index` is not an `Index`.
    """
    require_index_of("dedup", Task.SIMILARITY, index)


def read_texts(positions: Positions, keep: Keep) -> tuple[Digests, Rows]:
    """Return a hash of each document's text, and the order in which documents are preferred.

    Args:
        positions: the n documents of the index.
        keep: which of several duplicates is kept.

    Returns:
        bytes[n, 16], the hash of the text at each position; and int64[n], the positions in order
        of preference.

    Raises:
        UsageError: no document has the field of `keep`, or its values have no order.
    """
    digests = np.empty(len(positions), f"S{_DIGEST_BYTES}")
    values: list[Any] = []
    with doing("reading", unit="documents", total=len(positions)) as step:
        for place, document in enumerate(positions.documents()):
            digests[place] = digest_of(document.text)
            if keep.rule is not KeepRule.FIRST:
                values.append(_value(document, keep))
            step.done = place
    if keep.rule is KeepRule.FIRST:
        return digests, np.arange(len(positions))
    return digests, _greatest_first(values, keep.field)


def digest_of(text: str) -> bytes:
    """Return a hash of a text."""
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()


def _value(document: StoredDocument, keep: Keep) -> object:
    if keep.rule is KeepRule.LONGEST:
        return len(document.text)
    return value_of(read_metadata(document), keep.field)


def _greatest_first(values: Sequence[Any], field: str) -> Rows:
    """Return the positions of values, the greatest first and missing values last.

    Raises:
        UsageError: every value is missing, or the values cannot be ordered.
    """
    there = [place for place, value in enumerate(values) if value is not None]
    kinds = {_kind(values[place]) for place in there}
    if values and not there:
        raise UsageError(f"no document has the field {field!r}", hint="taskembed info --fields")
    if len(kinds) > 1 or kinds - {"numbers", "texts"}:
        raise UsageError(
            f"the field {field!r} has {' and '.join(sorted(kinds))}, which have no order",
            hint="newest:FIELD needs a field of numbers, or of texts such as ISO dates",
        )
    order = sorted(there, key=values.__getitem__, reverse=True)  # equal ones stay in order
    missing = [place for place, value in enumerate(values) if value is None]
    return np.array([*order, *missing], np.int64)


def _kind(value: object) -> str:
    if isinstance(value, str):
        return "texts"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "numbers"
    return "booleans" if isinstance(value, bool) else "lists or objects"
