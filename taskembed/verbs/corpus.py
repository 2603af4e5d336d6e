"""The corpus of a run: its files, and how they are read, by options or as the index remembers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from taskembed.index.remembered import Reading
from taskembed.reading.bounds import DEFAULT_MAX_RECORD_BYTES
from taskembed.reading.corpus_files import find_corpus_files
from taskembed.reading.document import Document
from taskembed.reading.documents import read_corpus
from taskembed.reading.fields import RecordFields
from taskembed.reading.formats import TEXTS, InputFormat
from taskembed.reading.meter import Meter
from taskembed.reading.streams import Input, OnBad, Shape
from taskembed.reading.template import DEFAULT_TEMPLATE, Template
from taskembed.space import Task
from taskembed.verbs.describe import Existing

_TEXT = Template("{text}")  # for files of text: their title is in the text already


@dataclass(frozen=True, slots=True)
class Corpus:
    """Files of documents, and how they are read.

    Attributes:
        inputs: the files, in the order in which they are read.
        reading: how they are read, for the index to remember.
        template: how a record's fields become the text that is embedded.
        meter: counts how much of the files was read.
        notes: sentences for people about files that are not read.
    """

    inputs: Sequence[Input]
    reading: Reading
    template: Template
    meter: Meter
    notes: tuple[str, ...] = ()

    @property
    def paths(self) -> list[Path]:
        """The files of this machine that are read, without stdin."""
        return [item.path for item in self.inputs if isinstance(item.path, Path)]

    def documents(
        self, on_bad: OnBad, *, max_record_bytes: int = DEFAULT_MAX_RECORD_BYTES
    ) -> Iterator[Document]:
        """Yield the documents of all files, in order; one is in memory at a time.

        Args:
            on_bad: called with each bad record; raises to stop, returns to continue.
            max_record_bytes: a larger record is a bad record.

        Raises:
            BadInputError: a file has another format than its name says, or is damaged.
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
    task: Task | None = None,
    recreate: bool = False,
) -> Corpus:
    """Find the files of a corpus, without reading them.

    Args:
        inputs: files, patterns such as "notes/**/*.md", folders, or "-" for stdin.
        existing: the index's template, and how its input is read.
        asked: how to read the input; a field that is None is as the index remembers.
        template: how a record's fields become its text; None for the index's template, or the text
            field.
        task: the task of the index; None for the task of the existing index. For `code`, the
            source files of a folder are read.
        recreate: whether the index is to be replaced, so that ids from another field do no harm.

    Raises:
        NotFoundError: there is no such file or folder, or nothing to read in a folder.
        BadInputError: a folder is an index, or of a kind that is not read.
        UsageError: a file's format cannot be told from its name; two files have the same id; the
            template has no field; or the ids of the index come from another field.
    """
    reading = existing.reading(asked, recreate=recreate)
    shape = Shape.parse(reading.delimiter, reading.encoding, reading.columns or None)
    found = find_corpus_files(
        inputs,
        format_name=reading.format,
        shape=shape,
        folders=InputFormat(reading.folders) if reading.folders in TEXTS else None,
        is_code=_is_code(existing, task),
    )
    meter = Meter.of(item.path for item in found.inputs)
    folders = found.folders.value if found.folders else reading.folders
    return Corpus(
        [replace(item, meter=meter) for item in found.inputs],
        replace(reading, folders=folders),
        _template(existing, asked.text_field, template, found.inputs),
        meter,
        found.notes,
    )


def _is_code(existing: Existing, task: Task | None) -> bool:
    """Return whether to read the source files of a folder rather than its records.

    An index that was made from records is updated from records.
    """
    if existing.part and existing.part.documents:
        return False
    task = task or (existing.space.task if existing.space else None)
    return task is Task.CODE


def _template(
    existing: Existing, text_field: str | None, template: str | None, inputs: Sequence[Input]
) -> Template:
    if template or text_field:
        return Template.parse(template or f"{{{text_field}}}")
    if existing.space:
        return Template(existing.space.template)
    return _TEXT if all(item.format in TEXTS for item in inputs) else DEFAULT_TEMPLATE
