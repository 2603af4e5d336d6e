"""Searching an index, and ranking anew: a query proves that it lives in the space."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from taskembed.arguments import require_kind, require_positive, require_text, require_texts
from taskembed.errors import BadInputError, BadVectorError, TextTooLongError
from taskembed.guard import require_good_vectors, require_same_space
from taskembed.index.reader import Hit, Index
from taskembed.space import PromptType
from taskembed.verbs.protocols import Encoder, Scorer, require_encoder

SEARCH_HINT = (
    "leave out --task and --model to search with those of the index; "
    "or make another index: taskembed index CORPUS --task TASK --index OTHER"
)


def search_index(
    queries: Iterable[str],
    encoder: Encoder,
    index: Index,
    *,
    k: int = 10,
    min_score: float | None = None,
) -> list[list[Hit]]:
    """Return the k best documents of each query, best first; equal scores by document id.

    Args:
        queries: texts, without a prompt.
        encoder: of the index's space.
        index: an open one.
        k: how many documents; fewer when the index holds fewer.
        min_score: only documents with at least that score; None for all.

    Returns:
        A list of hits for each query, in the order of the queries.

    Raises:
        SpaceMismatchError: the encoder's vectors live in another space than the index's.
        BadInputError: a query is empty, or not UTF-8.
        BadVectorError: a query's vector cannot be compared.
        TypeError: queries is one text, whose characters would each be a query; or a query is no
            text, k no whole number, the index no `Index`.
        ValueError: k is below 1, or the index is closed.
    """
    require_encoder(encoder)
    require_kind(index, Index, "what Index.open(FOLDER) gives")
    queries = _read_queries(queries)
    k = require_positive(k, "k")
    require_same_space(index.space, encoder.space, hint=SEARCH_HINT)
    if not queries:
        return []
    index.load()  # damage is found before the model works
    encoded = encoder.encode(queries, PromptType.QUERY)
    require_good_vectors(encoded.vectors, index.space, [f"the query {text!r}" for text in queries])
    found = index.nearest(encoded.vectors, k)
    if min_score is None:
        return found
    return [[hit for hit in hits if hit.score >= min_score] for hits in found]


def _read_queries(queries: Iterable[object]) -> list[str]:
    try:
        texts = require_texts(queries, "queries")
    except ValueError as error:
        raise BadInputError(str(error)) from error
    for position, text in enumerate(texts):
        if not text.strip():
            raise BadInputError(f"queries[{position}] is empty")
    return texts


def rerank_hits(query: str, hits: Sequence[Hit], reranker: Scorer, *, k: int) -> list[Hit]:
    """Return the k best of the hits by a reranker's score; equal scores in the order of the hits.

    Args:
        query: the text, without a prompt.
        hits: of that query; more of them than k.
        reranker: what `load_reranker` gives, for example.
        k: how many; fewer when there are fewer hits.

    Raises:
        BadInputError: a document is too long for the reranker's tokenizer.
        BadVectorError: a score is not a number.
        TypeError: the query is no text, or k no whole number.
        ValueError: k is below 1.
    """
    query = require_text(query, "query")
    k = require_positive(k, "k")
    if not hits:
        return []
    try:
        scores = reranker.scores(query, [hit.text for hit in hits])
    except TextTooLongError as error:
        row, reason = next(iter(error.reasons.items()))
        raise BadInputError(f"document {hits[row].doc_id!r}: {reason}") from error
    if not np.isfinite(scores).all():
        raise BadVectorError(
            f"the reranker gave no number for {hits[int(np.argmin(np.isfinite(scores)))].doc_id!r}",
            hint="try --precision fp32",
        )
    order = np.argsort(-scores, kind="stable")[:k]
    return [
        replace(hits[row], rank=rank, rerank_score=float(scores[row]))
        for rank, row in enumerate(order, 1)
    ]
