"""`taskembed index FOLDER`: files of text and of source code as documents."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from taskembed.reading.streams import Input
from taskembed.verbs._indexing.id_folders import with_ids_of
from tests.conftest import Run


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A folder with three notes."""
    folder = tmp_path / "notes"
    (folder / "kitchen").mkdir(parents=True)
    (folder / "moon.md").write_text("# The Moon\n\nThe Moon orbits the Earth.\n")
    (folder / "kitchen" / "bread.txt").write_text("Flour, water, yeast, baked.\n")
    (folder / "kitchen" / "soup.html").write_text("<h1>Soup</h1><p>Vegetables in broth.")
    for path in folder.rglob("*.*"):
        os.utime(path, (0, 1_700_000_000))
    return folder


@pytest.fixture
def indexed_notes(run: Run, notes: Path, folder: Path) -> Path:
    """The index of the notes."""
    done = run("index", notes, "--task", "retrieval", "--index", folder)
    assert (done.code, done.out.split(",")[0]) == (0, "3 added")
    return folder


def counts(run: Run, *arguments: str | Path) -> dict[str, object]:
    found = run("index", *arguments, "--json").json
    assert isinstance(found, dict)
    names = ("added", "updated", "deleted", "unchanged", "encoded")
    return {name: found[name] for name in names if found[name]}


def test_a_folder_of_notes_is_indexed_and_found(run: Run, indexed_notes: Path) -> None:
    (hit,) = run("search", "orbits the Earth", "-k", "1", "--index", indexed_notes).lines
    assert hit["doc_id"] == "moon.md"
    assert hit["text"] == "# The Moon\n\nThe Moon orbits the Earth."
    assert hit["metadata"] == {"title": "The Moon", "modified": "2023-11-14T22:13:20+00:00"}
    filters = ("--where", "title = 'Soup' and modified > '2023'")
    (hit,) = run("search", "x", *filters, "--index", indexed_notes).lines
    assert hit["doc_id"] == "kitchen/soup.html"


