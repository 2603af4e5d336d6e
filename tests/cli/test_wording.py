"""Arguments that cannot be used are refused in our words, with what to type instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Run


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-k", "abc"), "--top-k: 'abc' is not a whole number"),
        (("-k", "1.5"), "--top-k: '1.5' is not a whole number"),
        (("-k", "0"), "--top-k: '0' is less than 1"),
        (("--min-score", "x"), "--min-score: 'x' is not a number"),
        (("--device", "x"), "--device: 'x' is not one of 'auto', 'cpu', 'cuda', 'mps'"),
    ],
)
def test_a_value_is_refused_in_our_words(run: Run, arguments: tuple[str, str], said: str) -> None:
    assert run("search", "x", *arguments).err == (
        f"taskembed: error: {said}\ntaskembed: hint: see --help\n"
    )


def test_a_variable_is_named_when_it_is_the_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKEMBED_THREADS", "ten")
    done = run("search", "x")
    assert (done.code, done.err.splitlines()[0]) == (
        2,
        "taskembed: error: TASKEMBED_THREADS: 'ten' is not a whole number",
    )


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["operating", "system"], 'put the query in quotes: taskembed search "operating system"'),
        (["a", "-k", "3", "$b"], "put the query in quotes: taskembed search 'a $b'"),
        (["-foo"], 'put -- before a query that begins with a dash: taskembed search -- "-foo"'),
        (["-king"], 'put -- before a query that begins with a dash: taskembed search -- "-king"'),
        (["x", "--nonsense"], "see --help"),
        (["x", "--tag", "-zoo", "-z"], "see --help"),  # a value is no query
        (["-z", "--", "-zoo"], "see --help"),
    ],
)
def test_a_query_that_the_shell_took_apart_is_recognised(
    run: Run, arguments: list[str], hint: str
) -> None:
    done = run("search", *arguments)
    assert done.code == 2
    assert done.err.endswith(f"taskembed: hint: {hint}\n")


def test_a_query_is_read_before_a_model_is_loaded_for_it(run: Run, indexed: Path) -> None:
    words = ("search", "--query-file", indexed / "none", "--index", indexed)
    done = run(*words, "--rerank", "no-such-reranker")
    assert (done.code, done.out) == (66, "")
    assert done.err.startswith(f"taskembed: error: {indexed / 'none'}: No such file or directory\n")
