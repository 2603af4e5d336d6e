"""The labelled documents of an index: the examples by which new texts are classified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from taskembed.activity import doing
from taskembed.errors import UsageError
from taskembed.index.ranking.hits import as_document
from taskembed.index.ranking.positions import Positions
from taskembed.index.reader import Index
from taskembed.reading.template import value_of
from taskembed.vectors import Flags, Rows


@dataclass(frozen=True, slots=True)
class Examples:
    """The labelled documents of an index.

    Attributes:
        names: the labels, sorted; a label's number is its position here.
        positions: the labelled documents, in the order in which they were indexed.
        starts: int64[documents + 1]: the labels of document i are
            `numbers[starts[i]:starts[i + 1]]`.
        numbers: int64: numbers of labels.
    """

    names: list[str]
    positions: Positions
    starts: Rows
    numbers: Rows

    def of(self, row: int) -> tuple[str, ...]:
        """Return the labels of a document."""
        mine = self.numbers[self.starts[row] : self.starts[row + 1]]
        return tuple(self.names[number] for number in mine.tolist())

    def spread(self, rows: Rows) -> tuple[Rows, Rows]:
        """Return pairs of a position in `rows` and a label of its document, int64[m] each.

        Args:
            rows: int64[n]: documents.
        """
        counts = self.starts[rows + 1] - self.starts[rows]
        places = np.repeat(np.arange(len(rows)), counts)
        firsts = np.repeat(self.starts[rows] - np.cumsum(counts) + counts, counts)
        return places, self.numbers[firsts + np.arange(len(places))]

    def has(self, rows: Rows, labels: Rows) -> Flags:
        """Return bool[n]: whether document `rows[i]` has the label `labels[i]`."""
        places, numbers = self.spread(rows)
        found = np.zeros(len(rows), np.bool_)
        found[places[numbers == labels[places]]] = True
        return found

    @property
    def counts(self) -> dict[str, int]:
        """The number of documents with each label."""
        found = np.bincount(self.numbers, minlength=len(self.names)).tolist()
        return dict(zip(self.names, found, strict=True))


def labels_of(metadata: Mapping[str, object], field: str) -> tuple[str, ...]:
    """Return the labels in a metadata field: a text, an integer, a boolean, or a list of these.

    Raises:
        ValueError: the field contains something else.
    """
    value = value_of(metadata, field)
    values = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(filter(None, (_label(item, field) for item in values))))


def _label(value: object, field: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value).strip()
    kind = "an object" if isinstance(value, dict) else type(value).__name__
    raise ValueError(f"the label in {field!r} is {kind}, not a text")


def read_examples(index: Index, field: str) -> Examples:
    """Read the labels of every document; documents without any are left out.

    Args:
        index: the open index.
        field: the metadata field of the labels.

    Raises:
        UsageError: no document has the field, or a document's field is not a label.
    """
    positions = index.by_position()
    names: dict[str, int] = {}
    numbers: list[int] = []
    counts = np.zeros(len(positions), np.int64)
    with doing("reading labels", unit="documents", total=len(positions)) as step:
        for place, stored in enumerate(positions.documents()):
            try:
                labels = labels_of(as_document(stored).metadata, field)
            except ValueError as error:
                raise UsageError(f"document {stored.doc_id!r}: {error}") from error
            counts[place] = len(labels)
            numbers += [names.setdefault(label, len(names)) for label in labels]
            step.done = place
    if not numbers:
        raise UsageError(
            f"no document of {index.folder} has a label in the field {field!r}",
            hint="`taskembed info --fields` lists the fields; name another one with --label-field",
        )
    ordered = sorted(names)
    number_of = {name: number for number, name in enumerate(ordered)}
    place_of = np.array([number_of[name] for name in names], np.int64)
    has_label = counts > 0
    return Examples(
        ordered,
        positions.only(has_label),
        np.concatenate([[0], np.cumsum(counts[has_label])]),
        place_of[np.array(numbers, np.int64)],
    )
