"""Groups tokenised texts into batches, padded on the right to the longest text of each batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from taskembed.encoding.tokens import Ints, Tokens
from taskembed.vectors import Flags


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch of texts, padded on the right to the longest.

    Attributes:
        rows: int64[n]: the positions of the texts.
        truncated: bool[n]: whether the model does not read all of a text.
        input_ids: int64[n, length].
        attention_mask: int64[n, length]: 1 for a token, 0 for padding.
        pooling_mask: int64[n, length]: for an encoder, 1 for a token whose vector is pooled.
        token_types: int64[n, length]: the type of each token, for a reranker with that input: 0
            for the query, 1 for the document.
    """

    rows: Ints
    truncated: Flags
    input_ids: Ints
    attention_mask: Ints
    pooling_mask: Ints | None = None
    token_types: Ints | None = None

    @property
    def inputs(self) -> list[Ints]:
        """The inputs of the model, in order."""
        third = [array for array in (self.pooling_mask, self.token_types) if array is not None]
        return [self.input_ids, self.attention_mask, *third]


def batches(items: Iterable[tuple[int, Tokens]], budget: int) -> Iterator[Batch]:
    """Yield batches for an encoder, in the order of `items`.

    Args:
        items: the position and the tokens of each text, preferably sorted by length.
        budget: largest number of tokens in a batch, padding included; a longer text forms its own
            batch.
    """
    for group, length in _groups(items, budget):
        batch = _padded(group, length)
        pooling_mask = batch.attention_mask
        if any(tokens.prompt_length for _, tokens in group):
            pooling_mask = pooling_mask.copy()
            for position, (_, tokens) in enumerate(group):
                pooling_mask[position, : tokens.prompt_length] = 0
        yield replace(batch, pooling_mask=pooling_mask)


def pair_batches(
    items: Iterable[tuple[int, Tokens]], budget: int, *, with_types: bool
) -> Iterator[Batch]:
    """Yield batches for a reranker, in the order of `items`.

    Args:
        items: the position and the tokens of each pair, preferably sorted by length.
        budget: largest number of tokens in a batch, padding included; a longer pair forms its own
            batch.
        with_types: whether the types of the tokens are an input of the model.
    """
    for group, length in _groups(items, budget):
        batch = _padded(group, length)
        if not with_types:
            yield batch
            continue
        types = np.zeros_like(batch.input_ids)
        for position, (_, tokens) in enumerate(group):
            types[position, : len(tokens.ids)] = tokens.types or 0
        yield replace(batch, token_types=types)


def _groups(
    items: Iterable[tuple[int, Tokens]], budget: int
) -> Iterator[tuple[list[tuple[int, Tokens]], int]]:
    """Yield the items of a batch, and the length of the longest."""
    group: list[tuple[int, Tokens]] = []
    longest = 0
    for row, tokens in items:
        padded_length = max(longest, len(tokens.ids))
        if group and padded_length * (len(group) + 1) > budget:
            yield group, longest
            group, padded_length = [], len(tokens.ids)
        group.append((row, tokens))
        longest = padded_length
    if group:
        yield group, longest


def _padded(group: list[tuple[int, Tokens]], length: int) -> Batch:
    shape = (len(group), max(length, 1))  # without special tokens, "" has no tokens
    input_ids, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for position, (_, tokens) in enumerate(group):
        input_ids[position, : len(tokens.ids)] = tokens.ids
        mask[position, : len(tokens.ids)] = 1
    rows = np.array([row for row, _ in group], np.int64)
    truncated = np.array([tokens.truncated for _, tokens in group], np.bool_)
    return Batch(rows, truncated, input_ids, mask)
