"""A hit: a document that a search found, with its rank and its score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from taskembed.errors import IndexDamagedError
from taskembed.index.disk.files import DAMAGED_HINT
from taskembed.index.documents import StoredDocument
from taskembed.index.filtering.field_types import value_at
from taskembed.index.filtering.filters import FieldName
from taskembed.index.ranking.fusion import Sides
from taskembed.index.stored_metadata import read_metadata
from taskembed.reading.document import Document


@dataclass(frozen=True, slots=True)
class Snippet:
    """The sentence of a hit that fits a query best.

    Attributes:
        text: the sentence.
        start: where it begins in the text of the hit, in characters.
        end: where it ends there: `text[start:end]` is the sentence.
    """

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """The chunk of a document that is nearest to a query.

    Attributes:
        text: the text of the chunk.
        start: where it begins in the text of the hit, in characters.
        end: where it ends there: `text[start:end]` is the chunk.
    """

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that a search found.

    Attributes:
        rank: 1 for the best.
        doc_id: the document's id.
        score: the score of the search, by which hits are ranked unless a reranker is used: the
            inner product of the two vectors (-1 to 1 if the space's metric is cosine, unbounded if
            it is "dot"), the BM25 score, or the sum of `sides`.
        text: the text that was embedded, without the prompt.
        metadata: the document's other fields.
        rerank_score: the reranker's score, 0 to 1, by which hits are ranked; None without a
            reranker.
        sides: the components of the score of a hybrid search; None for any other search.
        group: the value of the field that hits are grouped by; None if they are not grouped.
        snippet: the sentence that fits the query best, if snippets were requested.
        chunk: the best chunk of the document, which determines `score` unless whole documents are
            compared; None if documents are not cut into chunks, and for a search by words alone.
    """

    rank: int
    doc_id: str
    score: float
    text: str
    metadata: Mapping[str, object] = field(hash=False)
    rerank_score: float | None = None
    sides: Sides | None = None
    group: object = field(default=None, hash=False)
    snippet: Snippet | None = None
    chunk: Chunk | None = None

    @property
    def passage(self) -> str:
        """The text that was scored: that of the chunk, or else the whole text."""
        return self.text if self.chunk is None else self.chunk.text


class ScoredDocument(NamedTuple):
    """A document, or a chunk of one, that may become a hit."""

    score: float
    document: StoredDocument
    sides: Sides | None
    segment: int  # the number of its segment
    chunk: Chunk | None = None

    @property
    def order(self) -> tuple[float, str, int]:
        """The sort key: best score first, equal scores by document id, then by position."""
        return -self.score, self.document.doc_id, self.chunk.start if self.chunk else 0

    def as_hit(self, rank: int, *, field: FieldName | None = None) -> Hit:
        """Return the document as a hit.

        Args:
            rank: the rank of the hit, from 1.
            field: the field that hits are grouped by; None for no groups.

        Raises:
            IndexDamagedError: the stored metadata cannot be read.
        """
        metadata = _metadata(self.document)
        group = None if field is None else group_of(metadata, field)
        document = self.document
        return Hit(
            rank,
            document.doc_id,
            self.score,
            document.text,
            metadata,
            sides=self.sides,
            group=group,
            chunk=self.chunk,
        )


def group_of(metadata: Mapping[str, object], field: FieldName) -> object:
    """Return the value that a document is grouped by; None if it forms its own group."""
    value = value_at(metadata, field.names)
    return value if isinstance(value, bool | int | float | str) else None


def best_of(candidates: Sequence[ScoredDocument], k: int) -> list[ScoredDocument]:
    """Return the k best, best first; equal scores are ordered by document id, then by position."""
    return sorted(candidates, key=lambda item: item.order)[:k]


def as_document(stored: StoredDocument) -> Document:
    """Return a stored document as a `Document`.

    Raises:
        IndexDamagedError: its stored metadata cannot be read.
    """
    return Document(stored.doc_id, stored.text, _metadata(stored))


def _metadata(document: StoredDocument) -> Mapping[str, object]:
    try:
        return read_metadata(document)
    except ValueError as error:
        raise IndexDamagedError(f"the index is damaged: {error}", hint=DAMAGED_HINT) from error
