"""The fields of the id and the text of a record, and hints for records that lack them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from taskembed.reading._parsers.tables import TABLES, header_hint, no_header_hint
from taskembed.reading.rows import Record
from taskembed.reading.streams import Input
from taskembed.reading.template import DEFAULT_TEMPLATE, Template, has_fields, value_of

ID_FIELDS = ("id", "_id", "doc_id")
# usual names of the text, the likeliest first
TEXT_NAMES = ("text", "body", "content", "contents", "passage", "document", "abstract", "sentence")


@dataclass(frozen=True, slots=True)
class RecordFields:
    """The names of the fields that are the id and the text of a record.

    Attributes:
        id_field: name of the field with the id; None for the first of id, _id, doc_id that exists.
        template: builds the text from fields.
        text_field: name of the field with the text; it is left out of the metadata if it equals the
            stored text, that is, unless the template adds a title or the like.
    """

    id_field: str | None = None
    template: Template = DEFAULT_TEMPLATE
    text_field: str = "text"


def id_field_of(record: Record, names: Sequence[str]) -> str:
    """Return the first of some names that is a field of a record; the first name if none is."""
    for name in names:  # takes half the time of a generator
        if name in record:
            return name
    return names[0]


def named_fields(fields: RecordFields) -> set[str]:
    """Return the fields that an option names, which every record must have."""
    named = set() if fields.template == DEFAULT_TEMPLATE else set(fields.template.required)
    return named | ({fields.id_field} if fields.id_field else set())


def needed_fields(fields: RecordFields) -> set[str]:
    """Return the fields that every record must have."""
    return {*fields.template.required, *([fields.id_field] if fields.id_field else [])}


def hint_for(item: Input, record: Record, fields: RecordFields) -> str | None:
    """Return a hint for a record that lacks a required field; None if none is known."""
    needed = needed_fields(fields)
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
    doc_id = value_of(record, fields.id_field or id_field_of(record, ID_FIELDS))
    if not isinstance(doc_id, float) or not doc_id.is_integer():
        return None
    return "pandas turns whole numbers into floats if some are missing: ids.astype('Int64')"


def _field_hint(record: Record, fields: RecordFields) -> str | None:
    """Return the options that name the likeliest fields, if a record has no field `text`."""
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
