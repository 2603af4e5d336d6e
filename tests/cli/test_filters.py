"""`search --where`, `delete --where` and `info --fields`."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from tests.conftest import Run

RECORDS = [
    {"id": "moon", "text": "the moon", "year": 1969, "lang": "en"},
    {"id": "mars", "text": "the red moon", "year": 2021, "lang": "en"},
    {"id": "mond", "text": "der mond moon", "year": 2022, "lang": "de"},
]
HINT = "taskembed: hint: `taskembed info --fields` lists the fields, their types and examples\n"


@pytest.fixture
def index(run: Run, tmp_path: Path) -> Path:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    folder = tmp_path / "index"
    assert run("index", corpus, "--task", "retrieval", "--index", folder).code == 0
    return folder


def ids(run: Run, index: Path, where: str, *more: str) -> list[str]:
    done = run("search", "moon", "--index", index, "--where", where, "--format", "ids", *more)
    assert done.code == 0
    return done.out.split()


def test_a_search_finds_only_what_passes(run: Run, index: Path) -> None:
    assert ids(run, index, "year > 2000 and lang = 'en'") == ["mars"]
    assert set(ids(run, index, "not lang = 'fr'", "-k", "2")) < {"moon", "mars", "mond"}
    done = run("search", "moon", "--index", index, "--where", "year = 1", "--format", "ids")
    assert (done.code, done.out) == (0, "")
    assert "note: no document matches --where; see taskembed info --fields\n" in done.err


def test_a_batch_is_filtered(run: Run, index: Path, tmp_path: Path) -> None:
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"id": "q1", "text": "moon"}\n{"id": "q2", "text": "red"}\n')
    options = ("--index", index, "--where", "lang = 'de'", "--format", "trec")
    done = run("search", "--queries", queries, *options)
    assert [line.split()[:3] for line in done.out.splitlines()] == [
        ["q1", "Q0", "mond"],
        ["q2", "Q0", "mond"],
    ]


def test_a_wrong_filter_is_a_usage_error(run: Run, index: Path) -> None:
    done = run("search", "moon", "--index", index, "--where", "jahr > 2000")
    assert (done.code, done.err) == (
        2,
        "taskembed: error: column 1 of the filter: there is no field `jahr`; the fields are: lang "
        "(text), year (integer)\n" + HINT,
    )
    done = run("delete", "--index", index, "--where", "year > '2000'", "--yes")
    assert (done.code, done.err) == (
        2,
        "taskembed: error: column 1 of the filter: `year` is integer; '2000' is a text\n" + HINT,
    )


def test_fields_are_listed(run: Run, index: Path) -> None:
    done = run("info", "--index", index, "--fields")
    assert (done.code, done.out) == (
        0,
        "lang  text     'en', 'de'\nyear  integer  1969, 2021, 2022\n",
    )
    done = run("info", "--index", index, "--fields", "--json")
    assert json.loads(done.out)["fields"][0] == {
        "name": "lang",
        "type": "text",
        "examples": ["'en'", "'de'"],
    }


def test_delete_asks_unless_it_is_told(
    run: Run, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("delete", "--index", index, "--where", "lang = 'en'")
    done = run(*words)
    assert (done.code, done.err) == (
        2,
        "taskembed: error: without a terminal to confirm on, --where needs --yes\n"
        "taskembed: hint: --dry-run prints how many documents would be deleted\n",
    )
    assert run(*words, "--dry-run").out == "2 would be deleted\n"

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("no\n"))
    done = run(*words)
    assert (done.code, done.out) == (1, "")
    assert done.err == "taskembed: delete 2 of 3 documents? [y/N]\ntaskembed: nothing was deleted\n"
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert run(*words).out == "2 deleted\n"
    done = run("delete", "--index", index, "--where", "lang = 'de'", "--yes", "--json")
    assert json.loads(done.out) == {"deleted": 1, "missing": []}


def test_delete_takes_ids_or_a_filter(run: Run, index: Path) -> None:
    for words in ([], ["moon", "--where", "year = 1"]):
        done = run("delete", "--index", index, *words)
        assert (done.code, done.err) == (
            2,
            "taskembed: error: give either ids or --where\n"
            "taskembed: hint: see taskembed delete --help\n",
        )


def test_an_index_without_documents_finds_nothing_whatever_the_filter(
    run: Run, index: Path, tmp_path: Path
) -> None:
    """A job at night must not fail because there is nothing yet, or nothing any more."""
    (tmp_path / "empty.jsonl").write_text("")
    empty = tmp_path / "empty"
    assert run("index", tmp_path / "empty.jsonl", "--task", "retrieval", "--index", empty).code == 0
    deleted = run(
        "delete", "--where", "year is not null or year is null", "--yes", "--index", index
    )
    assert deleted.code == 0
    for folder in (empty, index):
        for mode in ("dense", "words", "hybrid"):
            query = ("search", "moon", "--where", "any = 1", "--mode", mode, "--index", folder)
            done = run(*query)
            assert (done.code, done.out) == (0, ""), done.err
        assert run("count", "--where", "any = 1", "--index", folder).out == "0\n"
        done = run("search", "moon", "--where", "any = ", "--index", folder)
        assert done.code == 2  # no filter at all
