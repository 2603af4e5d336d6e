"""The verbs: index a corpus, delete from it, search it. The guard stands here, for every caller."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from math import ceil
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from taskembed.arguments import (
    is_utf8,
    require_kind,
    require_positive,
    require_text,
    require_texts,
)
from taskembed.commit import open_writer
from taskembed.corpus import Document, RejectFile, require_storable
from taskembed.errors import (
    BadInputError,
    BadRecordError,
    BadVectorError,
    NotFoundError,
    TaskembedError,
    UsageError,
)
from taskembed.fs import Fs
from taskembed.guard import each_once, require_good_vectors, require_same_space
from taskembed.index import Contents, Hit, Index
from taskembed.reading import Reading
from taskembed.segments import StoredDocument, metadata_json
from taskembed.space import EmbeddingSpace, PromptType
from taskembed.streams import OnBad
from taskembed.vectors import Encoded, Floats, Rows
from taskembed.writer import Found, IndexWriter, Outcome, open_index_writer

COMMIT_EVERY = 20_000  # documents; one second of them is lost with the fastest model
COMMIT_SECONDS = 60.0  # of work at most is lost with the slowest
FIRST_COMMIT_SECONDS = 2.0  # the first is soon: a run that is killed after 20 seconds got on
COMMIT_BYTES = 256 * 2**20  # of texts and vectors, which wait in memory
PRUNE_LIMIT = 20.0  # per cent; an input that was cut short lacks more than that
LOOK_UP = 1_000  # documents whose ids are looked up at once
WINDOW_DOCUMENTS = 4_096  # are sorted by length, and encoded slice by slice
WINDOW_BYTES = 32 * 2**20  # of texts and metadata


_T = TypeVar("_T")


class Encoder(Protocol):
    """What turns texts into vectors of one space."""

    @property
    def space(self) -> EmbeddingSpace:
        """Where its vectors live."""

    @property
    def made_by(self) -> Mapping[str, str]:
        """The engine, its precision, the version: for people."""

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        """Encode texts, with the prompt of their side put before each.

        Returns:
            vectors, float32[n, dim], C-contiguous, of unit length when `space.normalize`, row i of
            texts[i]; and truncated, bool[n]: whether the model did not read all of the text.
        """

    def encode_slices(
        self, texts: Sequence[str], prompt_type: PromptType
    ) -> Iterator[tuple[Rows, Encoded]]:
        """Encode a few texts at a time, in any order: their numbers, and what they became.

        Each text comes once: int64[m] of positions in `texts`, and m rows as of `encode`. What was
        yielded is safe from whatever stops the rest: a slice is a second of work or less.
        """


class Scorer(Protocol):
    """What judges documents for a query."""

    def scores(self, query: str, texts: Sequence[str]) -> Floats:
        """Return float32[n], 0 to 1: how well each text answers the query."""


class OnDuplicate(StrEnum):
    """What to do when one run has an id twice: the last stays, the first stays, it is an error."""

    LAST = "last"
    FIRST = "first"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """How to index.

    Attributes:
        commit_every: documents between two commits; what is lost at most, with a minute of work.
        on_duplicate: which of two documents with one id stays.
        prune: delete the documents that this run's input does not have.
        prune_limit: per cent of the documents that may be deleted by that; more is an error.
        recreate: build a new index in place of the one that is there.
        fail_on_truncate: a document that the model cannot read whole is a bad record.
        wait_seconds: how long to wait for another writer.
        reading: how the input is read, for the index to remember; None to leave that as it is.

    Raises:
        ValueError: a number is out of its bounds, or `on_duplicate` is none of the three.
        TypeError: `commit_every` is no whole number.
    """

    commit_every: int = COMMIT_EVERY
    on_duplicate: OnDuplicate = OnDuplicate.LAST
    prune: bool = False
    prune_limit: float = PRUNE_LIMIT
    recreate: bool = False
    fail_on_truncate: bool = False
    wait_seconds: float = 0
    reading: Reading | None = None

    def __post_init__(self) -> None:
        require_positive(self.commit_every, "commit_every")
        if not 0 <= self.prune_limit <= 100:  # noqa: PLR2004  # per cent
            raise ValueError(f"prune_limit is {self.prune_limit}; it is per cent, 0 to 100")
        if not self.wait_seconds >= 0:
            raise ValueError(f"wait_seconds is {self.wait_seconds}; it must be at least 0")
        # a name will do: "first"
        object.__setattr__(self, "on_duplicate", OnDuplicate(self.on_duplicate))


@dataclass
class IndexSummary:
    """What a run did. `added` to `unchanged` count documents of the index, not records."""

    added: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    rejected: int = 0
    truncated: int = 0  # of the documents of this run, also the unchanged
    duplicates: int = 0  # records whose id the run had before
    empty: int = 0  # records without any text
    without_id: int = 0  # records that are named by the sha256 of their text
    encoded: int = 0  # texts that went through the model
    documents: int = 0  # in the index now
    pruned: bool = True  # False when --prune was asked for and left out

    def to_json(self) -> dict[str, int | bool]:
        """Return the summary as what JSON can hold."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Watch:
    """How a run is watched: each has a default that does nothing.

    Attributes:
        bad: takes the bad records, those of the reader too: stops at the first, or goes on.
        on_progress: called with the number of documents that are encoded, or were there, so far.
        uninterrupted: gives a context in which no signal may raise.
        clock: seconds; only differences count.
        fs: where to write.
    """

    bad: RejectFile = field(default_factory=RejectFile)
    on_progress: Callable[[int], None] = lambda _: None
    uninterrupted: Callable[[], AbstractContextManager[None]] = nullcontext
    clock: Callable[[], float] = time.monotonic
    fs: Fs = field(default_factory=Fs)


