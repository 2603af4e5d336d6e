"""`taskembed explain`."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from tests.conftest import Run


def test_aliases_of_tasks_are_tasks(run: Run) -> None:
    done = run("explain", "moon", "--task", "sts", "--json")
    assert json.loads(done.out)["task"] == "similarity"


def test_explain_shows_strings_tokens_and_sources(run: Run) -> None:
    done = run("explain", "--task", "retrieval", "hello world")
    assert done.code == 0
    assert "  encoded: 'hello world'\n  tokens: 4 of 256\n    [CLS] hello world [SEP]\n" in done.out
    known = run("explain", "--task", "retrieval", "--model", "intfloat/e5-small-v2", "hello")
    assert "query:\n  prompt: 'query: '\n" in known.out
    assert "document:\n  prompt: 'passage: '\n" in known.out
    assert "the model is not on this machine" in known.out
    assert run("explain", "hello").code == 2


def test_explain_an_index(run: Run, indexed: Path) -> None:
    done = run("explain", "--index", indexed, "hello")
    assert done.code == 0
    assert f"from: the space of the index {indexed}" in done.out


def test_explain_refuses_what_the_index_is_not_for(run: Run, indexed: Path) -> None:
    done = run("explain", "--index", indexed, "--task", "code", "x")
    assert (done.code, done.out) == (78, "")
    assert f"{indexed} is for the task 'retrieval', not 'code'" in done.err
    assert run("explain", "--index", indexed, "--task", "retrieval", "x").code == 0
    other = run("explain", "--index", indexed, "--model", "intfloat/e5-small-v2", "x")
    assert other.code == 78
    assert "  model: the index has 'minilm', not 'intfloat/e5-small-v2'\n" in other.err
    prompted = run("explain", "--index", indexed, "--query-prompt", "q: ", "x")
    assert (prompted.code, "has its own revision, prompts" in prompted.err) == (2, True)


def test_explain_reads_stdin(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"hello world\n")))
    assert "encoded: 'hello world'\n" in run("explain", "-", "--task", "code").out


def test_explain_shows_an_adapter_of_ones_own(run: Run, tmp_path: Path) -> None:
    base = ("explain", "x", "--task", "retrieval", "--adapter")
    (tmp_path / "mine").mkdir()
    wrong = run(*base, tmp_path / "mine")
    assert (wrong.code, "has no adapter_config.json" in wrong.err) == (69, True)
    (tmp_path / "mine" / "adapter_config.json").write_text("{}")
    done = run(*base, tmp_path / "mine")
    assert done.code == 0
    assert done.out.count(f"  adapter: {tmp_path / 'mine'}\n") == 2
    absent = run(*base, "nobody/nothing")
    assert "note: the adapter 'nobody/nothing' is not on this machine\n" in absent.out


def test_explain_shows_adapters_and_what_a_server_is_told(run: Run) -> None:
    done = run("explain", "--task", "retrieval", "--model", "jinaai/jina-embeddings-v5-text-nano")
    assert done.out.count("  adapter: retrieval\n") == 2
    done = run("explain", "--task", "retrieval", "--model", "embed-v4.0")
    assert "  told to the server: input_type=search_query\n" in done.out
    assert "note: the model runs on the server of cohere, which adds its own prompts\n" in done.out
    assert "every task gives the same vectors" not in done.out


def test_explain_shows_what_is_put_before_the_texts_of_a_server_that_is_told_nothing(
    run: Run,
) -> None:
    done = run("explain", "a fox", "--task", "code", "--model", "gemini-embedding-2")
    assert done.code == 0, done.err
    assert "  encoded: 'task: code retrieval | query: a fox'\n" in done.out
    assert "  encoded: 'title: none | text: a fox'\n" in done.out
    assert done.out.endswith(
        "note: the model runs on the server of gemini, which receives no task, only the text that "
        "is shown here\n"
    )


@pytest.mark.parametrize(
    ("model", "task", "same"),
    [
        ("sentence-transformers/all-MiniLM-L6-v2", "similarity", True),
        ("text-embedding-ada-002", "retrieval", True),
        ("minilm", "similarity", False),
        ("BAAI/bge-base-en-v1.5", "similarity", False),  # has a prompt for retrieval
        ("voyage-4", "clustering", False),
    ],
)
def test_explain_says_that_tasks_are_alike_only_where_all_are(
    model: str, task: str, *, same: bool, run: Run
) -> None:
    done = run("explain", "--task", task, "--model", model)
    assert ("every task gives the same vectors" in done.out) == same
