"""The files of a run: found before anything is read, and read as the index remembers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from taskembed.errors import NotFoundError, UsageError
from taskembed.index.remembered import Reading
from taskembed.reading.document import Document
from taskembed.reading.rejects import RejectFile
from taskembed.verbs.corpus import Corpus, find_corpus
from taskembed.verbs.describe import Existing, read_existing
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions
from tests.fakes import HashEncoder


@pytest.fixture
def existing(tmp_path: Path) -> Existing:
    options = IndexOptions(reading=Reading(id_field="key", text_field="body", delimiter=";"))
    encoder = HashEncoder(template="{body}")
    index_corpus([Document("a", "one")], encoder, tmp_path / "index", options=options)
    return read_existing(tmp_path / "index")


def read(corpus: Corpus) -> list[tuple[str, str]]:
    return [(item.doc_id, item.text) for item in corpus.documents(RejectFile())]


def test_files_are_found_and_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "1", "title": "One", "text": "is odd"}\n')
    (tmp_path / "b.csv").write_text("id,text\n2,is even\n")
    files = [str(tmp_path / "b.csv"), str(tmp_path / "a.jsonl")]
    corpus = find_corpus(files, Existing(), Reading())
    assert corpus.paths == [tmp_path / "b.csv", tmp_path / "a.jsonl"]
    assert corpus.meter.share() == 0
    assert read(corpus) == [("2", "is even"), ("1", "One is odd")]
    assert corpus.meter.share() == 1


def test_input_is_read_as_the_index_remembers(tmp_path: Path, existing: Existing) -> None:
    (tmp_path / "more.csv").write_text("key;body;title\nb;two;Two\n")
    corpus = find_corpus([str(tmp_path / "more.csv")], existing, Reading())
    assert read(corpus) == [("b", "two")]
    assert str(corpus.template) == "{body}"
    assert corpus.reading == Reading(id_field="key", text_field="body", delimiter=";")


@pytest.mark.parametrize(
    ("text_field", "template", "text"),
    [(None, "{title}: {body}", "Two: two"), ("title", None, "Two"), (None, None, "two")],
)
def test_a_template_or_a_text_field_goes_before_the_template_of_the_index(
    tmp_path: Path, existing: Existing, text_field: str | None, template: str | None, text: str
) -> None:
    record = {"key": "b", "title": "Two", "body": "two"}
    (tmp_path / "more.jsonl").write_text(json.dumps(record) + "\n")
    asked = Reading(text_field=text_field)
    corpus = find_corpus([str(tmp_path / "more.jsonl")], existing, asked, template=template)
    assert read(corpus) == [("b", text)]


def test_what_cannot_be_is_refused_before_anything_is_read(
    tmp_path: Path, existing: Existing
) -> None:
    with pytest.raises(NotFoundError, match="no such file or folder"):
        find_corpus([str(tmp_path / "none.jsonl")], Existing(), Reading())
    asked = Reading(id_field="number")
    with pytest.raises(UsageError, match="come from the field 'key'"):
        find_corpus(["-"], existing, asked)
    assert find_corpus(["-"], existing, asked, recreate=True).paths == []
    with pytest.raises(UsageError, match="has no field"):
        find_corpus(["-"], existing, Reading(), template="text")
