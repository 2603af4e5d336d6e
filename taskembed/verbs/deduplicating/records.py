"""Converts a document back into a record: with its id, its text, and all its other fields."""

from __future__ import annotations

from taskembed.index.remembered import Reading
from taskembed.reading.document import Document
from taskembed.reading.template import Template


def record_of(document: Document, reading: Reading | None, template: str) -> dict[str, object]:
    """Return the record of a document; reading the record gives the same document.

    Args:
        document: a document from a file or an index.
        reading: how the file was read: the names of the fields of the id and the text.
        template: how the fields became the text. If it does not contain the text field, the text
            was made from other fields, and the record has no text field.
    """
    id_field = (reading.id_field if reading else None) or "id"
    text_field = (reading.text_field if reading else None) or "text"
    record: dict[str, object] = {id_field: document.doc_id}
    if text_field in Template(template).fields and text_field not in document.metadata:
        record[text_field] = document.text
    return {**record, **document.metadata}
