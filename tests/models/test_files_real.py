"""What a model's folder must not be able to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from taskembed.encoding._local import LocalEncoder
from taskembed.encoding.compile.quiet import quiet
from taskembed.encoding.load import load_encoder
from taskembed.encoding.settings import EngineSettings
from taskembed.errors import ModelUnavailableError
from taskembed.models.files import Hub
from taskembed.models.resolve import PromptOverrides
from taskembed.space import PromptType, Task
from tests import tiny_models

PROMPTS = PromptOverrides(query_prompt="", document_prompt="")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_models.save_bert(tmp_path / "model", pooling="mean")


def settings(cache: Path) -> EngineSettings:
    return EngineSettings(device="cpu", precision="fp32", offline=True, cache=cache)


@pytest.mark.parametrize("kind", ["config", pytest.param("modules", marks=pytest.mark.slow)])
def test_a_model_with_code_of_its_own_is_refused_and_its_code_is_not_run(
    model: Path, cache: Path, kind: str
) -> None:
    marker = model / "it-ran"
    code = f"open({str(marker)!r}, 'w').close()\nclass Model: ...\nclass Config: ...\n"
    (model / "evil.py").write_text(code)
    if kind == "config":
        path = model / "config.json"
        config = json.loads(path.read_text())
        config["model_type"] = "evil"
        config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
        path.write_text(json.dumps(config))
    else:
        path = model / "modules.json"
        modules = json.loads(path.read_text())
        modules[0]["type"] = "evil.Model"
        path.write_text(json.dumps(modules))
    corpus = model / "corpus.jsonl"
    corpus.write_text('{"id": "a", "text": "one"}\n')
    arguments = ["index", str(corpus), "--task", "retrieval", "--model", str(model)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "taskembed", *arguments, "--query-prompt", ""),
            *("--document-prompt", "", "--index", str(model / "index"), "--cache", str(cache)),
        ],
        input="y\ny\ny\n",  # the answer to a question that must not be asked
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not marker.exists()
    assert done.returncode == 69
    why = {
        "config": f"{model} has its own Python code, and belongs to no known family",
        "modules": f"the model {str(model)!r} cannot be loaded: ",
    }
    assert why[kind] in done.stderr
    assert "Traceback" not in done.stderr


def test_a_pickle_is_refused_unread(model: Path, tmp_path: Path) -> None:
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(b"not even a pickle")
    with pytest.raises(ModelUnavailableError) as caught:
        Hub(tmp_path / "cache").locate(str(model))
    assert caught.value.message == (
        f"the model {str(model)!r} has no weights as safetensors: there is only "
        "pytorch_model.bin, a pickle, which can run code when it is loaded"
    )


def test_beside_safetensors_a_pickle_is_not_read(model: Path, cache: Path) -> None:
    torch.save({"would": "fail to load as weights"}, model / "pytorch_model.bin")
    encoder = load_encoder(str(model), Task.RETRIEVAL, stated=PROMPTS, settings=settings(cache))
    assert encoder.encode(["one"], PromptType.QUERY).vectors.shape == (1, tiny_models.HIDDEN)


def test_every_file_that_can_move_a_vector_moves_the_digest(model: Path, tmp_path: Path) -> None:
    def digest() -> str:
        return Hub(tmp_path / "cache").locate(str(model)).digest

    before = digest()
    assert digest() == before
    for name in ("model.safetensors", "config.json", "tokenizer.json", "1_Pooling/config.json"):
        path = model / name
        data = path.read_bytes()
        times = path.stat()
        path.write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # as if it were untouched
        assert digest() != before, name
        path.write_bytes(data)
        assert digest() == before
    (model / "README.md").write_text("says nothing to the model")
    assert digest() == before


def test_the_bundled_weights_must_be_those_of_their_authors(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskembed.models.files._bundled_folder", lambda: model)
    with pytest.raises(ModelUnavailableError, match="is not the one that its authors published"):
        Hub(tmp_path / "cache").locate("minilm")


@pytest.mark.parametrize(
    ("model_id", "task", "message"),
    [
        ("jinaai/jina-embeddings-v3", Task.RETRIEVAL, "selects its adapters in its own code"),
        ("nomic-ai/nomic-embed-text-v2-moe", Task.CODE, "has no prompt for the task 'code'"),
        (
            "nomic-ai/nomic-embed-text-v2-moe",
            Task.RETRIEVAL,
            "needs Python code of its own to be loaded, which is not run unasked",
        ),
    ],
)
def test_what_is_known_but_not_supported_is_refused_before_a_download(
    model_id: str, task: Task, message: str, cache: Path
) -> None:
    with pytest.raises(ModelUnavailableError, match=message):
        load_encoder(model_id, task, settings=settings(cache))


@pytest.mark.slow
def test_a_damaged_cache_is_made_again(model: Path, tmp_path: Path) -> None:
    said: list[str] = []
    options = EngineSettings(
        device="cpu", precision="fp32", offline=True, cache=tmp_path / "cache", notify=said.append
    )

    def vectors() -> list[list[float]]:
        encoder = load_encoder(str(model), Task.RETRIEVAL, stated=PROMPTS, settings=options)
        rows: list[list[float]] = encoder.encode(["one", "two"], PromptType.QUERY).vectors.tolist()
        return rows

    first = vectors()
    assert vectors() == first
    (entry,) = (tmp_path / "cache" / "compiled").iterdir()
    data = bytearray(entry.read_bytes())
    data[len(data) // 2] ^= 1
    entry.write_bytes(data)
    assert vectors() == first
    assert len(said) == 2
    assert (
        said[0] == said[1] == (f"compiling the model {model} for this machine; this happens once")
    )


def test_a_model_brings_its_own_prompts(tmp_path: Path, cache: Path) -> None:
    model = tiny_models.save_qwen3(tmp_path / "mine")
    encoder = load_encoder(str(model), Task.RETRIEVAL, settings=settings(cache))
    assert encoder.space.query_prompt.endswith("answer the query\nQuery:")
    assert encoder.space.document_prompt == ""


def test_the_end_token_that_qwen3_is_pooled_on_is_there_also_after_a_cut(
    tmp_path: Path, cache: Path
) -> None:
    model = tiny_models.save_qwen3(tmp_path / "mine")
    encoder = load_encoder(str(model), Task.RETRIEVAL, settings=settings(cache))
    assert isinstance(encoder, LocalEncoder)
    pieces = encoder.tokenizer(PromptType.DOCUMENT).pieces("word " * 500)
    assert len(pieces) == encoder.space.max_length == 96
    assert pieces[-1] == "<|endoftext|>"


@pytest.mark.parametrize(
    "count", [5, pytest.param(50, marks=[pytest.mark.crash, pytest.mark.timeout(600)])]
)
def test_many_processes_end_as_they_should(cache: Path, count: int) -> None:
    code = (
        "from taskembed.encoding.load import *; from taskembed.space import *; "
        "from pathlib import Path; "
        f"e = load_encoder(settings=EngineSettings(cache=Path({str(cache)!r}), device='cpu')); "
        "e.encode(['one text', 'another'] * 20, PromptType.DOCUMENT)"
    )
    for _ in range(count):
        done = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
        assert done.returncode == 0


def test_while_a_model_is_loaded_nothing_is_asked_of_the_hub(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with quiet():
        assert constants.is_offline_mode()
    assert not constants.is_offline_mode()  # another model can be downloaded after it


def test_a_model_with_code_that_is_not_trusted_is_refused_with_the_way_on(
    tmp_path: Path, cache: Path
) -> None:
    model = tiny_models.save_bert(tmp_path / "model", pooling="mean")
    modules = json.loads((model / "modules.json").read_text())
    modules[1]["type"] = "their_pooling.TheirPooling"
    (model / "modules.json").write_text(json.dumps(modules))
    (model / "their_pooling.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(ModelUnavailableError) as refusal:
        load_encoder(str(model), Task.RETRIEVAL, stated=PROMPTS, settings=settings(cache))
    assert refusal.value.hint == (
        "it needs its own Python code: read that code, then give --trust-remote-code and "
        "--revision COMMIT; or name another model"
    )
