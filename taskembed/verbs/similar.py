"""Finds documents similar to one in the index, or to a text; needs an index for "similarity"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice

from taskembed.arguments import require_kind, require_positive, require_texts
from taskembed.errors import UsageError
from taskembed.guard import require_good_vectors
from taskembed.index.ranking.hits import Hit
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.space import EmbeddingSpace, PromptType, Task
from taskembed.vectors import FloatRows
from taskembed.verbs.opening.tasks import document_vectors, require_encoder_of, require_task_of
from taskembed.verbs.opening.whole_texts import whole_text_encoder
from taskembed.verbs.protocols import Encoder
from taskembed.verbs.search import read_queries


def similar_documents(  # noqa: PLR0913  # all but the first two are optional and named
    doc_ids: Iterable[str],
    index: Index,
    *,
    encoder: Encoder | None = None,
    k: int = 10,
    min_score: float | None = None,
    exact: bool = False,
    where: str | None = None,
) -> dict[str, list[Hit]]:
    """Return the k documents most similar to each given document of an index, best first.

    The stored vector of a document is the query, so no model runs. A document is never among its
    own hits. Documents that are cut into chunks are compared as a whole, by the mean of their
    chunks' vectors.

    Args:
        doc_ids: the ids of the documents.
        index: an open index for the task "similarity".
        encoder: needed only if the space encodes queries differently from documents.
        k: the number of hits for each document; fewer if the index has fewer other documents.
        min_score: the lowest score of a hit; None for no limit.
        exact: score every document of a large index.
        where: a filter, which hits must match; None for all documents.

    Returns:
        The hits by id, in the order of the ids. Ids that are not in the index are left out.

    Raises:
        SpaceMismatchError: the index is for another task.
        UsageError: `where` is not a filter, or names a field that the index lacks; or an encoder
            is needed and there is none.
        TypeError: `doc_ids` is a single string, or the index is not an `Index`.
        ValueError: k is below 1, or the index is closed.
    """
    doc_ids = require_texts(doc_ids, "doc_ids")
    k = require_positive(k, "k")
    require_similarity(index)
    if where is not None:
        index.select(where)
    documents, vectors = index.vectors_of(doc_ids)
    if not documents:
        return {}
    if not has_same_sides(index.space):
        vectors = _encoded(documents, index, encoder)
    # one more than k: the document itself is usually the best hit, and is left out
    found = index.nearest_whole(vectors, k + 1, exact=exact, where=where)
    return {
        document.doc_id: _best((hit for hit in hits if hit.doc_id != document.doc_id), k, min_score)
        for document, hits in zip(documents, found, strict=True)
    }


def similar_texts(  # noqa: PLR0913  # all but the first three are optional and named
    texts: Iterable[str],
    encoder: Encoder,
    index: Index,
    *,
    k: int = 10,
    min_score: float | None = None,
    exact: bool = False,
    where: str | None = None,
) -> list[list[Hit]]:
    """Return the k documents most similar to each text, best first.

    Args:
        texts: texts without a prompt; cut into chunks like the documents of the index.
        encoder: an encoder of the index's space.
        index: an open index for the task "similarity".
        k: the number of hits for each text; fewer if the index has fewer documents.
        min_score: the lowest score of a hit; None for no limit.
        exact: score every document of a large index.
        where: a filter, which hits must match; None for all documents.

    Returns:
        The hits of each text, in the order of the texts.

    Raises:
        SpaceMismatchError: the index is for another task, or the encoder has another space.
        BadInputError: a text is empty, or not UTF-8.
        UsageError: `where` is not a filter, or names a field that the index does not have.
        TypeError: `texts` is a single string, or the index is not an `Index`.
        ValueError: k is below 1, or the index is closed.
    """
    texts = read_queries(texts)
    k = require_positive(k, "k")
    require_similarity(index)
    require_encoder_of(index, encoder)
    if where is not None:
        index.select(where)
    if not texts:
        return []
    index.load(exact=exact)  # finds damage before the model encodes
    vectors = whole_text_encoder(index, encoder).encode(texts, PromptType.QUERY).vectors
    require_good_vectors(vectors, index.space, [f"the text {text!r}" for text in texts])
    found = index.nearest_whole(vectors, k, exact=exact, where=where)
    return [_best(hits, k, min_score) for hits in found]


def require_similarity(index: Index) -> None:
    """Check that an index is an open `Index` for the task "similarity".

    Raises:
        SpaceMismatchError: the index is for another task.
        TypeError: `index` is not an `Index`.
    """
    require_kind(index, Index, "Index.open(FOLDER)")
    require_task_of("similar", Task.SIMILARITY, index)


def has_same_sides(space: EmbeddingSpace) -> bool:
    """Return whether a text has the same vector as a query and as a document."""
    return not space.differences(space.swapped())


def _encoded(documents: Sequence[Document], index: Index, encoder: Encoder | None) -> FloatRows:
    """Return the vectors of documents as queries."""
    if encoder is None:
        raise UsageError(
            "this index encodes queries differently from documents, so stored vectors cannot be "
            "used as queries: an encoder is needed",
            hint="load_encoder_of(index.space)",
        )
    require_encoder_of(index, encoder)
    encoder = whole_text_encoder(index, encoder)
    return document_vectors(documents, encoder, PromptType.QUERY)


def _best(hits: Iterable[Hit], k: int, min_score: float | None) -> list[Hit]:
    """Return the first k hits with a score that is high enough, with their ranks."""
    return [
        replace(hit, rank=rank)
        for rank, hit in enumerate(islice(hits, k), 1)
        if min_score is None or hit.score >= min_score
    ]
