"""`taskembed export`: what it prints, writes and refuses."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cli.support import DOCUMENTS, make_index
from tests.conftest import Run


@pytest.fixture
def folder(tmp_path: Path, cache: Path) -> Path:
    return make_index(tmp_path, DOCUMENTS, cache, "--quiet")


def test_the_counts_are_printed(run: Run, folder: Path, tmp_path: Path) -> None:
    done = run("export", "-o", tmp_path / "v.parquet", "--index", folder)
    assert (done.code, done.out) == (0, "4 documents, vectors of 384 numbers\n")
    assert pq.read_table(tmp_path / "v.parquet")["doc_id"].to_pylist() == [
        *("moon", "tide", "bread", "soup"),
    ]
    done = run("export", "-o", tmp_path / "v.npy", "--index", folder, "--json")
    assert done.json == {
        "output": str(tmp_path / "v.npy"),
        "documents": 4,
        "dim": 384,
        "task": "retrieval",
    }


def test_nothing_passes(run: Run, folder: Path, tmp_path: Path) -> None:
    where = ("--where", "topic = 'none'")
    done = run("export", "-o", tmp_path / "v.parquet", "--index", folder, *where)
    assert (done.code, done.out) == (0, "0 documents, vectors of 384 numbers\n")
    assert "no document matches --where" in done.err


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("-o", "v.csv"), 2, "must end in .parquet or .npy"),
        (("-o", "index/v.parquet"), 2, "would overwrite the input"),
        (("-o", "v.parquet", "--task", "clustering"), 78, "is for the task 'retrieval'"),
        (("-o", "v.parquet", "--where", "topic ="), 2, "of the filter"),
        (("-o", "v.parquet", "--index", "absent"), 66, "no index at absent"),
        (("-o", "loop.parquet"), 74, "loop.parquet: it is a link that points back to itself"),
        (("-o", "v.parquet", "--index", "loop.parquet"), 74, "a link that points back to itself"),
    ],
)
def test_refused(
    run: Run,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(folder.parent)
    Path("loop.parquet").symlink_to("loop.parquet")
    done = run("export", "--index", "index", *options)
    assert done.code == code
    assert message in done.err
    assert not (folder.parent / "v.parquet").exists()
