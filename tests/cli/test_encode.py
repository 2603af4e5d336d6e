"""`taskembed encode`: what it prints, writes and refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import Run


def test_the_counts_are_printed(run: Run, corpus: Path, tmp_path: Path) -> None:
    done = run("encode", corpus, "--task", "retrieval", "-o", tmp_path / "v.parquet")
    assert (done.code, done.err) == (0, "")
    assert done.out == "2 documents, 2 vectors of 384 numbers, 0 rejected, 0 truncated\n"
    assert pq.read_table(tmp_path / "v.parquet")["doc_id"].to_pylist() == ["a", "b"]


def test_the_counts_as_json(run: Run, corpus: Path, tmp_path: Path) -> None:
    output = tmp_path / "v.npy"
    done = run("encode", corpus, "--task", "code", "--side", "query", "-o", output, "--json")
    assert done.json == {
        "output": str(output),
        "documents": 2,
        "vectors": 2,
        "rejected": 0,
        "truncated": 0,
        "empty": 0,
        "without_id": 0,
        "dim": 384,
    }


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("-o", "v.csv"), 2, "must end in .parquet or .npy"),
        (("-o", "absent/v.parquet"), 66, "No such file or directory"),
        (("-o", "corpus.jsonl"), 2, "must end in"),
        (("-o", "v.parquet", "--rejects", "x"), 2, "require --skip-bad"),
        (("-o", "v.npy", "--chunk", "16"), 2, "cut into chunks"),
    ],
)
def test_refused(
    run: Run,
    corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(corpus.parent)
    done = run("encode", corpus, "--task", "retrieval", *options)
    assert done.code == code
    assert message in done.err
    assert [path.name for path in corpus.parent.iterdir()] == ["corpus.jsonl"]


def test_a_task_is_needed(run: Run, corpus: Path, tmp_path: Path) -> None:
    done = run("encode", corpus, "-o", tmp_path / "v.parquet")
    assert (done.code, "no task given" in done.err) == (2, True)


def test_a_terminal_gets_no_vectors(
    run: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    done = run("encode", corpus, "--task", "retrieval", "-o", "-")
    assert done.code == 2
    assert "cannot be written to a terminal" in done.err


def test_bad_records_are_skipped(run: Run, tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text('{"id": "a", "text": "fox"}\n{"id": "b"}\n')
    output = tmp_path / "v.parquet"
    done = run("encode", tmp_path / "c.jsonl", "--task", "retrieval", "-o", output, "--skip-bad")
    assert done.code == 1
    assert "rejected: " in done.err
    assert pq.read_table(output).num_rows == 1
