"""Chooses the documents to encode next, and finds those of their vectors that are stored."""

from __future__ import annotations

from collections import deque

import numpy as np

from taskembed.index.outcomes import Found
from taskembed.index.writer import IndexWriter
from taskembed.reading.streams import OnBad
from taskembed.vectors import Rows
from taskembed.verbs._indexing.cutting import Cutter, find_kept
from taskembed.verbs._indexing.intake import Pending, reject
from taskembed.verbs._indexing.window import StoredVectors, Window

WINDOW_CHUNKS = 1_024  # chunks sorted by length together; a document waits for its last chunk


class NextWindow:
    """Makes windows of queued documents; stored vectors are reused.

    Args:
        writer: the writer of the index.
        cutter: cuts documents into chunks; None if documents are not cut.
        on_bad: receives the documents that cannot be cut.
        chunks: the approximate number of chunks that are encoded together.

    Attributes:
        done: the number of documents that need no encoding: all their vectors are stored, or they
            were rejected.
    """

    def __init__(
        self,
        writer: IndexWriter,
        cutter: Cutter | None,
        on_bad: OnBad,
        chunks: int = WINDOW_CHUNKS,
    ) -> None:
        self._writer = writer
        self._cutter = cutter
        self._on_bad = on_bad
        self._chunks = chunks
        self.done = 0

    def take(self, waiting: deque[Pending]) -> Window:
        """Take documents to encode: all of them; if documents are cut, enough for some chunks."""
        items: list[Pending] = []
        cuts: list[Rows] = []
        kept: dict[int, StoredVectors] = {}
        chunks = 0
        while waiting and chunks < self._chunks:
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
        self.done += sum(window.keep(row, stored) for row, stored in kept.items())
        return window

    def _stored_vectors(self, found: Found) -> tuple[StoredVectors, Rows | None]:
        """Return all vectors of a stored document, and where it was cut."""
        found = self._found_now(found)
        vectors, cuts = self._writer.vectors(found)
        return StoredVectors(np.arange(len(vectors)), vectors, found.document.truncated), cuts

    def _unchanged_chunks(self, item: Pending, found: Found, cuts: Rows) -> StoredVectors:
        """Return the stored vectors of the chunks of a document whose text did not change."""
        found = self._found_now(found)
        vectors, stored_cuts = self._writer.vectors(found)
        # Subtle: the index does not record which chunks of a truncated document were truncated
        if stored_cuts is None or found.document.truncated:
            return StoredVectors(np.arange(0), vectors[:0], truncated=False)
        places, stored = find_kept(item.text, cuts, found.document.text, stored_cuts)
        return StoredVectors(places, vectors[stored], truncated=False)

    def _found_now(self, found: Found) -> Found:
        """Look up a stored document again, since the commit of an earlier window may move it."""
        if not self._cutter:
            return found
        return self._writer.find([found.document.doc_id])[found.document.doc_id]

    def _cut(self, item: Pending, cutter: Cutter) -> Rows | None:
        """Return where a document is cut; None if it cannot be cut, and is a bad record."""
        try:
            return cutter.cut(item.text, item.metadata)
        except ValueError as error:
            self.done += 1
            reject(item.document, str(error), self._on_bad)
            return None
