"""An encoder that counts the texts that its model truncates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from taskembed.space import PromptType
from taskembed.vectors import Encoded, Rows
from taskembed.verbs.opening.wrapping import WrappingEncoder
from taskembed.verbs.protocols import Encoder


class CountingEncoder(WrappingEncoder):
    """An encoder that counts the texts of each side, and those that were truncated.

    Attributes:
        texts: the number of encoded texts of each side.
        truncated: the number of truncated texts of each side.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.texts = Counter[PromptType]()
        self.truncated = Counter[PromptType]()

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        """Encode texts, and count them."""
        encoded = self._encoder.encode(texts, prompt_type)
        self.texts[prompt_type] += len(texts)
        self.truncated[prompt_type] += int(encoded.truncated.sum())
        return encoded

    def encode_slices(
        self, texts: Sequence[str], prompt_type: PromptType
    ) -> Iterator[tuple[Rows, Encoded]]:
        """Encode texts a few at a time, and count them: see `Encoder.encode_slices`.

        Yields:
            int64[m], positions of m texts, and their vectors, float32[m, dim], with bool[m]: which
            of them were truncated.

        Raises:
            TextTooLongError: some texts cannot be encoded.
            TaskembedError: another error of the encoder that is wrapped.
        """
        for rows, encoded in self._encoder.encode_slices(texts, prompt_type):
            self.texts[prompt_type] += len(rows)
            self.truncated[prompt_type] += int(encoded.truncated.sum())
            yield rows, encoded
