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
    assert "holds 4 documents" in done.err
    search = ("search", "the moon", "--format", "jsonl", "--index")
    assert run(*search, copy).out == run(*search, tmp_path / "index").out
    again = run("import", file, "--index", copy, "--json").json
    assert isinstance(again, dict)
    assert (again["unchanged"], again["documents"]) == (4, 4)


def test_foreign_vectors_need_their_task_and_must_be_the_models(run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.eye(2, 384, dtype=np.float32))
    (tmp_path / "x.ids.txt").write_text("a\nb\n")
    done = run("import", tmp_path / "x.npy", "--index", tmp_path / "new")
    assert (done.code, "a new index needs its task" in done.err) == (2, True)
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
    assert "none of them were compared with the model's" in done.err


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
