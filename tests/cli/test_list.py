"""`taskembed list` and `taskembed count`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cli.support import start
from tests.conftest import Run


def test_all_documents_are_listed_in_the_order_of_their_ids(run: Run, indexed: Path) -> None:
    done = run("list", "--index", indexed)
    assert (done.code, done.err) == (0, "")
    assert [line["doc_id"] for line in done.lines] == ["bread", "moon", "soup", "tide"]
    assert done.lines[3] == {
        "doc_id": "tide",
        "text": "Tides The sea rises and falls.",
        "metadata": {"title": "Tides", "text": "The sea rises and falls.", "year": 1687},
    }
    assert run("list", "--index", indexed, "--json").out == done.out


def test_pages_follow_each_other(run: Run, indexed: Path) -> None:
    def page(*options: str) -> list[str]:
        return run("list", "--index", indexed, "--format", "ids", *options).out.split()

    assert page("--limit", "3") == ["bread", "moon", "soup"]
    assert page("--limit", "3", "--after", "soup") == ["tide"]
    assert page("--after", "n") == ["soup", "tide"]
    assert page("--after", "zebra") == []


def test_a_filter_chooses(run: Run, indexed: Path) -> None:
    options = ("--index", indexed, "--format", "tsv", "--no-text", "--fields", "title,year")
    done = run("list", *options, "--where", "topic = 'food' or year < 1700", "--header")
    assert done.out == "doc_id\ttitle\tyear\nbread\tBread\t\nsoup\tSoup\t\ntide\tTides\t1687\n"
    done = run("list", *options, "--where", "topic = 'food'", "--after", "bread", "--limit", "1")
    assert done.out == "soup\tSoup\t\n"
    done = run("list", *options, "--where", "topic = 'none'")
    assert (done.code, done.out) == (0, "")
    assert done.err == "taskembed: note: no document matches --where; see taskembed info --fields\n"


def test_a_table_has_the_beginning_of_each_text(
    run: Run, indexed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskembed.cli.printing.documents.TABLE_ROWS", 3)
    done = run("list", "--index", indexed, "--format", "table", "--fields", "year")
    assert [line.split()[:2] for line in done.out.splitlines()] == [
        ["doc_id", "year"],
        ["bread", "Bread"],
        ["moon", "The"],
        ["soup", "Soup"],
        ["doc_id", "year"],
        ["tide", "1687"],
    ]


def test_wrong_words_are_usage_errors(run: Run, indexed: Path) -> None:
    done = run("list", "--index", indexed, "--where", "jahr = 1")
    assert (done.code, done.out) == (2, "")
    assert "column 1 of the filter: there is no field `jahr`; the fields are: text" in done.err
    done = run("list", "--index", indexed, "--limit", "0")
    assert (done.code, done.out) == (2, "")
    done = run("list", "--index", indexed, "--after", "\udcff")
    assert (done.code, done.out) == (2, "")
    assert "--after is not UTF-8: '\\udcff'" in done.err


@pytest.mark.slow
def test_a_closed_pipe_ends_a_list_quietly(indexed: Path) -> None:
    with start("list", "--index", indexed, cache=indexed, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(20) == 141


def test_documents_are_counted(run: Run, indexed: Path) -> None:
    assert run("count", "--index", indexed).out == "4\n"
    assert run("count", "--index", indexed, "--where", "topic = 'food'").out == "2\n"
    assert run("count", "--index", indexed, "--where", "year > 2000", "--json").json == {"count": 0}
    run("delete", "moon", "--index", indexed)
    assert run("count", "--index", indexed, "--json").json == {"count": 3}
    done = run("count", "--index", indexed, "--where", "topic > 3")
    assert (done.code, done.out) == (2, "")
    assert "column 1 of the filter: `topic` is text; 3 is a number" in done.err
    assert "hint: topic > '3' compares texts, by their characters; all values of CSV" in done.err


def test_an_empty_index_has_nothing_to_list(run: Run, tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text("")
    index = ("--index", tmp_path / "i")
    assert run("index", tmp_path / "c.jsonl", "--task", "retrieval", *index).code == 0
    for format_ in ("jsonl", "ids", "tsv", "table", "text"):
        done = run("list", *index, "--format", format_)
        assert (done.code, done.out, done.err) == (0, "", "")
    assert run("count", *index).out == "0\n"
    assert run("get", "a", *index).code == 1
