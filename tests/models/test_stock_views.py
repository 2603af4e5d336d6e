"""What a repository says that it is, and the view of it that sentence-transformers reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from taskembed.errors import ModelUnavailableError
from taskembed.models.stock_views import (
    brings_own_model,
    has_sides,
    is_understood,
    module_types,
    refers_to_code,
    refuse_malformed,
    refuse_other_kinds,
    static_folder,
    stock_view,
)

LIBRARY = "sentence_transformers.models"


def written(folder: Path, **files: object) -> Path:
    """Write files of JSON, named without their ending; in a folder, `a__b` is `a/b`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / f"{name.replace('__', '/')}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    return folder


def modules(*types: str, path: str = "") -> list[dict[str, object]]:
    return [
        {"idx": number, "name": str(number), "path": path, "type": kind}
        for number, kind in enumerate(types)
    ]


def test_code_of_its_own_is_seen(tmp_path: Path) -> None:
    stock = written(tmp_path / "a", config={}, modules=modules(f"{LIBRARY}.Transformer"))
    assert (brings_own_model(stock), refers_to_code(stock)) == (False, False)
    own = written(tmp_path / "b", config={"auto_map": {"AutoModel": "theirs.Model"}})
    assert (brings_own_model(own), refers_to_code(own)) == (True, True)
    settings = written(tmp_path / "c", config={"auto_map": {"AutoConfig": "theirs.Config"}})
    assert (brings_own_model(settings), refers_to_code(settings)) == (False, True)
    tokenizer = written(tmp_path / "d", tokenizer_config={"auto_map": {"AutoTokenizer": ["a", ""]}})
    assert (brings_own_model(tokenizer), refers_to_code(tokenizer)) == (False, True)
    module = written(tmp_path / "e", modules=modules(f"{LIBRARY}.Transformer", "custom.Module"))
    assert (brings_own_model(module), refers_to_code(module)) == (False, True)
    assert module_types(module) == [f"{LIBRARY}.Transformer", "custom.Module"]


def test_a_router_has_sides(tmp_path: Path) -> None:
    for name, expected in (("Router", True), ("Asym", True), ("Transformer", False)):
        folder = written(tmp_path / name, modules=modules(f"{LIBRARY}.{name}"))
        assert has_sides(folder) is expected


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (
            {"config": {"quantization_config": {"bits": 4}}},
            "is quantised (quantization_config in config.json), and not supported",
        ),
        (
            {"1_Transformer__config": {"quantization_config": {"bits": 4}}},
            "is quantised (quantization_config in 1_Transformer/config.json), and not supported",
        ),
        ({"config_sentence_transformers": {"model_type": "CrossEncoder"}}, "is a reranker: "),
        ({"modules": modules(f"{LIBRARY}.LogitScore")}, "is a reranker: "),
        ({"config": {"architectures": ["BertForSequenceClassification"]}}, "is a reranker: "),
        ({"config_sentence_transformers": {"model_type": "SparseEncoder"}}, "is a sparse model"),
        ({"modules": modules(f"{LIBRARY}.SpladePooling")}, "is a sparse model: not supported"),
        ({"modules": modules("pylate.models.Dense")}, "has a vector for every token (ColBERT)"),
        ({"config": {"architectures": ["HF_ColBERT"]}}, "has a vector for every token (ColBERT)"),
        (
            {"config_sentence_transformers": {"model_type": "ColBERT"}},
            "has a vector for every token (ColBERT): not supported",
        ),
        (
            {"config": {"architectures": ["LlamaForCausalLM"]}},
            "is a LlamaForCausalLM without modules.json: nothing shows that it is an embedding",
        ),
    ],
)
def test_what_is_no_embedding_model_is_refused_by_its_kind(
    tmp_path: Path, files: dict[str, object], why: str
) -> None:
    with pytest.raises(ModelUnavailableError) as refusal:
        refuse_other_kinds("m", written(tmp_path / "model", **files))
    assert refusal.value.message.startswith(f"the model 'm' {why}")
    expected = "name an embedding model with --model"
    if "quantised" in why:
        expected = "name the repository that it was converted from"
    elif "reranker" in why:
        expected = "--rerank m with `taskembed search`"
    assert refusal.value.hint == expected


def test_the_folder_of_colbert_s_own_library_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "model", config={"architectures": ["BertModel"]})
    refuse_other_kinds("m", folder)
    (folder / "artifact.metadata").touch()
    with pytest.raises(ModelUnavailableError, match="has a vector for every token"):
        refuse_other_kinds("m", folder)


def test_an_embedding_model_is_not_refused(tmp_path: Path) -> None:
    stock = modules(f"{LIBRARY}.Transformer")
    refuse_other_kinds("m", written(tmp_path / "a", config={}, modules=stock))
    saved = {"prompts": {"query": "q: ", "other": None}, "truncate_dim": 8}
    folder = written(
        tmp_path / "b",
        config={"architectures": ["Qwen3ForCausalLM"]},
        modules=stock,
        config_sentence_transformers=saved,
    )
    refuse_other_kinds("m", folder)


