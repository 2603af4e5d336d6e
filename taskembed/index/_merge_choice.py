"""Which segments of an index should be merged into one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

MERGE_FACTOR = 8  # number of segments of similar size that become one
MOST_SEGMENTS = 12  # segments that can still be merged; a search opens the files of each
MERGE_ROWS = 3 * 2**20  # rows of a merged segment, at most: a minute of work, 250 MB of memory
TIER_ROWS = 1024  # rows; all segments with fewer rows count as similar in size

T = TypeVar("T")


def choose(items: Sequence[T], rows: Callable[[T], int], dead: Callable[[T], int]) -> list[T]:
    """Return the segments that should become one; none if nothing should be merged.

    A segment with more deleted than live rows is rewritten alone. MERGE_FACTOR segments of similar
    size become one. Above MOST_SEGMENTS, two of similar size suffice, or else the two smallest.

    Args:
        items: the segments, oldest first.
        rows: returns the number of live rows of a segment.
        dead: returns the number of deleted rows of a segment.
    """
    for item in items:
        if dead(item) > rows(item):
            return [item]
    tiers: dict[int, list[T]] = {}
    for item in items:
        if rows(item) * 2 <= MERGE_ROWS:
            tiers.setdefault(_tier(rows(item)), []).append(item)
    count = sum(map(len, tiers.values()))
    fewest = 2 if count > MOST_SEGMENTS else MERGE_FACTOR
    for _, tier in sorted(tiers.items()):
        group = _bounded(tier, rows)
        if len(group) >= fewest:
            return group
    if count <= MOST_SEGMENTS:
        return []
    smallest = sorted((item for tier in tiers.values() for item in tier), key=rows)[:2]
    return [item for item in items if item in smallest]


def _bounded(items: Sequence[T], rows: Callable[[T], int]) -> list[T]:
    """Return the items that fit into one segment of MERGE_ROWS rows."""
    chosen: list[T] = []
    for item in items:
        if sum(map(rows, chosen)) + rows(item) <= MERGE_ROWS:
            chosen.append(item)
    return chosen


def _tier(rows: int) -> int:
    tier = 0
    while rows >= TIER_ROWS * MERGE_FACTOR**tier:
        tier += 1
    return tier
