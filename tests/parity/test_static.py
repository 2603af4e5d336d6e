"""Static embeddings: whatever such a folder says, the vectors are sentence-transformers'."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, StaticEmbedding
from tokenizers import Tokenizer

from taskembed.encoding._batches import batches
from taskembed.encoding._local import LocalEncoder
from taskembed.encoding.engines.static import TOKENS_AT_ONCE, StaticEngine
from taskembed.encoding.load import load_encoder
from taskembed.encoding.settings import EngineSettings
from taskembed.encoding.tokens import Tokens, load_tokenizer
from taskembed.errors import ModelUnavailableError
from taskembed.models.resolve import PromptOverrides
from taskembed.space import PromptType
from taskembed.vectors import FloatRows
from tests import tiny_models
from tests.conftest import Run
from tests.tiny_families import change_json, save_adapter, save_model2vec, save_static

TEXTS = ["fox", "the quick brown fox jumps", "the lazy dog " * 40, "query wizards", "Deich?"]


def load(folder: Path, cache: Path, **stated: str) -> LocalEncoder:
    said: dict[str, Any] = {"query_prompt": "query: ", "document_prompt": "", **stated}
    settings = EngineSettings(device="cpu", precision="fp32", offline=True, cache=cache, threads=1)
    encoder = load_encoder(folder, "retrieval", stated=PromptOverrides(**said), settings=settings)
    assert isinstance(encoder, LocalEncoder)
    return encoder


def by_library(folder: Path, side: PromptType) -> FloatRows:
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    encode, prompt = model.encode_document, ""
    if side is PromptType.QUERY:
        encode, prompt = model.encode_query, "query: "
    vectors: Any = encode(TEXTS, prompt=prompt, normalize_embeddings=True)
    return np.asarray(vectors, np.float32)


def assert_right(folder: Path, cache: Path) -> LocalEncoder:
    encoder = load(folder, cache)
    for side in PromptType:
        ours = encoder.encode(TEXTS, side).vectors
        np.testing.assert_allclose(ours, by_library(folder, side), atol=2e-6)
    return encoder


def test_the_mean_of_rows_in_half_precision_is_computed_in_single(
    tmp_path: Path, cache: Path
) -> None:
    folder = save_model2vec(tmp_path / "model", normalize=False)
    tensors = load_file(folder / "model.safetensors")
    save_file({"embeddings": tensors["embeddings"].half()}, folder / "model.safetensors")
    tokenizer = load_tokenizer((folder / "tokenizer.json").read_text())
    rows = tensors["embeddings"].half().double().numpy()
    means = [
        rows[tokenizer.encode(text, add_special_tokens=False).ids].mean(axis=0) for text in TEXTS
    ]
    expected = np.array([mean / np.linalg.norm(mean) for mean in means])
    ours = load(folder, cache).encode(TEXTS, PromptType.DOCUMENT).vectors
    np.testing.assert_allclose(ours, expected, atol=1e-6)


@pytest.mark.parametrize("normalize", [False, True])
def test_a_folder_of_model2vec_needs_no_modules_json(
    tmp_path: Path, cache: Path, *, normalize: bool
) -> None:
    bare = save_model2vec(tmp_path / "bare", listed=False, normalize=normalize)
    listed = save_model2vec(tmp_path / "listed", normalize=normalize)
    ours = load(bare, cache).encode(TEXTS, PromptType.DOCUMENT).vectors
    np.testing.assert_allclose(ours, by_library(listed, PromptType.DOCUMENT), atol=2e-6)


@pytest.mark.parametrize("direction", ["left", "right"])
def test_the_limit_of_its_tokenizer_is_obeyed(tmp_path: Path, cache: Path, direction: str) -> None:
    folder = save_model2vec(tmp_path / "model")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(4, direction=direction)
    tokenizer.save(str(folder / "tokenizer.json"))
    encoder = assert_right(folder, cache)
    truncated = encoder.encode(TEXTS, PromptType.DOCUMENT).truncated
    assert truncated.tolist() == [False, True, True, False, False]
    assert encoder.space.max_length == 4


def test_texts_of_any_length_are_read_without_a_limit(tmp_path: Path, cache: Path) -> None:
    encoder = assert_right(save_static(tmp_path / "model"), cache)
    assert not encoder.encode(TEXTS, PromptType.DOCUMENT).truncated.any()
    assert encoder.made_by["engine"] == "static"


SLOW = [pytest.param(one, marks=pytest.mark.slow) for one in ("size", "normalize and size")]


@pytest.mark.parametrize("saved", ["normalize", "dense", *SLOW])
def test_what_comes_after_the_table_is_computed_too(
    tmp_path: Path, cache: Path, saved: str
) -> None:
    torch.manual_seed(1)
    table = StaticEmbedding(tiny_models.wordpiece(), embedding_dim=32)
    modules: list[Any] = [table, Dense(32, 12)] if saved == "dense" else [table]
    modules += [Normalize()] if "normalize" in saved else []
    dim = 8 if "size" in saved else None
    model = SentenceTransformer(modules=modules, device="cpu", truncate_dim=dim)
    model.save(str(tmp_path / "model"))
    change_json(tmp_path / "model" / "config_sentence_transformers.json", truncate_dim=dim)
    encoder = assert_right(tmp_path / "model", cache)
    assert encoder.space.dim == {"dense": 12, "normalize": 32}.get(saved, 8)


@pytest.mark.slow
def test_one_side_may_be_static_and_the_other_a_transformer(tmp_path: Path, cache: Path) -> None:
    document = SentenceTransformer(
        str(tiny_models.save_bert(tmp_path / "bert", pooling="mean")), device="cpu"
    )
    query: Any = StaticEmbedding(tiny_models.wordpiece(), embedding_dim=tiny_models.HIDDEN)
    behind: Any = [*document.children()]
    router = Router.for_query_document(query_modules=[query], document_modules=behind)
    SentenceTransformer(modules=[router], device="cpu").save(str(tmp_path / "model"))
    assert_right(tmp_path / "model", cache)


def test_another_number_in_the_table_is_another_space(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = save_static(tmp_path / "model")
    Path("corpus.jsonl").write_text('{"id": "1", "text": "quick fox"}\n')
    prompts = ("--query-prompt", "", "--document-prompt", "")
    made = run("index", "corpus.jsonl", "--task", "retrieval", "--model", folder, *prompts)
    assert made.code == 0, made.err
    assert (
        json.loads(run("search", "quick fox", "--mode", "dense", "--json").out)["hits"][0]["score"]
        > 0.999
    )
    weights = folder / "0_StaticEmbedding" / "model.safetensors"
    tensors = load_file(weights)
    tensors["embedding.weight"][7, 3] += 1
    save_file(tensors, weights)
    found = run("search", "quick fox")
    assert (found.code, "weights: differ" in found.err) == (78, True)


def test_an_adapter_cannot_be_merged_into_a_table(tmp_path: Path, cache: Path) -> None:
    from transformers import AutoModel

    bert = tiny_models.save_bert(tmp_path / "bert", pooling="mean")
    save_adapter(tmp_path / "adapter", AutoModel.from_pretrained(bert), ["query"])
    folder = save_static(tmp_path / "model")
    with pytest.raises(ModelUnavailableError, match="has static embeddings, and no layers"):
        load(folder, cache, adapter=str(tmp_path / "adapter"))


def test_token_ids_without_a_row_are_refused(tmp_path: Path, cache: Path) -> None:
    folder = save_model2vec(tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    count = len(tensors["embeddings"])
    save_file({"embeddings": tensors["embeddings"][:-1].clone()}, folder / "model.safetensors")
    with pytest.raises(ModelUnavailableError, match=f"and vectors for only {count - 1} ids"):
        load(folder, cache)


def test_a_text_without_tokens_is_a_bad_record_and_no_query(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = save_static(tmp_path / "model")
    texts = ["the fox", "\u200b", "", "a dog"]
    Path("corpus.jsonl").write_text(
        "".join(json.dumps({"id": str(row), "text": text}) + "\n" for row, text in enumerate(texts))
    )
    prompts = ("--query-prompt", "", "--document-prompt", "")
    words = ("index", "corpus.jsonl", "--task", "retrieval", "--model", folder, *prompts)
    why = "the model knows no token of this text, so it has no vector"
    stopped = run(*words)
    assert stopped.code == 65
    assert f"taskembed: error: corpus.jsonl:2: {why}\n" in stopped.err
    made = run(*words, "--skip-bad")
    assert made.code == 1
    assert f"rejected: corpus.jsonl:2: {why}\n" in made.err
    assert f"rejected: corpus.jsonl:3: {why}\n" in made.err
    assert sorted(run("search", "fox", "--format", "ids").out.split()) == ["0", "3"]
    asked = run("search", "\u200b")
    assert (asked.code, asked.out) == (65, "")
    assert why in asked.err


def test_a_long_text_never_has_all_its_rows_in_memory() -> None:
    table = np.random.default_rng(3).standard_normal((50, 64)).astype(np.float32)
    ids = np.arange(64 * TOKENS_AT_ONCE + 5) % 50
    [batch] = batches([(0, Tokens(ids.tolist(), 0, truncated=False))], 1)
    engine = StaticEngine(memoryview(table.tobytes()), dim=64, kind="mean")
    tracemalloc.start()
    try:
        [(_, vectors)] = engine.run(iter([batch]))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    expected = np.bincount(ids) @ table.astype(np.float64) / len(ids)
    np.testing.assert_allclose(vectors[0], expected, atol=1e-5)
    assert peak < len(ids) * 64 * 4 / 4  # bytes: a quarter of what all rows are
