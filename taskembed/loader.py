"""Loading a model with sentence-transformers, which is the field's library for it.

It costs seconds to import, so it happens once per model: what comes out is converted, or kept in
memory on an accelerator. Importing this module imports torch.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

# Every file is on this machine by now, so nothing here may ask a server for anything. The hub's
# library reads the setting once, when it is imported.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from tokenizers.processors import Sequence, TemplateProcessing
from torch import Tensor, nn
from transformers import PreTrainedModel

from taskembed.adapters import AdapterFiles
from taskembed.cachefiles import read_json
from taskembed.compiled import Facts
from taskembed.errors import ModelUnavailableError
from taskembed.layout import stock_view
from taskembed.lora import merge_adapter
from taskembed.modelfiles import ModelFiles
from taskembed.tokens import Batch

SELF_TEST_LENGTH = 200  # tokens
SELF_TEST_TOLERANCE = 1e-4  # between torch and what OpenVINO made of it, both in fp32
# whose activations exceed 65,504: Gemma 3's by its authors' warning, T5's by its users' reports
FP16_OVERFLOWS = {"gemma3_text", "t5"}
ABSENT_LENGTH = 10**9  # a tokenizer that knows no limit says 10**30


class Loaded(NamedTuple):
    """A model in memory: on the CPU, in fp32."""

    model: nn.Module
    facts: Facts
    tokenizer_json: str


class PooledModel(nn.Module):
    """Token ids in, one vector a text out: the modules of a SentenceTransformer, one after another.

    The mask for pooling is an input of its own, since a prompt may be read but not pooled.
    """

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.transformer, *rest = list(model)
        self.rest = nn.ModuleList(rest)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, pooling_mask: Tensor) -> Tensor:
        """Return float[n, dim] for three int64[n, length]."""
        features = self.transformer({"input_ids": input_ids, "attention_mask": attention_mask})
        features["attention_mask"] = pooling_mask
        for module in self.rest:
            features = module(features)
        return cast("Tensor", features["sentence_embedding"])


def load_encoder_model(
    files: ModelFiles, adapter: AdapterFiles | None, *, trust_remote_code: bool
) -> Loaded:
    """Load an embedding model from its folder, with an adapter merged into its weights.

    Raises:
        ModelUnavailableError: it cannot be loaded from its files, or not without its own code.
    """
    model = load_sentence_transformer(files, trust_remote_code=trust_remote_code)
    if adapter:
        first: Any = model[0]
        with quiet():
            merge_adapter(first.auto_model, adapter)
    tokenizer_json = cast("str", model.tokenizer.backend_tokenizer.to_str())
    return Loaded(PooledModel(model).eval(), _facts(model), tokenizer_json)


def load_sentence_transformer(files: ModelFiles, *, trust_remote_code: bool) -> SentenceTransformer:
    """Load a model from its folder as the library's own object, on the CPU and in fp32.

    Raises:
        ModelUnavailableError: it cannot be loaded from its files, or not without its own code.
    """
    with loading(files.name), stock_view(files.folder) as folder:
        model = SentenceTransformer(
            str(folder),
            device="cpu",
            trust_remote_code=trust_remote_code,
            local_files_only=True,
            model_kwargs={"use_safetensors": True, "dtype": torch.float32},
        )
    tokenizer = getattr(model.tokenizer, "backend_tokenizer", None)
    if tokenizer is None or not hasattr(model[0], "auto_model"):
        raise ModelUnavailableError(
            f"the model {files.name!r} has no fast tokenizer, or is no transformer",
            hint="name another model with --model",
        )
    if _facts(model).pooling == "lasttoken":
        _keep_end_token(model.tokenizer, files.folder)
    return model


@contextlib.contextmanager
def loading(name: str) -> Iterator[None]:
    """Load within it: what a model's files make a library raise becomes an error of ours.

    A weight that the files do not have is such an error too: a library would go on with random
    numbers in its place.
    """
    report = _MissingWeights()
    logger = logging.getLogger("transformers")
    logger.addHandler(report)
    try:
        with quiet(logging.INFO):
            yield
    except Exception as error:  # whatever a model's files make a library raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelUnavailableError(
            f"the model {name!r} cannot be loaded: {reason}", hint=_hint(reason)
        ) from error
    finally:
        logger.removeHandler(report)
    if report.missing:
        raise ModelUnavailableError(
            f"the model {name!r} cannot be loaded: its files have no weights for "
            f"{report.missing[0]} ({len(report.missing)} are missing)",
            hint="the download is not whole, or the files are not of this architecture",
        )


def _hint(reason: str) -> str:
    if "trust_remote_code" in reason:
        return (
            "it needs Python code of its own: read that code, then give --trust-remote-code and "
            "--revision COMMIT; or name another model"
        )
    return "only models whose weights are safetensors can be used"


class _MissingWeights(logging.Handler):
    """Reads the report that transformers logs after loading."""

    _ROW = re.compile(r"^(\S.*?)\s*\|\s*(?:\x1b\[[0-9;]*m)*(MISSING|MISMATCH)", re.MULTILINE)

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.missing: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        found = self._ROW.findall(record.getMessage())
        # a pooler is BERT's own, for its pre-training: no embedding goes through it
        self.missing += [key for key, _ in found if not key.startswith("pooler.")]


def _keep_end_token(tokenizer: Any, folder: Path) -> None:  # noqa: ANN401  # transformers' own
    """Put the end token after every text, where a model says so and its tokenizer has lost it.

    Since its version 5, transformers does not act on `add_eos_token` any more; a model that is
    pooled on that token would silently be pooled on the text's last one.
    """
    backend = tokenizer.backend_tokenizer
    config = read_json(folder / "tokenizer_config.json") or {}
    end = tokenizer.eos_token_id
    if config.get("add_eos_token") is not True or end is None:
        return
    if backend.encode("a").ids[-1] == end:
        return
    token = tokenizer.eos_token
    template = TemplateProcessing(single=f"$A {token}", special_tokens=[(token, end)])
    previous = backend.post_processor
    backend.post_processor = Sequence([previous, template]) if previous else template


def to_openvino(model: nn.Module, longest: int) -> tuple[bytes, str]:
    """Convert a model for the CPU engine and compare the two.

    Args:
        model: what was loaded.
        longest: tokens that it reads.

    Returns:
        The blob and ""; or no blob, and why the model has to run on torch.
    """
    try:
        with quiet(), torch.inference_mode():
            blob = _convert(model, longest)
            difference = _self_test(model, blob, longest)
    except Exception as error:  # noqa: BLE001  # whatever an unusual model makes the converter raise
        return b"", f"OpenVINO cannot convert it ({type(error).__name__})"
    if not np.isfinite(difference):
        return b"", "OpenVINO computes no numbers for it"
    if not difference < SELF_TEST_TOLERANCE:
        return b"", f"OpenVINO computes it {difference:.1g} differently"
    return blob, ""


def _convert(model: nn.Module, longest: int) -> bytes:
    """Trace a model, which is quick; or export it, which also holds Gemma 3's masks."""
    from taskembed.engines.openvino import compile_blob

    tensors = _example(2, 7).tensors
    try:
        return compile_blob(model, tensors)
    except Exception:  # noqa: BLE001  # as above: the second way may hold it
        # Subtle: where a padding token sees nothing, OpenVINO's own attention has no number, and
        # transformers' plain one has; no other token's result depends on it.
        for module in model.modules():
            if isinstance(module, PreTrainedModel):
                module.set_attn_implementation("eager")
        axes = {0: torch.export.Dim("n", min=1), 1: torch.export.Dim("length", min=2, max=longest)}
        with torch.inference_mode(mode=False), torch.no_grad():
            program = torch.export.export(model, tensors, dynamic_shapes=(axes,) * 3)
        return compile_blob(program, None)


