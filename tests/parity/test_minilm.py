"""Vectors against sentence-transformers itself, with the prompt stated: the independent reference.

Each tiny model stands where the hub's library would have put the real one of that name, so its
family, its prompts, its pooling and its conversion are those of the real one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peft import PeftModel
from sentence_transformers import SentenceTransformer

import taskembed
from taskembed.encoding.compile.convert import Converted
from taskembed.encoding.load import load_encoder
from taskembed.encoding.settings import EngineSettings
from taskembed.models.files import Hub
from taskembed.models.resolve import PromptOverrides
from taskembed.space import PromptType, Task
from taskembed.vectors import Floats
from tests import tiny_models

TOLERANCE = 1e-5  # fp32, of any number of any vector

TEXTS = [
    "fox",
    "the quick brown fox jumps over the lazy dog",
    "def add(left, right):\n    return left + right",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich",
    "",
    "  white space  at the ends \n",
    "long " * 200,  # is cut
    "query: a text that looks like a prompt",
    *(f"search the relevant passage number {number} " * (number % 9 + 1) for number in range(40)),
]

WEB = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
STS = "Instruct: Retrieve semantically similar text.\nQuery:"
CLASSIFY = "Instruct: Classify user passages.\nQuery:"
CLUSTER = "Instruct: Identify categories in user passages.\nQuery:"
CODE = (
    "Instruct: Retrieve the most relevant code implementation for the given problem description."
    "\nQuery:"
)
BGE = "Represent this sentence for searching relevant passages: "

# what the authors of each family put before a text, written out by hand
E5_PROMPTS = {
    (Task.RETRIEVAL, PromptType.QUERY): "query: ",
    (Task.RETRIEVAL, PromptType.DOCUMENT): "passage: ",
    **{
        (task, side): "query: "
        for task in (Task.SIMILARITY, Task.CLASSIFICATION, Task.CLUSTERING)
        for side in PromptType
    },
}
BGE_PROMPTS = {
    (task, side): BGE if (task, side) == (Task.RETRIEVAL, PromptType.QUERY) else ""
    for task in (Task.RETRIEVAL, Task.SIMILARITY, Task.CLASSIFICATION, Task.CLUSTERING)
    for side in PromptType
}
QWEN3_PROMPTS = {
    (Task.RETRIEVAL, PromptType.QUERY): WEB,
    (Task.RETRIEVAL, PromptType.DOCUMENT): "",
    (Task.SIMILARITY, PromptType.QUERY): STS,
    (Task.SIMILARITY, PromptType.DOCUMENT): STS,
    (Task.CLASSIFICATION, PromptType.QUERY): CLASSIFY,
    (Task.CLASSIFICATION, PromptType.DOCUMENT): CLASSIFY,
    (Task.CLUSTERING, PromptType.QUERY): CLUSTER,
    (Task.CLUSTERING, PromptType.DOCUMENT): CLUSTER,
    (Task.CODE, PromptType.QUERY): CODE,
    (Task.CODE, PromptType.DOCUMENT): "",
}
MODELS: dict[str, tuple[Callable[[Path], Path], dict[tuple[Task, PromptType], str]]] = {
    "intfloat/e5-small-v2": (lambda path: tiny_models.save_bert(path, pooling="mean"), E5_PROMPTS),
    "intfloat/multilingual-e5-base": (tiny_models.save_xlm_roberta, E5_PROMPTS),
    "BAAI/bge-small-en-v1.5": (
        lambda path: tiny_models.save_bert(path, pooling="cls"),
        BGE_PROMPTS,
    ),
    "Qwen/Qwen3-Embedding-0.6B": (tiny_models.save_qwen3, QWEN3_PROMPTS),
}


@pytest.mark.slow
@pytest.mark.parametrize("device", ["openvino", "torch"])
@pytest.mark.parametrize("name", MODELS)
def test_vectors_are_those_of_sentence_transformers_for_every_task_and_side(
    name: str,
    device: str,
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from huggingface_hub import constants
    from sentence_transformers import SentenceTransformer

    save, prompts = MODELS[name]
    folder = save(tmp_path / "model")
    tiny_models.publish(folder, tmp_path, name)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    if device == "torch":
        monkeypatch.setattr(
            "taskembed.encoding.compile.convert.to_openvino",
            lambda *_: Converted(b"", "this test wants the fallback"),
        )
        cache = tmp_path / "cache"
    reference = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    settings = EngineSettings(device="cpu", precision="fp32", offline=True, cache=cache)
    worst = 0.0
    for (task, side), prompt in prompts.items():
        encoder = load_encoder(name, task, settings=settings)
        vectors, truncated = encoder.encode(TEXTS, side)
        expected = reference.encode(
            TEXTS, prompt=prompt, normalize_embeddings=True, convert_to_numpy=True
        )
        worst = max(worst, float(np.abs(vectors - expected).max()))
        assert truncated[6]
        assert not truncated[:6].any()
        assert encoder.space.prompt(side) == prompt
        assert encoder.made_by["engine"] == device
    print(f"{name} {device}: {len(prompts)} task sides, max difference {worst:.2g}")
    assert worst < TOLERANCE


def bundled(settings: EngineSettings, task: Task, adapter: str | None) -> tuple[str, Floats]:
    """Return the adapter that the bundled model's space names, and the vectors of TEXTS."""
    encoder = load_encoder(
        "minilm", task, stated=PromptOverrides(adapter=adapter), settings=settings
    )
    vectors, _ = encoder.encode(TEXTS, PromptType.DOCUMENT)
    return encoder.space.document_adapter, vectors


@pytest.mark.slow
def test_the_bundled_model_has_the_vectors_of_sentence_transformers(cache: Path) -> None:
    folder, _ = Hub().folder("minilm")
    settings = EngineSettings(device="cpu", precision="fp32", offline=True, cache=cache)
    reference = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    expected = reference.encode(TEXTS, normalize_embeddings=True, convert_to_numpy=True)
    name, vectors = bundled(settings, Task.RETRIEVAL, "")
    assert float(np.abs(vectors - expected).max()) < TOLERANCE
    assert name == ""


@pytest.mark.slow
@pytest.mark.parametrize("task", Task)
def test_merged_adapters_have_the_vectors_of_adapters_beside_the_model(
    task: Task, cache: Path
) -> None:
    """Those of the bundled model: beside it, as PEFT runs them, against ours, merged."""
    folder, _ = Hub().folder("minilm")
    settings = EngineSettings(device="cpu", precision="fp32", offline=True, cache=cache)
    reference = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    first: Any = reference[0]
    adapter = Path(taskembed.__file__).parent / "models" / "minilm" / task.value
    first.auto_model = PeftModel.from_pretrained(first.auto_model, str(adapter))
    expected = reference.encode(TEXTS, normalize_embeddings=True, convert_to_numpy=True)
    name, vectors = bundled(settings, task, None)
    assert float(np.abs(vectors - expected).max()) < TOLERANCE
    assert name == task.value


@pytest.mark.slow
def test_bf16_keeps_the_direction_of_every_vector(cache: Path) -> None:
    exact = EngineSettings(device="cpu", precision="fp32", offline=True, cache=cache)
    fast = EngineSettings(device="cpu", precision="bf16", offline=True, cache=cache)
    expected, _ = load_encoder(settings=exact).encode(TEXTS, PromptType.DOCUMENT)
    vectors, _ = load_encoder(settings=fast).encode(TEXTS, PromptType.DOCUMENT)
    assert float((vectors * expected).sum(axis=1).min()) > 0.999
