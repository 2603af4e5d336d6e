"""A base class for encoders that wrap another encoder and have its space."""

from __future__ import annotations

from collections.abc import Mapping

from taskembed.space import EmbeddingSpace
from taskembed.verbs.protocols import DocumentTokens, Encoder, document_tokens


class WrappingEncoder:
    """Base class for encoders that pass texts on to another encoder.

    Args:
        encoder: the wrapped encoder.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    @property
    def space(self) -> EmbeddingSpace:
        """The space of the vectors."""
        return self._encoder.space

    @property
    def made_by(self) -> Mapping[str, str]:
        """The engine of the wrapped encoder, its precision and the version."""
        return self._encoder.made_by

    def document_tokens(self) -> DocumentTokens:
        """Return the object of the wrapped encoder that locates the tokens of a document.

        Raises:
            ModelUnavailableError: the positions that the tokenizer reports are wrong.
            UsageError: the wrapped encoder has no tokenizer.
        """
        return document_tokens(self._encoder)
