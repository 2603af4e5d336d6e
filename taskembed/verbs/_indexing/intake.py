"""Checks documents, looks them up in the index, and queues those that must be written."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from taskembed.errors import BadInputError, BadRecordError
from taskembed.index.outcomes import Found, Outcome
from taskembed.index.stored_metadata import metadata_json
from taskembed.index.writer import IndexWriter
from taskembed.reading.document import Document
from taskembed.reading.documents import require_storable
from taskembed.reading.streams import OnBad
from taskembed.verbs._indexing.arrivals import Arrivals
from taskembed.verbs.options import IndexOptions, IndexSummary

LOOK_UP = 1_000  # documents whose ids are looked up together
WINDOW_DOCUMENTS = 4_096  # documents that are sorted by length together, to be encoded
WINDOW_BYTES = 32 * 2**20  # of texts and metadata in a window


class Storable(NamedTuple):  # made in half the time of a dataclass, for each document
    """A valid document, with its metadata as the index stores it."""

    document: Document  # without metadata, which takes several times the memory as objects
    metadata: str  # JSON


def storable(documents: Iterable[Document], on_bad: OnBad) -> Iterator[Storable]:
    """Yield the valid documents, one in memory at a time; report the others.

    Raises:
        TypeError: an item is not a `Document`.
    """

    def checked(document: Document) -> Storable | None:
        try:
            require_storable(document)
            metadata = metadata_json(document.metadata)
        except ValueError as error:
            on_bad(BadRecordError(document.where, str(error), raw=document.text))
            return None
        # dataclasses.replace takes four times as long
        bare = Document(
            document.doc_id, document.text, {}, document.source, id_is_made=document.id_is_made
        )
        return Storable(bare, metadata)

    return filter(None, map(checked, documents))


def batches(documents: Iterator[Storable], size: int) -> Iterator[list[Storable]]:
    """Yield batches of `size` documents, or of fewer if they are large.

    Subtle: a batch is emptied before the next one is read; otherwise both would be in memory.
    """
    while batch := _batch(documents, size):
        yield batch
        batch.clear()


def _batch(documents: Iterator[Storable], size: int) -> list[Storable]:
    batch: list[Storable] = []
    size_bytes = 0
    for item in documents:
        batch.append(item)
        size_bytes += sys.getsizeof(item.document.text) + sys.getsizeof(item.metadata)
        if len(batch) == size or size_bytes >= WINDOW_BYTES:
            break
    return batch


@dataclass(frozen=True, slots=True)
class Pending:
    """A document that will be written, and the stored document that it replaces."""

    document: Document
    metadata: str  # JSON
    found: Found | None

    @property
    def doc_id(self) -> str:
        """The id of the document."""
        return self.document.doc_id

    @property
    def text(self) -> str:
        """The text that is embedded."""
        return self.document.text

    @property
    def needs_encoding(self) -> bool:
        """Whether the index lacks the vector of the text."""
        return self.found is None or self.found.document.text != self.text

    @property
    def outcome(self) -> Outcome:
        """The outcome of the document, once it is written."""
        if self.found is None or self.found.outcome is Outcome.ADDED:
            return Outcome.ADDED
        return Outcome.UPDATED

    @property
    def size_bytes(self) -> int:
        """An upper bound for the bytes of memory, for characters of any width."""
        return sys.getsizeof(self.text) + sys.getsizeof(self.metadata)

    def __str__(self) -> str:
        source = f"{self.document.source}: " if self.document.source else ""
        return f"{source}document {self.doc_id!r}"


class Intake:
    """Compares documents with those of the index; queues the new and the changed ones.

    Args:
        writer: the writer of the index.
        options: the options of the run.
        on_bad: receives the documents that are rejected.
        summary: the summary of the run; truncated, repeated and empty documents are counted in it.
        window: the largest number of documents that are encoded together.

    Attributes:
        documents: the number of documents processed so far.
        unchanged: the number of unchanged documents.
    """

    def __init__(
        self,
        writer: IndexWriter,
        options: IndexOptions,
        on_bad: OnBad,
        summary: IndexSummary,
        window: int = WINDOW_DOCUMENTS,
    ) -> None:
        self._writer = writer
        self._fail_on_truncate = options.fail_on_truncate
        self._on_bad = on_bad
        self._summary = summary
        self._arrivals = Arrivals(options.on_duplicate, on_bad, summary)
        self._window_size = min(window, options.commit_every)
        self._window_bytes = WINDOW_BYTES * max(1, window // WINDOW_DOCUMENTS)
        self._pending: dict[str, Pending] = {}
        self._pending_bytes = 0
        self.documents = 0
        self.unchanged = 0

    def __len__(self) -> int:
        """Return the number of queued documents."""
        return len(self._pending)

    @property
    def batch_size(self) -> int:
        """Number of documents to take together."""
        return min(LOOK_UP, self._window_size)

    @property
    def is_full(self) -> bool:
        """Whether enough documents are queued to encode them."""
        return len(self) >= self._window_size or self._pending_bytes >= self._window_bytes

    def take(self, batch: Sequence[Storable]) -> None:
        """Look up some documents in the index; queue those that it lacks or that have changed.

        Raises:
            BadInputError: the first documents have no ids, but those of the index have ids.
        """
        found = self._writer.find([item.document.doc_id for item in batch])
        if not self.documents:
            self._require_ids(batch, found)
        for item in batch:
            self._take(item, found)
        self.documents += len(batch)

    def drain(self) -> deque[Pending]:
        """Return the queued documents, in the order of the input; the queue is empty afterwards."""
        queued = deque(self._pending.values())
        self._pending, self._pending_bytes = {}, 0
        return queued

    def _require_ids(self, batch: Sequence[Storable], found: Mapping[str, Found]) -> None:
        """Refuse records without ids if the index's documents have ids: their field is different.

        Raises:
            BadInputError: every document would be in the index twice.
        """
        ids_are_made = all(item.document.id_is_made for item in batch)
        if not ids_are_made or found or not len(self._writer) or self._writer.has_generated_ids():
            return
        first = batch[0].document.where
        raise BadInputError(
            "the records have no ids, but the documents of the index have ids: "
            "every document would be added a second time",
            what=first,
            hint="name the field of the ids with --id-field; or use another --index. Nothing was "
            "changed",
        )

    def _take(self, item: Storable, found: dict[str, Found]) -> None:
        document, doc_id = item.document, item.document.doc_id
        stored = found.get(doc_id)
        is_seen = stored is not None and stored.outcome is not Outcome.UNSEEN
        if not self._arrivals.admits(document, is_repeated=is_seen or doc_id in self._pending):
            return
        self._forget(doc_id)
        if (
            stored
            and stored.document.text == document.text
            and stored.document.metadata == item.metadata
        ):
            self._leave(item, stored, found)
        else:
            new = self._pending[doc_id] = Pending(document, item.metadata, stored)
            self._pending_bytes += new.size_bytes

    def _leave(self, item: Storable, stored: Found, found: dict[str, Found]) -> None:
        """Record that the index has the document unchanged."""
        if stored.document.truncated and self._fail_on_truncate:
            reject_truncated([item.document], self._writer.space.max_length, self._on_bad)
            return
        if stored.outcome is Outcome.UNSEEN:
            self._summary.truncated += stored.document.truncated
            self.unchanged += 1
            self._writer.mark(stored, Outcome.UNCHANGED)
            found[item.document.doc_id] = Found(stored.document, stored.segment, Outcome.UNCHANGED)

    def _forget(self, doc_id: str) -> None:
        """Drop a queued document, since a later one with its id replaces it."""
        pending = self._pending.pop(doc_id, None)
        if pending:
            self._pending_bytes -= pending.size_bytes


def reject(document: Document, reason: str, on_bad: OnBad) -> None:
    """Report a document that is not indexed."""
    on_bad(BadRecordError(document.where, reason, raw=document.text))


def reject_truncated(documents: Iterable[Document], max_length: int, on_bad: OnBad) -> None:
    """Report documents that have more than `max_length` tokens, if that is an error."""
    for document in documents:
        reject(
            document,
            f"the text is longer than the {max_length:,} tokens that the model reads",
            on_bad,
        )
