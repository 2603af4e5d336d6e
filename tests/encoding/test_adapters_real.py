"""LoRA adapters: merged as PEFT computes them beside the model, recorded, refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import BertModel

from taskembed.encoding.load import load_encoder, load_encoder_of
from taskembed.encoding.settings import EngineSettings
from taskembed.errors import ModelUnavailableError
from taskembed.models.resolve import PromptOverrides
from taskembed.space import PromptType, Task
from taskembed.vectors import FloatRows
from tests import tiny_families, tiny_models
from tests.conftest import Run

TEXTS = ["fox", "the quick brown fox jumps over the lazy dog", "def add(left, right)"]
PROMPTS = ("--query-prompt", "", "--document-prompt", "")
TARGETS = ("query", "value", "dense")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_models.save_bert(tmp_path / "model", pooling="mean")


@pytest.fixture
def adapter(tmp_path: Path, model: Path) -> Path:
    return save_adapter(tmp_path / "adapter", model)


def save_adapter(folder: Path, model: Path, *, base_name: str = "", seed: int = 0) -> Path:
    torch.manual_seed(seed)
    base = BertModel.from_pretrained(model)
    return tiny_families.save_adapter(folder, base, TARGETS, base_name=base_name)


def settings(cache: Path, said: list[str] | None = None) -> EngineSettings:
    return EngineSettings(
        device="cpu",
        precision="fp32",
        offline=True,
        cache=cache,
        notify=(said if said is not None else []).append,
    )


def stated(adapter: Path | str) -> PromptOverrides:
    return PromptOverrides(query_prompt="", document_prompt="", adapter=str(adapter))


def unmerged(model: Path, adapter: Path) -> FloatRows:
    """Compute mean vectors with PEFT's adapter beside the model, one text at a time."""
    tokenizer = tiny_families.tokenizer_of(model)
    wrapped: Any = PeftModel.from_pretrained(BertModel.from_pretrained(model), str(adapter))
    rows = []
    for text in TEXTS:
        with torch.inference_mode():
            hidden = wrapped.eval()(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        rows.append(torch.nn.functional.normalize(hidden.mean(dim=0), dim=0).numpy())
    return np.stack(rows)


def test_an_adapter_is_merged_and_recorded(model: Path, adapter: Path, cache: Path) -> None:
    encoder = load_encoder(
        str(model), Task.RETRIEVAL, stated=stated(adapter), settings=settings(cache)
    )
    vectors, _ = encoder.encode(TEXTS, PromptType.QUERY)
    documents, _ = encoder.encode(TEXTS, PromptType.DOCUMENT)
    assert float(np.abs(vectors - unmerged(model, adapter)).max()) < 1e-5
    assert float(np.abs(documents - vectors).max()) == 0
    space = encoder.space
    assert (space.query_adapter, space.document_adapter) == (str(adapter), str(adapter))
    assert len(space.adapter_digest) == 64
    again, _ = load_encoder_of(space, settings(cache)).encode(TEXTS, PromptType.QUERY)
    assert float(np.abs(again - vectors).max()) == 0
    plain = load_encoder(
        str(model),
        Task.RETRIEVAL,
        stated=PromptOverrides(query_prompt="", document_prompt=""),
        settings=settings(cache),
    )
    other, _ = plain.encode(TEXTS, PromptType.QUERY)
    assert float(np.abs(other - vectors).max()) > 0.01
    assert plain.space.adapter_digest == ""


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (
            'task = "retrieval"\n',
            ["was trained for retrieval, but this space is for code"],
        ),
        (
            'task = "code"\nquery_prompt = "find: "\ndocument_prompt = ""\n',
            ["was trained with the query prompt 'find: ', but this space has ''"],
        ),
        ('task = "code"\nquery_prompt = ""\n', []),
        ('task = "of a newer version"\n', []),
        ("task = [", []),
        (f"task = {'[' * 100_000}", []),
    ],
)
def test_what_an_adapter_was_trained_for_is_said_when_it_is_something_else(
    recipe: str, said: list[str], model: Path, adapter: Path, cache: Path
) -> None:
    (adapter / "recipe.toml").write_text(recipe)
    heard: list[str] = []
    encoder = load_encoder(
        str(model), Task.CODE, stated=stated(adapter), settings=settings(cache, heard)
    )
    notes = [f"note: the adapter {adapter} {text}" for text in said]
    assert [text for text in heard if text.startswith("note: the adapter")] == notes
    heard.clear()
    load_encoder_of(encoder.space, settings(cache, heard))
    assert not heard  # once is enough