@pytest.mark.parametrize(
    ("files", "wrong"),
    [
        (
            {"config_sentence_transformers": {"prompts": ["query: "]}},
            "prompts ['query: '] in config_sentence_transformers.json",
        ),
        (
            {"config_sentence_transformers": {"prompts": {"query": 1}}},
            "prompts {'query': 1} in config_sentence_transformers.json",
        ),
        (
            {"config_sentence_transformers": {"truncate_dim": 0}},
            "truncate_dim 0 in config_sentence_transformers.json",
        ),
        (
            {"config_sentence_transformers": {"truncate_dim": True}},
            "truncate_dim True in config_sentence_transformers.json",
        ),
        (
            {"modules": [{"name": "0", "path": ""}]},
            "a module with the type None in modules.json",
        ),
        (
            {"modules": modules("x", path="../other")},
            "a module outside of its folder, '../other' in modules.json",
        ),
        (
            {"modules": modules("x", path="/etc")},
            "a module outside of its folder, '/etc' in modules.json",
        ),
    ],
)
def test_what_cannot_be_in_a_file_is_refused(
    tmp_path: Path, files: dict[str, object], wrong: str
) -> None:
    with pytest.raises(ModelUnavailableError) as refusal:
        refuse_malformed("m", written(tmp_path / "model", **files))
    assert refusal.value.message == f"the model 'm' has an invalid value: {wrong}"
    assert refusal.value.hint == "save or download the model again"


# views


def content(folder: Path) -> dict[str, object]:
    """Return the JSON of a view, by the names of its files."""
    return {
        str(path.relative_to(folder)): json.loads(path.read_text())
        for path in sorted(folder.rglob("*.json"))
    }


def types(folder: Path) -> list[str]:
    return [name.rpartition(".")[2] for name in module_types(folder)]


def test_a_stock_model_is_its_own_view(tmp_path: Path) -> None:
    folder = written(tmp_path / "model", config={}, modules=modules(f"{LIBRARY}.Transformer"))
    assert not is_understood(folder)
    with stock_view(folder) as view:
        assert view == folder


def test_the_class_of_zembed_is_a_transformer_in_a_view(tmp_path: Path) -> None:
    listed = modules("modeling_zembed.ZembedTransformer", f"{LIBRARY}.Pooling")
    folder = written(tmp_path / "model", config={"a": 1}, modules=listed)
    (folder / "modeling_zembed.py").write_text("raise SystemExit")
    assert is_understood(folder)
    with stock_view(folder) as view:
        assert types(view) == ["Transformer", "Pooling"]
        assert (view / "config.json").resolve() == (folder / "config.json").resolve()
        assert not list(view.glob("*.py"))
    assert not view.exists()
    assert module_types(folder)[0] == "modeling_zembed.ZembedTransformer"


@pytest.mark.parametrize("normalizes", [True, False])
def test_a_model_of_model2vec_is_a_table_in_a_view(tmp_path: Path, *, normalizes: bool) -> None:
    config = {"model_type": "model2vec", "normalize": normalizes}
    folder = written(tmp_path / "model", config=config)
    assert static_folder(folder) == folder
    with stock_view(folder) as view:
        assert types(view) == ["StaticEmbedding", *(["Normalize"] if normalizes else [])]
        assert (view / "1_Normalize").exists() is normalizes


def test_the_folder_of_static_embeddings_is_that_of_their_module(tmp_path: Path) -> None:
    static = f"{LIBRARY}.StaticEmbedding"
    folder = written(tmp_path / "a", modules=modules(static, path="0_Static"))
    assert static_folder(folder) == folder / "0_Static"
    assert static_folder(written(tmp_path / "b", modules=modules(static, path="../x"))) is None
    other = written(tmp_path / "c", modules=modules(f"{LIBRARY}.Transformer"))
    assert static_folder(other) is None
    assert static_folder(written(tmp_path / "d", config={"model_type": "bert"})) is None


@pytest.mark.parametrize(
    ("tensor", "kind", "architecture"),
    [
        ("layers.0.self_attn.q_norm.weight", "qwen3", "Qwen3Model"),
        ("layers.0.self_attn.q_proj.weight", "eurobert", "EuroBertModel"),
    ],
)
def test_jina_v5_is_a_stock_model_in_a_view(
    tmp_path: Path, tensor: str, kind: str, architecture: str
) -> None:
    config = {
        "model_type": "jina_embeddings_v5",
        "hidden_size": 8,
        "rope_theta": 1e6,
        "auto_map": {"AutoModel": "theirs.Model"},
        "task_names": ["retrieval"],
    }
    folder = written(tmp_path / "model", config=config)
    save_file({tensor: np.zeros(1, np.float32)}, folder / "model.safetensors")
    with stock_view(folder) as view:
        found = content(view)
        assert types(view) == ["Transformer", "Pooling", "Normalize"]
    assert found["config.json"] == {
        "model_type": kind,
        "architectures": [architecture],
        "hidden_size": 8,
        "rope_theta": 1e6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
    }
    assert found["1_Pooling/config.json"] == {
        "word_embedding_dimension": 8,
        "pooling_mode": "lasttoken",
    }


def test_jina_v5_keeps_the_rope_that_it_names(tmp_path: Path) -> None:
    rope = {"rope_type": "default", "rope_theta": 5.0}
    config = {"model_type": "jina_embeddings_v5", "hidden_size": 8, "rope_parameters": rope}
    with stock_view(written(tmp_path / "model", config=config)) as view:
        found = json.loads((view / "config.json").read_text())
    assert found["rope_parameters"] == rope


def test_embeddinggemma_2_is_what_reads_texts_in_a_view(tmp_path: Path) -> None:
    folder = written(
        tmp_path / "model",
        config={"model_type": "embedding_gemma2", "text_config": {"hidden_size": 8}, "vision": {}},
        tokenizer_config={"processor_class": "Gemma", "padding_side": "right"},
        sentence_bert_config={"modality_config": {"text": 1, "message": 2, "image": 3}},
        processor_config={},
    )
    with stock_view(folder) as view:
        found = content(view)
    assert found == {
        "config.json": {"hidden_size": 8, "architectures": ["EmbeddingGemma2TextModel"]},
        "tokenizer_config.json": {"padding_side": "right"},
        "sentence_bert_config.json": {
            "modality_config": {"text": 1, "message": 2},
            "model_kwargs": {"key_mapping": {r"^(model\.)?language_model\.": ""}},
        },
    }
