"""What `search` prints for programs: whole, in the same columns, and read back by `delete`."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.cli.support import make_index
from tests.conftest import Run


def write_jsonl(path: Path, records: Sequence[Mapping[str, object]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    records: list[dict[str, object]] = [
        {"id": "long", "text": "word " * 100 + "end", "topic": "words", "year": -5},
        {"id": "می‌خواهم", "text": "می‌خواهم"},
    ]
    return make_index(tmp_path_factory.mktemp("made"), records, cache)


def test_tsv_cuts_nothing_and_says_its_columns(run: Run, indexed: Path) -> None:
    query = ("search", "word", "--index", indexed, "--format", "tsv", "-k", "1")
    row = run(*query).out.rstrip("\n").split("\t")
    assert row[3] == "word " * 100 + "end"
    done = run(*query, "--header", "--fields", "topic, year")
    header, row = (line.split("\t") for line in done.out.splitlines())
    assert header == ["rank", "doc_id", "score", "text", "topic", "year"]
    assert row[4:] == ["words", "-5"]
    assert run(*query, "--header", "--no-text").out.startswith("rank\tdoc_id\tscore\n1\t")
    refused = run("search", "word", "--index", indexed, "--header", "--format", "ids")
    assert (refused.code, refused.err) == (
        2,
        "taskembed: error: --header requires --format tsv\n",
    )


def test_columns_that_came_later_are_the_last(
    run: Run, indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    class Reranker:
        name = "fake"

        def scores(self, query: str, texts: Sequence[str]) -> object:
            return np.linspace(1, 0, len(texts), dtype=np.float32)

    monkeypatch.setattr("taskembed.encoding.reranker.load_reranker", lambda *_, **__: Reranker())
    monkeypatch.setattr("taskembed.verbs.searcher.Hub.description", lambda *_, **__: None)
    queries = write_jsonl(tmp_path / "queries.jsonl", [{"id": "q", "text": "word"}])
    words = ("search", "--queries", queries, "--index", indexed, "--format", "tsv", "-k", "1")
    plain = run(*words, "--header", "--fields", "topic").out.splitlines()
    reranked = run(*words, "--header", "--fields", "topic", "--rerank", "fake").out.splitlines()
    assert plain[0] == "query_id\trank\tdoc_id\tscore\ttext\ttopic"
    assert reranked == [f"{plain[0]}\trerank_score", f"{plain[1]}\t1.000000"]


@pytest.mark.parametrize("name", ["table", "tsv", "jsonl", "json"])
def test_a_field_that_no_hit_has_is_said(run: Run, indexed: Path, name: str) -> None:
    query = ("search", "word", "--index", indexed, "--format", name)
    done = run(*query, "--fields", "topic,nope")
    assert done.code == 0
    assert done.err == "taskembed: note: no hit has the field nope; existing fields: topic, year\n"
    assert run(*query, "--fields", "topic").err == ""
    assert run(*query, "--fields", "nope", "--quiet").err == ""


def test_a_field_is_said_to_be_missing_where_a_hit_has_none_at_all(run: Run, indexed: Path) -> None:
    query = ("search", "می‌خواهم", "--index", indexed, "-k", "1", "--fields", "topic", "--format")
    note = "taskembed: note: no hit has the field topic; existing fields: none\n"
    assert run(*query, "tsv").err == run(*query, "table").err == note
    assert not run(*query, "tsv", "--min-score", "2").err  # no hit, no field to miss


def test_a_run_holds_no_name_that_a_terminal_should_not_get(
    run: Run, indexed: Path, tmp_path: Path
) -> None:
    queries = write_jsonl(tmp_path / "queries.jsonl", [{"id": "a\u202eb", "text": "word"}])
    done = run("search", "--queries", queries, "--index", indexed, "--format", "trec")
    assert (done.code, done.out) == (65, "")
    assert "\u202e" not in done.err
    assert "'a\\\\u202eb' has a control character, which a TREC run should not hold" in done.err
    good = write_jsonl(tmp_path / "good.jsonl", [{"id": "q", "text": "می‌خواهم"}])
    assert "می‌خواهم" in run("search", "--queries", good, "--index", indexed, "--format", "trec").out


def test_every_id_that_is_printed_can_be_deleted(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [
        "a\u202eb",
        r"a\u202eb",
        r"a\u005cu202eb",
        "C:\\new",
        " ",
        "a ",
        "-",
        "می‌خواهم",
        "👨‍👩‍👧",
    ]
    corpus = write_jsonl(tmp_path / "c.jsonl", [{"id": name, "text": "one"} for name in ids])
    index = tmp_path / "ids"
    words = ("index", corpus, "--task", "retrieval", "--index", index)
    assert run(*words).code == 0
    printed = run("search", "one", "--index", index, "--format", "ids", "-k", "99").out
    assert len(printed.splitlines()) == len(ids)
    stdin = io.TextIOWrapper(io.BytesIO(printed.encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    done = run("delete", "-", "--index", index)
    assert (done.code, done.out) == (0, f"{len(ids)} deleted\n")
