"""The corpus of a run: its files, and how they are read, as asked for or as the index remembers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from taskembed.index.remembered import Reading
from taskembed.reading.bounds import DEFAULT_MAX_RECORD_BYTES
from taskembed.reading.documents import Document, read_corpus
from taskembed.reading.fields import RecordFields
from taskembed.reading.inputs import find_inputs
from taskembed.reading.meter import Meter
from taskembed.reading.streams import Input, OnBad, Shape
from taskembed.reading.template import DEFAULT_TEMPLATE, Template
from taskembed.verbs.describe import Existing


@dataclass(frozen=True, slots=True)
class Corpus:
    """Files of documents, and how they are read.

    Attributes:
        inputs: the files, in the order in which they are read.
        reading: how they are read, for the index to remember.
        template: how a record's fields become the text that is embedded.
        meter: counts how much of the files was read.
    """

    inputs: Sequence[Input]
    reading: Reading
    template: Template
    meter: Meter

    @property
    def paths(self) -> list[Path]:
        """The files that are read; stdin is none."""
        return [item.path for item in self.inputs if item.path]

    def documents(
        self, on_bad: OnBad, *, max_record_bytes: int = DEFAULT_MAX_RECORD_BYTES
    ) -> Iterator[Document]:
        """Yield the documents of all files, in order; one is in memory at a time.

        Args:
            on_bad: called with each bad record; raises to stop, returns to continue.
            max_record_bytes: a larger record is a bad one.

        Raises:
            BadInputError: a file is not what its name says, or is damaged.
            StorageError: a file cannot be read.
        """
        fields = RecordFields(
            id_field=self.reading.id_field,
            text_field=self.reading.text_field or "text",
            template=self.template,
        )
        return read_corpus(self.inputs, fields, on_bad=on_bad, max_record_bytes=max_record_bytes)


def find_corpus(
    inputs: Sequence[str],
    existing: Existing,
    asked: Reading,
    *,
    template: str | None = None,
    recreate: bool = False,
) -> Corpus:
    """Find the files of a corpus; none is read.

    Args:
        inputs: files, folders, or "-" for stdin.
        existing: what the index has for this run: how its input is read, and its template.
        asked: how the caller asks for the input to be read.
        template: how a record's fields become its text; None for the index's, or the text field.
        recreate: the index is to be replaced, so that other ids do no harm.

    Raises:
        NotFoundError: there is no such file or folder, or nothing to read in a folder.
        BadInputError: a folder is an index, or of a kind that is not read.
        UsageError: the name does not say what a file is; the template has no field; or the
            documents of the index are named by another field.
    """
    reading = existing.reading(asked, recreate=recreate)
    shape = Shape.parse(reading.delimiter, reading.encoding, reading.columns or None)
    found = find_inputs(inputs, format_name=reading.format, shape=shape)
    meter = Meter.of(item.path for item in found)
    return Corpus(
        [replace(item, meter=meter) for item in found],
        reading,
        _template(existing, asked.text_field, template),
        meter,
    )


def _template(existing: Existing, text_field: str | None, template: str | None) -> Template:
    if template or text_field:
        return Template.parse(template or f"{{{text_field}}}")
    return Template(existing.space.template) if existing.space else DEFAULT_TEMPLATE
