"""An encoder that caches vectors, for data that is ranked in several ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from taskembed.space import PromptType
from taskembed.vectors import Encoded, FloatRows, Rows
from taskembed.verbs.opening.wrapping import WrappingEncoder
from taskembed.verbs.protocols import Encoder


class RememberingEncoder(WrappingEncoder):
    """An encoder that keeps all vectors in memory, so that each text of a side is encoded once."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        self._known: dict[tuple[str, PromptType], tuple[FloatRows, bool]] = {}

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        """Return the vectors of texts, encoding only texts that are new for their side.

        Args:
            texts: n texts, without prompts.
            prompt_type: the side of the texts.

        Returns:
            float32[n, dim] and bool[n]: row i belongs to texts[i].

        Raises:
            TaskembedError: an error of the encoder that is wrapped.
        """
        known = self._known
        new = [text for text in dict.fromkeys(texts) if (text, prompt_type) not in known]
        if new:
            for text, vector, cut in zip(new, *self._encoder.encode(new, prompt_type), strict=True):
                known[text, prompt_type] = vector, bool(cut)
        if not texts:
            return self._encoder.encode([], prompt_type)
        found = [known[text, prompt_type] for text in texts]
        return Encoded(
            np.stack([vector for vector, _ in found]), np.array([cut for _, cut in found])
        )

    def encode_slices(
        self, texts: Sequence[str], prompt_type: PromptType
    ) -> Iterator[tuple[Rows, Encoded]]:
        """Yield all texts as one slice: int64[n], 0 to n - 1, and the n encoded texts.

        Raises:
            TaskembedError: an error of the encoder that is wrapped.
        """
        yield np.arange(len(texts)), self.encode(texts, prompt_type)