def _self_test(model: nn.Module, blob: bytes, longest: int) -> float:
    """Return the largest difference between torch and the blob, relative to numbers over 1."""
    from taskembed.engines.openvino import OpenVinoEngine

    engine = OpenVinoEngine(memoryview(blob), precision="fp32", threads=None, one_query=True)
    other = _example(3, min(SELF_TEST_LENGTH, longest))
    _, converted = next(iter(engine.run(iter([other.batch]))))
    expected = model(*other.tensors).numpy()
    return float(np.abs(expected - converted).max() / max(1.0, np.abs(expected).max()))


class _Example(NamedTuple):
    batch: Batch
    tensors: tuple[Tensor, Tensor, Tensor]


def _example(rows: int, length: int) -> _Example:
    """Return a batch with padding; its ids are small, so that every vocabulary has them."""
    ids = np.arange(1, rows * length + 1, dtype=np.int64).reshape(rows, length) % 50 + 1
    mask = np.ones_like(ids)
    mask[-1, 3:] = 0  # beyond the window of a model with local attention: nothing is seen there
    tensors = (torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(mask.copy()))
    return _Example(Batch(np.arange(rows), ids, mask, mask), tensors)


def _facts(model: SentenceTransformer) -> Facts:
    first: Any = model[0]
    config = first.auto_model.config
    pooling: Any = next((module for module in model if hasattr(module, "pooling_mode")), None)
    mode = getattr(pooling, "pooling_mode", "none")
    return Facts(
        dim=int(model.get_embedding_dimension() or 0),
        max_length=max_length(model.max_seq_length, config),
        pooling=mode if isinstance(mode, str) else "+".join(mode),
        prompt_in_pooling=bool(getattr(pooling, "include_prompt", True)),
        fp16_overflows=config.model_type in FP16_OVERFLOWS,
    )


def max_length(limit: int | None, config: Any) -> int:  # noqa: ANN401  # a model's configuration
    """Return how many tokens a model reads: its tokenizer's limit, or that of its positions."""
    if limit and limit < ABSENT_LENGTH:
        return int(limit)
    positions = int(config.max_position_embeddings)
    # RoBERTa counts positions from the padding token on: 514 of them hold 512 tokens.
    offset = config.pad_token_id + 1 if "roberta" in config.model_type else 0
    return positions - offset


@contextlib.contextmanager
def quiet(below: int = logging.ERROR) -> Iterator[None]:
    """Keep libraries from writing on our stdout, and from warning about what we know.

    Args:
        below: records up to that level go nowhere; the others only to handlers of ours.
    """
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # not ours
    transformers_logging.disable_default_handler()
    transformers_logging.disable_propagation()
    previous = logging.root.manager.disable
    logging.disable(below)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
