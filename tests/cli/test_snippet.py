"""`search --snippet`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.support import write_jsonl
from tests.conftest import Run

TEXT = "Whales are large. The moon orbits the Earth. Bread is baked."
BEST = "The moon orbits the Earth."


@pytest.fixture
def index(run: Run, tmp_path: Path) -> Path:
    corpus = write_jsonl(tmp_path / "c.jsonl", [{"id": "a", "text": TEXT, "topic": "all"}])
    options = ("--task", "retrieval", "--index", tmp_path / "i", "--words")
    assert run("index", corpus, *options).code == 0
    return tmp_path / "i"


@pytest.mark.parametrize("mode", ["dense", "words", "hybrid"])
def test_a_snippet_takes_the_place_of_the_text(run: Run, index: Path, mode: str) -> None:
    options = ("moon orbits", "--index", index, "--mode", mode, "--snippet")
    done = run("search", *options, "--format", "jsonl", "--fields", "topic")
    assert (done.code, done.err) == (0, "")
    (line,) = done.lines
    assert line["snippet"] == {"text": BEST, "start": 18, "end": 44}
    assert "text" not in line
    assert line["metadata"] == {"topic": "all"}
    assert json.loads(run("search", *options, "--json").out)["hits"][0]["snippet"]["text"] == BEST
    done = run("search", *options, "--format", "tsv", "--header")
    assert [row.split("\t")[3] for row in done.out.splitlines()] == ["snippet", BEST]
    done = run("search", *options, "--format", "table")
    assert [row.split()[-1] for row in done.out.splitlines()] == ["snippet", "Earth."]


def test_a_batch_and_groups_have_snippets(run: Run, index: Path, tmp_path: Path) -> None:
    queries = write_jsonl(tmp_path / "q.jsonl", [{"id": "q", "text": "moon orbits"}])
    done = run("search", "--queries", queries, "--index", index, "--snippet", "--group-by", "topic")
    (line,) = done.lines
    assert (line["query_id"], line["group"], line["snippet"]) == (
        "q",
        "all",
        {"text": BEST, "start": 18, "end": 44},
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--format", "ids"), "--snippet can only be printed as a table, json, jsonl or tsv"),
        (("--no-text",), "--snippet and --no-text cannot be combined"),
    ],
)
def test_a_snippet_needs_a_place(
    run: Run, index: Path, options: tuple[str, ...], said: str
) -> None:
    done = run("search", "moon", "--index", index, "--snippet", *options)
    assert (done.code, done.out, done.err) == (2, "", f"taskembed: error: {said}\n")
