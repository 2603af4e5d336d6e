"""Reads a corpus: turns records into a stream of documents, each with its position.

The caller decides what happens to bad records. docs/input.md describes valid input.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from functools import partial

from taskembed.arguments import require_text
from taskembed.errors import BadInputError, BadRecordError
from taskembed.reading._parsers.tables import TABLES
from taskembed.reading.bounds import DEFAULT_MAX_RECORD_BYTES
from taskembed.reading.document import Document
from taskembed.reading.fields import (
    ID_FIELDS,
    RecordFields,
    hint_for,
    id_field_of,
    named_fields,
    needed_fields,
)
from taskembed.reading.inputs import read_records
from taskembed.reading.rows import Record, Row, WideRecord
from taskembed.reading.streams import Input, OnBad, as_text
from taskembed.reading.template import has_field, has_fields, kind_of, no_field, value_of

MAX_ID_BYTES = 4096  # bytes of an id in UTF-8: an id is a name, not a text
MAX_DEPTH = 200  # levels of nested metadata; orjson reads 1,024 levels but writes only 254

_NESTED = (dict, list)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def require_storable(document: object) -> None:
    """Refuse a document that an index cannot hold.

    Raises:
        TypeError: it is not a `Document`.
        ValueError: its id or text cannot be stored.
    """
    if not isinstance(document, Document):
        raise TypeError(f"documents are taskembed.Document, not {type(document).__name__}")
    require_text(document.text, "the text")
    check_id(document.doc_id, "the id")


def read_corpus(
    inputs: Sequence[Input],
    fields: RecordFields,
    *,
    on_bad: OnBad,
    max_record_bytes: int = DEFAULT_MAX_RECORD_BYTES,
) -> Iterator[Document]:
    """Yield the documents of all inputs, in order; at most one is held in memory here.

    Args:
        inputs: the inputs, from `find_inputs`.
        fields: which fields are the id and the text.
        on_bad: called with each bad record; raises to stop, returns to continue.
        max_record_bytes: size in bytes above which a record is bad.

    Raises:
        BadInputError: a file has another format than its name says, or is damaged.
        StorageError: a file cannot be read.
    """
    taking = _Taking(fields, on_bad)
    for item in inputs:
        take = partial(taking.document, item)
        yield from filter(None, map(take, read_records(item, on_bad, max_record_bytes)))
    taking.require_fields()


class _Taking:
    """Turns records into documents, and remembers whether any record was usable."""

    def __init__(self, fields: RecordFields, on_bad: OnBad) -> None:
        self._fields = fields
        self._on_bad = on_bad
        self._named = named_fields(fields)
        self._is_one_good = False
        # the error of the first record that lacks a field named by an option
        self._fieldless: BadInputError | None = None

    def document(self, item: Input, row: Row) -> Document | None:
        """Return the document of a record; None if the record is bad."""
        source, record, raw = row
        try:
            document = document_of(record, self._fields, source, ID_FIELDS)
            if isinstance(record, WideRecord):
                _require_narrow(document.metadata)
        except ValueError as error:
            bad = BadRecordError(
                source,
                str(error),
                raw=as_text(raw) if raw is not None else json.dumps(record, default=repr),
                hint=hint_for(item, record, self._fields),
            )
            if item.format in TABLES and not has_fields(record, needed_fields(self._fields)):
                # all rows have the same fields, so the header is wrong rather than this record
                raise BadInputError(bad.reason, what=source, hint=bad.hint) from error
            if self._fieldless is None and not has_fields(record, self._named):
                self._fieldless = BadInputError(
                    f"no record can be used: {bad.message}", hint=bad.hint
                )
            self._on_bad(bad)
            return None
        self._is_one_good = True
        return document

    def require_fields(self) -> None:
        """Refuse an input in which no record has the fields that options name.

        Raises:
            BadInputError: no record has them; most likely a name is misspelt.
        """
        if self._fieldless and not self._is_one_good:
            raise self._fieldless


def document_of(
    record: Record, fields: RecordFields, source: str, id_fields: Sequence[str]
) -> Document:
    """Return the document of a record.

    Raises:
        ValueError: the record is bad; the message is the reason.
    """
    text = fields.template.render(record)
    id_field = fields.id_field or id_field_of(record, id_fields)
    id_value = record.get(id_field)
    if id_value is None:
        id_value = _other_id(record, fields, id_field)
    doc_id = None if id_value is None else _id(id_value, id_field)
    metadata = dict(record)
    metadata.pop(id_field, None)
    source_text = record.get(fields.text_field)
    if not isinstance(source_text, str):
        _check_text(source_text, fields)
    elif source_text.strip() == text:
        metadata.pop(fields.text_field, None)  # already the text of the document
    for name, value in metadata.items():
        if isinstance(value, _NESTED) and _is_deeper(value, MAX_DEPTH):
            raise ValueError(f'the field "{name}" is nested deeper than {MAX_DEPTH} levels')
    if doc_id is None:
        made = hashlib.sha256(text.encode()).hexdigest()
        return Document(made, text, metadata, source, id_is_made=True)
    return Document(doc_id, text, metadata, source)


def _other_id(record: Record, fields: RecordFields, name: str) -> object:
    """Return the id in a field of an object, such as "meta.id"; None if there is none.

    Raises:
        ValueError: an option names the field, and the record has no value in it.
    """
    value = value_of(record, name)
    if value is None and fields.id_field:
        is_null = has_field(record, name)
        raise ValueError(f'the field "{name}" is null' if is_null else no_field(name, record))
    return value


def _require_narrow(value: object) -> None:
    """Refuse whole numbers of more than 64 bits, which cannot be stored exactly."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _require_narrow(item)
    elif isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ValueError(f"the number {value} has more than 64 bits; write it as text")


def _check_text(text: object, fields: RecordFields) -> None:
    """Refuse a value that is not a string as the text; other fields may be numbers."""
    if text is not None and fields.text_field in fields.template.fields:
        raise ValueError(f'the field "{fields.text_field}" is not a text but {kind_of(text)}')


def _is_deeper(value: object, levels: int) -> bool:
    """Return whether lists and objects are nested deeper than a number of levels."""
    if not isinstance(value, _NESTED):
        return False
    if not levels:
        return True
    inner = value.values() if isinstance(value, dict) else value
    return any(_is_deeper(item, levels - 1) for item in inner)


def _id(value: object, name: str) -> str:
    """Return an id as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        shown = f" {value!r}," if isinstance(value, float) else ""
        raise ValueError(f'the id in "{name}" is{shown} neither a text nor a whole number')
    check_id(value, f'the id in "{name}"')
    return value


def check_id(value: str, what: str) -> None:
    """Refuse a string that cannot be the id of a document or a query.

    Raises:
        ValueError: the string is empty, too long, or has a control character; the message begins
            with `what`.
    """
    if value.isascii() and value.isprintable() and 0 < len(value) <= MAX_ID_BYTES:
        return  # the usual case, which is quick to check
    require_text(value, what)
    if not value:
        raise ValueError(f"{what} is empty")
    if _CONTROL.search(value):
        raise ValueError(f"{what} has a control character")
    if len(value.encode()) > MAX_ID_BYTES:
        raise ValueError(f"{what} is longer than {MAX_ID_BYTES:,} bytes")
