"""`taskembed cluster`: what it prints, keeps, assigns and refuses."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.cli.support import write_jsonl
from tests.conftest import Run

THEMES = {
    "food": "flour water yeast bread soup salt",
    "sky": "moon star planet comet sun",
    "music": "guitar violin song drum",
}
TEXTS: list[dict[str, object]] = [
    {"id": f"{theme}{number}", "text": f"{words} {word}"}
    for theme, words in THEMES.items()
    for number, word in enumerate(words.split())
]


@pytest.fixture
def folder(
    run: Run, tmp_path: Path, made_once: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    if "cluster" not in made_once:
        made_once["cluster"] = tmp_path_factory.mktemp("made-once") / "cluster"
        corpus = write_jsonl(tmp_path / "corpus.jsonl", TEXTS)
        of_index = ("--index", made_once["cluster"])
        assert run("index", corpus, "--task", "clustering", *of_index).code == 0
    return Path(shutil.copytree(made_once["cluster"], tmp_path / "cluster"))


def theme_of(line: dict[str, object]) -> str:
    return str(line["doc_id"]).rstrip("0123456789")


def test_each_document_has_a_cluster(run: Run, folder: Path) -> None:
    done = run("cluster", "--index", folder)
    assert done.code == 0
    assert len(done.lines) == 15
    # the largest is 0, and each theme is a cluster
    assert {(theme_of(line), line["cluster"]) for line in done.lines} == {
        ("food", 0),
        ("sky", 1),
        ("music", 2),
    }
    assert "taskembed: 3 clusters, by a silhouette of " in done.err
    assert "; the runner-up is -k " in done.err


def test_json_has_the_clusters(run: Run, folder: Path, tmp_path: Path) -> None:
    done = run("cluster", "--index", folder, "-k", "3", "--json", "-o", tmp_path / "a.jsonl")
    value = done.json
    assert isinstance(value, dict)
    assert (value["k"], value["outliers"], value["runner_up"]) == (3, 0, None)
    first = value["clusters"][0]
    assert (first["cluster"], first["size"]) == (0, 6)
    assert set(first["terms"]) <= set(str(THEMES["food"]).split())
    assert len(first["nearest"]) == 3
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 15


def test_on_a_terminal_the_clusters_are_shown(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda _: True, raising=False)
    out = run("cluster", "--index", folder).out
    assert "terms" in out
    assert "guitar" in out
    assert "doc_id" not in out


def test_new_texts_are_assigned_to_the_same_clusters(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    before = run("cluster", "--index", folder).lines
    new = write_jsonl(tmp_path / "new.jsonl", [{"text": "drum violin"}, *TEXTS[:3]])
    done = run("cluster", "--index", folder, "--assign", new)
    assert done.code == 0
    assert [line["cluster"] for line in done.lines] == [2, 0, 0, 0]
    assert done.lines[1:] == before[:3]
    assert run("index", new, "--index", folder).code == 0
    assert run("verify", "--index", folder).code == 0
    assert run("cluster", "--index", folder, "--assign", new).out == done.out


def test_texts_that_are_near_no_centre_are_in_no_cluster(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    done = run("cluster", "--index", folder, "-k", "3", "--min-similarity", "0.5")
    assert "0 documents are in no cluster" in done.err
    new = write_jsonl(tmp_path / "new.jsonl", [{"text": "quantum chess"}, {"text": "moon sun"}])
    found = run("cluster", "--index", folder, "--assign", new).lines
    assert [line["cluster"] for line in found] == [-1, 1]


def test_bad_records_are_skipped_if_asked(run: Run, folder: Path, tmp_path: Path) -> None:
    run("cluster", "--index", folder, "-k", "3")
    new = write_jsonl(tmp_path / "new.jsonl", [{"id": "a"}, {"id": "b", "text": "moon"}])
    asked = ("cluster", "--index", folder, "--assign", new)
    assert run(*asked).code == 65
    done = run(*asked, "--skip-bad")
    assert done.code == 1
    assert [line["doc_id"] for line in done.lines] == ["b"]


def test_without_clusters_nothing_can_be_assigned(run: Run, folder: Path, tmp_path: Path) -> None:
    new = write_jsonl(tmp_path / "new.jsonl", TEXTS[:1])
    done = run("cluster", "--index", folder, "--assign", new)
    assert done.code == 66
    assert "has no clusters yet" in done.err


def test_another_task_is_refused(run: Run, indexed: Path) -> None:
    done = run("cluster", "--index", indexed)
    assert (done.code, done.out) == (78, "")
    assert "`taskembed cluster` needs an index for the task 'clustering'" in done.err
    assert "taskembed index CORPUS --task clustering" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("-k", "99"), 2, "-k 99: "),
        (("-k", "2", "--assign", "x.jsonl"), 2, "not for --assign"),
        (("--output", "nowhere/a.jsonl"), 66, "nowhere/a.jsonl"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused(
    run: Run, folder: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = run("cluster", *arguments, "--index", folder)
    assert done.code == code
    assert said in done.err


def test_damaged_clusters_are_refused(run: Run, folder: Path, tmp_path: Path) -> None:
    run("cluster", "--index", folder, "-k", "3")
    path = folder / "clusters.safetensors"
    path.write_bytes(path.read_bytes()[:-3])
    new = write_jsonl(tmp_path / "new.jsonl", TEXTS[:1])
    done = run("cluster", "--index", folder, "--assign", new)
    assert done.code == 76
    assert "the clusters cannot be read" in done.err
    assert json.loads(new.read_text())["id"] == "food0"
