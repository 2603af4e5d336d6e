"""An encoder that counts what its model does not read whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from taskembed.cli.words import truncated, truncated_queries
from taskembed.space import PromptType

if TYPE_CHECKING:
    from taskembed.space import EmbeddingSpace
    from taskembed.vectors import Encoded, Rows
    from taskembed.verbs.protocols import Encoder


class Counting:
    """An encoder that counts the texts of each side, and those of them that were cut."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._texts = Counter[PromptType]()
        self._truncated = Counter[PromptType]()

    @property
    def space(self) -> EmbeddingSpace:
        """Where the vectors live."""
        return self._encoder.space

    @property
    def made_by(self) -> Mapping[str, str]:
        """As the encoder's."""
        return self._encoder.made_by

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        """Encode texts, and count them."""
        encoded = self._encoder.encode(texts, prompt_type)
        self._texts[prompt_type] += len(texts)
        self._truncated[prompt_type] += int(encoded.truncated.sum())
        return encoded

    def encode_slices(
        self, texts: Sequence[str], prompt_type: PromptType
    ) -> Iterator[tuple[Rows, Encoded]]:
        """Encode texts, some at a time, and count them."""
        for rows, encoded in self._encoder.encode_slices(texts, prompt_type):
            self._texts[prompt_type] += len(rows)
            self._truncated[prompt_type] += int(encoded.truncated.sum())
            yield rows, encoded

    def notes(self) -> Iterator[str]:
        """Yield what is to be said of the texts that were cut."""
        for side, say in (
            (PromptType.DOCUMENT, truncated),
            (PromptType.QUERY, truncated_queries),
        ):
            if note := say(self._truncated[side], self._texts[side], self.space):
                yield note
