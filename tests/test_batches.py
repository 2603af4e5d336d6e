"""Batches of an iterable."""

from __future__ import annotations

from itertools import count

from taskembed.batches import batched


def test_items_come_in_lists_of_which_the_last_is_shorter() -> None:
    assert list(batched("abcde", 2)) == [["a", "b"], ["c", "d"], ["e"]]
    assert list(batched([], 2)) == []


def test_no_more_is_read_than_a_batch_takes() -> None:
    numbers = count()
    assert next(batched(numbers, 3)) == [0, 1, 2]
    assert next(numbers) == 3
