"""`taskembed import`: what it prints and refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.support import DOCUMENTS, make_index
from tests.conftest import Run


@pytest.fixture
def file(tmp_path: Path, cache: Path, run: Run) -> Path:
    folder = make_index(tmp_path, DOCUMENTS, cache, "--quiet")
    assert run("export", "-o", tmp_path / "v.parquet", "--index", folder).code == 0
    return tmp_path / "v.parquet"


def test_an_imported_index_answers_as_the_exported_one(
    run: Run, file: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    done = run("import", file, "--index", copy)
    assert (done.code, done.out.split(",")[0]) == (0, "4 added")
    assert "contains 4 documents" in done.err
    search = ("search", "the moon", "--format", "jsonl", "--index")
    assert run(*search, copy).out == run(*search, tmp_path / "index").out
    again = run("import", file, "--index", copy, "--json").json
    assert isinstance(again, dict)
    assert (again["unchanged"], again["documents"]) == (4, 4)


def test_foreign_vectors_need_their_task_and_must_be_the_models(run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.eye(2, 384, dtype=np.float32))
    (tmp_path / "x.ids.txt").write_text("a\nb\n")
    done = run("import", tmp_path / "x.npy", "--index", tmp_path / "new")
    assert (done.code, "a new index needs a task" in done.err) == (2, True)
    done = run("import", tmp_path / "x.npy", "--index", tmp_path / "new", "--task", "similarity")
    assert (done.code, done.out.split(",")[0]) == (0, "2 added")


def test_vectors_can_be_declared(run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.eye(2, 8, dtype=np.float32))
    (tmp_path / "x.ids.txt").write_text("a\nb\n")
    folder = ("--index", tmp_path / "new")
    model = ("--declare", "--task", "similarity", "--model", "some/model")
    assert run("import", tmp_path / "x.npy", *folder, *model[:3]).code == 2
    done = run("import", tmp_path / "x.npy", *folder, *model)
    assert (done.code, done.out.split(",")[0]) == (0, "2 added")
    value = run("info", *folder, "--json").json
    assert isinstance(value, dict)
    assert value["declared"] == {"compared": 0}
    assert run("similar", "a", *folder, "--format", "ids").out == "b\n"
    done = run("similar", "--text", "x", *folder, "--offline")
    assert done.code == 69
    assert "none of them were compared with the model" in done.err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("absent.parquet",), 66, "no such file"),
        (("corpus.jsonl",), 2, "must end in .parquet or .npy"),
        (("v.parquet", "--task", "code"), 78, "task: the index has 'retrieval', not 'code'"),
    ],
)
def test_refused(
    run: Run,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(file.parent)
    done = run("import", *options, "--index", "new")
    assert done.code == code
    assert message in done.err
    assert not (file.parent / "new").exists()


def test_parquet_is_read_from_stdin(
    run: Run, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("import", "-", "--index", tmp_path / "copy")
    with file.open() as stream:
        monkeypatch.setattr("sys.stdin", stream)
        done = run(*words)
    assert (done.code, done.out.split(",")[0]) == (0, "4 added")
    (tmp_path / "text").write_text("no parquet")
    with (tmp_path / "text").open() as stream:
        monkeypatch.setattr("sys.stdin", stream)
        done = run(*words)
    assert (done.code, "error: stdin: " in done.err) == (65, True)


def test_stdin_is_the_first_file_and_no_terminal(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run("import", file, "-")
    assert (done.code, "- for stdin must be the first file" in done.err) == (2, True)
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda _: True})())
    done = run("import", "-")
    assert (done.code, "cannot be read from a terminal" in done.err) == (2, True)


def test_bad_rows_and_messages_can_be_kept(run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.eye(3, 8, dtype=np.float32))
    (tmp_path / "x.ids.txt").write_text("a\na\nb\n")
    model = ("--declare", "--task", "similarity", "--model", "some/model")
    words = ("import", tmp_path / "x.npy", "--index", tmp_path / "new", *model)
    kept, log = tmp_path / "bad.jsonl", tmp_path / "log"
    assert run(*words, "--rejects", kept).code == 2
    done = run(*words, "--skip-bad", "--rejects", kept, "--log-file", log)
    assert (done.code, done.out.split(",")[0]) == (1, "2 added")
    assert "duplicate id" in kept.read_text()
    assert "2 added, 0 updated" in log.read_text()
    done = run(*words, "--skip-bad", "--rejects", tmp_path / "x.npy")
    assert (done.code, "would overwrite the input" in done.err) == (2, True)
    done = run(*words, "--recreate", "--skip-bad", "--max-bad", "0")
    assert done.code == 65


def test_an_export_of_each_view_becomes_one_index(run: Run, tmp_path: Path, cache: Path) -> None:
    folder = make_index(tmp_path, DOCUMENTS, cache, "--quiet", "--task", "similarity")
    files = [tmp_path / f"{task}.parquet" for task in ("retrieval", "similarity")]
    for file in files:
        run("export", "-o", file, "--index", folder, "--task", file.stem)
    copy = tmp_path / "copy"
    assert run("import", *files, "--index", copy).code == 0
    for task in ("retrieval", "similarity"):
        words = ("search", "the moon", "--task", task, "--format", "jsonl", "--index")
        assert run(*words, copy).out == run(*words, folder).out != ""
