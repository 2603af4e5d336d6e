"""The interfaces that the verbs use: `Encoder` and `Scorer` of models, `Searchable` of indexes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from taskembed.errors import UsageError
from taskembed.space import EmbeddingSpace, PromptType, Task
from taskembed.vectors import Encoded, FloatRows, Floats, Rows

if TYPE_CHECKING:
    from pathlib import Path

    from taskembed.index.chunking import Chunking
    from taskembed.index.ranking.grouping import Grouping
    from taskembed.index.ranking.hits import Hit


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


@runtime_checkable
class Searchable(Protocol):
    """What can be searched by vectors: an `Index`, or a collection of a server.

    `Index` describes the attributes and methods. What is not an index refuses what it cannot do
    with a UsageError.
    """

    @property
    def folder(self) -> Path | str:
        """Where it is, for messages: the folder of an index, or an address."""

    @property
    def space(self) -> EmbeddingSpace:
        """The embedding space of its vectors."""

    @property
    def tasks(self) -> Sequence[Task]:
        """The tasks of its views."""

    @property
    def made_by(self) -> Mapping[str, str]:
        """What made the vectors: the engine, its precision, the version of taskembed."""

    @property
    def declared(self) -> Mapping[str, object]:
        """For vectors whose space was declared: how many were compared; otherwise empty."""

    @property
    def chunking(self) -> Chunking | None:
        """How the documents are cut into chunks; None if each has one vector."""

    @property
    def words(self) -> str:
        """The name of the tokenizer of its words; "" if it cannot be searched by words."""

    @property
    def generation(self) -> int:
        """The number of the generation that is open."""

    def __len__(self) -> int:
        """Return the number of documents, or more; 0 if there are none."""

    def close(self) -> None:
        """Close the files, or the connection."""

    def load(self, *, exact: bool = False) -> None:
        """Prepare a search; with `exact`, one that scores every vector."""

    def select(self, where: str) -> None:
        """Check a filter, and prepare searches with it."""

    def count(self, where: str) -> int:
        """Return how many documents match a filter."""

    def require_words(self) -> None:
        """Check that it can be searched by words."""

    def require_group_field(self, field: str) -> None:
        """Check that hits can be grouped by a metadata field."""

    def nearest(
        self,
        queries: FloatRows,
        k: int,
        *,
        exact: bool = False,
        where: str | None = None,
        grouping: Grouping | None = None,
    ) -> list[list[Hit]]:
        """Return the k best documents of each query, best first."""

    def nearest_chunks(
        self, queries: FloatRows, k: int, *, exact: bool = False, where: str | None = None
    ) -> list[list[Hit]]:
        """Return the k best chunks of each query, best first."""


def require_encoder(encoder: object) -> None:
    """Check that an argument is an encoder, and not, for example, a model's name.

    Raises:
        TypeError: the argument is not an encoder.
    """
    if not isinstance(getattr(encoder, "space", None), EmbeddingSpace):
        given = type(encoder).__name__
        raise TypeError(f"expected an encoder, not {given}: use load_encoder(MODEL, TASK)")


def require_index(index: object) -> None:
    """Check that an argument is an open index or collection, and not, for example, its path.

    Raises:
        TypeError: the argument is neither.
    """
    if not isinstance(index, Searchable):
        raise TypeError(f"expected Index, not {type(index).__name__}: use Index.open(FOLDER)")


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
