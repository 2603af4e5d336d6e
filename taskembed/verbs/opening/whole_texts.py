"""Encodes new texts for an index with chunks: they are cut into chunks like its documents."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Sequence

import numpy as np

from taskembed.batches import batched
from taskembed.errors import BadInputError
from taskembed.index.reader import Index
from taskembed.space import PromptType
from taskembed.vectors import Encoded, Rows, gathered, whole_vector
from taskembed.verbs._indexing.cutting import Cutter
from taskembed.verbs.opening.wrapping import WrappingEncoder
from taskembed.verbs.protocols import Encoder

_AT_ONCE = 64  # texts whose chunks are encoded together


def whole_text_encoder(index: Index, encoder: Encoder) -> Encoder:
    """Return an encoder whose vectors can be compared with those of whole documents of an index.

    Args:
        index: the open index.
        encoder: an encoder of the index's space; returned unchanged for an index without chunks.

    Raises:
        ModelUnavailableError: the tokenizer does not report the positions of tokens.
        UsageError: the encoder has no tokenizer, or reads fewer tokens than a chunk has.
        MissingLibraryError: a parser that the index's rule names is not installed.
    """
    cutter = Cutter.of(index.chunking, encoder)
    return _WholeTexts(encoder, cutter) if cutter else encoder


class _WholeTexts(WrappingEncoder):
    """Cuts texts into chunks; the vector of a text is the mean of those of its chunks."""

    def __init__(self, encoder: Encoder, cutter: Cutter) -> None:
        super().__init__(encoder)
        self._cutter = cutter

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        """Return the vectors of texts."""
        return gathered(self.encode_slices(texts, prompt_type), len(texts), self.space.dim)

    def encode_slices(
        self, texts: Sequence[str], prompt_type: PromptType
    ) -> Iterator[tuple[Rows, Encoded]]:
        """Yield the vectors of a few texts at a time.

        Raises:
            BadInputError: a text has too many chunks, or the tokenizer fails on it.
        """
        for some in batched(range(len(texts)), _AT_ONCE):
            chunks = [self._cut(texts[number]) for number in some]
            encoded = self._encoder.encode([text for cut in chunks for text in cut], prompt_type)
            ends = np.cumsum([len(cut) for cut in chunks])[:-1]
            vectors = [whole_vector(part) for part in np.split(encoded.vectors, ends)]
            truncated = [part.any() for part in np.split(encoded.truncated, ends)]
            yield np.array(some, np.int64), Encoded(np.concatenate(vectors), np.array(truncated))

    def _cut(self, text: str) -> list[str]:
        try:
            cuts = self._cutter.cut(text, "").tolist()
        except ValueError as error:
            raise BadInputError(str(error), what=reprlib.repr(text)) from error
        return [text[begin:end] for begin, end in cuts]
