"""Documents on their way into an index: checked, looked up, and encoded in windows of thousands."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from taskembed.errors import BadRecordError
from taskembed.index.documents import metadata_json
from taskembed.index.outcomes import Found, Outcome
from taskembed.reading.documents import Document, require_storable
from taskembed.reading.streams import OnBad
from taskembed.vectors import Encoded, Rows

LOOK_UP = 1_000  # documents whose ids are looked up together
WINDOW_DOCUMENTS = 4_096  # documents that are sorted by length together, to be encoded
WINDOW_BYTES = 32 * 2**20  # of texts and metadata in a window


class Storable(NamedTuple):  # made in half the time of a dataclass, for each document
    """A document that an index can hold, with its metadata as the index stores it."""

    document: Document  # without metadata, which takes several times the memory as objects
    metadata: str  # JSON


def storable(documents: Iterable[Document], on_bad: OnBad) -> Iterator[Storable]:
    """Yield the documents that an index can hold, one in memory at a time; report the others.

    Raises:
        TypeError: an item is no `Document`.
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
    """Yield batches of `size` documents, or of fewer large ones.

    Subtle: a batch is empty when the next one is asked for, or both would be in memory.
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
        """What the run has done with the document, once it is written."""
        if self.found is None or self.found.outcome is Outcome.ADDED:
            return Outcome.ADDED
        return Outcome.UPDATED

    @property
    def size_bytes(self) -> int:
        """Bytes of memory, whatever the width of the characters."""
        return sys.getsizeof(self.text) + sys.getsizeof(self.metadata)

    def __str__(self) -> str:
        source = f"{self.document.source}: " if self.document.source else ""
        return f"{source}document {self.doc_id!r}"


class Window:
    """Documents that are encoded together; encoded ones can be written at any moment."""

    def __init__(self, items: Sequence[Pending], dim: int) -> None:
        self.items = list(items)
        self.to_encode = np.array(
            [row for row, item in enumerate(items) if item.needs_encoding], dtype=np.int64
        )
        self.vectors = np.empty((len(items), dim), dtype=np.float32)
        self.truncated = np.zeros(len(items), dtype=np.bool_)
        self.ready = np.zeros(len(items), dtype=np.bool_)  # encoded and not yet written
        self.unfilled = len(items)

    def fill(self, rows: Rows, encoded: Encoded) -> None:
        """Store encoded documents: row i of `encoded` is of items[rows[i]]."""
        self.vectors[rows], self.truncated[rows] = encoded
        self.ready[rows] = True
        self.unfilled -= len(rows)

    def take_ready(self) -> Rows:
        """Return the rows that became ready since the last call, in the order of the input."""
        rows = np.flatnonzero(self.ready)
        self.ready[:] = False
        return rows
