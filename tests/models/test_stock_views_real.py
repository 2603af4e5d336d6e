"""What is no embedding model is refused by its right name; adapters and routers are found whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from transformers import BertModel

from taskembed.encoding.load import load_encoder
from taskembed.encoding.settings import EngineSettings
from taskembed.errors import ModelUnavailableError
from taskembed.models.files import Hub
from taskembed.models.resolve import PromptOverrides
from taskembed.space import PromptType, Task
from tests import layouts, tiny_families, tiny_models
from tests.conftest import Run
from tests.layouts import Layout

NO_PROMPTS = PromptOverrides(query_prompt="", document_prompt="")


def refusal(folder: Path, cache: Path) -> ModelUnavailableError:
    settings = EngineSettings(device="cpu", offline=True, cache=cache)
    with pytest.raises(ModelUnavailableError) as caught:
        load_encoder(str(folder), Task.RETRIEVAL, stated=NO_PROMPTS, settings=settings)
    return caught.value


def bert(folder: Path) -> Path:
    return tiny_models.save_bert(folder, pooling="mean")


def modules(folder: Path, *types: str) -> None:
    listed = [
        {
            "idx": number,
            "name": str(number),
            "path": "" if not number else str(number),
            "type": name,
        }
        for number, name in enumerate(types)
    ]
    tiny_models.write_json(folder / "modules.json", listed)


def test_a_cross_encoder_is_a_reranker(tmp_path: Path, run: Run) -> None:
    model = tiny_families.save_cross_encoder(tmp_path / "model", "bert")
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"id": "a", "text": "fox"}\n')
    done = run(
        *("index", corpus, "--task", "retrieval", "--model", model, "--index", tmp_path / "i"),
        *("--query-prompt", "", "--document-prompt", ""),
    )
    assert done.code == 69
    assert done.err.splitlines() == [
        f"taskembed: error: the model {str(model)!r} is a reranker: it computes "
        "scores of pairs, and no vectors of texts",
        f"taskembed: hint: --rerank {model} with `taskembed search`",
    ]


def test_a_cross_encoder_as_the_library_saves_it_now_is_a_reranker(
    tmp_path: Path, cache: Path
) -> None:
    assert "is a reranker" in refusal(tiny_families.save_zerank(tmp_path / "model"), cache).message


def test_a_sparse_model_is_one(tmp_path: Path, cache: Path) -> None:
    model = bert(tmp_path / "model")
    base = "sentence_transformers.sparse_encoder.models"
    modules(model, f"{base}.MLMTransformer", f"{base}.SpladePooling")
    assert refusal(model, cache).message == (
        f"the model {str(model)!r} is a sparse model: not supported"
    )


def test_a_late_interaction_model_is_one(tmp_path: Path, cache: Path) -> None:
    model = bert(tmp_path / "model")
    modules(model, "sentence_transformers.models.Transformer", "pylate.models.Dense.Dense")
    assert "has a vector for every token (ColBERT)" in refusal(model, cache).message


def test_a_language_model_without_modules_is_no_embedding_model(
    tmp_path: Path, cache: Path
) -> None:
    model = bert(tmp_path / "model")
    (model / "modules.json").unlink()
    tiny_families.change_config(model, architectures=["BertForMaskedLM"])
    assert "is a BertForMaskedLM without modules.json" in refusal(model, cache).message


def test_quantised_weights_hint_at_what_they_were_made_from(tmp_path: Path, cache: Path) -> None:
    model = bert(tmp_path / "model")
    tiny_families.change_config(model, quantization_config={"load_in_8bit": True})
    error = refusal(model, cache)
    assert "is quantised (quantization_config in config.json)" in error.message
    assert error.hint == "name the repository that it was converted from"


def test_a_module_s_quantised_weights_are_seen_too(tmp_path: Path, cache: Path) -> None:
    model = layouts.save_layout(tmp_path / "model", Layout(router="models"))
    branch = next(model.rglob("query_0_Transformer"))
    tiny_families.change_config(branch, quantization_config={"load_in_8bit": True})
    where = branch.relative_to(model) / "config.json"
    assert f"is quantised (quantization_config in {where})" in refusal(model, cache).message


@pytest.mark.parametrize(
    "names",
    [
        ("onnx/model_quantized.onnx",),
        ("model-q4_k_m.gguf",),
        ("openvino_model.xml", "openvino_model.bin"),
    ],
)
def test_an_exported_model_hints_at_what_it_was_made_from(
    names: tuple[str, ...], tmp_path: Path, cache: Path
) -> None:
    model = bert(tmp_path / "model")
    (model / "model.safetensors").unlink()
    for name in names:
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_bytes(b"weights")
    error = refusal(model, cache)
    assert f"there is only {names[0]}, which is for another library" in error.message
    assert error.hint == "name the repository that it was converted from"


def test_a_late_interaction_folder_of_its_own_library_is_one(tmp_path: Path, cache: Path) -> None:
    model = bert(tmp_path / "model")
    (model / "modules.json").unlink()
    tiny_models.write_json(model / "artifact.metadata", {"query_maxlen": 32})
    assert "has a vector for every token (ColBERT)" in refusal(model, cache).message


def test_the_weights_of_a_router_s_branches_are_found(tmp_path: Path, cache: Path) -> None:
    model = layouts.save_layout(tmp_path / "model", Layout(router="models"))
    assert not (model / "model.safetensors").exists()
    assert Hub(cache).locate(str(model)).digest


@pytest.mark.slow
def test_the_weights_of_an_older_router_s_branches_are_found(tmp_path: Path, cache: Path) -> None:
    model = layouts.save_layout(tmp_path / "model", Layout(router="models"))
    listed = json.loads((model / "modules.json").read_text())
    router = model / "0_Asym"
    router.mkdir()
    (model / "router_config.json").rename(router / "config.json")
    for branch in model.glob("*_0_Transformer"):
        branch.rename(router / branch.name)
    listed[0] |= {"path": "0_Asym", "type": "sentence_transformers.models.Asym"}
    tiny_models.write_json(model / "modules.json", listed)
    settings = EngineSettings(device="cpu", precision="fp32", offline=True, cache=cache)
    encoder = load_encoder(str(model), Task.RETRIEVAL, stated=NO_PROMPTS, settings=settings)
    reference = SentenceTransformer(str(model), device="cpu", local_files_only=True)
    for side, encode in (
        (PromptType.QUERY, reference.encode_query),
        (PromptType.DOCUMENT, reference.encode_document),
    ):
        expected = encode(["fox"], prompt="", normalize_embeddings=True)
        assert np.abs(encoder.encode(["fox"], side).vectors - expected).max() < 1e-5


def test_a_branch_that_is_only_a_pickle_is_refused(tmp_path: Path, cache: Path) -> None:
    model = layouts.save_layout(tmp_path / "model", Layout(router="models"))
    branch = next(model.rglob("query_0_Transformer"))
    (branch / "model.safetensors").rename(branch / "pytorch_model.bin")
    assert "a pickle" in refusal(model, cache).message


@pytest.mark.slow
def test_the_digest_of_an_adapter_that_is_a_model_holds_its_base(
    tmp_path: Path, cache: Path
) -> None:
    base = bert(tmp_path / "base")
    model = bert(tmp_path / "model")
    tiny_families.save_adapter(
        model, BertModel.from_pretrained(base), ("query", "value"), base_name=str(base)
    )
    (model / "model.safetensors").unlink()
    (model / "config.json").unlink()
    settings = EngineSettings(device="cpu", precision="fp32", offline=True, cache=cache)

    def load() -> tuple[str, np.ndarray]:
        encoder = load_encoder(str(model), Task.RETRIEVAL, stated=NO_PROMPTS, settings=settings)
        return encoder.space.weights_digest, encoder.encode(["fox"], PromptType.QUERY).vectors

    digest, vectors = load()
    expected = SentenceTransformer(str(model), device="cpu", local_files_only=True).encode(
        ["fox"], normalize_embeddings=True
    )
    assert np.abs(vectors - expected).max() < 1e-5
    path = base / "model.safetensors"
    weights = {name: value + torch.randn_like(value) / 2 for name, value in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})
    changed, others = load()
    assert changed != digest
    assert np.abs(others - vectors).max() > 0.01


def test_a_comparison_is_made_once_for_a_prompt(tmp_path: Path) -> None:
    model = bert(tmp_path / "model")
    told: list[str] = []
    settings = EngineSettings(
        device="cpu", offline=True, cache=tmp_path / "cache", notify=told.append
    )
    for prompt in ("", "", "query: ", "query: "):
        stated = PromptOverrides(query_prompt=prompt, document_prompt="")
        load_encoder(str(model), Task.RETRIEVAL, stated=stated, settings=settings)
    assert told == [
        f"compiling the model {model} for this machine; this happens once",
        f"comparing {model} with sentence-transformers, once",
    ]
    # a side and its prompt: three; the long text, whose way is the same: one
    assert len(list((tmp_path / "cache" / "checked").iterdir())) == 4


@pytest.mark.parametrize(
    ("file", "field", "value"),
    [
        ("config_sentence_transformers.json", "prompts", ["query: "]),
        ("config_sentence_transformers.json", "prompts", None),
        ("config_sentence_transformers.json", "prompts", {"query": 3}),
        ("config_sentence_transformers.json", "truncate_dim", -1),
        ("config_sentence_transformers.json", "truncate_dim", "8"),
        ("modules.json", "path", "../other"),
        ("modules.json", "path", "/etc"),
        ("modules.json", "path", None),
        ("modules.json", "type", 7),
    ],
)
def test_what_cannot_be_in_a_file_is_named(
    file: str, field: str, value: object, tmp_path: Path, cache: Path
) -> None:
    model = bert(tmp_path / "model")
    saved = json.loads((model / file).read_text())
    (saved[1] if isinstance(saved, list) else saved)[field] = value
    tiny_models.write_json(model / file, saved)
    message = refusal(model, cache).message
    assert file in message
    assert str(value) in message
