"""The verbs: index a corpus, delete from it, search it. The guard stands here, for every caller."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from taskembed.commit import open_writer
from taskembed.corpus import Document, RejectFile
from taskembed.errors import (
    BadInputError,
    BadRecordError,
    BadVectorError,
    NotFoundError,
    TaskembedError,
)
from taskembed.fs import Fs
from taskembed.guard import require_good_vectors, require_same_space
from taskembed.index import Contents, Hit, Index
from taskembed.segments import StoredDocument, metadata_json
from taskembed.space import EmbeddingSpace, PromptType
from taskembed.vectors import Encoded, Flags, FloatRows, Floats
from taskembed.writer import Found, IndexWriter, Outcome, open_index_writer

COMMIT_EVERY = 20_000  # documents; one second of them is lost with the fastest model
COMMIT_SECONDS = 60.0  # of work at most is lost with the slowest
COMMIT_BYTES = 256 * 2**20  # of texts and vectors, which wait in memory
LOOK_UP = 1_000  # documents whose ids are looked up at once
WINDOW_DOCUMENTS = 4_096  # are sorted by length and encoded at once
WINDOW_CHARACTERS = 16 * 2**20


class Encoder(Protocol):
    """What turns texts into vectors of one space."""

    @property
    def space(self) -> EmbeddingSpace:
        """Where its vectors live."""

    @property
    def made_by(self) -> Mapping[str, str]:
        """The engine, its precision, the version: for people."""

    @property
    def window(self) -> int | None:
        """Texts to encode at once, where it must be few: they are lost together. None for many."""

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        """Encode texts, with the prompt of their side."""


class Scorer(Protocol):
    """What judges documents for a query."""

    def scores(self, query: str, texts: Sequence[str]) -> Floats:
        """Return float32[n], 0 to 1: how well each text answers the query."""


class OnDuplicate(Enum):
    """What to do when one run has an id twice."""

    LAST = "last"
    FIRST = "first"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """How to index.

    Attributes:
        commit_every: documents between two commits; a minute of work is never exceeded.
        on_duplicate: which of two documents with one id stays.
        prune: delete the documents that this run's input does not have.
        recreate: build a new index in place of the one that is there.
        fail_on_truncate: a document that the model cannot read whole is a bad record.
        wait_seconds: how long to wait for another writer.
    """

    commit_every: int = COMMIT_EVERY
    on_duplicate: OnDuplicate = OnDuplicate.LAST
    prune: bool = False
    recreate: bool = False
    fail_on_truncate: bool = False
    wait_seconds: float = 0


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
        on_progress: called with the number of documents read so far.
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

    Raises:
        SpaceMismatchError: the index is of another space; nothing was read or changed.
        BadRecordError: a record is bad, and `watch.bad` stops there. What was encoded before it
            is committed.
        TaskembedError: see `errors.py`; its `safe_documents` says how many the index holds.
    """
    options, watch = options or IndexOptions(), watch or Watch()
    with open_index_writer(
        Path(folder),
        encoder.space,
        recreate=options.recreate,
        wait_seconds=options.wait_seconds,
        fs=watch.fs,
    ) as writer:
        run = _Run(writer, encoder, options, watch)
        try:
            run.read(documents)
            return run.finish()
        except TaskembedError as error:
            if not writer.has_failed:
                run.commit()
            error.safe_documents = writer.committed_documents
            raise


def delete_documents(
    folder: str | Path, doc_ids: Sequence[str], *, wait_seconds: float = 0
) -> tuple[int, list[str]]:
    """Delete documents by id; return how many were deleted, and the ids that are not there.

    Raises:
        NotFoundError: there is no index.
    """
    path = Path(folder)
    if not path.exists():
        raise NotFoundError(f"no index at {path}", hint="check --index")
    with open_writer(path, wait_seconds=wait_seconds) as store:
        if store.snapshot is None:
            raise NotFoundError(f"no index at {path}", hint="check --index")
        writer = IndexWriter(store, Contents.of(path, store.snapshot), rebuilding=False)
        try:
            deleted = writer.delete(doc_ids)
            writer.commit({})
        finally:
            writer.close()
    there = set(deleted)
    return len(deleted), [doc_id for doc_id in dict.fromkeys(doc_ids) if doc_id not in there]


def search_index(
    queries: Sequence[str],
    encoder: Encoder,
    index: Index,
    *,
    k: int = 10,
    min_score: float | None = None,
) -> list[list[Hit]]:
    """Return the k best documents of each query, best first; equal scores by document id.

    Raises:
        SpaceMismatchError: the encoder's vectors live in another space than the index's.
        BadVectorError: a query's vector cannot be compared.
    """
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


