"""Models that are opened without being loaded or run: for tests of what is done with vectors.

A model's files, tokenizer, prompts, adapters and space are the real ones; only its numbers are
made up: a text's vector is the sum of one random vector a token, so that texts that share tokens
are near each other. It takes milliseconds, and neither torch nor OpenVINO.
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
from taskembed.encoding._engines import Engine
from taskembed.encoding._source import ModelSource
from taskembed.encoding.cache import CompiledModel
from taskembed.encoding.facts import Kind, ModelFacts, RerankerFacts
from taskembed.encoding.settings import EngineSettings, device_of
from taskembed.encoding.tokens import Batch, Ints, load_tokenizer
from taskembed.models.saved_json import read_saved
from taskembed.vectors import FloatRows

DEFAULT_DIM = 32  # numbers in a vector of a model whose files do not say it
DEFAULT_LENGTH = 512  # tokens that a model reads whose files do not say it
POOLINGS = {"cls_token": "cls", "lasttoken": "lasttoken"}  # of 1_Pooling; everything else: the mean

_for_good = ExitStack()


@contextmanager
def fake_models() -> Iterator[None]:
    """Within this context, encoders and rerankers are opened without their model being run.

    It holds for the whole process, threads included, and for every way to open a model: functions,
    and commands. Hosted models are not replaced.
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
    """Open no model that is run in this process, from now on: for workers of a test."""
    _for_good.enter_context(fake_models())


class FakeEngine:
    """Gives each token a random vector of its own, and a pair of texts the tokens they share."""

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
        """Return int64[1]: how many of the tokens came before."""
        return np.array([len(ids) - len(np.unique(ids))])


class FakeRuntime:
    """What a `Runtime` is to an encoder or a reranker, without the model."""

    def __init__(self, source: ModelSource, settings: EngineSettings) -> None:
        device_of(settings)  # for its refusals
        self._source = source
        self._precision = settings.precision
        self._engine: FakeEngine | None = None
        with doing(f"loading the model {source.name}"):
            folder = source.files.folder
            text = (folder / "tokenizer.json").read_text(encoding="utf-8")
            self.compiled = CompiledModel(_facts(folder, source.kind), text, memoryview(b""))
            is_shared = source.kind is not Kind.RERANKER  # which sets how its own truncates
            self.tokenizer: Tokenizer = (_tokenizer if is_shared else load_tokenizer)(text)

    def start(self) -> None:
        """Do nothing: the engine starts at once."""

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
        """Compare nothing: there is no reference."""

    def forget(self) -> None:
        """Free nothing."""

    def failing(self) -> AbstractContextManager[None]:
        """Let every error through as it is."""
        return nullcontext()


@lru_cache(maxsize=4)
def _tokenizer(text: str) -> Tokenizer:
    """Return a tokenizer that encoders share, which change nothing in it: making one is slow."""
    return load_tokenizer(text)


def _facts(folder: Path, kind: Kind) -> ModelFacts | RerankerFacts:
    """Return what the files of a model say of it, as far as a fake needs it."""
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
