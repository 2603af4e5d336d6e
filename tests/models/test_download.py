"""What a model says of itself is read before its weights are downloaded; then it is whole."""

from __future__ import annotations

import shutil
from fnmatch import fnmatch
from pathlib import Path

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

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
