"""Which encoder a command takes: found where it was moved, refused before anything takes long."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from taskembed.index._lock import take_lock
from taskembed.index.fs import Fs
from taskembed.models.files import is_here
from tests import plain_models
from tests.conftest import Run, space_of

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


# A folder is found wherever one stands, and where it was moved.


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
            f"taskembed: error: the folder of the index's model is not there: {model}\n"
            "taskembed: hint: if it was moved, say where it is now: --model FOLDER; it is compared "
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


# Cheap questions come first.


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


# What a model says of itself is read before its weights are downloaded.


class Hub:
    """A repository that is downloaded as the hub's library does it; it remembers what it sent."""

    def __init__(self, repository: Path, here: Path) -> None:
        self.repository = repository
        self.here = here / plain_models.COMMIT
        self.sent: list[str] = []

    def snapshot_download(  # the library's
        self,
        _name: str,
        *,
        revision: str | None,
        allow_patterns: list[str],
        ignore_patterns: list[str],
        local_files_only: bool,
    ) -> str:
        assert revision in {None, plain_models.COMMIT}
        assert ignore_patterns
        if local_files_only:
            if not self.here.exists():
                raise LocalEntryNotFoundError("it is not here")
            return str(self.here)
        for path in sorted(self.repository.rglob("*")):
            name = path.relative_to(self.repository).as_posix()
            there = self.here / name
            wanted = any(fnmatch(name, pattern) for pattern in allow_patterns)
            if wanted and path.is_file() and not there.exists():
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, there)
                self.sent.append(name)
        return str(self.here)


@pytest.fixture
def hub_with_model(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub(model, tmp_path / "snapshots")
    monkeypatch.setattr("huggingface_hub.snapshot_download", hub.snapshot_download)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return hub


def test_a_model_that_nobody_knows_is_asked_for_its_prompts_before_its_weights(
    run: Run, corpus: Path, hub_with_model: Hub, tmp_path: Path
) -> None:
    index = tmp_path / "index"
    make = ("index", corpus, "--task", "retrieval", "--model", "some/model", "--index", index)
    done = run(*make)
    assert done.code == 69
    assert "--query-prompt TEXT --document-prompt TEXT" in done.err
    assert "config_sentence_transformers.json" in hub_with_model.sent
    assert not [name for name in hub_with_model.sent if name.endswith(".safetensors")]
    done = run(*make, *PROMPTS)
    assert done.code == 0, done.err
    assert "model.safetensors" in hub_with_model.sent
    assert space_of(run, index)["revision"] == plain_models.COMMIT
    sent = list(hub_with_model.sent)
    assert run("search", "fox", "--index", index).code == 0
    assert hub_with_model.sent == sent  # all of it is here now


def test_a_model_of_which_a_part_is_here_is_downloaded_whole(
    run: Run, corpus: Path, hub_with_model: Hub, tmp_path: Path
) -> None:
    index = tmp_path / "index"
    make = ("index", corpus, "--task", "retrieval", "--model", "some/model", "--index", index)
    assert run(*make).code == 69  # its description is here from now on
    done = run(*make, *PROMPTS, "--offline")
    assert done.code == 69
    assert "only a part of the model 'some/model' is on this machine" in done.err


@pytest.mark.parametrize("missing", ["modules.json", "1_Pooling"])
def test_what_another_library_left_out_is_downloaded(
    missing: str,
    run: Run,
    corpus: Path,
    tmp_path: Path,
    hub_with_model: Hub,
) -> None:
    shutil.rmtree(hub_with_model.repository)
    plain_models.save_bert(hub_with_model.repository, pooling="cls")
    here = shutil.copytree(hub_with_model.repository, hub_with_model.here)
    left_out = here / missing
    shutil.rmtree(left_out) if left_out.is_dir() else left_out.unlink()
    index = tmp_path / "index"
    make = ("index", corpus, "--task", "retrieval", *PROMPTS, "--model", "some/model")
    done = run(*make, "--index", index, "--offline")
    assert done.code == 69
    assert "only a part of the model 'some/model' is on this machine" in done.err
    assert run(*make, "--index", index).code == 0
    assert missing in {Path(name).parts[0] for name in hub_with_model.sent}
    assert space_of(run, index)["pooling"] == "cls"  # and not the mean, as without them


def test_a_repository_that_has_no_modules_is_whole_without_them(hub: Path, model: Path) -> None:
    (model / "modules.json").unlink()
    plain_models.publish(model, hub, "some/model")
    assert is_here("some/model")  # it was downloaded with everything that there is
    (model / ".gitattributes").unlink()
    assert not is_here("some/model")
    known = hub / "hub" / "models--some--model" / ".no_exist" / plain_models.COMMIT / "modules.json"
    known.parent.mkdir(parents=True)
    known.touch()  # as the hub's library notes it
    assert is_here("some/model")
