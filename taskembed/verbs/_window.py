"""Documents on their way into an index: checked, looked up and encoded some thousand at a time."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from taskembed.errors import BadRecordError
from taskembed.index.segments import metadata_json
from taskembed.index.writer import Found, Outcome
from taskembed.reading.documents import Document, require_storable
from taskembed.reading.streams import OnBad
from taskembed.vectors import Encoded, Rows

LOOK_UP = 1_000  # documents whose ids are looked up at once
WINDOW_DOCUMENTS = 4_096  # are sorted by length, and encoded slice by slice
WINDOW_BYTES = 32 * 2**20  # of texts and metadata


class Storable(NamedTuple):  # made in half the time of a dataclass, for each document
    """A document that an index can hold, with its metadata as it is stored."""

    document: Document  # without metadata: as objects they take several times the memory
    metadata: str  # JSON


def storable(documents: Iterable[Document], on_bad: OnBad) -> Iterator[Storable]:
    """Return the documents that an index can hold; none is held here while it is used.

    Raises:
        TypeError: one is no `Document`.
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
    """Yield documents, so many at once, or fewer large ones.

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
    """A document that will be put, and what it takes the place of."""

    document: Document
    metadata: str  # JSON
    found: Found | None

    @property
    def doc_id(self) -> str:
        """Its id."""
        return self.document.doc_id

    @property
    def text(self) -> str:
        """What is embedded."""
        return self.document.text

    @property
    def needs_encoding(self) -> bool:
        """Whether the index does not have the vector of its text."""
        return self.found is None or self.found.document.text != self.text

    @property
    def outcome(self) -> Outcome:
        """What the run has done with it, once it is put."""
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


class Window:
    """Documents that are encoded together; those that are ready can be put at any moment."""

    def __init__(self, items: Sequence[Pending], dim: int) -> None:
        self.items = list(items)
        self.to_encode = np.array(
            [row for row, item in enumerate(items) if item.needs_encoding], dtype=np.int64
        )
        self.vectors = np.empty((len(items), dim), dtype=np.float32)
        self.truncated = np.zeros(len(items), dtype=np.bool_)
        self.ready = np.zeros(len(items), dtype=np.bool_)  # and not put yet
        self.unfilled = len(items)

    def fill(self, rows: Rows, encoded: Encoded) -> None:
        """Take what documents became: row i of `encoded` is of items[rows[i]]."""
        self.vectors[rows], self.truncated[rows] = encoded
        self.ready[rows] = True
        self.unfilled -= len(rows)

    def take_ready(self) -> Rows:
        """Return the rows that are ready, in the order of the input, once."""
        rows = np.flatnonzero(self.ready)
        self.ready[:] = False
        return rows
