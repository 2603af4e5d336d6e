"""The model of an index is found where it was moved, and refused where it has changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests import plain_models
from tests.conftest import Run, space_of

PROMPTS = ("--query-prompt", "find ", "--document-prompt", "")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_models.save_bert(tmp_path_factory.mktemp("tiny") / "model", pooling="mean")


@pytest.fixture
def model(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "here" / "model"))


def test_a_model_named_from_here_is_found_from_elsewhere(
    run: Run, corpus: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "index"
    monkeypatch.chdir(model.parent)
    make = ("index", corpus, "--task", "retrieval", *PROMPTS, "--index", index)
    assert run(*make, "--model", "./../here/model").code == 0
    assert space_of(run, index)["model"] == str(model)
    assert run("index", corpus, "--model", "model", "--index", index).code == 0  # the same again
    monkeypatch.chdir(tmp_path)
    done = run("search", "fox", "--index", index)
    assert done.code == 0, done.err
    assert run("index", corpus, "--index", index).code == 0


def test_a_model_that_was_moved_is_asked_for_and_found(
    run: Run, corpus: Path, model: Path, tmp_path: Path
) -> None:
    index, moved = tmp_path / "index", tmp_path / "there"
    make = ("index", corpus, "--task", "retrieval", *PROMPTS, "--model", model, "--index", index)
    assert run(*make).code == 0
    hits = run("search", "fox", "--index", index, "--format", "jsonl").out
    model.rename(moved)
    for words in (("search", "fox"), ("index", corpus)):
        done = run(*words, "--index", index)
        assert done.code == 69
        assert done.err == (
            f"taskembed: error: the folder of the index's model does not exist: {model}\n"
            "taskembed: hint: if it was moved, name its new folder: --model FOLDER; it is compared "
            "with what the index was made with\n"
        )
    again = run("search", "fox", "--model", moved, "--index", index, "--format", "jsonl")
    assert (again.code, again.err) == (0, "")
    assert again.out == hits  # with the index's own prompts
    assert space_of(run, index)["model"] == str(model)  # a search writes nothing
    done = run("index", corpus, "--model", moved, "--index", index)
    assert done.code == 0, done.err
    assert done.out.startswith("0 added, 0 updated, 0 deleted, 2 unchanged")
    assert space_of(run, index)["model"] == str(moved)
    assert run("search", "fox", "--index", index, "--format", "jsonl").out == hits
    assert run("verify", "--index", index).code == 0


def test_a_model_that_was_moved_is_explained(
    run: Run, corpus: Path, model: Path, tmp_path: Path
) -> None:
    index, moved = tmp_path / "index", tmp_path / "there"
    make = ("index", corpus, "--task", "retrieval", *PROMPTS, "--model", model, "--index", index)
    assert run(*make).code == 0
    explain = ("explain", "fox", "--index", index)
    before = run(*explain)
    assert "tokens: " in before.out
    assert run(*explain, "--model", model).out == before.out
    model.rename(moved)
    assert "its tokens are not shown" in run(*explain).out
    assert run(*explain, "--model", moved).out == before.out
    change(moved)
    done = run(*explain, "--model", moved)
    assert (done.code, "  weights: differ from those" in done.err) == (78, True)
    assert run(*explain, "--model", tmp_path / "nowhere").code == 69


def test_another_model_is_not_taken_for_the_one_that_was_moved(
    run: Run, corpus: Path, model: Path, tmp_path: Path
) -> None:
    index = tmp_path / "index"
    make = ("index", corpus, "--task", "retrieval", *PROMPTS, "--model", model, "--index", index)
    assert run(*make).code == 0
    other = shutil.copytree(model, tmp_path / "other")
    change(other)
    for words in (("search", "fox"), ("index", corpus)):
        done = run(*words, "--model", other, "--index", index)
        assert done.code == 78
        assert "  weights: differ from those that built this index (sha256 " in done.err
    assert space_of(run, index)["model"] == str(model)


def change(model: Path) -> None:
    """Change what a model does, in a file that is a part of its weights' digest."""
    path = model / "sentence_bert_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "max_seq_length": 8}))


def test_a_model_that_was_changed_in_its_place_is_said_to_be(
    run: Run, corpus: Path, model: Path, tmp_path: Path
) -> None:
    index = tmp_path / "index"
    make = ("index", corpus, "--task", "retrieval", *PROMPTS, "--model", model, "--index", index)
    assert run(*make).code == 0
    change(model)
    for words in (
        ("search", "fox"),
        ("search", "fox", "--model", model, "--task", "retrieval"),
        ("index", corpus),
        make[:2],
    ):
        done = run(*words, "--index", index)
        assert done.code == 78
        assert done.err.splitlines()[-1] == (
            "taskembed: hint: the files of the model or its adapter have changed: restore the old "
            "ones; or build the index again with --recreate, or another one with --index OTHER. "
            "The index was not changed"
        )
    assert run(*make, "--recreate").code == 0
    assert run("search", "fox", "--index", index).code == 0
