"""Searches an index and reranks hits; queries must be encoded in the space of the index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from taskembed.arguments import require_positive, require_text, require_texts
from taskembed.errors import BadInputError, BadVectorError, TextTooLongError, UsageError
from taskembed.guard import require_good_vectors, require_same_space
from taskembed.index.ranking.fusion import Fusion
from taskembed.index.ranking.grouping import Grouping
from taskembed.index.ranking.hits import Hit
from taskembed.index.ranking.modes import Mode
from taskembed.index.reader import Index
from taskembed.space import PromptType, Task
from taskembed.verbs.opening.claims import SEARCH_HINT
from taskembed.verbs.protocols import (
    Encoder,
    Scorer,
    Searchable,
    require_encoder,
    require_index,
)

DEFAULT_ALPHA = 0.6  # the weight of the vectors in a hybrid search; see docs/adr/0018
ALPHAS = {Task.CODE: 0.7}
SHORT_ALPHA = 0.8  # the same for a query of a few words


def search_index(  # noqa: PLR0913  # all but the first three are optional and named
    queries: Iterable[str],
    encoder: Encoder | None,
    index: Searchable,
    *,
    k: int = 10,
    min_score: float | None = None,
    exact: bool = False,
    where: str | None = None,
    mode: Mode | str | None = None,
    fusion: Fusion | None = None,
    group_by: str | None = None,
    per_group: int = 1,
    chunks: bool = False,
) -> list[list[Hit]]:
    """Return the k best documents of each query, in the order of the queries, best first.

    Equal scores are ordered by document id. `Searcher` describes the arguments in more detail.

    Args:
        queries: texts, without a prompt.
        encoder: an encoder of the index's space; None only for a search by words.
        index: the open index, or an open collection.
        k: the number of hits for each query; fewer if fewer documents match.
        min_score: the lowest score of a hit; None for no limit.
        exact: score every document of a large index, not only candidates chosen by codes.
        where: a filter, which hits must match; None for all documents.
        mode: "dense", "words" or "hybrid"; None for hybrid if the index stores words, else dense.
        fusion: how the lists of a hybrid search are combined; None for the default of the task.
        group_by: find the k best groups of documents by this metadata field; None for no groups.
        per_group: the number of hits in each group.
        chunks: return the k best chunks by vectors; several may belong to one document.

    Raises:
        SpaceMismatchError: the encoder's space differs from the index's.
        BadInputError: a query is empty, or not UTF-8.
        BadVectorError: a query's vector cannot be compared.
        UsageError: `where` is not a filter, or the index lacks a field of `where` or `group_by`, or
            words, or chunks; or `min_score`, `mode`, `chunks` and `group_by` contradict each other;
            or a collection does not support what is asked of it.
        TypeError: `queries` is a single string, or a query is not a string; k is not an integer;
            or the index is not an open index.
        ValueError: k is below 1, there is no such mode, or the index is closed.
    """
    if encoder is not None or mode != Mode.WORDS:
        require_encoder(encoder)
    require_index(index)
    queries = read_queries(queries)
    k = require_positive(k, "k")
    _require_space(encoder, index)
    mode = require_mode(index, mode, min_score=min_score, chunks=chunks)
    grouping = None if group_by is None else Grouping(group_by, per_group)
    if chunks and grouping:
        raise UsageError("chunks cannot be grouped", hint="use either --chunks or --group-by")
    if not queries:
        return []
    require_searchable(index, where, grouping)
    options = _RankingOptions(k, exact, where, grouping, fusion, chunks)
    found = _ranked(queries, encoder, index, mode, options)
    return found if min_score is None else [_from_score(hits, min_score) for hits in found]


@dataclass(frozen=True, slots=True)
class _RankingOptions:
    """Options of a ranking, which are attributes of a `Searcher`."""

    k: int
    exact: bool
    where: str | None
    grouping: Grouping | None
    fusion: Fusion | None
    chunks: bool


def _ranked(
    queries: list[str],
    encoder: Encoder | None,
    index: Searchable,
    mode: Mode,
    options: _RankingOptions,
) -> list[list[Hit]]:
    """Return the hits of each query, after checking its vector."""
    where, grouping = options.where, options.grouping
    if mode is Mode.WORDS or encoder is None:
        return _with_words(index).by_words(queries, options.k, where=where, grouping=grouping)
    index.load(exact=options.exact)  # finds damage before the model encodes
    vectors = encoder.encode(queries, PromptType.QUERY).vectors
    require_good_vectors(vectors, index.space, [f"the query {text!r}" for text in queries])
    if mode is Mode.HYBRID:
        fusion = options.fusion or default_fusion(index.space.task)
        return _with_words(index).hybrid(
            vectors, queries, options.k, fusion, exact=options.exact, where=where, grouping=grouping
        )
    if options.chunks:
        return index.nearest_chunks(vectors, options.k, exact=options.exact, where=where)
    return index.nearest(vectors, options.k, exact=options.exact, where=where, grouping=grouping)


def _with_words(index: Searchable) -> Index:
    assert isinstance(index, Index)  # noqa: S101  # `require_mode` has asked it for its words
    return index


def _require_space(encoder: Encoder | None, index: Searchable) -> None:
    if encoder is not None:
        # a query has no fields, so the index's template does not apply
        space = replace(encoder.space, template=index.space.template)
        require_same_space(index.space, space, hint=SEARCH_HINT)


def require_searchable(index: Searchable, where: str | None, grouping: Grouping | None) -> None:
    """Check that an index has the fields of a filter and of a grouping.

    Args:
        index: the open index.
        where: the filter; None for none.
        grouping: how hits are grouped; None for no groups.

    Raises:
        UsageError: the index lacks a field, or `where` is not a filter.
    """
    if where is not None:
        index.select(where)
    if grouping is not None:
        index.require_group_field(grouping.field)


def _from_score(hits: Iterable[Hit], least: float) -> list[Hit]:
    kept = [hit for hit in hits if hit.score >= least]
    return [replace(hit, rank=rank) for rank, hit in enumerate(kept, 1)]


def default_alpha(task: Task) -> float:
    """Return the weight of the vectors in a hybrid search of an index for a task."""
    return ALPHAS.get(task, DEFAULT_ALPHA)


def default_fusion(task: Task) -> Fusion:
    """Return how the two lists of a hybrid search are combined, for an index for a task."""
    return Fusion(default_alpha(task), short_alpha=SHORT_ALPHA)


def require_mode(
    index: Searchable,
    mode: Mode | str | None,
    *,
    min_score: float | None = None,
    chunks: bool = False,
) -> Mode:
    """Return the mode of a search: by vectors, by words, or by both.

    Args:
        index: the open index.
        mode: the requested mode; None for both if the index stores words, else by vectors.
        min_score: the lowest score of a hit, which only a search by vectors supports.
        chunks: whether chunks are ranked, which only a search by vectors can do.

    Raises:
        UsageError: the index has no words, or no chunks; or `min_score` or `chunks` is given
            for a search by words.
        ValueError: there is no such mode.
    """
    if chunks:
        return _require_chunks(index, mode)
    if mode is None:
        goes_by_vectors = min_score is not None or not index.words
        return Mode.DENSE if goes_by_vectors else Mode.HYBRID
    mode = Mode(mode)
    if mode is Mode.DENSE:
        return mode
    index.require_words()
    if min_score is not None:
        raise UsageError(
            "a minimum score applies to scores of vectors, but this search ranks by words",
            hint="--mode dense",
        )
    return mode


def _require_chunks(index: Searchable, mode: Mode | str | None) -> Mode:
    if index.chunking is None and len(index):
        raise UsageError(
            f"the documents of {index.folder} are not cut into chunks",
            hint="build it again: taskembed index ... --chunk auto --recreate",
        )
    if mode is not None and Mode(mode) is not Mode.DENSE:
        raise UsageError(
            "chunks can only be ranked by vectors, since words are counted in whole documents",
            hint="--mode dense",
        )
    return Mode.DENSE


def read_queries(queries: Iterable[object]) -> list[str]:
    """Return queries as a list, after checking each.

    Raises:
        BadInputError: a query is empty, or not UTF-8.
        TypeError: `queries` is a single string instead of an iterable; or a query is not a string.
    """
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
        hits: the hits of that query, more than k.
        reranker: for example, the result of `load_reranker`.
        k: the number of hits to return; fewer if there are fewer.

    Raises:
        BadInputError: a document is too long for the reranker's tokenizer.
        BadVectorError: a score is not a number.
        TypeError: the query is not a string, or k is not an integer.
        ValueError: k is below 1.
    """
    query = require_text(query, "query")
    k = require_positive(k, "k")
    if not hits:
        return []
    try:
        scores = reranker.scores(query, [hit.passage for hit in hits])
    except TextTooLongError as error:
        row, reason = next(iter(error.reasons.items()))
        raise BadInputError(f"document {hits[row].doc_id!r}: {reason}") from error
    if not np.isfinite(scores).all():
        raise BadVectorError(
            "the reranker returned no number for "
            f"{hits[int(np.argmin(np.isfinite(scores)))].doc_id!r}",
            hint="try --precision fp32",
        )
    order = np.argsort(-scores, kind="stable")[:k]
    return [
        replace(hits[row], rank=rank, rerank_score=float(scores[row]))
        for rank, row in enumerate(order, 1)
    ]
