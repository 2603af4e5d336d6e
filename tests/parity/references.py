"""Vectors computed without taskembed: sentence-transformers where it is right, else by hand.

By hand means: one text at a time, so without padding, with the bare transformers and peft classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from transformers import (
    EmbeddingGemma2Model,
    JinaEmbeddingsV3Model,
    MistralModel,
    Qwen2Config,
    Qwen2Model,
    Qwen3Model,
    T5EncoderModel,
)

from taskembed.vectors import FloatRows
from tests.tiny_families import load_jina_v5_base, save_stock_view, tokenizer_of


def by_sentence_transformers(
    folder: Path, prompt: str, texts: Sequence[str], *, trust: bool = False, normalize: bool = True
) -> FloatRows:
    """Encode with the prompt stated, as the library's documentation says."""
    model = SentenceTransformer(
        str(folder), device="cpu", local_files_only=True, trust_remote_code=trust
    )
    vectors: FloatRows = model.encode(
        list(texts), prompt=prompt, normalize_embeddings=normalize, convert_to_numpy=True
    )
    return vectors


def by_instructor(folder: Path, prompt: str, texts: Sequence[str]) -> FloatRows:
    """Leave the instruction's tokens out of the mean, as INSTRUCTOR's authors do."""
    tokenizer, model = tokenizer_of(folder), _loaded(T5EncoderModel, folder)
    dense = load_file(folder / "2_Dense" / "model.safetensors")["linear.weight"]
    skipped = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
    rows = []
    for text in texts:
        ids = tokenizer(prompt + text, truncation=True, max_length=96, return_tensors="pt")
        with torch.inference_mode():
            hidden = model(input_ids=ids["input_ids"]).last_hidden_state[0]
        rows.append(_unit(dense @ hidden[skipped:].mean(dim=0)))
    return np.stack(rows)


def by_zembed(
    folder: Path, prompt: str, texts: Sequence[str], *, dim: int | None = None
) -> FloatRows:
    """Put the suffix after the text was cut; multiply down the chain of projections."""
    tokenizer, model = tokenizer_of(folder), _loaded(Qwen3Model, folder)
    chain = load_file(folder / "projections.safetensors")
    suffix = tokenizer("<|im_end|>\n", add_special_tokens=False)["input_ids"]
    rows = []
    for text in texts:
        ids = tokenizer(prompt + text, add_special_tokens=False)["input_ids"][: 96 - len(suffix)]
        vector = _last_token(model, [*ids, *suffix])
        for size in ("16", "8"):
            if dim is not None and int(size) >= dim:
                vector = vector @ chain[size]
        rows.append(_unit(vector))
    return np.stack(rows)


def by_gte_qwen2(folder: Path, prompt: str, texts: Sequence[str]) -> FloatRows:
    """Look in both directions, and put the end token at the end."""
    tokenizer = tokenizer_of(folder)
    config = Qwen2Config.from_pretrained(folder)
    config.is_causal = False
    model = _loaded(Qwen2Model, folder, config=config)
    for layer in model.layers:
        layer.self_attn.is_causal = False
    end: Any = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    rows = []
    for text in texts:
        ids = tokenizer(prompt + text, add_special_tokens=False)["input_ids"][:95]
        rows.append(_unit(_last_token(model, [*ids, end])))
    return np.stack(rows)


def by_mistral(folder: Path, prompt: str, texts: Sequence[str]) -> FloatRows:
    """Put the end token at the end, as its authors' transformers did."""
    tokenizer, model = tokenizer_of(folder), _loaded(MistralModel, folder)
    begin, end = tokenizer.convert_tokens_to_ids(["<s>", "</s>"])
    rows = []
    for text in texts:
        ids = tokenizer(prompt + text, add_special_tokens=False)["input_ids"][:94]
        rows.append(_unit(_last_token(model, [begin, *ids, end])))
    return np.stack(rows)


def by_embedding_gemma2(folder: Path, prompt: str, texts: Sequence[str]) -> FloatRows:
    """Give the whole model, whose images nobody sends, the text alone."""
    tokenizer, model = tokenizer_of(folder), _loaded(EmbeddingGemma2Model, folder)
    rows = []
    for text in texts:
        ids = tokenizer(prompt + text, truncation=True, max_length=62, return_tensors="pt")
        with torch.inference_mode():
            hidden = model(input_ids=ids["input_ids"]).last_hidden_state[0]
        rows.append(_unit(hidden.mean(dim=0)))
    return np.stack(rows)


def by_jina_v5(
    folder: Path, prompt: str, texts: Sequence[str], *, size: str, adapter: str
) -> FloatRows:
    """Run the adapter beside its backbone, unmerged.

    The backbone is loaded by the stock configuration, which the published repository has not.
    """
    base = folder.with_name(f"{folder.name}-base")
    if not base.exists():
        save_stock_view(folder, base, size)
    tokenizer = tokenizer_of(folder)
    model: Any = PeftModel.from_pretrained(
        load_jina_v5_base(base), str(folder / "adapters" / adapter)
    )
    rows = []
    for text in texts:
        ids = tokenizer(prompt + text, truncation=True, max_length=96)["input_ids"]
        rows.append(_unit(_last_token(model.eval(), ids)))
    return np.stack(rows)


def by_jina_v3(folder: Path, prompt: str, texts: Sequence[str], *, adapter: str) -> FloatRows:
    """Run the adapter of the side beside its backbone, unmerged; mean."""
    tokenizer = tokenizer_of(folder)
    backbone = _loaded(JinaEmbeddingsV3Model, folder)
    model: Any = PeftModel.from_pretrained(backbone, str(folder / adapter)).eval()
    rows = []
    for text in texts:
        ids = tokenizer(prompt + text, truncation=True, max_length=62, return_tensors="pt")
        with torch.inference_mode():
            hidden = model(**ids).last_hidden_state[0]
        rows.append(_unit(hidden.mean(dim=0)))
    return np.stack(rows)


def _loaded(kind: Any, folder: Path, **options: Any) -> Any:  # noqa: ANN401  # transformers' own
    return kind.from_pretrained(folder, **options).eval()


def _last_token(model: Any, ids: Sequence[int]) -> torch.Tensor:  # noqa: ANN401  # transformers'
    with torch.inference_mode():
        hidden: torch.Tensor = model(input_ids=torch.tensor([list(ids)])).last_hidden_state
    return hidden[0, -1]


def _unit(vector: torch.Tensor) -> FloatRows:
    row: FloatRows = torch.nn.functional.normalize(vector, dim=0).numpy()
    return row
