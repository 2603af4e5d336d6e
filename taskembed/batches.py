"""Splits iterables into batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of `size`, the last perhaps shorter: "abc" by 2: [a, b], [c]."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
