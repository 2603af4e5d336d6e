"""The interfaces of models that the verbs use: `Encoder` for vectors, `Scorer` to rerank hits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from taskembed.errors import UsageError
from taskembed.space import EmbeddingSpace, PromptType
from taskembed.vectors import Encoded, Floats, Rows


class Encoder(Protocol):
    """Turns texts into vectors of one space."""

    @property
    def space(self) -> EmbeddingSpace:
        """The space of its vectors."""

    @property
    def made_by(self) -> Mapping[str, str]:
        """The engine, its precision and the version, to be shown to people."""

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        """Encode texts, with the prompt for queries or for documents before each.

        Returns:
            vectors, float32[n, dim], C-contiguous, of unit length if `space.normalize`; row i
            belongs to texts[i]. And truncated, bool[n]: whether the model did not read all of the
            text.
        """

    def encode_slices(
        self, texts: Sequence[str], prompt_type: PromptType
    ) -> Iterator[tuple[Rows, Encoded]]:
        """Encode texts in slices, in any order; yield the positions and vectors of each slice.

        Positions in `texts` are int64[m]; the result has m rows like that of `encode`. Each text
        is in exactly one slice. Slices yielded before an error are not lost, so a slice should
        take a second of work or less.

        Raises:
            TextTooLongError: some of the texts cannot be encoded; without them, the others can.
        """


class DocumentTokens(Protocol):
    """The positions of the tokens of a document, by the tokenizer of its model."""

    @property
    def text_room(self) -> int:
        """The number of tokens that the model reads, without prompt and special tokens."""

    def offsets(self, text: str) -> Rows:
        """Return int64[n, 2]: the start and end of each token, in characters of the text."""


@runtime_checkable
class TokenizingEncoder(Protocol):
    """An encoder with a tokenizer: that of a model on this machine."""

    def document_tokens(self) -> DocumentTokens:
        """Return an object that locates the tokens of a document.

        Raises:
            ModelUnavailableError: the positions that the tokenizer reports are wrong.
            UsageError: the model has no tokenizer on this machine.
        """


@runtime_checkable
class SeveralSpaces(Protocol):
    """An encoder whose rows are the concatenated vectors of several views."""

    @property
    def spaces(self) -> tuple[EmbeddingSpace, ...]:
        """The spaces of the views."""


@runtime_checkable
class KeepingEncoder(Protocol):
    """An encoder that distributes texts to workers, and saves vectors until they are committed."""

    @property
    def texts_at_once(self) -> int:
        """The number of texts to pass to one call."""

    def committed(self, *, whole: bool) -> None:
        """Called after encoded texts were committed.

        Args:
            whole: whether all yielded texts were committed; otherwise at least those that were
                yielded before the last call of `encode_slices`.
        """

    def finished(self) -> None:
        """Called when the index is complete."""


class Scorer(Protocol):
    """A model that scores documents for a query."""

    def scores(self, query: str, texts: Sequence[str]) -> Floats:
        """Return float32[n], 0 to 1: how well each text answers the query."""


class NamedScorer(Scorer, Protocol):
    """A scorer that is named in the results of a search."""

    @property
    def name(self) -> str:
        """The name of the model."""


def require_encoder(encoder: object) -> None:
    """Check that an argument is an encoder, and not, for example, a model's name.

    Raises:
        TypeError: the argument is not an encoder.
    """
    if not isinstance(getattr(encoder, "space", None), EmbeddingSpace):
        given = type(encoder).__name__
        raise TypeError(f"expected an encoder, not {given}: use load_encoder(MODEL, TASK)")


def document_tokens(encoder: object) -> DocumentTokens:
    """Return an object that locates the tokens of a document, for cutting it into chunks.

    Raises:
        ModelUnavailableError: the positions that the tokenizer reports are wrong.
        UsageError: the encoder has no tokenizer.
    """
    if isinstance(encoder, TokenizingEncoder):
        return encoder.document_tokens()
    raise UsageError(
        "--chunk needs the tokenizer of the model, which is not available for a hosted model",
        hint="index without --chunk, or with a model on this machine",
    )
