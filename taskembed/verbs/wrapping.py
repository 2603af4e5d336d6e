"""An encoder that stands before another one, and has its space."""

from __future__ import annotations

from collections.abc import Mapping

from taskembed.space import EmbeddingSpace
from taskembed.verbs.protocols import DocumentTokens, Encoder, document_tokens


class WrappingEncoder:
    """What encoders that pass texts on to another one have in common.

    Args:
        encoder: the other one.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    @property
    def space(self) -> EmbeddingSpace:
        """The space of the vectors."""
        return self._encoder.space

    @property
    def made_by(self) -> Mapping[str, str]:
        """The engine, its precision and the version, as the other encoder has them."""
        return self._encoder.made_by

    def document_tokens(self) -> DocumentTokens:
        """Return what tells where the tokens of a document are, as the other encoder does.

        Raises:
            ModelUnavailableError: the places that the tokenizer reports are wrong.
            UsageError: the other encoder does not tell its tokens.
        """
        return document_tokens(self._encoder)
