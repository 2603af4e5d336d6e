"""An encoder that remembers: the same vectors, and no text encoded twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from taskembed.evaluation.remembering import RememberingEncoder
from taskembed.space import PromptType
from taskembed.vectors import Encoded
from tests.fakes import HashEncoder


class Watched(HashEncoder):
    """Notes the texts that it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[str]] = []

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        self.asked.append(list(texts))
        return super().encode(texts, prompt_type)


def test_each_text_of_a_side_is_encoded_once() -> None:
    watched, plain = Watched(), HashEncoder()
    encoder = RememberingEncoder(watched)
    for texts, side in (
        (["a", "b", "a"], PromptType.DOCUMENT),
        (["b", "c"], PromptType.DOCUMENT),
        (["a"], PromptType.QUERY),
        (["c", "b", "a"], PromptType.DOCUMENT),
    ):
        found, expected = encoder.encode(texts, side), plain.encode(texts, side)
        assert np.array_equal(found.vectors, expected.vectors)
        assert np.array_equal(found.truncated, expected.truncated)
    assert watched.asked == [["a", "b"], ["c"], ["a"]]
    ((rows, encoded),) = encoder.encode_slices(["b", "a"], PromptType.DOCUMENT)
    assert rows.tolist() == [0, 1]
    assert np.array_equal(encoded.vectors, plain.encode(["b", "a"], PromptType.DOCUMENT).vectors)
    assert encoder.encode([], PromptType.QUERY).vectors.shape == (0, plain.space.dim)
    assert (encoder.space, encoder.made_by) == (plain.space, plain.made_by)
