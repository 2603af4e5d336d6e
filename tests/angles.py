"""A fake encoder whose cosines are known by hand: a text says at which angle its vector is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from taskembed.space import PromptType, Task
from taskembed.testing import HashTokens
from taskembed.vectors import Encoded, Rows
from tests.fakes import HashEncoder


class AngleEncoder:
    """Encodes a text that ends in a number as the unit vector of so many degrees."""

    made_by: ClassVar[dict[str, str]] = {"engine": "angles"}

    def __init__(self, task: Task) -> None:
        self.space = HashEncoder(task=task, query_prompt="", document_prompt="", dim=2).space

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        angles = np.radians([float(text.split()[-1]) for text in texts])
        vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
        return Encoded(vectors, np.zeros(len(texts), np.bool_))

    def encode_slices(
        self, texts: Sequence[str], prompt_type: PromptType
    ) -> Iterator[tuple[Rows, Encoded]]:
        yield np.arange(len(texts)), self.encode(texts, prompt_type)

    def document_tokens(self) -> HashTokens:
        return HashTokens(self.space.max_length)


def chunks_at(*degrees: float) -> str:
    """Return a text that the rule "16:0" cuts into chunks at these angles."""
    return "\n\n".join("word " * 15 + str(angle) for angle in degrees)
