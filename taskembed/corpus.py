"""Reading a corpus: records become a stream of documents, each with its position.

A record that cannot be used is named by file and line, and what happens then is the caller's
choice. docs/input.md has a table of what is accepted.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from taskembed.errors import BadInputError, BadRecordError, NotFoundError, from_os_error
from taskembed.records import (
    DEFAULT_MAX_RECORD_BYTES,
    Input,
    OnBad,
    Record,
    as_text,
    find_inputs,
    read_lines,
    read_records,
)
from taskembed.template import DEFAULT_TEMPLATE, Template

MAX_ID_BYTES = 4096  # of UTF-8: an id is a name, not a text

ID_FIELDS = ("id", "_id", "doc_id")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Document:
    """What is embedded and stored.

    Attributes:
        doc_id: its name in the index; no two documents of an index have the same.
        text: what is embedded.
        metadata: its other fields, which come back with the hits.
        source: where it stood: "corpus.jsonl:17".
        id_is_made: whether the record had no id, so that `doc_id` is the sha256 of the text.
    """

    doc_id: str
    text: str
    metadata: Mapping[str, object]
    source: str = field(default="", compare=False)
    id_is_made: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Query:
    """A query with a name, as runs and judgements know it."""

    query_id: str
    text: str


@dataclass(frozen=True, slots=True)
class RecordFields:
    """Which fields of a record are what.

    Attributes:
        id_field: the id; None for the first of id, _id, doc_id that there is.
        template: how the text is made of the others.
        text_field: left out of the metadata, since the text is stored anyway.
    """

    id_field: str | None = None
    template: Template = DEFAULT_TEMPLATE
    text_field: str = "text"


class RejectFile:
    """What happens to bad records: stop at the first; or write each to a file, and count.

    Example:
        with RejectFile(Path("bad.jsonl"), stop=False, max_bad=100) as bad:
            for document in read_corpus(inputs, fields, on_bad=bad):
                ...
    """

    def __init__(
        self, path: Path | None = None, *, stop: bool = True, max_bad: int | None = None
    ) -> None:
        self.count = 0
        self._path = path
        self._stop = stop
        self._max_bad = max_bad
        self._stream: BinaryIO | None = None

    def __enter__(self) -> RejectFile:
        if self._path:
            try:
                # made even when nothing is rejected: an empty file says so
                self._stream = self._path.open("wb")
            except OSError as error:
                raise from_os_error(error, str(self._path)) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._stream:
            self._stream.close()

    def __call__(self, error: BadRecordError) -> None:
        """Take a bad record.

        Raises:
            BadRecordError: the run is to stop at the first.
            BadInputError: there were more than `max_bad`.
        """
        if self._stop:
            raise error
        self.count += 1
        if self._stream:
            value = {"source": error.source, "reason": error.reason, "record": error.raw}
            try:
                self._stream.write(json.dumps(value).encode() + b"\n")
                self._stream.flush()
            except OSError as failure:
                raise from_os_error(failure, str(self._path)) from failure
        if self._max_bad is not None and self.count > self._max_bad:
            raise BadInputError(
                f"more than {self._max_bad:,} bad records; the last is {error.message}",
                hint="look at the input, or raise --max-bad",
            )


def read_corpus(
    inputs: Sequence[Input],
    fields: RecordFields,
    *,
    on_bad: OnBad,
    max_record_bytes: int = DEFAULT_MAX_RECORD_BYTES,
) -> Iterator[Document]:
    """Yield the documents of all inputs, in order.

    Args:
        inputs: what `find_inputs` gave.
        fields: which fields are what.
        on_bad: called with each bad record; raises to stop, returns to go on.
        max_record_bytes: a larger record is a bad one.

    Raises:
        BadInputError: a file is not what its name says, or is damaged.
        StorageError: a file cannot be read.
    """
    for item in inputs:
        for source, record, raw in read_records(item, on_bad, max_record_bytes):
            try:
                document = _document(record, fields, source)
            except ValueError as error:
                on_bad(
                    BadRecordError(
                        source,
                        str(error),
                        raw=as_text(raw) if raw is not None else json.dumps(record, default=repr),
                    )
                )
            else:
                yield document


def read_queries(argument: str) -> Iterator[Query]:
    """Yield the queries of a file: JSONL with id and text, or TSV without a header; "-" is stdin.

    Raises:
        BadRecordError: a line cannot be used.
    """
    path = Path(argument)
    item = find_inputs([argument])[0] if argument == "-" or path.suffix != ".tsv" else None
    if item is None:
        yield from _tsv_queries(Input(path, "tsv", None))
        return
    fields = RecordFields(template=Template("{text}"))
    for document in read_corpus([item], fields, on_bad=_stop):
        yield _query(document.doc_id, document.text, document.source)


def _tsv_queries(item: Input) -> Iterator[Query]:
    if item.path and not item.path.exists():
        raise NotFoundError(f"no such file or folder: {item.name}", hint="check the path")
    for source, line in read_lines(item, _stop, DEFAULT_MAX_RECORD_BYTES):
        query_id, tab, text = _decoded(line, source).partition("\t")
        if not tab or not query_id.strip():
            raise BadRecordError(source, "it is not an id, a tab and a text")
        yield _query(query_id.strip(), text.strip(), source)


def _query(query_id: str, text: str, source: str) -> Query:
    if not text:
        raise BadRecordError(source, "the query is empty")
    return Query(query_id, text)


def _stop(error: BadRecordError) -> None:
    raise error


def _document(record: Record, fields: RecordFields, source: str) -> Document:
    """Make a document of a record.

    Raises:
        ValueError: it cannot be one; says why.
    """
    text = fields.template.render(record)
    id_field = fields.id_field or next((name for name in ID_FIELDS if name in record), "id")
    doc_id = _checked_id(record.get(id_field), id_field)
    metadata = {
        name: value for name, value in record.items() if name not in (id_field, fields.text_field)
    }
    if doc_id is None:
        made = hashlib.sha256(text.encode()).hexdigest()
        return Document(made, text, metadata, source, id_is_made=True)
    return Document(doc_id, text, metadata, source)


def _checked_id(value: object, name: str) -> str | None:
    """Return an id as text; None when there is none."""
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f'the id in "{name}" is neither a text nor a whole number')
    if not value:
        raise ValueError(f'the id in "{name}" is empty')
    if _CONTROL.search(value):
        raise ValueError(f'the id in "{name}" has a control character')
    if len(value.encode()) > MAX_ID_BYTES:
        raise ValueError(f'the id in "{name}" is longer than {MAX_ID_BYTES:,} bytes')
    return value


def _decoded(line: bytes, source: str) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise BadRecordError(source, f"not UTF-8 at byte {error.start + 1}") from error