def rerank_hits(query: str, hits: Sequence[Hit], reranker: Scorer, *, k: int) -> list[Hit]:
    """Return the k best of the hits by a reranker's score; equal scores in the order of the hits.

    Raises:
        BadVectorError: a score is not a number.
    """
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
    metadata: str
    found: Found | None

    @property
    def needs_encoding(self) -> bool:
        return self.found is None or self.found.document.text != self.document.text

    @property
    def outcome(self) -> Outcome:
        if self.found is None or self.found.outcome is Outcome.ADDED:
            return Outcome.ADDED
        return Outcome.UPDATED


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
        self._pending_characters = 0
        self._summary = IndexSummary()
        self._read = 0
        self._committed_at = watch.clock()
        self._window = min(WINDOW_DOCUMENTS, options.commit_every, encoder.window or sys.maxsize)

    def read(self, documents: Iterable[Document]) -> None:
        """Bring every document into the index, or find that it is there."""
        for batch in _batches(documents, min(LOOK_UP, self._window)):
            found = self._writer.find([document.doc_id for document in batch])
            for document in batch:
                self._take(document, found)
            self._read += len(batch)
            if len(self._pending) >= self._window or self._pending_characters >= WINDOW_CHARACTERS:
                self._encode_pending()
            self._watch.on_progress(self._read)
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
        """Commit what was put; nothing that was encoded is lost."""
        with self._watch.uninterrupted():
            self._writer.commit(self._encoder.made_by)
            self._committed_at = self._watch.clock()

    def _take(self, document: Document, found: dict[str, Found]) -> None:
        doc_id = document.doc_id
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
        metadata = metadata_json(document.metadata)
        if stored and (stored.document.text, stored.document.metadata) == (document.text, metadata):
            self._leave(document, stored, found)
        else:
            self._pending[doc_id] = _Pending(document, metadata, stored)
            self._pending_characters += len(document.text)

    def _leave(self, document: Document, stored: Found, found: dict[str, Found]) -> None:
        """Find that the index has the document as it is."""
        if stored.document.truncated and self._options.fail_on_truncate:
            self._reject_truncated(document)
            return
        if stored.outcome is Outcome.UNSEEN:
            self._summary.truncated += stored.document.truncated
            self._writer.mark(stored, Outcome.UNCHANGED)
            found[document.doc_id] = Found(stored.document, stored.segment, Outcome.UNCHANGED)

    def _forget(self, doc_id: str) -> None:
        """Take back a document that waits, since another with its id came."""
        pending = self._pending.pop(doc_id, None)
        if pending:
            self._pending_characters -= len(pending.document.text)

    def _encode_pending(self) -> None:
        pending = list(self._pending.values())
        self._pending = {}
        self._pending_characters = 0
        if not pending:
            return
        vectors = np.empty((len(pending), self._writer.space.dim), dtype=np.float32)
        truncated = np.zeros(len(pending), dtype=np.bool_)
        new = [row for row, item in enumerate(pending) if item.needs_encoding]
        if new:
            encoded = self._encoder.encode(
                [pending[row].document.text for row in new], PromptType.DOCUMENT
            )
            sources = [_named(pending[row].document) for row in new]
            require_good_vectors(encoded.vectors, self._writer.space, sources)
            vectors[new], truncated[new] = encoded
            self._summary.encoded += len(new)
        for row, item in enumerate(pending):
            if item.found and not item.needs_encoding:
                vectors[row] = self._writer.vector(item.found)
                truncated[row] = item.found.document.truncated
        self._put(pending, vectors, truncated)

    def _put(self, pending: list[_Pending], vectors: FloatRows, truncated: Flags) -> None:
        keep = list(range(len(pending)))
        if self._options.fail_on_truncate:
            for row in np.flatnonzero(truncated):
                self._reject_truncated(pending[row].document)
            keep = [int(row) for row in np.flatnonzero(~truncated)]
        self._count_truncated(pending, truncated, keep)
        documents = [
            StoredDocument(
                0,
                pending[row].document.doc_id,
                pending[row].document.text,
                pending[row].metadata,
                bool(truncated[row]),
            )
            for row in keep
        ]
        with self._watch.uninterrupted():
            self._writer.put(
                documents,
                vectors[keep],
                replaced=[pending[row].found for row in keep],
                outcomes=[pending[row].outcome for row in keep],
            )
        if self._is_time_to_commit():
            self.commit()

    def _count_truncated(self, pending: list[_Pending], truncated: Flags, keep: list[int]) -> None:
        for row in keep:
            found = pending[row].found
            counted = found and found.outcome is not Outcome.UNSEEN and found.document.truncated
            self._summary.truncated += int(truncated[row]) - bool(counted)

    def _is_time_to_commit(self) -> bool:
        return (
            self._writer.unwritten_documents >= self._options.commit_every
            or self._writer.unwritten_bytes >= COMMIT_BYTES
            or self._watch.clock() - self._committed_at >= COMMIT_SECONDS
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
        self._summary.deleted = self._writer.prune()
        return True

    def _reject(self, document: Document, reason: str) -> None:
        self._watch.bad(BadRecordError(document.source, reason, raw=document.text))

    def _reject_truncated(self, document: Document) -> None:
        limit = self._writer.space.max_length
        self._reject(document, f"the model reads {limit:,} tokens, and the text has more")


def _named(document: Document) -> str:
    return f"{document.source}: document {document.doc_id!r}"


def _batches(documents: Iterable[Document], size: int) -> Iterator[list[Document]]:
    iterator = iter(documents)
    while batch := list(islice(iterator, size)):
        yield batch
