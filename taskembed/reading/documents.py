"""Reading a corpus: records become a stream of documents, each with its position.

A record that cannot be used is named by file and line, and what happens then is the caller's
choice. docs/input.md has a table of what is accepted.
"""

from __future__ import annotations

import hashlib
import json
import re
import reprlib
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from taskembed.arguments import require_text
from taskembed.errors import BadInputError, BadRecordError, UsageError, from_os_error
from taskembed.reading._jsonl import WideRecord
from taskembed.reading._tables import TABLES, header_hint, no_header_hint
from taskembed.reading.bounds import DEFAULT_MAX_RECORD_BYTES
from taskembed.reading.inputs import Record, Row, find_inputs, read_records
from taskembed.reading.streams import Input, OnBad, as_text, read_lines, stop_at_first
from taskembed.reading.template import (
    DEFAULT_TEMPLATE,
    Template,
    has_field,
    has_fields,
    kind_of,
    no_field,
    value_of,
)

MAX_ID_BYTES = 4096  # of UTF-8: an id is a name, not a text
MAX_DEPTH = 200  # levels of metadata: orjson reads 1,024 of them, but writes only 254

SHOWN_BAD = 5  # bad records that are said, when no file takes them

ID_FIELDS = ("id", "_id", "doc_id")
# what others call the text, the likeliest first
TEXT_NAMES = ("text", "body", "content", "contents", "passage", "document", "abstract", "sentence")
QUERY_ID_FIELDS = ("id", "_id", "query_id")
_QUERY_IDS = {"id", "_id", "qid", "query_id", "query-id", "queryid"}  # in a header
_QUERY_TEXTS = {"text", "query", "question"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Document:
    """What is embedded and stored: Document("moon", "The Moon orbits the Earth.").

    Attributes:
        doc_id: its name in the index; no two documents of an index have the same.
        text: what is embedded.
        metadata: its other fields, which come back with the hits: what JSON can hold. Dates, UUIDs
            and enums come back as texts, numbers of numpy as Python's, NaN as None.
        source: where it stood: "corpus.jsonl:17".
        id_is_made: whether the record had no id, so that `doc_id` is the sha256 of the text.

    Raises:
        TypeError: the id or the text is no text, or the metadata no mapping.
    """

    doc_id: str
    text: str
    metadata: Mapping[str, object] = field(default_factory=dict, hash=False)
    source: str = field(default="", compare=False)
    id_is_made: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        # Subtle: what a text holds is checked by `require_storable`, where it enters an index. An
        # index may have been made by somebody else, and its documents can still be looked at.
        doc_id: object = self.doc_id
        text: object = self.text
        metadata: object = self.metadata
        if not isinstance(doc_id, str):
            shown = reprlib.repr(doc_id)
            raise TypeError(f"the id of a document is {shown}; it must be a text: {str(doc_id)!r}")
        if not isinstance(text, str):
            raise TypeError(f"the text of document {doc_id!r} is no text but {type(text).__name__}")
        if not isinstance(metadata, Mapping):
            kind = type(metadata).__name__
            raise TypeError(f"the metadata of document {doc_id!r} is no mapping but {kind}")

    @property
    def where(self) -> str:
        """What a message calls it: by its place, if it has one."""
        return self.source or f"document {self.doc_id!r}"


def require_storable(document: object) -> None:
    """Return when an index can hold a document.

    Raises:
        TypeError: it is no `Document`.
        ValueError: its id or its text cannot be stored.
    """
    if not isinstance(document, Document):
        raise TypeError(f"documents are taskembed.Document, not {type(document).__name__}")
    require_text(document.text, "the text")
    check_id(document.doc_id, "the id")


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
        text_field: left out of the metadata when it is the text as it is stored; the title before
            it, for example, makes another one.
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
        self.first: list[BadRecordError] = []  # a few, for people
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
        if len(self.first) < SHOWN_BAD:
            # without the record, which may be large
            self.first.append(BadRecordError(error.source, error.reason, hint=error.hint))
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
    """Yield the documents of all inputs, in order; none is held here while it is used.

    Args:
        inputs: what `find_inputs` gave.
        fields: which fields are what.
        on_bad: called with each bad record; raises to stop, returns to go on.
        max_record_bytes: a larger record is a bad one.

    Raises:
        BadInputError: a file is not what its name says, or is damaged.
        StorageError: a file cannot be read.
    """
    taking = _Taking(fields, on_bad)
    for item in inputs:
        take = partial(taking.document, item)
        yield from filter(None, map(take, read_records(item, on_bad, max_record_bytes)))
    taking.require_fields()


class _Taking:
    """Records on their way to documents."""

    def __init__(self, fields: RecordFields, on_bad: OnBad) -> None:
        self._fields = fields
        self._on_bad = on_bad
        self._named = _named_fields(fields)
        self._is_one_good = False
        self._fieldless: BadInputError | None = None  # the first record without a named field

    def document(self, item: Input, row: Row) -> Document | None:
        """Return the document that a record is; None when it is a bad one."""
        source, record, raw = row
        try:
            document = _document(record, self._fields, source, ID_FIELDS)
            if isinstance(record, WideRecord):
                _require_narrow(document.metadata)
        except ValueError as error:
            bad = BadRecordError(
                source,
                str(error),
                raw=as_text(raw) if raw is not None else json.dumps(record, default=repr),
                hint=_hint(item, record, self._fields),
            )
            if item.format in TABLES and not has_fields(record, _needed(self._fields)):
                # no row of the file has it: a fault of the header, and not of a record
                raise BadInputError(bad.message, hint=bad.hint) from error
            if self._fieldless is None and not has_fields(record, self._named):
                self._fieldless = BadInputError(
                    f"no record can be used: {bad.message}", hint=bad.hint
                )
            self._on_bad(bad)
            return None
        self._is_one_good = True
        return document

    def require_fields(self) -> None:
        """Return when not every record was without a field that was named.

        Raises:
            BadInputError: every one was: the name is wrong, most likely.
        """
        if self._fieldless and not self._is_one_good:
            raise self._fieldless


def _named_fields(fields: RecordFields) -> set[str]:
    """Return the fields that somebody named, and every record must have."""
    named = set() if fields.template == DEFAULT_TEMPLATE else set(fields.template.required)
    return named | ({fields.id_field} if fields.id_field else set())


def _needed(fields: RecordFields) -> set[str]:
    """Return the fields that every record must have."""
    return {*fields.template.required, *([fields.id_field] if fields.id_field else [])}


def _hint(item: Input, record: Record, fields: RecordFields) -> str | None:
    """Return what to type when a record has not the fields that it should have."""
    needed = _needed(fields)
    if has_fields(record, needed):
        return _id_hint(record, fields)
    hint = _field_hint(record, fields)
    if item.format not in TABLES or item.shape.columns:
        return hint
    folders = dict(item.partitions)
    names = [name for name in record if name not in folders]
    of_header = header_hint(names, item.shape.delimiter or TABLES[item.format])
    if of_header or not hint or not needed.isdisjoint(map(str.lower, names)):
        return of_header or hint
    return f"{hint}; {no_header_hint(len(names))}"


def _id_hint(record: Record, fields: RecordFields) -> str | None:
    doc_id = value_of(record, fields.id_field or _id_field(record, ID_FIELDS))
    if not isinstance(doc_id, float) or not doc_id.is_integer():
        return None
    return "pandas makes floats of whole numbers beside missing ones: ids.astype('Int64')"


def _field_hint(record: Record, fields: RecordFields) -> str | None:
    """Return which fields are the text and the id, most likely, when the text is not there."""
    if fields.template != DEFAULT_TEMPLATE or "text" in record:
        return None
    text = _text_hint(record)
    if fields.id_field or not record.keys().isdisjoint(ID_FIELDS):
        return text
    doc_id = next((name for name in record if name.lower() in ID_FIELDS), None)
    return f"--id-field {doc_id} {text}" if doc_id and text else text


def _text_hint(record: Record) -> str | None:
    texts = {name: value for name, value in record.items() if isinstance(value, str)}
    others = [name for name in texts if name.lower() not in {*ID_FIELDS, "title", "url"}]
    lowered = {name.lower(): name for name in others}
    known = next((lowered[name] for name in TEXT_NAMES if name in lowered), None)
    best = known or max(others, key=lambda name: len(texts[name]), default=None)
    if best is None or not best.isprintable():
        return None
    return f"--text-field {shlex.quote(best)}"


def read_queries(argument: str, on_bad: OnBad = stop_at_first) -> Iterator[Query]:
    """Yield the queries of a file: JSONL with id and text, or TSV, with a header or not.

    Args:
        argument: the file; "-" is stdin.
        on_bad: called with a line that cannot be used, or an id that came before; raises to stop,
            returns to go on.

    Raises:
        UsageError: the name does not say what the file is.
        BadInputError: it is not that, or is damaged.
    """
    item = _query_input(argument)
    rows = _tsv_rows(item, on_bad) if item.format == "tsv" else _fields_of_queries(item, on_bad)
    seen: set[str] = set()
    for source, read, raw in rows:
        try:
            query = read()
            _require_new(query, seen)
        except ValueError as error:
            on_bad(BadRecordError(source, str(error), raw=as_text(raw or b"")))
        else:
            seen.add(query.query_id)
            yield query


def _require_new(query: Query, seen: Collection[str]) -> None:
    if not query.text:
        raise ValueError("the query is empty")
    if query.query_id in seen:
        raise ValueError(f"the id {query.query_id!r} stands twice")


_QueryRow = tuple[str, Callable[[], Query], bytes | None]


def _fields_of_queries(item: Input, on_bad: OnBad) -> Iterator[_QueryRow]:
    fields = RecordFields(template=Template("{text}"))

    def query(record: Record, source: str) -> Query:
        document = _document(record, fields, source, QUERY_ID_FIELDS)
        return Query(document.doc_id, document.text)

    for source, record, raw in read_records(item, on_bad, DEFAULT_MAX_RECORD_BYTES):
        yield source, partial(query, record, source), raw


def _query_input(argument: str) -> Input:
    path = Path(argument)
    if argument != "-" and path.is_dir():
        raise UsageError(f"{argument} is a folder", hint="the queries are in one file")
    # <(command) is a pipe called /dev/fd/63: no name that could say what it is
    is_nameless = path.is_fifo() and not path.suffix
    try:
        return find_inputs([argument], format_name="jsonl" if is_nameless else None)[0]
    except UsageError as error:
        # not the hint for a corpus: --format says there how hits are printed
        raise UsageError(error.message, hint="name it .jsonl or .tsv") from error


def _tsv_rows(item: Input, on_bad: OnBad) -> Iterator[_QueryRow]:
    columns: tuple[int, int] | None = None
    is_first = True
    for source, line in read_lines(item, on_bad, DEFAULT_MAX_RECORD_BYTES):
        if is_first:
            columns, is_first = _query_columns(line), False
            if columns:
                continue
        yield source, partial(_tsv_query, line, columns), line


def _query_columns(line: bytes) -> tuple[int, int] | None:
    """Return which columns a header calls the id and the text; None when it is no header."""
    names = line.decode(errors="replace").lower().split("\t")
    id_names, text_names = ({*names} & known for known in (_QUERY_IDS, _QUERY_TEXTS))
    if not id_names or not text_names:
        return None
    return names.index(min(id_names)), names.index(min(text_names))


def _tsv_query(line: bytes, columns: tuple[int, int] | None) -> Query:
    """Return the query of a line: an id, a tab and a text; or as its header has them.

    Raises:
        ValueError: it is none.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start + 1}") from error
    cells = text.split("\t", -1 if columns else 1)
    at = columns or (0, 1)
    if len(cells) <= max(at) or not cells[at[0]].strip():
        raise ValueError("it is not an id, a tab and a text")
    query_id, content = (cells[column].strip() for column in at)
    check_id(query_id, "the id")
    return Query(query_id, content)


def _document(
    record: Record, fields: RecordFields, source: str, id_fields: Sequence[str]
) -> Document:
    """Make a document of a record.

    Raises:
        ValueError: it cannot be one; says why.
    """
    text = fields.template.render(record)
    _check_text(record, fields)
    id_field = fields.id_field or _id_field(record, id_fields)
    if fields.id_field and value_of(record, id_field) is None:
        is_null = has_field(record, id_field)
        raise ValueError(
            f'the field "{id_field}" is null' if is_null else no_field(id_field, record)
        )
    doc_id = _id(value_of(record, id_field), id_field)
    metadata = {name: value for name, value in record.items() if name != id_field}
    source_text = record.get(fields.text_field)
    if isinstance(source_text, str) and source_text.strip() == text:
        del metadata[fields.text_field]  # the document has it anyway
    for name, value in metadata.items():
        if isinstance(value, dict | list) and _is_deeper(value, MAX_DEPTH):
            raise ValueError(f'the field "{name}" is nested deeper than {MAX_DEPTH} levels')
    if doc_id is None:
        made = hashlib.sha256(text.encode()).hexdigest()
        return Document(made, text, metadata, source, id_is_made=True)
    return Document(doc_id, text, metadata, source)


def _id_field(record: Record, names: Sequence[str]) -> str:
    return next((name for name in names if name in record), names[0])


def _require_narrow(value: object) -> None:
    """Refuse a whole number of more than 64 bits, which cannot be stored as it is."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _require_narrow(item)
    elif isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ValueError(f"the number {value} has more than 64 bits; write it as text")


def _check_text(record: Record, fields: RecordFields) -> None:
    """Refuse a number as the text; in another field of the template it is welcome."""
    text = record.get(fields.text_field)
    if text is None or isinstance(text, str):
        return
    if fields.text_field in fields.template.fields:
        raise ValueError(f'the field "{fields.text_field}" is not a text but {kind_of(text)}')


def _is_deeper(value: object, levels: int) -> bool:
    """Say whether lists and objects stand in each other more than so many times."""
    if not isinstance(value, dict | list):
        return False
    if not levels:
        return True
    inner = value.values() if isinstance(value, dict) else value
    return any(_is_deeper(item, levels - 1) for item in inner)


def _id(value: object, name: str) -> str | None:
    """Return an id as text; None when there is none."""
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        shown = f" {value!r}," if isinstance(value, float) else ""
        raise ValueError(f'the id in "{name}" is{shown} neither a text nor a whole number')
    check_id(value, f'the id in "{name}"')
    return value


def check_id(value: str, what: str) -> None:
    """Return when a text can be an id, of a document or a query.

    Raises:
        ValueError: it cannot; the message begins with `what`.
    """
    require_text(value, what)
    if not value:
        raise ValueError(f"{what} is empty")
    if _CONTROL.search(value):
        raise ValueError(f"{what} has a control character")
    if len(value.encode()) > MAX_ID_BYTES:
        raise ValueError(f"{what} is longer than {MAX_ID_BYTES:,} bytes")
