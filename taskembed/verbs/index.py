"""Indexing a corpus: documents are read, encoded and committed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import numpy as np

from taskembed.activity import Step, doing
from taskembed.errors import BadInputError, BadRecordError, TaskembedError, TextTooLongError
from taskembed.guard import NO_VECTOR, each_once, require_good_vectors, without_length
from taskembed.index.documents import StoredDocument
from taskembed.index.outcomes import Found, Outcome
from taskembed.index.update import open_index_writer
from taskembed.index.writer import IndexWriter
from taskembed.reading.documents import Document
from taskembed.space import PromptType
from taskembed.vectors import Encoded, Rows
from taskembed.verbs._arrivals import Arrivals
from taskembed.verbs._cutting import Cutter, find_kept
from taskembed.verbs._views import by_view, encoder_of_views, shortest, spaces_of
from taskembed.verbs._window import (
    LOOK_UP,
    WINDOW_BYTES,
    WINDOW_DOCUMENTS,
    Pending,
    Storable,
    StoredVectors,
    Window,
    batches,
    storable,
)
from taskembed.verbs.delete import require_prune_limit
from taskembed.verbs.options import IndexOptions, IndexSummary, Watch, new_storage
from taskembed.verbs.protocols import Encoder

COMMIT_SECONDS = 60.0  # longest time between commits: the work that a kill can lose
FIRST_COMMIT_SECONDS = 2.0  # the first commit is early, so that even a short run makes progress
WINDOW_CHUNKS = 1_024  # chunks sorted by length together; a document waits for its last chunk
COMMIT_BYTES = 128 * 2**20  # texts, metadata and vectors in memory; more are committed

_T = TypeVar("_T")


def index_corpus(
    documents: Iterable[Document],
    encoder: Encoder | Sequence[Encoder],
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
        encoder: for the task of the index; of several views, the encoder of each, in their order.
        folder: where the index is, or will be.
        options: how to index.
        watch: how the run is watched, and what happens to bad records.

    Raises:
        TypeError: one of them is no `Document`, or the encoder none.
        SpaceMismatchError: the index is of another space; nothing was read or changed.
        IndexBusyError: another process is writing.
        UsageError: the index's documents are cut into other chunks, or the encoder cannot say where
            to cut them.
        BadRecordError: a record is bad, and `watch.bad` stops there. What was encoded before it
            is committed; likewise before an error of `documents` itself, which comes through.
        TaskembedError: see `errors.py`; its `safe_documents` says how many the index holds.
    """
    encoder = encoder_of_views(encoder)
    options, watch = options or IndexOptions(), watch or Watch()
    with open_index_writer(
        Path(folder),
        encoder.space,
        further=spaces_of(encoder)[1:],
        recreate=options.recreate,
        reading=options.reading,
        storage=lambda before: options.storage(before, shortest(spaces_of(encoder))),
        new_storage=new_storage(encoder.space.task),
        wait_seconds=options.wait_seconds,
        fs=watch.fs,
    ) as writer:
        run = _Run(writer, encoder, options, watch)
        try:
            with doing("", unit="documents") as step:
                run.read(documents, step)
            with doing("writing the index"):
                return run.finish()
        except Exception as error:
            is_whole = isinstance(error, TaskembedError) or run.is_outside
            if is_whole and not writer.has_failed:
                with suppress(
                    BadRecordError
                ):  # about a document that is too long: one error is reported
                    run.commit()
            if isinstance(error, TaskembedError):
                error.safe_documents = writer.committed_documents
            raise


class _FromOutside(Iterator[_T]):
    """Items of an iterable of the caller; marks when its code runs, and holds no item meanwhile."""

    def __init__(self, items: Iterable[_T], run: _Run) -> None:
        self._items = iter(items)
        self._run = run

    def __next__(self) -> _T:
        self._run.is_outside = True
        try:
            item = next(self._items)
        except StopIteration:
            self._run.is_outside = False
            raise
        self._run.is_outside = False
        return item


