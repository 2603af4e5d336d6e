"""Texts that were encoded are counted, by side, and those that the model did not read whole."""

from __future__ import annotations

import numpy as np

from taskembed.space import PromptType
from taskembed.verbs.opening.counting import CountingEncoder
from tests.fakes import HashEncoder

LONG = "word " * 33  # the model reads 32


def test_texts_and_truncated_texts_are_counted_by_side() -> None:
    inner = HashEncoder()
    encoder = CountingEncoder(inner)
    encoded = encoder.encode(["one", LONG], PromptType.QUERY)
    assert np.array_equal(encoded.vectors, inner.encode(["one", LONG], PromptType.QUERY).vectors)
    slices = list(encoder.encode_slices(["one"] * 10 + [LONG] * 2, PromptType.DOCUMENT))
    assert sorted(row for rows, _ in slices for row in rows.tolist()) == list(range(12))
    assert encoder.texts == {PromptType.QUERY: 2, PromptType.DOCUMENT: 12}
    assert encoder.truncated == {PromptType.QUERY: 1, PromptType.DOCUMENT: 2}


def test_the_space_and_the_engine_are_those_of_the_encoder_within() -> None:
    inner = HashEncoder()
    assert CountingEncoder(inner).space is inner.space
    assert CountingEncoder(inner).made_by == inner.made_by