def test_an_index_refuses_the_adapter_when_it_has_changed(
    model: Path, adapter: Path, run: Run, tmp_path: Path
) -> None:
    corpus, index = tmp_path / "corpus.jsonl", tmp_path / "index"
    corpus.write_text('{"id": "a", "text": "fox"}\n{"id": "b", "text": "lazy dog"}\n')
    words = ("--task", "retrieval", "--model", model, "--adapter", adapter, *PROMPTS)
    assert run("index", corpus, *words, "--index", index).code == 0
    assert run("search", "fox", "--index", index).lines[0]["doc_id"] == "a"
    info: Any = run("info", "--index", index, "--json").json
    assert info["space"]["document_adapter"] == str(adapter)
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file(
        {key: value * 2 for key, value in weights.items()}, adapter / "adapter_model.safetensors"
    )
    done = run("search", "fox", "--index", index)
    assert done.code == 78
    assert "  adapter: differ from those that built this index (sha256 " in done.err


def test_an_adapter_that_was_moved_is_asked_for_and_found(
    model: Path, adapter: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, index = tmp_path / "corpus.jsonl", tmp_path / "index"
    corpus.write_text('{"id": "1", "text": "fox"}\n')
    words = ("--task", "retrieval", "--model", "model", "--adapter", "adapter", "--index", index)
    monkeypatch.chdir(tmp_path)
    make = ("index", corpus, *words, *PROMPTS)
    assert run(*make).code == 0
    assert run("index", corpus, *words).code == 0  # the same again
    monkeypatch.chdir("/")
    hits = run("search", "fox", "--index", index, "--format", "jsonl").out
    adapter.rename(tmp_path / "moved")
    done = run("search", "fox", "--index", index)
    assert done.code == 69
    assert f"the folder of the index's adapter does not exist: {adapter}" in done.err
    assert "--adapter FOLDER" in done.err
    search = ("search", "fox", "--index", index, "--format", "jsonl", "--adapter")
    assert run(*search, tmp_path / "moved").out == hits
    other = save_adapter(tmp_path / "other", model, seed=1)
    done = run(*search, other)
    assert done.code == 78
    assert "  adapter: differ from those that built this index (sha256 " in done.err
    assert run("index", corpus, "--adapter", tmp_path / "moved", "--index", index).code == 0
    assert run("search", "fox", "--index", index, "--format", "jsonl").out == hits
    assert str(tmp_path / "moved") in run("info", "--index", index).out


@pytest.mark.slow
def test_each_task_can_have_its_adapter_in_a_prompts_file(
    model: Path, run: Run, tmp_path: Path
) -> None:
    save_adapter(tmp_path / "lora" / "sts", model, seed=1)
    save_adapter(tmp_path / "lora" / "search", model, seed=2)
    prompts = tmp_path / "mine.toml"
    prompts.write_text(
        "[tasks]\n"
        'similarity = { both = "" }\n'
        'retrieval = { query = "query: ", document = "" }\n'
        "[adapters]\n"
        'similarity = "lora/sts"\n'
        'retrieval = "lora/search"\n'
    )
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"id": "a", "text": "fox"}\n')
    spaces = {}
    for task in ("similarity", "retrieval"):
        index = tmp_path / f"index-{task}"
        done = run(
            *("index", corpus, "--task", task, "--model", model, "--prompts", prompts),
            *("--index", index),
        )
        assert done.code == 0, done.err
        value: Any = run("info", "--index", index, "--json").json
        spaces[task] = value["space"]
    assert spaces["similarity"]["query_adapter"] == str(tmp_path / "lora" / "sts")
    assert spaces["retrieval"]["query_adapter"] == str(tmp_path / "lora" / "search")
    assert spaces["retrieval"]["query_prompt"] == "query: "
    assert spaces["similarity"]["adapter_digest"] != spaces["retrieval"]["adapter_digest"]


def test_the_base_is_the_adapter_s_own_when_no_model_is_named(
    model: Path, tmp_path: Path, cache: Path
) -> None:
    adapter = save_adapter(tmp_path / "adapter", model, base_name=str(model))
    said: list[str] = []
    encoder = load_encoder(
        None, Task.RETRIEVAL, stated=stated(adapter), settings=settings(cache, said)
    )
    assert encoder.space.model == str(model)
    assert said[0] == f"the base of the adapter {adapter} is {model}"


def refused(model: Path | str | None, adapter: Path | str, cache: Path) -> str:
    with pytest.raises(ModelUnavailableError) as refusal:
        load_encoder(
            str(model) if model else None,
            Task.RETRIEVAL,
            stated=stated(adapter),
            settings=settings(cache),
        )
    return refusal.value.message