def index_corpus(
    documents: Iterable[Document],
    encoder: Encoder,
    folder: str | Path,
    *,
    options: IndexOptions | None = None,
    watch: Watch | None = None,
) -> IndexSummary:
    """Make the index in `folder` hold these documents, encoding only what it does not hold yet.

    Running it again is the resume, and the update. Documents are read only after the space of the
    encoder was found to be that of the index.

    Args:
        documents: any iterable; it is read once, and a few thousand are in memory at a time.
        encoder: for the task of the index.
        folder: where the index is, or will be.
        options: how to index.
        watch: how the run is watched, and what happens to bad records.

    Raises:
        TypeError: one of them is no `Document`, or the encoder none.
        SpaceMismatchError: the index is of another space; nothing was read or changed.
        IndexBusyError: another process is writing.
        BadRecordError: a record is bad, and `watch.bad` stops there. What was encoded before it
            is committed; likewise before an error of `documents` itself, which comes through.
        TaskembedError: see `errors.py`; its `safe_documents` says how many the index holds.
    """
    require_encoder(encoder)
    options, watch = options or IndexOptions(), watch or Watch()
    with open_index_writer(
        Path(folder),
        encoder.space,
        recreate=options.recreate,
        reading=options.reading,
        wait_seconds=options.wait_seconds,
        fs=watch.fs,
    ) as writer:
        run = _Run(writer, encoder, options, watch)
        try:
            run.read(documents)
            return run.finish()
        except Exception as error:
            is_whole = isinstance(error, TaskembedError) or run.is_outside
            if is_whole and not writer.has_failed:
                with suppress(BadRecordError):  # of a document that is too long: one error is said
                    run.commit()
            if isinstance(error, TaskembedError):
                error.safe_documents = writer.committed_documents
            raise