def test_an_unchanged_file_is_not_encoded_again(
    run: Run, notes: Path, indexed_notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(notes)  # another folder, the same ids
    assert counts(run, ".", "--index", indexed_notes) == {"unchanged": 3}
    (notes / "moon.md").touch()
    assert counts(run, ".", "--index", indexed_notes) == {"updated": 1, "unchanged": 2}
    (notes / "moon.md").write_text("# The Moon\n\nA rock.\n")
    changed = counts(run, ".", "--index", indexed_notes)
    assert changed == {"updated": 1, "unchanged": 2, "encoded": 1}


def test_a_deleted_file_is_pruned(run: Run, notes: Path, indexed_notes: Path) -> None:
    (notes / "moon.md").unlink()
    prune = ("--prune", "--yes", "--index", indexed_notes)
    assert counts(run, notes, *prune) == {"deleted": 1, "unchanged": 2}
    assert run("search", "moon", "--index", indexed_notes).lines[0]["doc_id"] != "moon.md"


def test_a_bad_file_prunes_nothing_and_the_rest_is_indexed(
    run: Run, notes: Path, indexed_notes: Path
) -> None:
    (notes / "moon.md").write_bytes(b"\xff")
    done = run("index", notes, "--index", indexed_notes, "--prune")
    assert done.code == 65
    assert done.err == (
        f"taskembed: error: {notes}/moon.md: not UTF-8 at byte 1\n"
        "taskembed: 3 documents are safe in the index\n"
        "taskembed: hint: --encoding latin-1\n"
    )
    done = run("index", notes, "--index", indexed_notes, "--prune", "--skip-bad")
    assert (done.code, done.out) == (
        1,
        "0 added, 0 updated, 0 deleted, 2 unchanged, 1 rejected, 0 truncated\n",
    )
    assert f"rejected: {notes}/moon.md: not UTF-8 at byte 1 (--encoding latin-1)\n" in done.err
    assert "nothing was pruned" in done.err


def test_the_index_remembers_what_a_folder_stands_for(
    run: Run, notes: Path, indexed_notes: Path
) -> None:
    (notes / "table.csv").write_text("id,text\na,b\n")
    done = run("index", notes, "--index", indexed_notes)
    assert done.out.split(", ")[3] == "3 unchanged"
    assert done.err == (
        f"taskembed: note: {notes}: 3 files of text will be read, but not 1 file of records such "
        "as table.csv; name those to read them\n"
    )
    assert run("index", notes, "--index", indexed_notes, "--quiet").err == ""
    assert counts(run, notes / "table.csv", "--index", indexed_notes) == {"added": 1, "encoded": 1}
    assert '"folders": "text"' in run("info", "--index", indexed_notes, "--json").out


def test_an_index_of_records_goes_on_reading_records(
    run: Run, tmp_path: Path, folder: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.jsonl").write_text('{"id": "a", "text": "def f(): pass"}\n')
    run("index", data, "--task", "code", "--index", folder)
    (data / "make.py").write_text("print(1)\n")
    assert counts(run, data, "--index", folder) == {"unchanged": 1}


def test_a_repository_is_one_command(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {
        "src/moon.py": "def orbit(): ...\n",
        "src/__init__.py": "",
        "package.json": "{}",
        ".gitignore": "build\n",
        "build/made.py": "made = 1\n",
        "README.md": "# Read me\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    done = run("index", ".", "--task", "code")
    assert (done.code, done.out.split(",")[0]) == (0, "1 added")
    (hit,) = run("search", "orbit").lines
    assert hit["doc_id"] == "src/moon.py"
    assert isinstance(hit["metadata"], dict)
    assert hit["metadata"]["language"] == "Python"
    again = run("index", ".")  # its own index is in the folder by now
    assert again.out.split(", ")[3] == "1 unchanged"


def test_a_title_can_be_put_before_the_text(run: Run, notes: Path, folder: Path) -> None:
    template = ("--template", "{title}: {text}")
    run("index", notes / "kitchen", "--task", "retrieval", *template, "--index", folder)
    texts = {hit["doc_id"]: hit["text"] for hit in run("search", "x", "--index", folder).lines}
    assert texts["bread.txt"] == "bread.txt: Flour, water, yeast, baked."


def make(folder: Path, *names: str) -> Path:
    """Return a folder with some files, each of which has its own path as its text."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{folder.name} {name}\n")
    return folder


def test_the_files_of_another_folder_do_not_replace_those_of_the_first(
    run: Run, tmp_path: Path, folder: Path
) -> None:
    first = make(tmp_path / "notes-a", "README.md", "one.md")
    second = make(tmp_path / "notes-b", "README.md", "two.md")
    run("index", first, "--task", "retrieval", "--index", folder)
    for words in ((second,), (second / "README.md",), (f"{second}/*.md",), (second, "--dry-run")):
        done = run("index", *words, "--index", folder)
        assert done.code == 2
        assert done.err == (
            f"taskembed: error: {second}/README.md would replace {first}/README.md in the index: "
            "both have the id 'README.md', the path in the folder that was named\n"
            "taskembed: hint: keep this folder in an index of its own, with --index OTHER; or "
            "begin again with --recreate: with this folder alone, or with the folder that contains "
            "both. Nothing was changed\n"
        )
    assert run("get", "README.md", "--index", folder).lines[0]["text"] == "notes-a README.md"
    assert counts(run, first, "--index", folder) == {"unchanged": 2}
    again = run("index", tmp_path, "--recreate", "--yes", "--index", folder)
    assert (again.code, again.out.split(",")[0]) == (0, "4 added")


def test_folders_whose_files_have_different_ids_share_an_index(
    run: Run, tmp_path: Path, folder: Path
) -> None:
    first, second = make(tmp_path / "a", "one.md"), make(tmp_path / "b", "two.md")
    run("index", first, "--task", "retrieval", "--index", folder)
    assert counts(run, second, "--index", folder) == {"added": 1, "encoded": 1}
    make(second, "one.md")  # and now they have a file in common
    assert run("index", second, "--index", folder).code == 2
    assert run("index", first, "--index", folder).code == 2
    (first / "one.md").unlink()  # it was moved there
    assert counts(run, second, "--index", folder) == {"updated": 1, "encoded": 1, "unchanged": 1}


def test_files_that_are_named_themselves_do_not_replace_others(
    run: Run, tmp_path: Path, folder: Path
) -> None:
    make(tmp_path / "a", "README.md", "guide.md")
    make(tmp_path / "b", "README.md", "guide.md")
    run("index", tmp_path / "a" / "README.md", "--task", "retrieval", "--index", folder)
    refused = run("index", tmp_path / "b" / "README.md", "--index", folder)
    assert (refused.code, "would replace" in refused.err) == (2, True)
    # a/guide.md is not in the index, so that b/guide.md replaces nothing
    for _ in range(2):
        assert run("index", tmp_path / "b" / "guide.md", "--index", folder).code == 0
    assert run("index", tmp_path / "a", "--index", folder).code == 2
    assert run("index", tmp_path / "a" / "README.md", "--index", folder).code == 0


def test_a_folder_is_the_same_whatever_it_is_called_and_wherever_it_is_moved(
    run: Run, notes: Path, indexed_notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(notes.parent)
    (notes.parent / "link").symlink_to(notes)
    for name in ("notes", "./notes", "notes/", f"{notes}", "link", "notes/../notes", "notes/**/*"):
        assert counts(run, name, "--index", indexed_notes) == {"unchanged": 3}, name
    notes.rename(notes.parent / "old-notes")
    assert counts(run, "old-notes", "--index", indexed_notes) == {"unchanged": 3}
    indexed_notes.rename(notes.parent / "moved-index")
    assert counts(run, "old-notes", "--index", "moved-index") == {"unchanged": 3}
    # other notes, where the first ones were
    make(notes, "moon.md")
    assert run("index", "notes", "--index", "moved-index").code == 2


def test_a_link_to_the_newest_copy_of_a_folder_counts_as_one_folder(
    run: Run, tmp_path: Path, folder: Path
) -> None:
    make(tmp_path / "monday", "a.md", "b.md")
    make(tmp_path / "tuesday", "a.md", "b.md")
    latest = tmp_path / "latest"
    latest.symlink_to("monday")
    run("index", latest, "--task", "retrieval", "--index", folder)
    latest.unlink()
    latest.symlink_to("tuesday")
    assert counts(run, latest, "--index", folder) == {"updated": 2, "encoded": 2}


def test_a_record_of_folders_that_cannot_be_read_forbids_nothing(tmp_path: Path) -> None:
    one = make(tmp_path / "a", "x.md") / "x.md"
    item = Input(one, "text", None, path_in_input="x.md", id_folder=one.parent)
    for remembered in (None, "{", "{}", "[1]"):
        assert with_ids_of([item], tmp_path / "index", remembered) == '["../a/"]'
    many = json.dumps([f"../{number}/" for number in range(600)])
    kept = json.loads(with_ids_of([item], tmp_path / "index", many) or "")
    assert (len(kept), kept[-1]) == (500, "../a/")
    assert with_ids_of([], tmp_path / "index", None) is None


def test_an_export_does_not_tell_where_the_files_were(
    run: Run, indexed_notes: Path, tmp_path: Path
) -> None:
    assert "id_folders" in run("info", "--index", indexed_notes, "--json").out
    run("export", "--index", indexed_notes, "-o", tmp_path / "v.parquet")
    assert run("import", tmp_path / "v.parquet", "--index", tmp_path / "copy").code == 0
    told = run("info", "--index", tmp_path / "copy", "--json").out
    assert ('"folders": "text"' in told, "id_folders" in told) == (True, False)
