"""Loading a model with sentence-transformers, which is the field's library for it.

It costs seconds to import, so it happens once per model: what comes out is converted, or kept in
memory on an accelerator. Importing this module imports torch.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

# Every file is on this machine by now, so nothing here may ask a server for anything. The hub's
# library reads the setting once, when it is imported.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn

from taskembed.compiled import Facts
from taskembed.errors import ModelUnavailableError
from taskembed.modelfiles import ModelFiles
from taskembed.tokens import Batch

SELF_TEST_TOLERANCE = 1e-4  # between torch and what OpenVINO made of it, both in fp32
ABSENT_LENGTH = 10**9  # a tokenizer that knows no limit says 10**30


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


def load_model(
    files: ModelFiles, *, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[PooledModel, Facts, str]:
    """Load a model from its folder; return it, what it says of itself, and its tokenizer.json.

    Raises:
        ModelUnavailableError: it cannot be loaded from its files without running code of its own.
    """
    try:
        with quiet():
            model = SentenceTransformer(
                str(files.folder),
                device=device,
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True, "dtype": dtype},
            )
    except Exception as error:  # whatever a model's files make a library raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelUnavailableError(
            f"the model {files.name!r} cannot be loaded: {reason}",
            hint="only models that load without code of their own, from safetensors, can be used",
        ) from error
    tokenizer = getattr(model.tokenizer, "backend_tokenizer", None)
    first = model[0]
    if tokenizer is None or not hasattr(first, "auto_model"):
        raise ModelUnavailableError(
            f"the model {files.name!r} has no fast tokenizer, or is no transformer",
            hint="name another model with --model",
        )
    return PooledModel(model).eval(), _facts(model), cast("str", tokenizer.to_str())


def to_openvino(model: PooledModel) -> tuple[bytes, str]:
    """Convert a model for the CPU engine and compare the two.

    Returns:
        The blob and ""; or no blob, and why the model has to run on torch.
    """
    from taskembed.engines.openvino import OpenVinoEngine, compile_blob

    traced, other = _example(2, 7), _example(3, 12)
    try:
        with quiet(), torch.inference_mode():
            blob = compile_blob(model, traced.tensors)
            engine = OpenVinoEngine(
                memoryview(blob), precision="fp32", threads=None, one_query=True
            )
            _, converted = next(iter(engine.run(iter([other.batch]))))
            expected = model(*other.tensors).numpy()
    except Exception as error:  # noqa: BLE001  # whatever an unusual model makes the converter raise
        return b"", f"OpenVINO cannot convert it ({type(error).__name__})"
    difference = float(np.abs(expected - converted).max() / max(1.0, np.abs(expected).max()))
    if not difference < SELF_TEST_TOLERANCE:
        return b"", f"OpenVINO computes it {difference:.1g} differently"
    return blob, ""


class _Example(NamedTuple):
    batch: Batch
    tensors: tuple[Tensor, Tensor, Tensor]


def _example(rows: int, length: int) -> _Example:
    """Return a batch with some padding; its ids are small, so that every vocabulary has them."""
    ids = np.arange(1, rows * length + 1, dtype=np.int64).reshape(rows, length) % 50 + 1
    mask = np.ones_like(ids)
    mask[-1, length // 2 :] = 0
    tensors = (torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(mask.copy()))
    return _Example(Batch(np.arange(rows), ids, mask, mask), tensors)


def _facts(model: SentenceTransformer) -> Facts:
    pooling: Any = next((module for module in model if hasattr(module, "pooling_mode")), None)
    mode = getattr(pooling, "pooling_mode", "none")
    return Facts(
        dim=int(model.get_embedding_dimension() or 0),
        max_length=_max_length(model),
        pooling=mode if isinstance(mode, str) else "+".join(mode),
        prompt_in_pooling=bool(getattr(pooling, "include_prompt", True)),
    )


def _max_length(model: SentenceTransformer) -> int:
    limit = model.max_seq_length
    if limit and limit < ABSENT_LENGTH:
        return int(limit)
    first: Any = model[0]
    config = first.auto_model.config
    positions = int(config.max_position_embeddings)
    # RoBERTa counts positions from the padding token on: 514 of them hold 512 tokens.
    offset = config.pad_token_id + 1 if "roberta" in config.model_type else 0
    return positions - offset


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep libraries from writing on our stdout, and from warning about what we know."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # not ours
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # not ours
    previous = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
