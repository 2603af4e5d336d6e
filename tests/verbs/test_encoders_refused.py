"""What can be refused without a model is refused before one is loaded or an input is read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taskembed.index.disk._lock import take_lock
from taskembed.index.disk.fs import Fs
from tests import plain_models
from tests.conftest import Run

PROMPTS = ("--query-prompt", "find ", "--document-prompt", "")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_models.save_bert(tmp_path_factory.mktemp("tiny") / "model", pooling="mean")


@pytest.fixture
def model(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "here" / "model"))


@pytest.fixture
def minilm(run: Run, corpus: Path, tmp_path: Path) -> Path:
    index = tmp_path / "minilm"
    assert run("index", corpus, "--task", "retrieval", "--index", index).code == 0
    return index


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """An input that would be waited for without end, if it were read."""
    path = tmp_path / "never.jsonl"
    os.mkfifo(path)
    return path


@contextmanager
def nothing_is_loaded() -> Iterator[None]:
    """Fail where a model would be looked for, downloaded or compiled."""

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a model was looked for")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("taskembed.models.files.Hub.locate", fail)
        patch.setattr("taskembed.encoding._http.VendorClient.answers", fail)
        yield


def test_the_lock_is_asked_for_first(run: Run, minilm: Path, pipe: Path) -> None:
    lock = take_lock(minilm, Fs(), 0)
    try:
        with nothing_is_loaded():
            done = run("index", pipe, "--index", minilm)
    finally:
        lock.release()
    assert done.code == 75
    assert done.err.startswith(f"taskembed: error: another taskembed is writing to {minilm}")


def test_the_permission_to_write_is_asked_for_first(
    run: Run, minilm: Path, pipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda _, mode: mode == os.R_OK)  # root may write anywhere
    with nothing_is_loaded():
        assert run("index", pipe, "--index", minilm).code == 77
        new = tmp_path / "a" / "b"
        done = run("index", pipe, "--task", "retrieval", "--index", new)
    assert done.code == 77
    assert str(tmp_path) in done.err
    assert not new.parent.exists()


def test_a_place_for_an_index_inside_of_a_file_is_refused_first(
    run: Run, corpus: Path, pipe: Path
) -> None:
    with nothing_is_loaded():
        done = run("index", pipe, "--task", "retrieval", "--index", corpus / "index")
    assert done.code in {2, 66, 74}
    assert str(corpus) in done.err


def test_a_folder_with_other_things_is_refused_first(run: Run, pipe: Path, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to-mother.txt").touch()
    with nothing_is_loaded():
        done = run("index", pipe, "--task", "retrieval", "--index", tmp_path / "letters")
    assert done.code == 2
    assert "letters is not an index: it holds 'to-mother.txt'" in done.err


def test_the_key_of_a_server_is_asked_for_before_the_input_is_read(
    run: Run, pipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openai")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    make = ("index", pipe, "--task", "retrieval", "--index", tmp_path / "index")
    done = run(*make, "--model", "text-embedding-3-small")
    assert done.code == 69
    assert "hint: export OPENAI_API_KEY=KEY" in done.err


@pytest.mark.parametrize("offline", [(), ("--offline",)])
@pytest.mark.parametrize("command", ["search", "index", "dry run"])
def test_another_model_is_refused_by_its_name_alone(
    command: str, offline: tuple[str, ...], run: Run, minilm: Path, pipe: Path
) -> None:
    words: dict[str, tuple[str | Path, ...]] = {
        "search": ("search", "fox"),
        "index": ("index", pipe),
        "dry run": ("index", pipe, "--dry-run"),
    }
    with nothing_is_loaded():
        done = run(*words[command], "--model", "intfloat/e5-small-v2", "--index", minilm, *offline)
    assert done.code == 78
    assert done.err.splitlines()[:6] == [
        "taskembed: error: this is not the embedding space of the index",
        "  model: the index has 'minilm', not 'intfloat/e5-small-v2'",
        "  weights: the other model is not on this machine, so its weights cannot be compared",
        "  query_adapter: the index has 'retrieval', not ''",
        "  document_adapter: the index has 'retrieval', not ''",
        "  query_prompt: the index has '', not 'query: '",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--task", "code"), "  task: the index has 'retrieval', not 'code'"),
        (("--dim", "64", "--force-dim"), "  dim: the index has 384, not 64"),
        (("--query-prompt", "q: "), "  query_prompt: the index has '', not 'q: '"),
        (("--no-adapter",), "  document_adapter: the index has 'retrieval', not ''"),
        (("--template", "{title}"), "  template: the index has "),
        (("--model", "text-embedding-3-small"), "  model: the index has 'minilm', not "),
    ],
)
def test_what_differs_in_words_is_refused_without_a_model(
    words: tuple[str, ...], said: str, run: Run, minilm: Path, pipe: Path
) -> None:
    with nothing_is_loaded():
        done = run("index", pipe, *words, "--index", minilm)
    assert done.code == 78
    assert said in done.err
    assert "\n  vectors of different spaces cannot be compared" in done.err
    with nothing_is_loaded():
        again = run("index", pipe, *words, "--index", minilm, "--dry-run")
    assert again.code == 78
    assert again.err == done.err


@pytest.mark.parametrize(
    ("model", "dim", "said"),
    [
        ("intfloat/e5-small-v2", "100", "was not trained for that size, only for 384"),
        ("intfloat/e5-small-v2", "500", "the vectors of intfloat/e5-small-v2 have 384 numbers"),
        ("minilm", "100", "minilm was not trained for that size, only for 384"),
    ],
)
def test_a_size_that_a_known_model_does_not_offer_is_refused_first(
    model: str, dim: str, said: str, run: Run, pipe: Path, tmp_path: Path
) -> None:
    make = ("index", pipe, "--task", "retrieval", "--index", tmp_path / "index")
    with nothing_is_loaded():
        done = run(*make, "--model", model, "--dim", dim)
    assert done.code == 2
    assert said in done.err


def test_a_reranker_that_is_nowhere_is_refused_before_a_model_is_loaded(
    run: Run, minilm: Path
) -> None:
    with nothing_is_loaded():
        done = run("search", "fox", "--index", minilm, "--rerank", "./nowhere")
    assert (done.code, "there is no model './nowhere'" in done.err) == (69, True)


def test_a_task_is_refused_before_judgements_are_read(
    run: Run, minilm: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ir_measures")
    with nothing_is_loaded():
        done = run("evaluate", tmp_path / "none", "--index", minilm, "--task", "code")
    assert done.code == 78
