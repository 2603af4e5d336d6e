"""`search --group-by`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.support import write_jsonl
from tests.conftest import Run

RECORDS: list[dict[str, object]] = [
    {"id": "a1", "text": "moon moon moon", "site": "a"},
    {"id": "a2", "text": "moon moon sea", "site": "a"},
    {"id": "a3", "text": "moon sea sea", "site": "a"},
    {"id": "b1", "text": "moon sand sea sun", "site": "b"},
    {"id": "c1", "text": "sand sea sun", "site": 3},
    {"id": "none", "text": "moon sun sand sky sea dust"},
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("groups") / "index"


@pytest.fixture
def index(run: Run, made: Path) -> Path:
    if not made.exists():
        corpus = write_jsonl(made.parent / "corpus.jsonl", RECORDS)
        done = run("index", corpus, "--task", "retrieval", "--index", made, "--words")
        assert done.code == 0, done.err
    return made


@pytest.mark.parametrize("mode", ["dense", "words", "hybrid"])
def test_k_is_the_number_of_groups(run: Run, index: Path, mode: str) -> None:
    options = ("--index", index, "--mode", mode, "--group-by", "site")
    done = run("search", "moon sea", *options, "-k", "3", "--per-group", "2")
    assert done.code == 0, done.err
    groups = [line["group"] for line in done.lines]
    assert [line["rank"] for line in done.lines] == list(range(1, len(groups) + 1))
    assert sorted(set(map(str, groups))) in (
        ["3", "None", "a"],
        ["None", "a", "b"],
        ["3", "a", "b"],
    )
    assert groups.count("a") == 2
    assert len(run("search", "moon sea", *options, "-k", "9").lines) == 4


def test_every_format_that_has_room_has_the_group(run: Run, index: Path) -> None:
    options = ("moon", "--index", index, "--mode", "words", "--group-by", "site", "--no-text")
    done = run("search", *options, "--format", "tsv", "--header", "-k", "2")
    assert [line.split("\t")[1::2] for line in done.out.splitlines()] == [
        ["doc_id", "group"],
        ["a1", "a"],
        ["b1", "b"],
    ]
    done = run("search", *options, "--format", "table", "-k", "1")
    assert [line.split()[0::2] for line in done.out.splitlines()] == [
        ["rank", "group"],
        ["1", "a"],
    ]
    done = run("search", *options, "--json")
    assert [(hit["doc_id"], hit["group"]) for hit in json.loads(done.out)["hits"]] == [
        ("a1", "a"),
        ("b1", "b"),
        ("none", None),
    ]
    assert run("search", *options, "--format", "ids").out == "a1\nb1\nnone\n"


def test_a_batch_and_a_filter_have_groups_and_a_run_the_order_of_scores(
    run: Run, index: Path, tmp_path: Path
) -> None:
    queries = write_jsonl(tmp_path / "q.jsonl", [{"id": "q1", "text": "moon"}])
    options = ("--index", index, "--group-by", "site", "--per-group", "3", "--mode", "dense")
    done = run("search", "--queries", queries, *options, "--format", "trec")
    rows = [line.split() for line in done.out.splitlines()]
    assert [row[3] for row in rows] == [str(rank) for rank in range(1, 7)]
    scores = [float(row[4]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    done = run("search", "--queries", queries, *options, "--where", "site = 'a' or site = 'b'")
    assert [(line["query_id"], line["group"]) for line in done.lines] == [
        *[("q1", "a")] * 3,
        ("q1", "b"),
    ]


def test_a_wrong_field_is_a_usage_error(run: Run, index: Path) -> None:
    done = run("search", "moon", "--index", index, "--group-by", "seite")
    assert (done.code, done.out, done.err) == (
        2,
        "",
        "taskembed: error: there is no field `seite`; the fields are: site (integer or text)\n"
        "taskembed: hint: `taskembed info --fields` lists the fields, their types and examples\n",
    )
    done = run("search", "moon", "--index", index, "--per-group", "2")
    assert (done.code, done.err) == (2, "taskembed: error: --per-group requires --group-by\n")
