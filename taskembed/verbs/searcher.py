"""A `Searcher` keeps an index and its models open, to search for many queries in turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypedDict, Unpack

from taskembed.arguments import require_positive
from taskembed.batches import batched
from taskembed.encoding.settings import EngineSettings
from taskembed.errors import UsageError
from taskembed.index.ranking.fusion import Fusion
from taskembed.index.ranking.grouping import Grouping, group_key, in_groups
from taskembed.index.ranking.hits import Hit
from taskembed.index.ranking.modes import Mode
from taskembed.index.reader import Index
from taskembed.models.files import Hub
from taskembed.space import Task
from taskembed.verbs.milvus.addresses import collection_address, is_collection
from taskembed.verbs.opening.encoders import encoder_for_search, find_moved, require_expected
from taskembed.verbs.protocols import Encoder, NamedScorer, Scorer, Searchable
from taskembed.verbs.search import (
    read_queries,
    require_mode,
    require_searchable,
    rerank_hits,
    search_index,
)

if TYPE_CHECKING:
    from taskembed.reading.queries import Query

RERANK_DEPTH = 50  # hits that a reranker scores; more take seconds on a CPU
# queries that are encoded and searched together: a search of all vectors reads them once for these
QUERIES_AT_ONCE = 1_024


class SearcherOptions(TypedDict, total=False):
    """How a `Searcher` searches: its attributes from `k` on, which describes them."""

    k: int
    depth: int
    min_score: float | None
    exact: bool
    where: str | None
    mode: Mode | None
    fusion: Fusion | None
    grouping: Grouping | None
    snippets: bool
    chunks: bool


@dataclass(frozen=True, slots=True)
class Searcher:
    """An open index, or a collection, and its models, for programs that search many times.

    `dataclasses.replace(searcher, k=3)` uses the same index and models with another `k`.
    Several threads may search at the same time.

    Attributes:
        index: the open index, or an open collection.
        encoder: an encoder of the index's space; None only for a search by words, which needs no
            vectors.
        reranker: scores the best hits again; None for no reranking.
        k: the number of hits for each query; fewer if fewer documents match.
        depth: the number of hits that the reranker scores, at least `k`.
        min_score: the lowest score of a hit; None for no limit.
        exact: score every document of a large index, not only candidates chosen by codes.
        where: a filter (docs/how-to/filter.md), which hits must match; None for all documents.
        mode: rank by vectors ("dense"), by BM25 ("words") or by both ("hybrid"); None for hybrid
            if the index stores words, and dense otherwise.
        fusion: how the lists of a hybrid search are combined; None for the default of the task.
        grouping: hits are the best documents of the `k` best groups; None for no groups. A
            reranker scores as many groups as are needed for `depth` hits.
        snippets: whether to find the best sentence of each hit.
        chunks: whether hits are the best chunks, by vectors, rather than the best documents;
            several chunks may belong to one document.

    Raises:
        ValueError: k or depth is below 1, or there is no such mode.

    Example:
        with Searcher.open("my-index", reranker="BAAI/bge-reranker-v2-m3", k=3) as searcher:
            hits = searcher.search(["why is the sky blue?"])[0]
    """

    index: Searchable
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
    def open(  # noqa: PLR0913  # all but the first two are optional and named
        cls,
        folder: str | Path,
        settings: EngineSettings | None = None,
        *,
        task: Task | None = None,
        model: str | None = None,
        adapter: str | None = None,
        reranker: str | None = None,
        instruction: str | None = None,
        **options: Unpack[SearcherOptions],
    ) -> Searcher:
        """Open an index, its encoder (unless it is searched by words alone) and a reranker.

        Args:
            folder: the folder of the index; or the address of a collection of a Milvus server,
                "milvus://localhost:19530/notes".
            settings: where and how the models run.
            task: the task that the index, or one of its views, must have; None for the first view.
            model: the expected model of the index, or the folder to which it was moved.
            adapter: the folder to which the index's adapter was moved.
            reranker: a folder, or a Hugging Face id; None for no reranking.
            instruction: what makes a document relevant, for a reranker that takes instructions.
            options: the other attributes of a `Searcher`, from `k` on.

        Raises:
            NotFoundError: there is no index.
            ServerUnavailableError: the server of a collection does not answer.
            UsageError: `where` is not a filter, or the index lacks the fields, words or chunks.
            IndexDamagedError: a file of the index differs from what was written.
            SpaceMismatchError: the index is for another task, or of another model or adapter.
            ModelUnavailableError: a model cannot be loaded.
            ValueError: k or depth is below 1.
        """
        settings = settings or EngineSettings()
        with ExitStack() as on_failure:
            index = _opened(folder, task, settings)
            on_failure.callback(index.close)
            require_expected(index, settings, task=task, model=model, adapter=adapter)
            opened = cls(index, None, **options)
            # checked before an encoder is loaded, too
            by = require_mode(index, opened.mode, min_score=opened.min_score, chunks=opened.chunks)
            require_searchable(index, opened.where, opened.grouping)
            models = _ModelNames(model, adapter, reranker, instruction)
            encoder, judge = models.opened(index, settings, needs_encoder=by is not Mode.WORDS)
            on_failure.pop_all()
            return replace(opened, encoder=encoder, reranker=judge)

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
            SpaceMismatchError: the encoder's space differs from the index's.
            BadInputError: a query is empty, or not UTF-8.
            BadVectorError: a query's vector, or a reranker's score, cannot be compared.
            TypeError: `queries` is a single string, or a query is not a string.
            ValueError: the index is closed.
        """
        texts = read_queries(queries)
        found = self._ranked(texts)
        if not self.snippets:
            return found
        from taskembed.verbs.snippets import add_snippets  # most searches need none

        # hosted models may cost money for each text, so only words are used there
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


def _opened(folder: str | Path, task: Task | None, settings: EngineSettings) -> Searchable:
    if not is_collection(folder):
        return Index.open(folder, task=task)
    address = collection_address(folder)
    if settings.offline and not address.is_file:
        raise UsageError(
            "it is on a server, and the network is not to be used",
            what=str(address),
            hint="leave out --offline, or search the index that was exported",
        )
    from taskembed.verbs.milvus.collection import MilvusCollection  # most searches need none

    collection = MilvusCollection.open(folder)
    if not collection.header.is_complete:
        settings.notify(
            f"note: the last export to {collection.folder} has not finished, so documents may be "
            "missing or old"
        )
    return collection


@dataclass(frozen=True, slots=True)
class _ModelNames:
    """The names of the models of a search, as `Searcher.open` takes them."""

    model: str | None
    adapter: str | None
    reranker: str | None
    instruction: str | None

    def opened(
        self, index: Searchable, settings: EngineSettings, *, needs_encoder: bool
    ) -> tuple[Encoder | None, NamedScorer | None]:
        """Open the encoder, if it is needed, and the reranker, if one is named."""
        if self.reranker is not None:  # refuse a wrong name before an encoder is loaded
            Hub(offline=settings.offline).description(self.reranker)
        encoder: Encoder | None = None
        if needs_encoder:
            encoder = encoder_for_search(index, settings, model=self.model, adapter=self.adapter)
        else:
            find_moved(index.space, self.model)  # a given folder must contain the index's model
        if self.reranker is None:
            return encoder, None
        from taskembed.encoding.reranker import load_reranker  # most searches need none

        reranker = load_reranker(self.reranker, instruction=self.instruction, settings=settings)
        return encoder, reranker
