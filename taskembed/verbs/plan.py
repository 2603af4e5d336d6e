"""Dry runs: compute the counts of a run without a lock and without a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from taskembed.activity import doing
from taskembed.batches import batched
from taskembed.index.contents import Contents
from taskembed.index.disk.commit import StoreWriter
from taskembed.index.disk.fs import Fs
from taskembed.index.disk.generations import open_newest
from taskembed.index.disk.manifests import Snapshot
from taskembed.index.outcomes import Found, Outcome
from taskembed.index.writer import IndexWriter
from taskembed.reading.document import Document
from taskembed.verbs._indexing.arrivals import Arrivals
from taskembed.verbs._indexing.intake import LOOK_UP, Storable, storable
from taskembed.verbs.delete import require_ids, require_prune_limit
from taskembed.verbs.options import IndexOptions, IndexSummary, Watch


def plan_index(
    documents: Iterable[Document],
    folder: Path | None,
    *,
    options: IndexOptions | None = None,
    watch: Watch | None = None,
) -> IndexSummary:
    """Return the counts that `index_corpus` would have, as far as they are known without a model.

    `truncated` counts unchanged documents only; `encoded` counts the texts that would be encoded.

    Args:
        documents: any iterable; it is read once.
        folder: the folder of the index; None for a new index.
        options: how to index.
        watch: its `bad` receives the bad records; its `read_share` is reported as progress.

    Raises:
        BadInputError: more documents would be pruned than `options.prune_limit` allows.
    """
    plan = _Plan(options or IndexOptions(), watch or Watch())
    if folder is None or plan.options.recreate:
        return plan.summed_up(documents, None)
    with _read_only(folder) as writer:
        return plan.summed_up(documents, writer)


def plan_delete(folder: Path, doc_ids: Iterable[str]) -> tuple[int, list[str]]:
    """Return how many documents would be deleted, and the ids that are not in the index.

    Raises:
        NotFoundError: there is no index.
        UsageError: an id is not UTF-8.
    """
    doc_ids = require_ids(doc_ids)
    with _read_only(folder) as writer:
        there = set(writer.find(list(dict.fromkeys(doc_ids))))
    return len(there), [doc_id for doc_id in dict.fromkeys(doc_ids) if doc_id not in there]


class _Plan:
    """The counts of a dry run."""

    def __init__(self, options: IndexOptions, watch: Watch) -> None:
        self.options = options
        self._watch = watch
        self._summary = IndexSummary()
        self._arrivals = Arrivals(options.on_duplicate, watch.bad, self._summary)
        self._new: set[str] = set()  # ids that the index does not have

    def summed_up(self, documents: Iterable[Document], writer: IndexWriter | None) -> IndexSummary:
        summary, options = self._summary, self.options
        shown = _shown(documents, self._watch.read_share)
        for batch in batched(storable(shown, self._watch.bad), LOOK_UP):
            found = writer.find([item.document.doc_id for item in batch]) if writer else {}
            for item in batch:
                self._take(item, found.get(item.document.doc_id), writer)
        summary.added = len(self._new)
        summary.rejected = self._watch.bad.count
        if writer:
            tally = writer.tally()
            summary.updated, summary.unchanged = tally[Outcome.UPDATED], tally[Outcome.UNCHANGED]
            if options.prune:
                summary.pruned = not summary.rejected
                require_prune_limit(tally, options.prune_limit)
                summary.deleted = tally[Outcome.UNSEEN] if summary.pruned else 0
            summary.documents = len(writer) + summary.added - summary.deleted
        else:
            summary.documents = summary.added
        return summary

    def _take(self, item: Storable, stored: Found | None, writer: IndexWriter | None) -> None:
        document, summary = item.document, self._summary
        doc_id = document.doc_id
        is_seen = stored is not None and _outcome(stored) is not Outcome.UNSEEN
        if not self._arrivals.admits(document, is_repeated=is_seen or doc_id in self._new):
            return
        if stored is None or writer is None:
            summary.encoded += doc_id not in self._new
            self._new.add(doc_id)
            return
        is_text_same = stored.document.text == document.text
        is_same = is_text_same and stored.document.metadata == item.metadata
        summary.encoded += not is_text_same
        summary.truncated += is_same and stored.document.truncated
        writer.mark(stored, Outcome.UNCHANGED if is_same else Outcome.UPDATED)


def _shown(
    documents: Iterable[Document], read_share: Callable[[], float | None]
) -> Iterator[Document]:
    """Yield documents, and report how many were read."""
    with doing("", unit="documents") as step:
        for document in documents:
            step.done += 1
            step.share = read_share()
            yield document


def _outcome(stored: Found) -> Outcome:
    """Return the outcome planned so far for a stored document."""
    if stored.segment is None:
        return stored.outcome
    return Outcome(int(stored.segment.outcomes[stored.document.row]))


@contextmanager
def _read_only(folder: Path) -> Iterator[IndexWriter]:
    """Yield a writer of the newest generation that needs no lock, since it commits nothing."""

    def opened(snapshot: Snapshot) -> IndexWriter:
        contents = Contents.of(folder, snapshot)
        return IndexWriter(StoreWriter(folder, Fs(), snapshot=snapshot), contents, rebuilding=False)

    writer = open_newest(folder, opened)
    try:
        yield writer
    finally:
        writer.close()
