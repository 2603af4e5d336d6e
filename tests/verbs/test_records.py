"""Documents written as records are the same documents when they are read again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from taskembed.index.remembered import Reading
from taskembed.reading.document import Document
from taskembed.reading.documents import read_corpus
from taskembed.reading.fields import RecordFields
from taskembed.reading.inputs import find_inputs
from taskembed.reading.streams import stop_at_first
from taskembed.reading.template import Template
from taskembed.verbs.deduplicating.records import record_of


@pytest.mark.parametrize(
    ("record", "reading", "template"),
    [
        ({"id": "a", "text": "one", "year": 1}, Reading(), "{title?} {text}"),
        ({"id": "a", "title": "T", "text": "one"}, Reading(), "{title?} {text}"),
        (
            {"key": "a", "body": "one", "tags": ["x"]},
            Reading(id_field="key", text_field="body"),
            "{body}",
        ),
        ({"id": "a", "name": "N", "about": "one"}, Reading(), "{name}: {about}"),
    ],
    ids=str,
)
def test_a_record_comes_back(
    tmp_path: Path, record: dict[str, object], reading: Reading, template: str
) -> None:
    fields = RecordFields(
        id_field=reading.id_field,
        text_field=reading.text_field or "text",
        template=Template(template),
    )

    def read(some: dict[str, object]) -> Document:
        path = tmp_path / "c.jsonl"
        path.write_text(json.dumps(some) + "\n")
        (document,) = read_corpus(find_inputs([str(path)]), fields, on_bad=stop_at_first)
        return document

    document = read(record)
    written = record_of(document, reading, template)
    assert written == record
    assert read(written) == document
