"""Indexes a corpus: reads, encodes and commits documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import numpy as np

from taskembed.activity import Step, doing
from taskembed.errors import BadInputError, BadRecordError, TaskembedError, TextTooLongError
from taskembed.guard import NO_VECTOR, each_once
from taskembed.index.documents import StoredDocument
from taskembed.index.outcomes import Outcome
from taskembed.index.update import open_index_writer
from taskembed.index.writer import IndexWriter
from taskembed.reading.document import Document
from taskembed.space import PromptType
from taskembed.vectors import Encoded, Rows
from taskembed.verbs._indexing.commit_times import CommitTimes
from taskembed.verbs._indexing.cutting import Cutter
from taskembed.verbs._indexing.intake import (
    WINDOW_DOCUMENTS,
    Intake,
    Pending,
    batches,
    reject,
    reject_truncated,
    storable,
)
from taskembed.verbs._indexing.next_window import WINDOW_CHUNKS, NextWindow
from taskembed.verbs._indexing.view_encoders import encoder_of_views, shortest, spaces_of
from taskembed.verbs._indexing.window import Window
from taskembed.verbs.delete import require_prune_limit
from taskembed.verbs.options import IndexOptions, IndexSummary, Watch, new_storage, task_of_input
from taskembed.verbs.protocols import Encoder, KeepingEncoder

_T = TypeVar("_T")


def index_corpus(
    documents: Iterable[Document],
    encoder: Encoder | Sequence[Encoder],
    folder: str | Path,
    *,
    options: IndexOptions | None = None,
    watch: Watch | None = None,
) -> IndexSummary:
    """Add or update documents in the index in `folder`; encode only those that are new or changed.

    Call it again to resume or to update. Documents are read only after the encoder's space was
    compared with that of the index.

    Args:
        documents: any iterable; it is read once, and a few thousand are in memory at a time.
        encoder: the encoder of the index; for several views, the encoder of each, in order.
        folder: the folder of the index, which may not exist yet.
        options: how to index.
        watch: how the run is watched, and what happens to bad records.

    Raises:
        TypeError: an item is not a `Document`, or the encoder is not one.
        SpaceMismatchError: the index has another space; nothing was read or changed.
        IndexBusyError: another process is writing.
        UsageError: the index's documents are cut by another rule, or the encoder has no tokenizer
            to cut them by.
        BadRecordError: a record is bad, and `watch.bad` stops there. Documents encoded before it
            are committed, also before any other exception that `documents` raises.
        TaskembedError: see `errors.py`; `safe_documents` counts the documents in the index.
    """
    encoder = encoder_of_views(encoder)
    options, watch = options or IndexOptions(), watch or Watch()
    spaces = spaces_of(encoder)
    tasks = [space.task for space in spaces]
    with open_index_writer(
        Path(folder),
        encoder.space,
        further=spaces[1:],
        recreate=options.recreate,
        reading=options.reading,
        storage=lambda before: options.storage(before, shortest(spaces), task_of_input(tasks)),
        new_storage=new_storage(*tasks),
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
                # a document that is too long may raise another error: only the first is reported
                with suppress(BadRecordError):
                    run.commit()
            if isinstance(error, TaskembedError):
                error.safe_documents = writer.committed_documents
            raise


class _FromOutside(Iterator[_T]):
    """Iterates over the caller's iterable, and records while the caller's code is running."""

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
    """One run of `index_corpus`: reads documents, encodes them window by window, writes them."""

    def __init__(
        self, writer: IndexWriter, encoder: Encoder, options: IndexOptions, watch: Watch
    ) -> None:
        self._writer = writer
        self._encoder = encoder
        self._options = options
        self._watch = watch
        self._summary = IndexSummary()
        self._keeping = encoder if isinstance(encoder, KeepingEncoder) else None
        wanted = self._keeping.texts_at_once if self._keeping else 0
        self._intake = Intake(
            writer, options, watch.bad, self._summary, max(WINDOW_DOCUMENTS, wanted)
        )
        cutter = Cutter.of(writer.chunks, encoder)
        self._next_window = NextWindow(writer, cutter, watch.bad, max(WINDOW_CHUNKS, wanted))
        self._window = Window([], writer.width)
        self._queued = 0  # documents that wait for the next window
        self._commit_times = CommitTimes(watch.clock, options.commit_every)
        self._encoded = 0  # documents that are encoded, or rejected while encoding
        self._step = Step("")
        self.is_outside = False  # whether the caller's code is running; its errors do no damage

    def read(self, documents: Iterable[Document], step: Step) -> None:
        """Add every document to the index, unless the index has it unchanged."""
        self._step = step
        readable = storable(_FromOutside(documents, self), self._watch.bad)
        for batch in batches(readable, self._intake.batch_size):
            self._intake.take(batch)
            if self._intake.is_full:
                self._encode_pending()
            self._report_progress()
        self._encode_pending()

    def finish(self) -> IndexSummary:
        """Prune, commit, and return the counts."""
        summary = self._summary
        if self._options.prune or self._options.recreate:
            summary.pruned = self._prune()
        summary.count(self._writer, rejected=self._watch.bad.count)
        with self._watch.uninterrupted():
            self._writer.finish(self._encoder.made_by, summary.to_json())
            if self._keeping:
                self._keeping.finished()
        return summary

    def commit(self) -> None:
        """Commit the encoded documents, so that no work is lost."""
        with self._watch.uninterrupted():
            too_long = self._put_ready()
            self._writer.commit(self._encoder.made_by)
            self._commit_times.committed()
            self._step.commits += 1
            if self._keeping:
                self._keeping.committed(whole=not self._window.unfilled)
        self._reject_truncated(too_long)

    def _report_progress(self) -> None:
        """Report the number of finished documents, and their share of the input."""
        done = self._intake.unchanged + self._next_window.done + self._encoded
        ahead = len(self._intake) + self._queued + self._window.unfilled  # read, but not done
        self._watch.report_progress(self._step, done=done, ahead=ahead)

    def _encode_pending(self) -> None:
        """Encode the queued documents, and write them."""
        waiting = self._intake.drain()
        self._commit_times.begin()
        while True:
            window = self._window = self._next_window.take(waiting)
            self._queued = len(waiting)
            rows = window.to_encode
            while len(rows):
                rows = self._encode(rows)
            with self._watch.uninterrupted():
                too_long = self._put_ready()
                self._window = Window([], self._writer.width)  # frees the memory of the last window
            self._reject_truncated(too_long)
            if self._is_commit_due():
                self.commit()
            if not waiting:
                return

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
                self._report_progress()
                if self._is_commit_due():
                    self.commit()
        except TextTooLongError as error:
            self.is_outside = False
            refused, others = window.refuse(rows, error.reasons)
            for item, reason in refused:
                self._encoded += 1
                reject(item.document, reason, self._watch.bad)
            return rows[left & others]
        return rows[:0]

    def _fill(self, rows: Rows, encoded: Encoded) -> None:
        """Store the vectors of some texts of the window; reject documents that have no vector."""
        window = self._window
        has, encoded, empty = window.usable(rows, encoded, self._writer.spaces)
        with self._watch.uninterrupted():
            self._encoded += window.fill(has, encoded)
            self._summary.encoded += len(has)
            done, without = window.leave_out(empty)
            self._encoded += done
        for item in without:
            reject(item.document, NO_VECTOR, self._watch.bad)

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

    def _is_commit_due(self) -> bool:
        """Return whether to commit the encoded documents now."""
        return self._commit_times.is_due(
            self._writer.uncommitted_documents + int(self._window.ready.sum()),
            self._writer.uncommitted_bytes,
        )

    def _prune(self) -> bool:
        """Delete the documents that are not in the input; return False if that is not safe."""
        if not self._intake.documents:
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

    def _reject_truncated(self, items: Sequence[Pending]) -> None:
        documents = (item.document for item in items)
        reject_truncated(documents, self._writer.space.max_length, self._watch.bad)