def require_encoder(encoder: object) -> None:
    """Return when it is an encoder, and not a model's name.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(getattr(encoder, "space", None), EmbeddingSpace):
        given = type(encoder).__name__
        raise TypeError(f"{given} is no encoder: what load_encoder(MODEL, TASK) gives is one")


def require_prune_limit(tally: Mapping[Outcome, int], limit: float) -> None:
    """Return when so many documents may be deleted, since the input does not have them.

    Args:
        tally: how many documents the run has seen, and how many not.
        limit: per cent of those that the index had before.

    Raises:
        BadInputError: it is more: the input may have been cut short.
    """
    unseen = tally[Outcome.UNSEEN]
    before = unseen + tally[Outcome.UNCHANGED] + tally[Outcome.UPDATED]
    if unseen * 100 <= limit * before:
        return
    share = ceil(unseen * 100 / before)
    raise BadInputError(
        f"--prune would delete {unseen:,} of {before:,} documents, {share} %: "
        f"more than --prune-limit {limit:g}",
        hint=f"nothing was deleted; if the input is whole: --prune-limit {share}, or --yes",
    )


def require_ids(doc_ids: Iterable[object]) -> list[str]:
    """Return ids that an index may have.

    Raises:
        TypeError: it is one text, whose characters would each be an id; or an id is no text.
        UsageError: an id is not UTF-8.
    """
    if not isinstance(doc_ids, str | bytes):
        doc_ids = list(doc_ids)
        for doc_id in doc_ids:
            if isinstance(doc_id, str) and not is_utf8(doc_id):
                raise UsageError(f"the id {doc_id!r} is not UTF-8, so no index has it")
    return require_texts(doc_ids, "doc_ids")


def delete_documents(
    folder: str | Path,
    doc_ids: Iterable[str],
    *,
    wait_seconds: float = 0,
    uninterrupted: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> tuple[int, list[str]]:
    """Delete documents by id; return how many were deleted, and the ids that are not there.

    Args:
        folder: the index.
        doc_ids: which; one that is given twice is deleted once.
        wait_seconds: how long to wait for another writer.
        uninterrupted: gives a context in which no signal may raise.

    Raises:
        NotFoundError: there is no index.
        UsageError: an id is not UTF-8.
        IndexBusyError: another process is writing.
        TypeError: doc_ids is one text, whose characters would each be an id; or an id is no text.
    """
    path = Path(folder)
    doc_ids = require_ids(doc_ids)
    if not path.exists():
        raise NotFoundError(f"no index at {path}", hint="check --index")
    with open_writer(path, wait_seconds=wait_seconds) as store:
        if store.snapshot is None:
            raise NotFoundError(f"no index at {path}", hint="check --index")
        writer = IndexWriter(store, Contents.of(path, store.snapshot), rebuilding=False)
        try:
            with uninterrupted():
                deleted = writer.delete(doc_ids)
                writer.commit({})
        finally:
            writer.close()
    there = set(deleted)
    return len(deleted), [doc_id for doc_id in dict.fromkeys(doc_ids) if doc_id not in there]


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
        BadVectorError: a score is not a number.
        TypeError: the query is no text, or k no whole number.
        ValueError: k is below 1.
    """
    query = require_text(query, "query")
    k = require_positive(k, "k")
    if not hits:
        return []
    scores = reranker.scores(query, [hit.text for hit in hits])
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


SEARCH_HINT = (
    "leave out --task and --model to search with those of the index; "
    "or make another index: taskembed index CORPUS --task TASK --index OTHER"
)


@dataclass(frozen=True, slots=True)
class _Pending:
    """A document that will be put, and what it takes the place of."""

    document: Document
    metadata: str  # JSON
    found: Found | None

    @property
    def doc_id(self) -> str:
        return self.document.doc_id

    @property
    def text(self) -> str:
        return self.document.text

    @property
    def needs_encoding(self) -> bool:
        return self.found is None or self.found.document.text != self.text

    @property
    def outcome(self) -> Outcome:
        if self.found is None or self.found.outcome is Outcome.ADDED:
            return Outcome.ADDED
        return Outcome.UPDATED

    @property
    def size_bytes(self) -> int:
        """How much memory it takes, whatever the width of its characters."""
        return sys.getsizeof(self.text) + sys.getsizeof(self.metadata)

    def __str__(self) -> str:
        source = f"{self.document.source}: " if self.document.source else ""
        return f"{source}document {self.doc_id!r}"


class _Window:
    """Documents that are encoded together; those that are ready can be put at any moment."""

    def __init__(self, items: Sequence[_Pending], dim: int) -> None:
        self.items = list(items)
        self.to_encode = np.array(
            [row for row, item in enumerate(items) if item.needs_encoding], dtype=np.int64
        )
        self.vectors = np.empty((len(items), dim), dtype=np.float32)
        self.truncated = np.zeros(len(items), dtype=np.bool_)
        self.ready = np.zeros(len(items), dtype=np.bool_)  # and not put yet

    @property
    def texts(self) -> list[str]:
        return [self.items[row].text for row in self.to_encode]

    def fill(self, rows: Rows, encoded: Encoded) -> None:
        self.vectors[rows], self.truncated[rows] = encoded
        self.ready[rows] = True

    def take_ready(self) -> Rows:
        """Return the rows that are ready, in the order of the input, once."""
        rows = np.flatnonzero(self.ready)
        self.ready[:] = False
        return rows


