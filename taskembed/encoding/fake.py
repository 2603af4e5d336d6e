"""Fake models for tests: models are opened without being loaded or run.

A model's files, tokenizer, prompts, adapters and space are real; only its numbers are fake: a
text's vector is the sum of one random vector for each token, so that texts with common tokens are
near each other. This takes milliseconds, and needs neither torch nor OpenVINO.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from taskembed.activity import doing
from taskembed.encoding import _parts, reranker
from taskembed.encoding._batches import Batch
from taskembed.encoding._engines import Engine
from taskembed.encoding._source import ModelSource
from taskembed.encoding.cache import CompiledModel
from taskembed.encoding.facts import Kind, ModelFacts, RerankerFacts
from taskembed.encoding.settings import EngineSettings, device_of
from taskembed.encoding.tokens import Ints, load_tokenizer
from taskembed.models.saved_json import read_saved
from taskembed.vectors import FloatRows

DEFAULT_DIM = 32  # dimension if the model's files do not tell it
DEFAULT_LENGTH = 512  # number of tokens read if the model's files do not tell it
POOLINGS = {"cls_token": "cls", "lasttoken": "lasttoken"}  # in 1_Pooling; otherwise "mean"

_for_good = ExitStack()


@contextmanager
def fake_models() -> Iterator[None]:
    """Open encoders and rerankers without running their models, within this context.

    It affects the whole process, all threads, and every way to open a model, by functions or by
    commands. Hosted models are not replaced.
    """
    uses: tuple[tuple[Any, str], ...] = (
        (_parts, "Runtime"),
        (_parts, "QuantizedRuntime"),
        (reranker, "Runtime"),
    )
    before = [getattr(module, name) for module, name in uses]
    for module, name in uses:
        setattr(module, name, FakeRuntime)
    try:
        yield
    finally:
        for (module, name), runtime in zip(uses, before, strict=True):
            setattr(module, name, runtime)


def run_fakes_only() -> None:
    """Open only fake models in this process from now on, for workers of a test."""
    _for_good.enter_context(fake_models())


class FakeEngine:
    """Computes the sum of the tokens' random vectors; for a pair, the number of common tokens."""

    name = "fake"
    token_budget = 1_024

    def __init__(self, source: ModelSource, dim: int, precision: str) -> None:
        self.precision = "fp32" if precision == "auto" else precision
        self._source = source
        self._dim = dim
        self._vectors: dict[int, FloatRows] = {}

    def run(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch, FloatRows]]:
        """Yield each batch with float32[n, dim], in order."""
        for batch in batches:
            texts = [
                ids[read != 0]
                for ids, read in zip(batch.input_ids, batch.attention_mask, strict=True)
            ]
            rows = [
                self._shared(ids)
                if self._source.kind is Kind.RERANKER
                else np.sum([self._vector(token) for token in ids.tolist()], axis=0)
                for ids in texts
            ]
            yield batch, np.array(rows, np.float32).reshape(len(texts), self._dim)

    def _vector(self, token: int) -> FloatRows:
        if token not in self._vectors:
            digest = hashlib.sha256(f"{self._source.digest} {token}".encode()).digest()
            generator = np.random.default_rng(int.from_bytes(digest[:8], "big"))
            self._vectors[token] = generator.standard_normal(self._dim, np.float32)
        return self._vectors[token]

    @staticmethod
    def _shared(ids: Ints) -> Ints:
        """Return int64[1]: the number of tokens that repeat an earlier token."""
        return np.array([len(ids) - len(np.unique(ids))])


class FakeRuntime:
    """Replaces `Runtime`, without loading the model."""

    def __init__(self, source: ModelSource, settings: EngineSettings) -> None:
        device_of(settings)  # raises an error for invalid settings
        self._source = source
        self._precision = settings.precision
        self._engine: FakeEngine | None = None
        with doing(f"loading the model {source.name}"):
            folder = source.files.folder
            text = (folder / "tokenizer.json").read_text(encoding="utf-8")
            self.compiled = CompiledModel(_facts(folder, source.kind), text, memoryview(b""))
            # a reranker changes the truncation of its tokenizer
            is_shared = source.kind is not Kind.RERANKER
            self.tokenizer: Tokenizer = (_tokenizer if is_shared else load_tokenizer)(text)

    def start(self) -> None:
        """Do nothing, since the engine starts immediately."""

    @property
    def engine(self) -> Engine:
        """The engine, started at the first use."""
        if self._engine is None:
            self._engine = FakeEngine(self._source, self.compiled.facts.width, self._precision)
        return self._engine

    @property
    def started(self) -> Engine | None:
        """The engine, if it was started."""
        return self._engine

    def check(self, *_: object) -> None:
        """Do nothing, since there is no reference to compare with."""

    def forget(self) -> None:
        """Do nothing, since no model was loaded."""

    def failing(self) -> AbstractContextManager[None]:
        """Return a context that changes no errors."""
        return nullcontext()


@lru_cache(maxsize=4)
def _tokenizer(text: str) -> Tokenizer:
    """Return a tokenizer shared by encoders, which do not change it, since creating one is slow."""
    return load_tokenizer(text)


def _facts(folder: Path, kind: Kind) -> ModelFacts | RerankerFacts:
    """Return the facts in the files of a model that a fake needs."""
    config = read_saved(folder / "config.json") or {}
    length = (read_saved(folder / "sentence_bert_config.json") or {}).get("max_seq_length")
    pooling = read_saved(folder / "1_Pooling" / "config.json") or {}
    modes = [name for key, name in POOLINGS.items() if pooling.get(f"pooling_mode_{key}")]
    max_length = int(length or config.get("max_position_embeddings", DEFAULT_LENGTH))
    if kind is Kind.RERANKER:
        return RerankerFacts(max_length)
    return ModelFacts(
        dim=int(config.get("hidden_size", DEFAULT_DIM)),
        max_length=max_length,
        pooling=modes[0] if modes else "mean",
        prompt_in_pooling=True,
    )
