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
    assert "taskembed: 3 clusters, with a silhouette of " in done.err
    assert "; second best is -k " in done.err


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
        (("-k", "2", "--assign", "x.jsonl"), 2, "cannot be combined with --assign"),
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


def test_a_map_is_a_page_with_the_documents(run: Run, folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "map.html"
    three = ["food0", "sky0", "music0"]
    corpus = write_jsonl(tmp_path / "three.jsonl", [t for t in TEXTS if t["id"] in three])
    assert run("index", corpus, "--task", "clustering", "--index", tmp_path / "i").code == 0
    done = run("cluster", "--index", tmp_path / "i", "-k", "2", "--map", page)
    assert done.code == 0
    assert len(done.lines) == 3  # the clusters of the documents are printed as ever
    assert done.err.endswith(f"taskembed: {page} shows 3 documents: open it in a browser\n")
    text = page.read_text(encoding="utf-8")
    assert "<title>i: 2 clusters</title>" in text
    assert '"id":["food0","sky0","music0"]' in text


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["--map", "{index}/map.html"], 2, "--map would overwrite the input"),
        (["--map", "-"], 2, "--map needs a file"),
        (["--map", "none/map.html"], 66, "none/map.html"),
        (
            ["--map", "map.html", "--assign", "new.jsonl"],
            2,
            "--map cannot be combined with --assign",
        ),
    ],
)
def test_a_map_that_cannot_be_written_is_refused_before_any_work(
    run: Run, folder: Path, arguments: list[str], code: int, reason: str
) -> None:
    done = run("cluster", "--index", folder, *(one.format(index=folder) for one in arguments))
    assert (done.code, done.out) == (code, "")
    assert reason in done.err


def test_without_its_libraries_a_map_is_refused_with_the_command_that_installs_them(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskembed.extras.find_spec", lambda _name: None)
    done = run("cluster", "--index", folder, "--map", tmp_path / "map.html")
    assert done.code == 69
    assert "the library openTSNE is not installed" in done.err
    assert "[map]" in done.err
    assert not (tmp_path / "map.html").exists()