class _Run:
    """One run of `index_corpus`: documents wait in `_pending` until a window of them is encoded."""

    def __init__(
        self, writer: IndexWriter, encoder: Encoder, options: IndexOptions, watch: Watch
    ) -> None:
        self._writer = writer
        self._encoder = encoder
        self._options = options
        self._watch = watch
        self._pending: dict[str, _Pending] = {}
        self._pending_bytes = 0
        self._window = _Window([], writer.space.dim)
        self._window_size = min(WINDOW_DOCUMENTS, options.commit_every)
        self._summary = IndexSummary()
        self._read = 0
        self._done = 0  # encoded, or found to be there
        self._began: float | None = None  # to encode
        self._committed_at = 0.0
        self.is_outside = False  # in code of others, whose errors leave this run whole

    def read(self, documents: Iterable[Document]) -> None:
        """Bring every document into the index, or find that it is there."""
        readable = storable(self._from_outside(documents), self._watch.bad)
        for batch in _batches(readable, min(LOOK_UP, self._window_size)):
            found = self._writer.find([item.document.doc_id for item in batch])
            if not self._read:
                self._require_ids(batch, found)
            for item in batch:
                self._take(item, found)
            self._read += len(batch)
            if len(self._pending) >= self._window_size or self._pending_bytes >= WINDOW_BYTES:
                self._encode_pending()
            self._watch.on_progress(self._done)
        self._encode_pending()

    def finish(self) -> IndexSummary:
        """Prune, commit, and sum up."""
        summary = self._summary
        if self._options.prune or self._options.recreate:
            summary.pruned = self._prune()
        with self._watch.uninterrupted():
            self._writer.finish(self._encoder.made_by)
        tally = self._writer.tally()
        summary.added = tally[Outcome.ADDED]
        summary.updated = tally[Outcome.UPDATED]
        summary.unchanged = tally[Outcome.UNCHANGED]
        summary.rejected = self._watch.bad.count
        summary.documents = len(self._writer)
        return summary

    def commit(self) -> None:
        """Commit what is ready; nothing that was encoded is lost."""
        with self._watch.uninterrupted():
            too_long = self._put_ready()
            self._writer.commit(self._encoder.made_by)
            self._committed_at = self._watch.clock()
        self._reject_truncated(too_long)

    def _from_outside(self, items: Iterable[_T]) -> Iterator[_T]:
        """Yield what code of others gives."""
        self.is_outside = True
        for item in items:
            self.is_outside = False
            yield item
            self.is_outside = True
        self.is_outside = False

    def _require_ids(self, batch: Sequence[Storable], found: Mapping[str, Found]) -> None:
        """Refuse records without any id where those of the index had one: other fields, surely.

        Raises:
            BadInputError: every document would be in the index twice.
        """
        ids_are_made = all(item.document.id_is_made for item in batch)
        if not ids_are_made or found or not len(self._writer) or self._writer.has_made_ids():
            return
        first = batch[0].document.where
        raise BadInputError(
            f"{first}: the records have no id, and the documents of the index have: "
            "each would be there twice",
            hint="--id-field NAME; or give another --index; nothing was changed",
        )

    def _take(self, item: Storable, found: dict[str, Found]) -> None:
        document, doc_id = item.document, item.document.doc_id
        stored = found.get(doc_id)
        if doc_id in self._pending or (stored and stored.outcome is not Outcome.UNSEEN):
            self._summary.duplicates += 1
            if self._options.on_duplicate is OnDuplicate.FIRST:
                return
            if self._options.on_duplicate is OnDuplicate.ERROR:
                self._reject(document, f"the id {doc_id!r} stands twice in the input")
                return
            self._forget(doc_id)
        self._summary.empty += not document.text
        self._summary.without_id += document.id_is_made
        new = _Pending(document, item.metadata, stored)
        if stored and (stored.document.text, stored.document.metadata) == (new.text, new.metadata):
            self._leave(new, stored, found)
        else:
            self._pending[doc_id] = new
            self._pending_bytes += new.size_bytes

    def _leave(self, item: _Pending, stored: Found, found: dict[str, Found]) -> None:
        """Find that the index has the document as it is."""
        if stored.document.truncated and self._options.fail_on_truncate:
            self._reject_truncated([item])
            return
        if stored.outcome is Outcome.UNSEEN:
            self._summary.truncated += stored.document.truncated
            self._done += 1
            self._writer.mark(stored, Outcome.UNCHANGED)
            found[item.doc_id] = Found(stored.document, stored.segment, Outcome.UNCHANGED)

    def _forget(self, doc_id: str) -> None:
        """Take back a document that waits, since another with its id came."""
        pending = self._pending.pop(doc_id, None)
        if pending:
            self._pending_bytes -= pending.size_bytes

    def _encode_pending(self) -> None:
        window = self._window = _Window(list(self._pending.values()), self._writer.space.dim)
        self._pending = {}
        self._pending_bytes = 0
        if self._began is None:
            self._began = self._committed_at = self._watch.clock()
        self._keep_vectors(window)
        texts = window.texts
        if texts:
            sources = [str(window.items[row]) for row in window.to_encode]
            slices = self._encoder.encode_slices(texts, PromptType.DOCUMENT)
            for some, encoded in each_once(self._from_outside(slices), sources):
                rows = window.to_encode[some]
                names = [sources[row] for row in some]
                require_good_vectors(encoded.vectors, self._writer.space, names)
                with self._watch.uninterrupted():
                    window.fill(rows, encoded)
                    self._summary.encoded += len(rows)
                    self._done += len(rows)
                self._watch.on_progress(self._done)
                if self._is_time_to_commit():
                    self.commit()
        with self._watch.uninterrupted():
            too_long = self._put_ready()
        self._reject_truncated(too_long)
        if self._is_time_to_commit():
            self.commit()

    def _keep_vectors(self, window: _Window) -> None:
        """Take over the vectors of documents of which only the metadata changed."""
        for row, item in enumerate(window.items):
            if item.found and not item.needs_encoding:
                truncated = np.array([item.found.document.truncated])
                kept = Encoded(self._writer.vector(item.found), truncated)
                window.fill(np.array([row], dtype=np.int64), kept)
                self._done += 1

    def _put_ready(self) -> list[_Pending]:
        """Put what is encoded; return what is not put, since the model cannot read it whole."""
        window = self._window
        rows = window.take_ready()
        refused: list[_Pending] = []
        if self._options.fail_on_truncate:
            refused = [window.items[row] for row in rows[window.truncated[rows]]]
            rows = rows[~window.truncated[rows]]
        items = [window.items[row] for row in rows]
        # Subtle: a commit moves documents, and there may have been one since they were looked up.
        known = self._writer.find([item.doc_id for item in items if item.found])
        for row, item in zip(rows, items, strict=True):
            old = known.get(item.doc_id)
            counted = old and old.outcome is not Outcome.UNSEEN and old.document.truncated
            self._summary.truncated += int(window.truncated[row]) - bool(counted)
        self._writer.put(
            [
                StoredDocument(0, item.doc_id, item.text, item.metadata, bool(truncated))
                for item, truncated in zip(items, window.truncated[rows], strict=True)
            ],
            window.vectors[rows],
            replaced=[known.get(item.doc_id) for item in items],
            outcomes=[item.outcome for item in items],
        )
        return refused

    def _is_time_to_commit(self) -> bool:
        """Whether as much would be lost as may be; often at first, then once a minute."""
        waiting = self._writer.unwritten_documents + int(self._window.ready.sum())
        now = self._watch.clock()
        so_far = now - (now if self._began is None else self._began)
        may_be_lost = min(COMMIT_SECONDS, max(FIRST_COMMIT_SECONDS, so_far / 2))
        return waiting > 0 and (
            waiting >= self._options.commit_every
            or self._writer.unwritten_bytes >= COMMIT_BYTES
            or now - self._committed_at >= may_be_lost
        )

    def _prune(self) -> bool:
        """Delete what the input does not have; return False when that would not be safe."""
        if not self._read:
            raise BadInputError(
                "the input has no documents: what the index has would all be deleted",
                hint="nothing was deleted; check what wrote the input",
            )
        if self._watch.bad.count and not self._options.recreate:
            return False  # a record that is bad tonight may be one of them
        if not self._options.recreate:
            self.commit()
            require_prune_limit(self._writer.tally(), self._options.prune_limit)
        self._summary.deleted = self._writer.prune()
        return True

    def _reject(self, document: Document, reason: str) -> None:
        self._watch.bad(BadRecordError(document.where, reason, raw=document.text))

    def _reject_truncated(self, items: Sequence[_Pending]) -> None:
        limit = self._writer.space.max_length
        for item in items:
            self._reject(item.document, f"the model reads {limit:,} tokens, and the text has more")


@dataclass(frozen=True, slots=True)
class Storable:
    """A document that an index can hold, with its metadata as it is stored."""

    document: Document  # without metadata: as objects they take several times the memory
    metadata: str  # JSON


def storable(documents: Iterable[Document], on_bad: OnBad) -> Iterator[Storable]:
    """Yield the documents that an index can hold.

    Raises:
        TypeError: one is no `Document`.
    """
    for document in documents:
        try:
            require_storable(document)
            metadata = metadata_json(document.metadata)
        except ValueError as error:
            on_bad(BadRecordError(document.where, str(error), raw=document.text))
        else:
            yield Storable(replace(document, metadata={}), metadata)


def _batches(documents: Iterable[Storable], size: int) -> Iterator[list[Storable]]:
    """Yield documents, so many at once, or fewer large ones."""
    batch: list[Storable] = []
    size_bytes = 0
    for item in documents:
        batch.append(item)
        size_bytes += sys.getsizeof(item.document.text) + sys.getsizeof(item.metadata)
        if len(batch) == size or size_bytes >= WINDOW_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch
