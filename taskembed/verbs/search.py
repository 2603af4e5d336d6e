"""Searching an index and reranking hits: a query must be encoded in the space of the index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Self

import numpy as np

from taskembed.arguments import require_kind, require_positive, require_text, require_texts
from taskembed.batches import batched
from taskembed.encoding.reranker import load_reranker
from taskembed.encoding.settings import EngineSettings
from taskembed.errors import BadInputError, BadVectorError, TextTooLongError, UsageError
from taskembed.guard import require_good_vectors, require_same_space
from taskembed.index.fusion import Fusion
from taskembed.index.grouping import Grouping, group_key, in_groups
from taskembed.index.hits import Hit
from taskembed.index.modes import Mode
from taskembed.index.reader import Index
from taskembed.models.files import Hub
from taskembed.reading.queries import Query
from taskembed.space import PromptType, Task
from taskembed.verbs._claims import SEARCH_HINT
from taskembed.verbs.encoders import encoder_for_search, find_moved, require_expected
from taskembed.verbs.protocols import Encoder, NamedScorer, Scorer, require_encoder
from taskembed.verbs.snippets import add_snippets

RERANK_DEPTH = 50  # hits of a query that a reranker scores: more take seconds on a CPU
DEFAULT_ALPHA = 0.6  # the weight of the vectors in a hybrid search; see docs/adr/0018
ALPHAS = {Task.CODE: 0.7}
SHORT_ALPHA = 0.8  # the same for a query of a few words
QUERIES_AT_ONCE = 512  # queries that are encoded and searched together


@dataclass(frozen=True, slots=True)
class Searcher:
    """An open index and its models, which a program that answers queries opens once and keeps.

    `dataclasses.replace(searcher, k=3)` uses the same index and models with another `k`.
    Any thread may search.

    Attributes:
        index: the open index.
        encoder: an encoder of the index's space; None only for a search by words, which needs no
            vectors.
        reranker: scores the best hits again; None for no reranking.
        k: hits of each query; fewer when fewer documents match.
        depth: hits that the reranker scores, at least `k`.
        min_score: the least score of a hit; None for any score.
        exact: score every document of a large index, and not only those that its codes choose;
            more than 300 queries at a time are always exact.
        where: a filter (docs/how-to/filter.md): only documents that it is true of are hits; None
            for all documents.
        mode: rank by vectors ("dense"), by BM25 ("words") or by both ("hybrid"); None for hybrid
            if the index keeps words, and dense otherwise.
        fusion: how the lists of a hybrid search are fused; None for the weight that was measured
            to be the best for the index's task.
        grouping: hits are the best documents of the `k` best groups; None for no groups. A
            reranker scores the hits of as many groups as make `depth` hits.
        snippets: whether to find the best sentence of each hit.
        chunks: whether hits are the best chunks, by vectors, rather than the best documents;
            several chunks may be of one document.

    Raises:
        ValueError: k or depth is below 1, or there is no such mode.

    Example:
        with Searcher.open("my-index", reranker="BAAI/bge-reranker-v2-m3", k=3) as searcher:
            hits = searcher.search(["why is the sky blue?"])[0]
    """

    index: Index
    encoder: Encoder | None
    reranker: NamedScorer | None = None
    k: int = 10
    depth: int = RERANK_DEPTH
    min_score: float | None = None
    exact: bool = False
    where: str | None = None
    mode: Mode | None = None
    fusion: Fusion | None = None
    grouping: Grouping | None = None
    snippets: bool = False
    chunks: bool = False

    def __post_init__(self) -> None:
        require_positive(self.k, "k")
        require_positive(self.depth, "depth")
        if self.mode is not None:
            object.__setattr__(self, "mode", Mode(self.mode))

    @classmethod
    def open(  # noqa: PLR0913, D417  # all but two are named, and described above as attributes
        cls,
        folder: str | Path,
        settings: EngineSettings | None = None,
        *,
        task: Task | None = None,
        model: str | None = None,
        adapter: str | None = None,
        reranker: str | None = None,
        instruction: str | None = None,
        k: int = 10,
        depth: int = RERANK_DEPTH,
        min_score: float | None = None,
        where: str | None = None,
        exact: bool = False,
        mode: Mode | None = None,
        fusion: Fusion | None = None,
        grouping: Grouping | None = None,
        chunks: bool = False,
    ) -> Searcher:
        """Open an index, its own encoder unless it is searched by words alone, and a reranker.

        Args:
            folder: the folder of the index.
            settings: where and how the models run.
            task: the task that the index is expected to be for; None for any.
            model: the model that the index is expected to be of, or the folder where that is now.
            adapter: where the index's adapter is now.
            reranker: a folder, or a Hugging Face id; None for no reranking.
            instruction: what a good document does for a query, if the reranker takes that.
            k, depth, ...: the attributes of a `Searcher`.

        Raises:
            NotFoundError: there is no index.
            UsageError: `where` is no filter, or not of fields that the index has; there is no such
                field to group by; or the index keeps no words, and the search is to go by them; or
                has no chunks.
            IndexDamagedError: a file of the index is not what was written.
            SpaceMismatchError: the index is for another task, or of another model or adapter.
            ModelUnavailableError: a model cannot be loaded.
            ValueError: k or depth is below 1.
        """
        settings = settings or EngineSettings()
        with ExitStack() as on_failure:
            index = on_failure.enter_context(Index.open(folder))
            require_expected(index, settings, task=task, model=model, adapter=adapter)
            by = require_mode(index, mode, min_score=min_score, chunks=chunks)
            _require_fields(index, where, grouping)  # before an encoder is loaded, too
            models = _ModelNames(model, adapter, reranker, instruction)
            encoder, judge = models.opened(index, settings, needs_encoder=by is not Mode.WORDS)
            searcher = cls(index, encoder, judge, k, depth, min_score, exact, where, mode)
            searcher = replace(searcher, fusion=fusion, grouping=grouping, chunks=chunks)
            on_failure.pop_all()
        return searcher

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the index."""
        self.index.close()

    def search(self, queries: Iterable[str]) -> list[list[Hit]]:
        """Return the hits of each query, best first, in the order of the queries.

        Args:
            queries: texts, without a prompt.

        Raises:
            SpaceMismatchError: the encoder's space is not the index's.
            BadInputError: a query is empty, or not UTF-8.
            BadVectorError: a query's vector, or a reranker's score, cannot be compared.
            TypeError: queries is one text, or a query is no text.
            ValueError: the index is closed.
        """
        texts = _read_queries(queries)
        found = self._ranked(texts)
        if not self.snippets:
            return found
        # a server may cost money for each text: there, words are enough
        encoder = None if self.index.space.hosted else self.encoder
        return add_snippets(texts, found, encoder, tokenizer=self.index.words)

    def _ranked(self, texts: list[str]) -> list[list[Hit]]:
        if self.reranker is None:
            return self._nearest(texts, self.k)
        per_group = self.grouping.per_group if self.grouping else 1
        found = self._nearest(texts, max(self.k, ceil(self.depth / per_group)))
        return [
            self._reranked(text, hits, self.reranker)
            for text, hits in zip(texts, found, strict=True)
        ]

    def search_batches(
        self, queries: Iterable[Query], *, size: int = QUERIES_AT_ONCE
    ) -> Iterator[list[tuple[Query, list[Hit]]]]:
        """Yield queries with their hits, a batch at a time; one batch is in memory at a time.

        Args:
            queries: any iterable, read once.
            size: queries in a batch.

        Raises:
            TaskembedError: as `search`.
        """
        for batch in batched(queries, size):
            yield list(zip(batch, self.search([query.text for query in batch]), strict=True))

    def _reranked(self, text: str, hits: list[Hit], reranker: Scorer) -> list[Hit]:
        if self.grouping is None:
            return rerank_hits(text, hits, reranker, k=self.k)
        ranked = rerank_hits(text, hits, reranker, k=max(1, len(hits)))
        chosen = in_groups(ranked, group_key, self.k, self.grouping.per_group)
        return [replace(hit, rank=rank) for rank, hit in enumerate(chosen, 1)]

    def _nearest(self, texts: list[str], k: int) -> list[list[Hit]]:
        return search_index(
            texts,
            self.encoder,
            self.index,
            k=k,
            min_score=self.min_score,
            exact=self.exact,
            where=self.where,
            mode=self.mode,
            fusion=self.fusion,
            group_by=self.grouping.field if self.grouping else None,
            per_group=self.grouping.per_group if self.grouping else 1,
            chunks=self.chunks,
        )


def search_index(  # noqa: PLR0913  # all but three are named, as attributes of Searcher
    queries: Iterable[str],
    encoder: Encoder | None,
    index: Index,
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
    """Return the k best documents of each query, best first; equal scores by document id.

    Args:
        queries: texts, without a prompt.
        encoder: of the index's space; None only for a search by words, which needs no vectors.
        index: an open one.
        k: hits of each query, as of a `Searcher`; so are the next six.
        min_score: the least score of a hit.
        exact: score every document of a large index.
        where: a filter that hits pass.
        mode: by vectors, words or both.
        fusion: how the two lists of a hybrid search become one.
        chunks: rank chunks one by one.
        group_by: a field of the metadata, as a filter names it: the k best groups are found, if so
            many exist, and hits are the best documents of each; None for no groups.
        per_group: hits of a group.

    Returns:
        A list of hits for each query, in the order of the queries.

    Raises:
        SpaceMismatchError: the encoder's space is not the index's.
        BadInputError: a query is empty, or not UTF-8.
        BadVectorError: a query's vector cannot be compared.
        UsageError: `where` is no filter, or not of fields that the index has; there is no such
            field to group by; the index keeps no words, or has no chunks; `min_score` or `chunks`
            is given for a search by words; or `chunks` beside `group_by`.
        TypeError: queries is one text, whose characters would each be a query; or a query is no
            text, k no whole number, the index no `Index`.
        ValueError: k is below 1, there is no such mode, or the index is closed.
    """
    if encoder is not None or mode != Mode.WORDS:
        require_encoder(encoder)
    require_kind(index, Index, "Index.open(FOLDER)")
    queries = _read_queries(queries)
    k = require_positive(k, "k")
    _require_space(encoder, index)
    mode = require_mode(index, mode, min_score=min_score, chunks=chunks)
    grouping = None if group_by is None else Grouping(group_by, per_group)
    if chunks and grouping:
        raise UsageError("chunks are ranked one by one: they are not grouped", hint="one of both")
    if not queries:
        return []
    _require_fields(index, where, grouping)
    how = _How(k, exact, where, grouping, fusion, chunks)
    found = _ranked(queries, encoder, index, mode, how)
    return found if min_score is None else [_from_score(hits, min_score) for hits in found]


@dataclass(frozen=True, slots=True)
class _How:
    """How documents are ranked: attributes of a `Searcher`."""

    k: int
    exact: bool
    where: str | None
    grouping: Grouping | None
    fusion: Fusion | None
    chunks: bool


def _ranked(
    queries: list[str], encoder: Encoder | None, index: Index, mode: Mode, how: _How
) -> list[list[Hit]]:
    """Return the hits of each query, after checking its vector."""
    where, grouping = how.where, how.grouping
    if mode is Mode.WORDS or encoder is None:
        return index.by_words(queries, how.k, where=where, grouping=grouping)
    index.load(exact=how.exact)  # damage is found before the model works
    vectors = encoder.encode(queries, PromptType.QUERY).vectors
    require_good_vectors(vectors, index.space, [f"the query {text!r}" for text in queries])
    if mode is Mode.HYBRID:
        fusion = how.fusion or default_fusion(index.space.task)
        return index.hybrid(
            vectors, queries, how.k, fusion, exact=how.exact, where=where, grouping=grouping
        )
    if how.chunks:
        return index.nearest_chunks(vectors, how.k, exact=how.exact, where=where)
    return index.nearest(vectors, how.k, exact=how.exact, where=where, grouping=grouping)


@dataclass(frozen=True, slots=True)
class _ModelNames:
    """The names of the models of a search, as `Searcher.open` takes them."""

    model: str | None
    adapter: str | None
    reranker: str | None
    instruction: str | None

    def opened(
        self, index: Index, settings: EngineSettings, *, needs_encoder: bool
    ) -> tuple[Encoder | None, NamedScorer | None]:
        """Open the encoder, if it is needed, and the reranker, if one is named."""
        if self.reranker is not None:  # a wrong name is refused before an encoder is loaded
            Hub(offline=settings.offline).description(self.reranker)
        encoder: Encoder | None = None
        if needs_encoder:
            encoder = encoder_for_search(index, settings, model=self.model, adapter=self.adapter)
        else:
            find_moved(index.space, self.model)  # a stated folder must be that of the model
        if self.reranker is None:
            return encoder, None
        reranker = load_reranker(self.reranker, instruction=self.instruction, settings=settings)
        return encoder, reranker


def _require_space(encoder: Encoder | None, index: Index) -> None:
    if encoder is not None:
        # a query has no fields that a template could put together
        space = replace(encoder.space, template=index.space.template)
        require_same_space(index.space, space, hint=SEARCH_HINT)


def _require_fields(index: Index, where: str | None, grouping: Grouping | None) -> None:
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
    """Return how the lists of a hybrid search of an index for a task become one."""
    return Fusion(default_alpha(task), short_alpha=SHORT_ALPHA)


def require_mode(
    index: Index,
    mode: Mode | str | None,
    *,
    min_score: float | None = None,
    chunks: bool = False,
) -> Mode:
    """Return what a search of an index goes by.

    Raises:
        UsageError: the index keeps no words, or has no chunks; or `min_score` or `chunks` is given
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
    if not index.words and len(index):
        raise UsageError(
            f"{index.folder} keeps no words, so it cannot be searched by them",
            hint="keep them: run `taskembed index` again with --words; nothing is encoded again",
        )
    if min_score is not None:
        raise UsageError(
            "a minimum score is one of the vectors' scores, and this search goes by words",
            hint="--mode dense",
        )
    return mode


def _require_chunks(index: Index, mode: Mode | str | None) -> Mode:
    if index.chunking is None and len(index):
        raise UsageError(
            f"the documents of {index.folder} are not cut into chunks",
            hint="build it again: taskembed index ... --chunk auto --recreate",
        )
    if mode is not None and Mode(mode) is not Mode.DENSE:
        raise UsageError(
            "words are counted in whole documents, so chunks are ranked by vectors",
            hint="--mode dense",
        )
    return Mode.DENSE


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
        scores = reranker.scores(query, [hit.passage for hit in hits])
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
