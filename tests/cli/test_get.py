"""`taskembed get`."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from tests.cli.support import write_jsonl
from tests.conftest import Run


def test_documents_are_printed_whole_in_the_order_of_the_ids(run: Run, indexed: Path) -> None:
    done = run("get", "tide", "moon", "tide", "--index", indexed)
    assert (done.code, done.err) == (0, "")
    assert done.lines == [
        {
            "doc_id": "tide",
            "text": "Tides The sea rises and falls.",
            "metadata": {"title": "Tides", "text": "The sea rises and falls.", "year": 1687},
        },
        {
            "doc_id": "moon",
            "text": "The Moon The Moon orbits the Earth.",
            "metadata": {
                "title": "The Moon",
                "text": "The Moon orbits the Earth.",
                "topic": "sky",
            },
        },
    ]


def test_unknown_ids_are_listed_and_the_exit_code_is_1(run: Run, indexed: Path) -> None:
    done = run("get", "sun", "moon", "x", "--index", indexed, "--format", "ids")
    assert (done.code, done.out) == (1, "moon\n")
    assert done.err == "taskembed: not in the index: 'sun', 'x'\n"


def test_json_is_one_object_with_the_missing_ids(run: Run, indexed: Path) -> None:
    done = run("get", "sun", "moon", "--index", indexed, "--json", "--fields", "topic", "--no-text")
    assert (done.code, done.err) == (1, "")
    assert done.json == {
        "documents": [{"doc_id": "moon", "metadata": {"topic": "sky"}}],
        "missing": ["sun"],
    }
    done = run("get", "sun", "--index", indexed, "--json")
    assert done.json == {"documents": [], "missing": ["sun"]}


def test_ids_come_from_stdin_as_lists_of_ids_have_them(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = "a\u202eb\\u0041"
    corpus = write_jsonl(tmp_path / "c.jsonl", [{"id": odd, "text": "x"}, {"id": "b", "text": "y"}])
    assert run("index", corpus, "--task", "retrieval", "--index", tmp_path / "i").code == 0
    listed = run("list", "--index", tmp_path / "i", "--format", "ids").out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(listed.encode() + b"\r\n")))
    done = run("get", "-", "--index", tmp_path / "i")
    assert [line["doc_id"] for line in done.lines] == [odd, "b"]


def test_a_document_for_people_has_its_fields_and_its_lines(run: Run, tmp_path: Path) -> None:
    record = {"id": "a", "text": "one\ntwo\x1b[31m", "year": 1969, "who": {"name": "Ada"}}
    corpus = write_jsonl(tmp_path / "c.jsonl", [record, {"id": "b", "text": "three"}])
    options = ("--index", tmp_path / "i")
    assert run("index", corpus, "--task", "retrieval", *options).code == 0
    done = run("get", "a", "b", "--index", tmp_path / "i", "--format", "text")
    assert done.out == (
        'doc_id: a\nwho: {"name": "Ada"}\nyear: 1969\n\none\ntwo\\x1b[31m\n\ndoc_id: b\n\nthree\n'
    )
    done = run("get", "a", "--index", tmp_path / "i", "--format", "tsv", "--fields", "who.name")
    assert done.out == "a\tone\\ntwo\\x1b[31m\tAda\n"


def test_a_field_that_no_document_has_is_noted(run: Run, indexed: Path) -> None:
    done = run("get", "moon", "--index", indexed, "--fields", "titel")
    assert (done.code, done.lines[0]["metadata"]) == (0, {})
    assert done.err == (
        "taskembed: note: no printed document has the field titel; existing fields: text, "
        "title, topic\n"
    )
    assert run("get", "moon", "--index", indexed, "--fields", "titel", "-q").err == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "missing argument 'ID...'"),
        (("\udcff",), "the id '\\udcff' is not UTF-8, so no index has it"),
        (("moon", "--header"), "--header requires --format tsv"),
        (("moon", "--json", "--format", "tsv"), "--json and --format cannot be combined"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(
    run: Run, indexed: Path, options: tuple[str, ...], said: str
) -> None:
    done = run("get", *options, "--index", indexed)
    assert (done.code, done.out) == (2, "")
    error = json.loads(done.err)["error"] if "--json" in options else done.err
    assert said in error


def test_no_index_is_reported(run: Run, tmp_path: Path) -> None:
    done = run("get", "moon", "--index", tmp_path / "none")
    assert (done.code, done.out) == (66, "")
    assert f"taskembed: error: no index at {tmp_path / 'none'}\n" in done.err
