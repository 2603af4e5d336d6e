"""Environment variables are defaults: what was typed, and what an index has, go before them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Run


@pytest.fixture
def index(run: Run, corpus: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "index"
    assert run("index", corpus, "--task", "retrieval", "--index", folder).code == 0
    return folder


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"FORMAT": "ids"}, ("--json",)),
        ({"FORMAT": "tsv", "HEADER": "1"}, ("--json",)),
        ({"FORMAT": "trec"}, ("--json",)),  # which is for --queries
        ({"QUERIES": "no-such-file", "QUERY_FILE": "no-such-file"}, ("--json",)),
        ({"RERANK_INSTRUCTION": "judge", "HEADER": "1"}, ("--json",)),
        ({"TASK": "code", "MODEL": "some/model", "ADAPTER": "some/adapter"}, ("--json",)),
        ({"API_BASE": "http://127.0.0.1:9"}, ("--json",)),
    ],
)
def test_what_does_not_fit_a_search_is_left_out(
    variables: dict[str, str],
    words: tuple[str, ...],
    run: Run,
    index: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"TASKEMBED_{name}", value)
    done = run("search", "fox", "--index", index, *words)
    assert (done.code, done.err) == (0, "")
    assert isinstance(done.json, dict)
    assert done.json["hits"][0]["doc_id"] == "a"


def test_a_format_that_was_typed_goes_before_json_of_a_variable(
    run: Run, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKEMBED_JSON", "1")
    assert run("search", "fox", "-k", "1", "--index", index, "--format", "ids").out == "a\n"
    monkeypatch.setenv("TASKEMBED_JSON", "0")
    monkeypatch.setenv("TASKEMBED_FORMAT", "ids")
    assert run("search", "fox", "-k", "1", "--index", index).out == "a\n"


def test_a_table_of_a_variable_is_not_for_many_queries(
    run: Run, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"id": "1", "text": "fox"}\n')
    monkeypatch.setenv("TASKEMBED_FORMAT", "table")
    done = run("search", "--queries", queries, "-k", "1", "--index", index)
    assert done.code == 0, done.err
    assert [line["doc_id"] for line in done.lines] == ["a"]


def test_variables_that_contradict_each_other_are_named(
    run: Run, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKEMBED_FORMAT", "tsv")
    monkeypatch.setenv("TASKEMBED_JSON", "1")
    done = run("search", "fox", "--index", index)
    assert done.code == 2
    assert "TASKEMBED_JSON and TASKEMBED_FORMAT say different things" in done.err


def test_the_space_of_variables_is_for_new_indexes(
    run: Run, corpus: Path, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKEMBED_TASK", "sts")
    monkeypatch.setenv("TASKEMBED_DIM", "100")
    monkeypatch.setenv("TASKEMBED_QUERY_PROMPT", "q: ")
    monkeypatch.setenv("TASKEMBED_ID_FIELD", "name")
    monkeypatch.setenv("TASKEMBED_TEXT_FIELD", "body")
    done = run("index", corpus, "--index", index)
    assert done.code == 0, done.err
    assert "2 unchanged" in done.out
    assert done.err.splitlines() == [
        "taskembed: note: TASKEMBED_TASK is for new indexes: this one has its own task, "
        "'retrieval'",
        "taskembed: note: TASKEMBED_QUERY_PROMPT is for new indexes: this one has its own query "
        "prompt, ''",
        "taskembed: note: TASKEMBED_DIM is for new indexes: this one has its own dim, 384",
    ]
    assert run("index", corpus, "--index", index, "-q").err == ""
    assert run("index", corpus, "--index", index, "--dry-run").code == 0
    assert run("explain", "fox", "--index", index).code == 0
    for name in ("ID_FIELD", "TEXT_FIELD", "DIM", "QUERY_PROMPT"):
        monkeypatch.delenv(f"TASKEMBED_{name}")
    new = tmp_path / "new"
    assert run("index", corpus, "--index", new).code == 0
    assert "task: similarity" in run("info", "--index", new).out


def test_what_was_typed_is_still_held_against_the_index(
    run: Run, corpus: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKEMBED_TASK", "retrieval")
    assert run("search", "fox", "--task", "code", "--index", index).code == 78
    assert run("index", corpus, "--task", "code", "--index", index).code == 78


def test_a_variable_for_rejects_waits_for_skip_bad(
    run: Run, corpus: Path, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rejects = tmp_path / "rejects.jsonl"
    monkeypatch.setenv("TASKEMBED_REJECTS", str(rejects))
    assert run("index", corpus, "--index", index).code == 0
    assert not rejects.exists()
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"id": "c", "text": 1}\n')
    assert run("index", bad, "--index", index, "--skip-bad").code == 1
    assert rejects.read_text().count("\n") == 1


def test_an_option_that_nobody_typed_is_called_by_its_variable(
    run: Run, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKEMBED_API_BASE", "ftp://x")
    make = ("index", corpus, "--task", "retrieval", "--model", "m", "--index", tmp_path / "new")
    done = run(*make, "--query-prompt", "", "--document-prompt", "")
    assert done.code == 2
    assert done.err.startswith(
        "taskembed: error: TASKEMBED_API_BASE 'ftp://x': not an http or https address\n"
    )


def test_a_variable_is_to_be_unset_rather_than_left_out(
    run: Run, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKEMBED_API_BASE", "http://127.0.0.1:9/v1")
    make = ("index", corpus, "--task", "retrieval", "--model", "minilm")
    done = run(*make, "--index", tmp_path / "new")
    assert done.code == 69
    assert "hint: unset TASKEMBED_API_BASE to run it on this machine" in done.err
    monkeypatch.delenv("TASKEMBED_API_BASE")
    done = run(*make, "--api-base", "http://127.0.0.1:9/v1", "--index", tmp_path / "new")
    assert "hint: leave out --api-base to run it on this machine" in done.err
