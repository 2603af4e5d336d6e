"""Which files the arguments of `index` name: files, patterns, and what a folder stands for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from taskembed.errors import BadInputError, NotFoundError, UsageError
from taskembed.reading.corpus_files import CorpusFiles, find_corpus_files
from taskembed.reading.formats import InputFormat, text_format_of
from taskembed.reading.languages import language_of


def make(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text of {name}")
    return folder


def ids(found: CorpusFiles) -> list[str]:
    return [item.path_in_input or item.name for item in found.inputs]


def test_a_folder_without_records_stands_for_its_files_of_text(tmp_path: Path) -> None:
    folder = make(
        tmp_path / "notes", "moon.md", "a/b.txt", "a/c.rst", "page.HTML", "x.markdown", "y.htm"
    )
    make(folder, "picture.png", ".hidden.md", ".obsidian/plugin.md", "README")
    found = find_corpus_files([str(folder)])
    assert ids(found) == ["a/b.txt", "a/c.rst", "moon.md", "page.HTML", "x.markdown", "y.htm"]
    assert {item.format for item in found.inputs} == {"text"}
    assert found.folders is InputFormat.TEXT
    assert found.notes == ()


def test_ids_do_not_depend_on_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path / "notes", "moon.md", "a/b.txt")
    monkeypatch.chdir(folder)
    for argument in (".", "../notes", str(folder), f"{folder}/", "../notes/**/*.[mt]*"):
        assert ids(find_corpus_files([argument])) == ["a/b.txt", "moon.md"], argument
    assert ids(find_corpus_files(["a/b.txt", "moon.md"])) == ["b.txt", "moon.md"]


def test_records_win_over_text_and_a_note_says_so(tmp_path: Path) -> None:
    folder = make(tmp_path / "data", "part.jsonl", "README.md", "more/notes.txt")
    found = find_corpus_files([str(folder)])
    assert [item.path for item in found.inputs] == [folder / "part.jsonl"]
    assert found.folders is None
    assert found.notes == (
        f"{folder}: 1 file of records will be read, but not 2 files of text; to read those "
        "instead: --format text",
    )
    text = find_corpus_files([str(folder)], format_name="text")
    assert ids(text) == ["README.md", "more/notes.txt"]
    assert text.notes == (
        f"{folder}: 2 files of text will be read, but not 1 file of records such as part.jsonl; "
        "name those to read them",
    )


def test_the_files_called_corpus_win_over_everything(tmp_path: Path) -> None:
    folder = make(tmp_path / "data", "corpus.jsonl", "queries.jsonl", "README.md", "make.py")
    for is_code in (False, True):
        found = find_corpus_files([str(folder)], is_code=is_code)
        assert [item.path for item in found.inputs] == [folder / "corpus.jsonl"]
        assert found.notes == ()


def test_for_code_a_folder_stands_for_its_source_files(tmp_path: Path) -> None:
    folder = make(tmp_path / "repo", "src/main.py", "web/app.ts", "Makefile", "README.md")
    make(folder, "package.json", "src/data.bin")
    found = find_corpus_files([str(folder)], is_code=True)
    assert ids(found) == ["Makefile", "src/main.py", "web/app.ts"]
    assert {item.format for item in found.inputs} == {"code"}
    assert found.folders is InputFormat.CODE
    assert found.notes == (
        f"{folder}: 3 files of source code will be read, but not 1 file of records such as "
        "package.json; name those to read them",
    )
    assert ids(find_corpus_files([str(folder)], format_name="code")) == ids(found)
    records = make(tmp_path / "records", "a.jsonl")
    assert find_corpus_files([str(records)], is_code=True).folders is None


def test_what_an_earlier_run_read_is_read_again(tmp_path: Path) -> None:
    folder = make(tmp_path / "notes", "a.md", "table.csv")
    found = find_corpus_files([str(folder)], folders=InputFormat.TEXT)
    assert ids(found) == ["a.md"]


def test_gitignore_is_obeyed_as_git_does(tmp_path: Path) -> None:
    root = make(
        tmp_path / "repo",
        *("a.py", "build/b.py", "logs/x.py", "pkg/c.py", "pkg/gen/d.py", "pkg/keep_gen.py"),
        *("node_modules/e.js", "pkg/node_modules/f.js", "tmp_1.py", "pkg/tmp_2.py"),
    )
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    (root / ".gitignore").write_text("build/\n/logs\nnode_modules\ntmp_*.py\n!\n*gen*\n")
    (root / "pkg/.gitignore").write_text("!tmp_2.py\n!keep_gen.py\n")
    ours = ids(find_corpus_files([str(root)], is_code=True))
    listed = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard", "*.py", "*.js"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert ours == sorted(listed.split()) == ["a.py", "pkg/c.py", "pkg/keep_gen.py", "pkg/tmp_2.py"]
    inner = ids(find_corpus_files([str(root / "pkg")], is_code=True))
    assert inner == ["c.py", "keep_gen.py", "tmp_2.py"]
    # a folder that is named is read, even if git ignores it
    assert ids(find_corpus_files([str(root / "build")], is_code=True)) == ["b.py"]


def test_links_to_folders_are_not_followed_and_a_note_names_them(tmp_path: Path) -> None:
    folder = make(tmp_path / "notes", "a.md", "sub/b.md")
    (folder / "sub" / "loop").symlink_to(folder)
    (folder / "linked.md").symlink_to(folder / "a.md")
    found = find_corpus_files([str(folder)])
    assert ids(found) == ["a.md", "linked.md", "sub/b.md"]
    assert found.notes == (
        f"{folder}: links to folders are not followed: sub/loop; to read such a folder, name it",
    )


def test_a_pattern_stands_for_the_files_that_match(tmp_path: Path) -> None:
    folder = make(
        tmp_path, "notes/a.md", "notes/b/c.md", "notes/.git/d.md", "notes/e.png", "f.jsonl"
    )
    assert ids(find_corpus_files([f"{folder}/notes/*"])) == ["a.md"]
    assert ids(find_corpus_files([f"{folder}/n*/**/*.md"])) == ["notes/a.md", "notes/b/c.md"]
    assert [item.format for item in find_corpus_files([f"{folder}/*.json*"]).inputs] == ["jsonl"]
    with pytest.raises(NotFoundError) as caught:
        find_corpus_files([f"{folder}/*.rst"])
    assert caught.value.message == f"no file that can be read matches '{folder}/*.rst'"
    strange = make(folder, "[1].md")
    assert ids(find_corpus_files([f"{strange}/[1].md"])) == ["[1].md"]


def test_two_files_with_one_id_are_refused(tmp_path: Path) -> None:
    make(tmp_path, "a/README.md", "b/README.md")
    with pytest.raises(UsageError) as caught:
        find_corpus_files([str(tmp_path / "a"), str(tmp_path / "b")])
    assert caught.value.message == (
        f"{tmp_path}/a/README.md and {tmp_path}/b/README.md would have the same id, 'README.md'"
    )
    assert "the folder that contains both" in (caught.value.hint or "")
    twice = [str(tmp_path / "a"), str(tmp_path / "a" / "README.md")]
    assert ids(find_corpus_files(twice)) == ["README.md", "README.md"]  # the same file
    (tmp_path / "link").symlink_to(tmp_path / "a")
    linked = [str(tmp_path / "a"), str(tmp_path / "link")]
    assert ids(find_corpus_files(linked)) == ["README.md", "README.md"]


def test_what_cannot_be_found_is_an_error_that_says_what_to_type(tmp_path: Path) -> None:
    folder = make(tmp_path / "repo", "a.py", "b.c")
    with pytest.raises(NotFoundError) as caught:
        find_corpus_files([str(folder)])
    assert caught.value.message == f"no corpus in the folder {folder}"
    assert caught.value.hint == "for its 2 files of source code: --format code"
    with pytest.raises(NotFoundError) as caught:
        find_corpus_files([str(folder)], format_name="text")
    assert caught.value.message == f"no file of text in the folder {folder}"
    with pytest.raises(NotFoundError) as caught:
        find_corpus_files([str(folder / "lost.md")])
    assert caught.value.message == f"no such file or folder: {folder / 'lost.md'}"
    with pytest.raises(UsageError) as usage:
        find_corpus_files(["-"], format_name="text")
    assert "the id of such a document is its path" in usage.value.message
    make(folder, "manifest-00000001.json")
    with pytest.raises(BadInputError) as bad:
        find_corpus_files([str(folder)])
    assert bad.value.message == f"{folder} is an index, not a corpus"


def test_a_source_file_is_known_by_its_name() -> None:
    shown = {
        name: language_of(Path(name))
        for name in ("a.py", "a.H", "a.rs", "x/Dockerfile", "CMakeLists.txt", "a.R", "a.sql", "a.m")
    }
    assert shown == {
        "a.py": "Python",
        "a.H": "C",
        "a.rs": "Rust",
        "x/Dockerfile": "Docker",
        "CMakeLists.txt": "CMake",
        "a.R": "R",
        "a.sql": "SQL",
        "a.m": "Objective-C",
    }
    data = ("a.json", "a.csv", "a.yaml", "a.toml", "a.xml", "a.ini", "a.md", "a.txt", "a.html")
    assert [language_of(Path(name)) for name in (*data, "README", "a", "a.png", "a.lock")] == [
        None
    ] * 13
    assert text_format_of(Path("CMakeLists.txt")) is InputFormat.CODE
    assert text_format_of(Path("notes.md.gz")) is InputFormat.TEXT
