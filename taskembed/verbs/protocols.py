"""What the verbs need of a model: an `Encoder` for vectors, a `Scorer` to rerank hits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from taskembed.errors import UsageError
from taskembed.space import EmbeddingSpace, PromptType
from taskembed.vectors import Encoded, Floats, Rows


class Encoder(Protocol):
    """What turns texts into vectors of one space."""

    @property
    def space(self) -> EmbeddingSpace:
        """The space of its vectors."""

    @property
    def made_by(self) -> Mapping[str, str]:
        """The engine, its precision and the version, to be shown to people."""

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        """Encode texts, with the prompt of their side put before each.

        Returns:
            vectors, float32[n, dim], C-contiguous, of unit length when `space.normalize`, row i of
            texts[i]; and truncated, bool[n]: whether the model did not read all of the text.
        """

    def encode_slices(
        self, texts: Sequence[str], prompt_type: PromptType
    ) -> Iterator[tuple[Rows, Encoded]]:
        """Encode a few texts at a time, in any order; yield the positions and vectors of each few.

        Positions are int64[m], of `texts`, and the encoded texts m rows as of `encode`; each text
        comes once. An error later on does not lose the rows yielded before it: a slice should take
        a second of work or less.

        Raises:
            TextTooLongError: some of the texts cannot be encoded; without them, the others can.
        """


class DocumentTokens(Protocol):
    """Where the tokens of a document are, as its model has them."""

    @property
    def text_room(self) -> int:
        """How many tokens of a text the model reads, beside its prompt and the special tokens."""

    def offsets(self, text: str) -> Rows:
        """Return int64[n, 2]: where each token begins and ends, in characters of the text."""


@runtime_checkable
class TokenizingEncoder(Protocol):
    """An encoder that tells the tokens of a document: one of a model on this machine."""

    def document_tokens(self) -> DocumentTokens:
        """Return what tells where the tokens of a document are.

        Raises:
            ModelUnavailableError: the places that the tokenizer reports are wrong.
            UsageError: the model does not tell its tokens.
        """


@runtime_checkable
class SeveralSpaces(Protocol):
    """An encoder whose rows are the vectors of several views, one after the other."""

    @property
    def spaces(self) -> tuple[EmbeddingSpace, ...]:
        """The spaces of the views."""


@runtime_checkable
class KeepingEncoder(Protocol):
    """An encoder whose work is kept on disk until the index has it, and spread over workers."""

    @property
    def texts_at_once(self) -> int:
        """How many texts it should be given together."""

    def committed(self, *, whole: bool) -> None:
        """Be told that encoded texts were committed.

        Args:
            whole: all that were yielded; otherwise, those that were yielded before the last call of
                `encode_slices` at least.
        """

    def finished(self) -> None:
        """Be told that the index is complete."""


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
        TypeError: the argument is no encoder.
    """
    if not isinstance(getattr(encoder, "space", None), EmbeddingSpace):
        given = type(encoder).__name__
        raise TypeError(f"expected an encoder, not {given}: use load_encoder(MODEL, TASK)")


def document_tokens(encoder: object) -> DocumentTokens:
    """Return what tells where the tokens of a document are, to cut it into chunks by.

    Raises:
        ModelUnavailableError: the places that the tokenizer reports are wrong.
        UsageError: the encoder does not tell its tokens.
    """
    if isinstance(encoder, TokenizingEncoder):
        return encoder.document_tokens()
    raise UsageError(
        "--chunk needs the tokens of the model, and a hosted model does not tell them",
        hint="index without --chunk, or with a model on this machine",
    )