def test_an_adapter_without_a_base_is_refused(adapter: Path, cache: Path) -> None:
    assert refused(None, adapter, cache) == (
        f"the adapter {str(adapter)!r} does not say which model it was trained on"
    )
    tiny_families.change_json(
        adapter / "adapter_config.json", base_model_name_or_path="/nowhere/base"
    )
    assert refused(None, adapter, cache) == (
        "there is no model '/nowhere/base': it is neither a folder nor a Hugging Face id"
    )


def test_an_adapter_of_another_shape_is_refused(
    model: Path, adapter: Path, tmp_path: Path, cache: Path
) -> None:
    path = adapter / "adapter_model.safetensors"
    weights = load_file(path)
    save_file({key: value.repeat(1, 2) for key, value in weights.items()}, path)
    message = refused(model, adapter, cache)
    assert message.startswith(f"the adapter {str(adapter)!r} does not fit the model: size mismatch")
    few = dict(list(weights.items())[1:])
    save_file(few, path)
    assert "is in only one of adapter and model" in refused(model, adapter, cache)
    other = tiny_models.save_qwen3(tmp_path / "other")
    save_file(weights, path)
    message = refused(other, adapter, cache)
    assert message.startswith(
        f"the adapter {str(adapter)!r} does not fit the model: Target modules"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "PREFIX_TUNING"}, "the adapter {} is PREFIX_TUNING, not LoRA"),
        ({"peft_type": None}, "the adapter {} is of an unknown kind, not LoRA"),
    ],
)
def test_what_is_no_lora_is_refused(
    change: dict[str, object], message: str, model: Path, adapter: Path, cache: Path
) -> None:
    tiny_families.change_json(adapter / "adapter_config.json", **change)
    assert refused(model, adapter, cache) == message.format(repr(str(adapter)))


def test_what_is_no_adapter_is_refused(
    model: Path, adapter: Path, tmp_path: Path, cache: Path
) -> None:
    assert refused(model, "nowhere", cache) == (
        "there is no adapter 'nowhere': it is neither a folder nor a Hugging Face id"
    )
    assert refused(model, model, cache) == (
        f"the adapter {str(model)!r} has no adapter_config.json: {model}"
    )
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    assert refused(model, adapter, cache) == (
        f"the adapter {str(adapter)!r} has no adapter_model.safetensors: {adapter}"
    )
    (adapter / "adapter_config.json").write_text("{")
    said = refused(model, adapter, cache)
    assert said.startswith(f"{adapter / 'adapter_config.json'} is not JSON: ")


def test_an_adapter_of_another_known_model_is_said(
    tmp_path: Path, adapter: Path, cache: Path, hub: Path
) -> None:
    tiny_families.change_json(
        adapter / "adapter_config.json", base_model_name_or_path="BAAI/bge-small-en-v1.5"
    )
    tiny_models.publish(tmp_path / "model", hub, "intfloat/e5-small-v2")
    said: list[str] = []
    load_encoder(
        "intfloat/e5-small-v2",
        Task.RETRIEVAL,
        stated=PromptOverrides(adapter=str(adapter)),
        settings=settings(cache, said),
    )
    assert said[0] == (
        f"note: the adapter {adapter} was trained on BAAI/bge-small-en-v1.5, not "
        "intfloat/e5-small-v2"
    )


@pytest.mark.slow
def test_jina_s_repository_is_read_and_never_written(tmp_path: Path, cache: Path) -> None:
    folder = tiny_families.save_jina_v5(tmp_path / "model", "nano")
    (folder / "1_Pooling").mkdir()  # as if it were there: a view must not write through a link
    before = sorted(str(path) for path in folder.rglob("*"))
    load_encoder(
        str(folder),
        Task.RETRIEVAL,
        stated=PromptOverrides(family="jina-v5-nano"),
        settings=settings(cache),
    )
    assert sorted(str(path) for path in folder.rglob("*")) == before


@pytest.mark.slow
def test_a_task_without_an_adapter_is_refused(tmp_path: Path, run: Run, hub: Path) -> None:
    folder = tiny_families.save_jina_v5(tmp_path / "model", "nano")
    tiny_models.publish(folder, hub, "jinaai/jina-embeddings-v5-text-nano")
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(json.dumps({"id": "a", "text": "fox"}))
    words = ("--model", "jinaai/jina-embeddings-v5-text-nano", "--index", tmp_path / "index")
    done = run("index", corpus, "--task", "code", *words)
    assert done.code == 69
    assert "jina-embeddings-v5-text-nano has no adapter for the task 'code'" in done.err
    done = run("index", corpus, "--task", "similarity", *words)
    assert done.code == 0
    assert (
        "taskembed: note: jinaai/jina-embeddings-v5-text-nano is not for commercial use: its "
        "licence is CC-BY-NC-4.0"
    ) in done.err
    assert "commercial" not in run("index", corpus, *words).err  # said once
