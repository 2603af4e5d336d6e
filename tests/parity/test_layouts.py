"""Whatever a layout says: the vectors are sentence-transformers', or the model is refused."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.transformer import Transformer

from taskembed.encoding.compile.quiet import quiet
from taskembed.encoding.load import load_encoder
from taskembed.encoding.settings import EngineSettings
from taskembed.errors import ModelUnavailableError
from taskembed.models.resolve import PromptOverrides
from taskembed.space import PromptType, Task
from tests import layouts
from tests.layouts import Layout

TEXTS = [
    "fox",
    "The Quick Brown FOX jumps über den Deich",
    "long " * 120 + "the lazy dog",
    "wizards brew " * 40 + "text",
    "def add(left, right): return left + right",
]
PROMPTS = {PromptType.QUERY: "query: ", PromptType.DOCUMENT: "passage"}
RIGHT, REFUSED = "right", "refused"


def outcome(folder: Path, cache: Path, prompts: dict[PromptType, str] = PROMPTS) -> str:
    """Return whether a folder's vectors are right or it is refused; anything else fails."""
    settings = EngineSettings(device="cpu", precision="fp32", offline=True, cache=cache, threads=1)
    stated = PromptOverrides(
        query_prompt=prompts[PromptType.QUERY], document_prompt=prompts[PromptType.DOCUMENT]
    )
    try:
        encoder = load_encoder(str(folder), Task.RETRIEVAL, stated=stated, settings=settings)
        ours = {side: encoder.encode(TEXTS, side) for side in PromptType}
    except ModelUnavailableError as error:  # exit code 69
        return f"{REFUSED}: {error.message}"
    with quiet(), warnings.catch_warnings():
        reference = SentenceTransformer(
            str(folder),
            device="cpu",
            local_files_only=True,
            model_kwargs={"dtype": torch.float32},
        )
        for module in (part for part in reference.modules() if isinstance(part, Transformer)):
            # where the files do not say where the positions end, the library raises an IndexError
            # for every long text
            held = layouts.POSITIONS.get(str(module.config.model_type))
            if held is not None:
                module.max_seq_length = min(module.max_seq_length or held, held)
        for side, encode in (
            (PromptType.QUERY, reference.encode_query),
            (PromptType.DOCUMENT, reference.encode_document),
        ):
            expected: Any = encode(TEXTS, prompt=prompts[side], normalize_embeddings=True)
            assert ours[side].vectors.shape == expected.shape
            assert np.abs(ours[side].vectors - expected).max() < 1e-4
    return RIGHT


SUPPORTED = {
    "a branch a side": Layout(router="heads"),
    "a model a side": Layout(router="models", backbone="xlm-roberta"),
    "a limit a side": Layout(bert={"document_length": 9, "query_length": 30}),
    "a limit of the call": Layout(bert={"processing_kwargs": {"text": {"max_length": 10}}}),
    "no special tokens": Layout(
        bert={"processing_kwargs": {"text": {"add_special_tokens": False}}}
    ),
    "the beginning is cut": Layout(tokenizer={"truncation_side": "left"}),
    "position weights": Layout(pooling="weightedmean", include_prompt=False),
    "position weights and more": Layout(pooling=("max", "weightedmean"), include_prompt=False),
    "a saved size": Layout(st={"truncate_dim": 16}),
    "lower case": Layout(bert={"do_lower_case": True}),
    "modules in other folders": Layout(heads=("layer-norm", "tanh-dense"), quirk="other-paths"),
    "two end tokens": Layout(quirk="two-end-tokens", include_prompt=False),
    "more than its positions": Layout(bert={"max_seq_length": 1000}),
    "more than its numbered positions": Layout(backbone="mpnet", bert={"max_seq_length": 66}),
    "a chat template": Layout(backbone="qwen3", pooling="lasttoken", chat=layouts.CHATS[4]),
    "a chat template that strips": Layout(chat=layouts.CHATS[5]),
}
NOT_SUPPORTED = {
    "LSTM": (Layout(quirk="lstm"), "a module that is not supported, LSTM in modules.json"),
    "no pooling": (Layout(quirk="no-pooling", heads=()), "no Pooling (modules.json)"),
    "token ids": (
        Layout(quirk="id-beyond-the-table"),
        "in its tokenizer.json, and vectors for only",
    ),
    "a chat template without a place for prompts": (
        Layout(chat=layouts.CHATS[6]),
        "a chat template (modality_config in sentence_bert_config.json)",
    ),
    "a chat template that changes texts": (
        Layout(chat="{{ messages }}"),
        '"message" in the modality_config of sentence_bert_config.json',
    ),
    "vectors that depend on the padding": (
        Layout(backbone="funnel"),
        "the vector of a text depends on its batch",
    ),
    "expansion": (
        Layout(
            bert={
                "query_expansion": {
                    "strategy": "fixed",
                    "length": 24,
                    "token": None,
                    "attend": True,
                }
            }
        ),
        "query_expansion in sentence_bert_config.json",
    ),
    "a prompt that one side pools": (
        Layout(router="poolings", include_prompt=False),
        "cannot be computed correctly as a document",
    ),
    "padding on the left": (
        Layout(tokenizer={"padding_side": "left"}),
        "padding_side 'left' (tokenizer_config.json)",
    ),
}


@pytest.mark.parametrize("name", SUPPORTED)
def test_what_is_supported_is_right(name: str, tmp_path: Path, cache: Path) -> None:
    folder = layouts.save_layout(tmp_path / "model", SUPPORTED[name])
    assert outcome(folder, cache) == RIGHT


@pytest.mark.parametrize("name", NOT_SUPPORTED)
def test_what_is_not_supported_is_refused_by_its_name(
    name: str, tmp_path: Path, cache: Path
) -> None:
    layout, why = NOT_SUPPORTED[name]
    folder = layouts.save_layout(tmp_path / "model", layout)
    found = outcome(folder, cache)
    assert found.startswith(REFUSED)
    assert why in found


SLOW_SEEDS = range(35)  # `pytest -m crash` has 40 more


@pytest.mark.parametrize(
    "seed",
    [pytest.param(n, marks=[] if n in SLOW_SEEDS else [pytest.mark.crash]) for n in range(75)],
)
def test_a_layout_drawn_at_random_is_right_or_refused(
    seed: int, tmp_path: Path, cache: Path
) -> None:
    layout = layouts.drawn(seed)
    folder = layouts.save_layout(tmp_path / "model", layout)
    print(layout, outcome(folder, cache))


def test_a_text_cut_at_its_beginning_is_counted(tmp_path: Path, cache: Path) -> None:
    folder = layouts.save_layout(tmp_path / "model", SUPPORTED["the beginning is cut"])
    settings = EngineSettings(device="cpu", precision="fp32", offline=True, cache=cache)
    stated = PromptOverrides(query_prompt="", document_prompt="")
    encoder = load_encoder(str(folder), Task.RETRIEVAL, stated=stated, settings=settings)
    truncated = encoder.encode(TEXTS, PromptType.DOCUMENT).truncated
    assert truncated.tolist() == [False, False, True, True, False]


def test_a_model_without_special_tokens_is_right_of_every_text_with_a_token(
    tmp_path: Path, cache: Path
) -> None:
    layout = Layout(backbone="gpt2", pooling="weightedmean", heads=())
    folder = layouts.save_layout(tmp_path / "model", layout)
    assert outcome(folder, cache, {PromptType.QUERY: "query: ", PromptType.DOCUMENT: ""}) == RIGHT
