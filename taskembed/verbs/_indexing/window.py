"""Documents that are encoded together, and the state of each of their texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from taskembed.guard import require_good_vectors, without_length
from taskembed.space import EmbeddingSpace
from taskembed.vectors import Encoded, Flags, FloatRows, Rows
from taskembed.verbs._indexing.intake import Pending
from taskembed.verbs._indexing.view_encoders import by_view


class StoredVectors(NamedTuple):
    """The stored vectors of a document that will be written again."""

    places: Rows  # int64[n]: the number of the text within the document
    vectors: FloatRows  # float32[n, dim]
    truncated: bool  # whether the model did not read all of the document


class Window:
    """Documents that are encoded together; encoded documents can be written at any time.

    A document has a vector for its text, or one for each of its chunks: `texts` and `vectors`
    contain those of the first document, then of the second, and so on.

    Args:
        items: the documents.
        dim: the number of dimensions of a vector.
        cuts: int64[n, 2] for each document: where its n chunks begin and end; None if documents
            are not cut.

    Attributes:
        truncated: bool[items]: whether the model did not read all of a document.
        ready: bool[items]: whether a document is encoded but not yet written.
        unfilled: the number of documents that are not encoded.
    """

    def __init__(
        self, items: Sequence[Pending], dim: int, cuts: Sequence[Rows] | None = None
    ) -> None:
        self.items = list(items)
        self._cuts = cuts
        counts = np.ones(len(items), np.int64)
        if cuts is not None:
            counts = np.array([len(some) for some in cuts], np.int64)
        self._firsts = np.concatenate([[0], np.cumsum(counts)])
        self._owners = np.repeat(np.arange(len(items)), counts)  # of each text
        self._missing = counts  # texts of each document that have no vector yet
        self._needed = np.ones(len(self._owners), np.bool_)  # texts that have to be encoded
        self._vectors = np.empty((len(self._owners), dim), dtype=np.float32)
        self._left_out = np.zeros(len(self._owners), dtype=np.bool_)  # texts without a vector
        self.truncated = np.zeros(len(items), dtype=np.bool_)
        self.ready = np.zeros(len(items), dtype=np.bool_)
        self.unfilled = len(items)

    @property
    def to_encode(self) -> Rows:
        """int64[m]: the numbers of the texts whose vectors the index does not have."""
        return np.flatnonzero(self._needed)

    def text(self, number: int) -> str:
        """Return a text to encode: that of a document, or of a chunk."""
        row = int(self._owners[number])
        if self._cuts is None:
            return self.items[row].text
        begin, end = self._cuts[row][number - self._firsts[row]]
        return self.items[row].text[begin:end]

    def item(self, number: int) -> Pending:
        """Return the document of a text."""
        return self.items[int(self._owners[number])]

    def fill(self, numbers: Rows, encoded: Encoded) -> int:
        """Store the vectors of some texts; return how many more documents are now encoded."""
        owners = self._owners[numbers]
        self._vectors[numbers] = encoded.vectors
        np.logical_or.at(self.truncated, owners, encoded.truncated)
        return self._count(owners)

    def keep(self, row: int, stored: StoredVectors) -> int:
        """Reuse stored vectors of a document; return how many more documents are now encoded."""
        vectors = stored.vectors
        numbers = self._firsts[row] + stored.places
        self._needed[numbers] = False
        return self.fill(numbers, Encoded(vectors, np.full(len(vectors), stored.truncated)))

    def usable(
        self, numbers: Rows, encoded: Encoded, spaces: Sequence[EmbeddingSpace]
    ) -> tuple[Rows, Encoded, Rows]:
        """Separate texts with a vector from texts without one.

        Args:
            numbers: int64[n]: the texts that were encoded.
            encoded: their vectors, those of all views concatenated.
            spaces: the spaces of the views.

        Returns:
            The texts that have vectors, these vectors, and the other texts.

        Raises:
            BadVectorError: a vector cannot be compared.
        """
        empty = np.zeros(len(numbers), np.bool_)
        for vectors, space in zip(by_view(encoded.vectors, spaces), spaces, strict=True):
            empty |= without_length(vectors, space, len(numbers))
        has = numbers[~empty]
        if empty.any():
            encoded = Encoded(encoded.vectors[~empty], encoded.truncated[~empty])
        sources = [str(self.item(number)) for number in has]
        for vectors, space in zip(by_view(encoded.vectors, spaces), spaces, strict=True):
            require_good_vectors(vectors, space, sources)
        return has, encoded, numbers[empty]

    def refuse(
        self, numbers: Rows, reasons: Mapping[int, str]
    ) -> tuple[list[tuple[Pending, str]], Flags]:
        """Separate documents that cannot be encoded from the others.

        Args:
            numbers: int64[n]: the texts that were to be encoded.
            reasons: why some texts cannot be encoded, by their positions in `numbers`.

        Returns:
            Those documents, each with a reason; and bool[n]: which texts belong to the others.
        """
        owners = self._owners[numbers]
        refused = {int(owners[at]): at for at in reasons}
        documents = [(self.items[row], reasons[at]) for row, at in refused.items()]
        return documents, ~np.isin(owners, list(refused))

    def leave_out(self, numbers: Rows) -> tuple[int, list[Pending]]:
        """Leave out some texts, which have no vector.

        Returns:
            The number of documents that are now complete, and those of them without any vector.
        """
        self._left_out[numbers] = True
        owners = self._owners[numbers]
        done = self._count(owners)
        empty = [
            row
            for row in np.unique(owners).tolist()
            if self._left_out[self._firsts[row] : self._firsts[row + 1]].all()
        ]
        self.ready[empty] = False
        return done, [self.items[row] for row in empty]

    def _count(self, owners: Rows) -> int:
        """Mark the documents whose texts are all complete; return their number."""
        np.subtract.at(self._missing, owners, 1)
        done = np.unique(owners[self._missing[owners] == 0])
        self.ready[done] = True
        self.unfilled -= len(done)
        return len(done)

    def vectors_of(self, rows: Rows) -> tuple[FloatRows, list[Rows] | None]:
        """Return the vectors of some documents, and where each was cut: see `IndexWriter.put`."""
        if self._cuts is None:
            return self._vectors[rows], None
        cuts = []
        numbers = [np.empty(0, np.int64)]
        for row in rows.tolist():
            places = np.arange(self._firsts[row], self._firsts[row + 1])
            has = ~self._left_out[places]
            numbers.append(places[has])
            cuts.append(self._cuts[row][has])
        return self._vectors[np.concatenate(numbers)], cuts

    def take_ready(self) -> Rows:
        """Return the rows that became ready since the last call, in the order of the input."""
        rows = np.flatnonzero(self.ready)
        self.ready[:] = False
        return rows