class _Run:
    """One run of `index_corpus`: documents wait in `_pending` until a window of them is encoded."""

    def __init__(
        self, writer: IndexWriter, encoder: Encoder, options: IndexOptions, watch: Watch
    ) -> None:
        self._writer = writer
        self._encoder = encoder
        self._options = options
        self._watch = watch
        self._pending: dict[str, Pending] = {}
        self._pending_bytes = 0
        self._queued = 0  # documents that wait for the next window
        self._cutter = Cutter.of(writer.chunks, encoder)
        self._window = Window([], writer.width)
        self._window_size = min(WINDOW_DOCUMENTS, options.commit_every)
        self._summary = IndexSummary()
        self._arrivals = Arrivals(options.on_duplicate, watch.bad, self._summary)
        self._read = 0
        self._done = 0  # encoded, or found to be there
        self._step = Step("")
        self._began: float | None = None  # to encode
        self._committed_at = 0.0
        self.is_outside = False  # in code of others, whose errors leave this run whole

    def read(self, documents: Iterable[Document], step: Step) -> None:
        """Add every document to the index, unless the index has it unchanged."""
        self._step = step
        readable = storable(_FromOutside(documents, self), self._watch.bad)
        for batch in batches(readable, min(LOOK_UP, self._window_size)):
            self._take_batch(batch)
            if len(self._pending) >= self._window_size or self._pending_bytes >= WINDOW_BYTES:
                self._encode_pending()
            self._say_progress()
        self._encode_pending()

    def finish(self) -> IndexSummary:
        """Prune, commit, and return the counts."""
        summary = self._summary
        if self._options.prune or self._options.recreate:
            summary.pruned = self._prune()
        tally = self._writer.tally()
        summary.added = tally[Outcome.ADDED]
        summary.updated = tally[Outcome.UPDATED]
        summary.unchanged = tally[Outcome.UNCHANGED]
        summary.rejected = self._watch.bad.count
        summary.documents = len(self._writer)
        with self._watch.uninterrupted():
            self._writer.finish(self._encoder.made_by, summary.to_json())
        return summary

    def commit(self) -> None:
        """Commit the encoded documents, so that no work is lost."""
        with self._watch.uninterrupted():
            too_long = self._put_ready()
            self._writer.commit(self._encoder.made_by)
            self._committed_at = self._watch.clock()
        self._reject_truncated(too_long)

    def _say_progress(self) -> None:
        """Report the number of finished documents, and their share of the input."""
        step, share = self._step, self._watch.read_share()
        ahead = (
            len(self._pending) + self._queued + self._window.unfilled
        )  # they were read, but are not done
        step.done = self._done
        step.share = None if share is None else share * self._done / max(1, self._done + ahead)
        self._watch.on_progress(self._done)

    def _require_ids(self, batch: Sequence[Storable], found: Mapping[str, Found]) -> None:
        """Refuse records without ids if the index's documents have ids: a field name must differ.

        Raises:
            BadInputError: every document would be in the index twice.
        """
        ids_are_made = all(item.document.id_is_made for item in batch)
        if not ids_are_made or found or not len(self._writer) or self._writer.has_made_ids():
            return
        first = batch[0].document.where
        raise BadInputError(
            "the records have no ids, but the documents of the index have ids: "
            "every document would be added a second time",
            what=first,
            hint="--id-field NAME; or give another --index; nothing was changed",
        )

    def _take_batch(self, batch: Sequence[Storable]) -> None:
        found = self._writer.find([item.document.doc_id for item in batch])
        if not self._read:
            self._require_ids(batch, found)
        for item in batch:
            self._take(item, found)
        self._read += len(batch)

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
        if stored.document.truncated and self._options.fail_on_truncate:
            self._reject_truncated([Pending(item.document, item.metadata, stored)])
            return
        if stored.outcome is Outcome.UNSEEN:
            self._summary.truncated += stored.document.truncated
            self._done += 1
            self._writer.mark(stored, Outcome.UNCHANGED)
            found[item.document.doc_id] = Found(stored.document, stored.segment, Outcome.UNCHANGED)

    def _forget(self, doc_id: str) -> None:
        """Drop a document that waits to be encoded, since a later one with its id replaces it."""
        pending = self._pending.pop(doc_id, None)
        if pending:
            self._pending_bytes -= pending.size_bytes

    def _encode_pending(self) -> None:
        waiting = deque(self._pending.values())
        self._pending, self._pending_bytes = {}, 0
        if self._began is None:
            self._began = self._committed_at = self._watch.clock()
        while True:
            window = self._window = self._next_window(waiting)
            self._queued = len(waiting)
            rows = window.to_encode
            while len(rows):
                rows = self._encode(rows)
            with self._watch.uninterrupted():
                too_long = self._put_ready()
                self._window = Window([], self._writer.width)  # none of it is held any more
            self._reject_truncated(too_long)
            if self._is_time_to_commit():
                self.commit()
            if not waiting:
                return

    def _next_window(self, waiting: deque[Pending]) -> Window:
        """Take documents to be encoded: all, or, where documents are cut, those of some chunks."""
        items: list[Pending] = []
        cuts: list[Rows] = []
        kept: dict[int, StoredVectors] = {}
        chunks = 0
        while waiting and chunks < WINDOW_CHUNKS:
            item = waiting.popleft()
            where = None
            if item.found and not item.needs_encoding:  # only the metadata changed
                kept[len(items)], where = self._stored_vectors(item.found)
            elif self._cutter:
                if (where := self._cut(item, self._cutter)) is None:
                    continue
                if item.found:
                    kept[len(items)] = self._unchanged_chunks(item, item.found, where)
            items.append(item)
            if where is not None:
                cuts.append(where)
                chunks += len(where)
        window = Window(items, self._writer.width, cuts if self._cutter else None)
        self._done += sum(window.keep(row, stored) for row, stored in kept.items())
        return window

    def _stored_vectors(self, found: Found) -> tuple[StoredVectors, Rows | None]:
        """Return all vectors of a stored document, and where it was cut."""
        found = self._found_now(found)
        vectors, cuts = self._writer.vectors(found)
        return StoredVectors(np.arange(len(vectors)), vectors, found.document.truncated), cuts

    def _unchanged_chunks(self, item: Pending, found: Found, cuts: Rows) -> StoredVectors:
        """Return the stored vectors of those chunks of a document whose text is stored already."""
        found = self._found_now(found)
        vectors, stored_cuts = self._writer.vectors(found)
        # Subtle: of a document that is truncated, nobody knows which of its chunks were
        if stored_cuts is None or found.document.truncated:
            return StoredVectors(np.arange(0), vectors[:0], truncated=False)
        places, stored = find_kept(item.text, cuts, found.document.text, stored_cuts)
        return StoredVectors(places, vectors[stored], truncated=False)

    def _found_now(self, found: Found) -> Found:
        """Return a stored document where it is now: a commit of an earlier window may move it."""
        if not self._cutter:
            return found
        return self._writer.find([found.document.doc_id])[found.document.doc_id]

    def _cut(self, item: Pending, cutter: Cutter) -> Rows | None:
        """Return where a document is cut; None where it cannot be, which makes it a bad record."""
        try:
            return cutter.cut(item.text)
        except ValueError as error:
            self._done += 1
            self._reject(item.document, str(error))
            return None

    def _encode(self, rows: Rows) -> Rows:
        """Encode texts of the window; return the rows still to encode after a text was rejected."""
        window = self._window
        left = np.ones(len(rows), dtype=np.bool_)
        try:
            slices = self._encoder.encode_slices(
                [window.text(row) for row in rows], PromptType.DOCUMENT
            )
            sources = [str(window.item(row)) for row in rows]
            for some, encoded in each_once(_FromOutside(slices, self), sources):
                left[some] = False
                self._fill(rows[some], encoded)
                self._say_progress()
                if self._is_time_to_commit():
                    self.commit()
        except TextTooLongError as error:
            self.is_outside = False
            refused = {window.item(rows[at]).doc_id: at for at in error.reasons}
            for position in refused.values():
                self._done += 1
                self._reject(window.item(rows[position]).document, error.reasons[position])
            left[[window.item(row).doc_id in refused for row in rows]] = False
            return rows[left]
        return rows[:0]

    def _fill(self, rows: Rows, encoded: Encoded) -> None:
        """Store the vectors of some texts of the window; reject documents that have no vector."""
        window, spaces = self._window, self._writer.spaces
        empty = np.zeros(len(rows), np.bool_)
        for vectors, space in zip(by_view(encoded.vectors, spaces), spaces, strict=True):
            empty |= without_length(vectors, space, len(rows))
        has = rows[~empty]
        if empty.any():
            encoded = Encoded(encoded.vectors[~empty], encoded.truncated[~empty])
        sources = [str(window.item(row)) for row in has]
        for vectors, space in zip(by_view(encoded.vectors, spaces), spaces, strict=True):
            require_good_vectors(vectors, space, sources)
        with self._watch.uninterrupted():
            self._done += window.fill(has, encoded)
            self._summary.encoded += len(has)
            done, without = window.leave_out(rows[empty])
            self._done += done
        for item in without:
            self._reject(item.document, NO_VECTOR)

    def _put_ready(self) -> list[Pending]:
        """Write the encoded documents; return those to reject because they are truncated."""
        window = self._window
        rows = window.take_ready()
        refused: list[Pending] = []
        if self._options.fail_on_truncate:
            refused = [window.items[row] for row in rows[window.truncated[rows]]]
            rows = rows[~window.truncated[rows]]
        items = [window.items[row] for row in rows]
        # Subtle: a commit moves documents to other rows, and there may have been one since the
        # documents were looked up, so they are looked up again.
        known = self._writer.find([item.doc_id for item in items if item.found])
        for row, item in zip(rows, items, strict=True):
            old = known.get(item.doc_id)
            counted = old and old.outcome is not Outcome.UNSEEN and old.document.truncated
            self._summary.truncated += int(window.truncated[row]) - bool(counted)
        vectors, cuts = window.vectors_of(rows)
        self._writer.put(
            [
                StoredDocument(0, item.doc_id, item.text, item.metadata, bool(truncated))
                for item, truncated in zip(items, window.truncated[rows], strict=True)
            ],
            vectors,
            replaced=[known.get(item.doc_id) for item in items],
            outcomes=[item.outcome for item in items],
            cuts=cuts,
        )
        return refused

    def _is_time_to_commit(self) -> bool:
        """Return whether to commit now: often at the beginning of a run, then once a minute."""
        waiting = self._writer.uncommitted_documents + int(self._window.ready.sum())
        now = self._watch.clock()
        so_far = now - (now if self._began is None else self._began)
        may_be_lost = min(COMMIT_SECONDS, max(FIRST_COMMIT_SECONDS, so_far / 2))
        return waiting > 0 and (
            waiting >= self._options.commit_every
            or self._writer.uncommitted_bytes >= COMMIT_BYTES
            or now - self._committed_at >= may_be_lost
        )

    def _prune(self) -> bool:
        """Delete the documents that the input does not have; return False if that is not safe."""
        if not self._read:
            raise BadInputError(
                "the input has no documents: every document of the index would be deleted",
                hint="nothing was deleted; check the program that wrote the input",
            )
        if self._watch.bad.count and not self._options.recreate:
            return False  # a rejected record may be one of the documents to delete
        if not self._options.recreate:
            self.commit()
            require_prune_limit(self._writer.tally(), self._options.prune_limit)
        self._summary.deleted = self._writer.prune()
        return True

    def _reject(self, document: Document, reason: str) -> None:
        self._watch.bad(BadRecordError(document.where, reason, raw=document.text))

    def _reject_truncated(self, items: Sequence[Pending]) -> None:
        limit = self._writer.space.max_length
        for item in items:
            self._reject(
                item.document, f"the text is longer than the {limit:,} tokens that the model reads"
            )
