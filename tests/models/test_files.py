"""Where the files of a model are found, and how often its folder is read."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from taskembed.errors import ModelUnavailableError
from taskembed.models.catalogue import identify
from taskembed.models.files import Hub, place_of
from taskembed.models.folder import Tree, walk


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "1_Pooling" / "config.json").write_text("{}")
    (folder / "README.md").write_text("not read")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "config.json").write_text("not read either")
    save_file({"weight": np.zeros(2, np.float32)}, folder / "model.safetensors")
    return folder


def test_a_located_model_has_its_absolute_folder_and_the_digest_of_its_files(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    located = Hub(tmp_path / "cache").locate("model")
    lines = [
        f"{name}\0{hashlib.sha256((model / name).read_bytes()).hexdigest()}\n"
        for name in ("1_Pooling/config.json", "config.json", "model.safetensors")
    ]
    assert (located.name, located.revision) == (str(model), "")
    assert located.folder.resolve() == model
    assert located.digest == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_the_folder_of_a_model_is_walked_once(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walked: list[str] = []
    walk = os.walk

    def noting(root: Path, **options: Any) -> Any:  # noqa: ANN401  # as os.walk
        walked.append(str(root))
        return walk(root, **options)

    monkeypatch.setattr(os, "walk", noting)
    monkeypatch.setattr(Path, "rglob", None)
    Hub(tmp_path / "cache").locate(str(model))
    assert walked == [str(model)]


def test_an_adapter_that_is_nowhere_is_called_an_adapter(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError) as refusal:
        Hub(tmp_path).folder("my-model", kind="adapter")
    assert refusal.value.message == (
        "there is no adapter 'my-model': it is neither a folder nor a Hugging Face id"
    )


def test_a_folder_is_looked_for_as_it_was_given_and_a_known_model_by_its_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert place_of(identify("INTFLOAT/e5-small-v2")) == "intfloat/e5-small-v2"
    (tmp_path / "INTFLOAT" / "e5-small-v2").mkdir(parents=True)
    assert place_of(identify("INTFLOAT/e5-small-v2")) == "INTFLOAT/e5-small-v2"


def test_a_complete_repository_is_read_once_for_its_description_and_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "commit"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    reads: list[str] = []

    def hub_tree(name: str, *_: object, **__: object) -> Tree:
        reads.append(name)
        return walk(folder)

    monkeypatch.setattr("taskembed.models.files.hub_tree", hub_tree)
    hub = Hub(tmp_path / "cache")
    described = hub.description("some/model")
    located = hub.locate("some/model", revision=described.revision, described=described)
    assert (located.folder, located.revision) == (folder, "commit")
    assert reads == ["some/model"]
