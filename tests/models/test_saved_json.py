"""JSON files of a model: read, absent, or refused by their name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from taskembed.errors import ModelUnavailableError, StorageError
from taskembed.models import saved_json
from taskembed.models.saved_json import read_saved, read_saved_list, require_json


def test_an_object_and_a_list_of_objects_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": 1}')
    (tmp_path / "b.json").write_text('[{"a": 1}, {}]')
    assert read_saved(tmp_path / "a.json") == {"a": 1}
    assert read_saved_list(tmp_path / "b.json") == [{"a": 1}, {}]


def test_a_file_that_is_not_there_or_is_no_file_is_absent(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("{}")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("none", "file/inside", "folder", "pipe", "x" * 300):
        assert read_saved(tmp_path / name) is None
        assert read_saved_list(tmp_path / name) == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[1]", "is not a JSON object"),
        ("", "is not JSON: Expecting value: line 1 column 1 (char 0)"),
        ("[" * 200_000, "is nested too deeply"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: str, why: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(ModelUnavailableError) as refusal:
        read_saved(path)
    assert refusal.value.message == f"{path} {why}"
    assert refusal.value.hint == "save or download the model again: the file is damaged"


@pytest.mark.parametrize("content", ["{}", "[{}, 1]", "1"])
def test_a_list_of_something_else_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "modules.json"
    path.write_text(content)
    with pytest.raises(ModelUnavailableError, match=r"modules.json is not a list of JSON objects$"):
        read_saved_list(path)


def test_a_file_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved_json, "MOST_BYTES", 2**20)
    path = tmp_path / "config.json"
    path.write_text('"' + "x" * 2**20 + '"')
    with pytest.raises(ModelUnavailableError, match=r"config.json is larger than 1 MiB$"):
        read_saved(path)
    require_json([path])  # it is not read


def test_a_name_that_no_path_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="null byte"):
        read_saved(tmp_path / "a\0b")


def test_a_file_that_cannot_be_read_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.json").write_text("{}")

    def refuse(*_: object) -> None:
        raise OSError(5, os.strerror(5))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(StorageError, match=r"a.json: Input/output error$"):
        read_saved(tmp_path / "a.json")


def test_every_file_that_is_named_json_must_be_json(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("1")
    (tmp_path / "b.txt").write_text("no")
    require_json(sorted(tmp_path.iterdir()))
    (tmp_path / "c.json").write_text("no")
    with pytest.raises(ModelUnavailableError, match=r"c.json is not JSON: "):
        require_json(sorted(tmp_path.iterdir()))
