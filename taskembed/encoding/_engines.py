"""Loads and compiles models, and starts the engines that run them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from taskembed.encoding._batches import Batch
from taskembed.encoding._source import ModelSource
from taskembed.encoding.cache import CompiledModel
from taskembed.encoding.engines.static import StaticEngine
from taskembed.encoding.facts import Kind, ModelFacts
from taskembed.encoding.settings import EngineSettings
from taskembed.errors import ModelUnavailableError, UsageError
from taskembed.space import PromptType
from taskembed.vectors import FloatRows

if TYPE_CHECKING:
    from taskembed.encoding.compile.encoders import Loaded


class Engine(Protocol):
    """Runs a model on batches of tokens."""

    name: str
    precision: str
    token_budget: int

    def run(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch, FloatRows]]:
        """Yield each batch with float32[n, width], in any order."""


class WatchedEngine:
    """An engine whose errors are reported as errors of the model, and whose output is checked.

    Args:
        engine: runs the model.
        width: the number of values that the model computes for a text.
        failing: returns a context that turns errors within it into TaskembedErrors.
    """

    def __init__(
        self, engine: Engine, width: int, failing: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._engine = engine
        self._width = width
        self._failing = failing
        self.name = engine.name
        self.precision = engine.precision
        self.token_budget = engine.token_budget

    def run(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch, FloatRows]]:
        """Yield each batch with float32[n, width], in any order.

        Raises:
            ModelUnavailableError: the model cannot be run.
        """
        with self._failing():
            for batch, vectors in self._engine.run(batches):
                if vectors.shape != (len(batch.rows), self._width):
                    raise ValueError(f"it gives {vectors.shape[1:]} numbers, not {self._width}")
                yield batch, vectors


def engine_version_of(device: str) -> str:
    """Return the name and version of the engine of a device; a compiled model depends on both."""
    if device != "cpu":
        return "torch"
    from taskembed.encoding.engines.openvino import engine_version  # 0.07 s

    return engine_version()


def usable_cores() -> int | None:
    """Return the number of cores that the process may use; None if unknown."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def load_model(
    source: ModelSource, settings: EngineSettings, notify: Callable[[str], None] = lambda _: None
) -> Loaded:
    """Load a model with torch, on the CPU and in fp32.

    Raises:
        ModelUnavailableError: the model cannot be loaded, or needs code that is not trusted.
    """
    if source.remote_code and not settings.trust_remote_code:
        raise ModelUnavailableError(
            f"{source.files.name} needs Python code of its own to be loaded, which is not run "
            "unasked",
            hint="read that code, then give --trust-remote-code",
        )
    if source.kind is Kind.RERANKER:
        from taskembed.encoding.compile.rerankers import load_reranker_model  # seconds

        return load_reranker_model(
            source.files,
            source.answers,
            trust_remote_code=source.remote_code,
        )
    from taskembed.encoding.compile.encoders import load_encoder_model  # seconds

    return load_encoder_model(
        source.files,
        source.adapter,
        trust_remote_code=source.remote_code,
        side=source.side or PromptType.DOCUMENT,
        notify=notify,
    )


def compile_loaded(loaded: Loaded, device: str) -> CompiledModel:
    """Return the form of a loaded model that the engine of a device runs.

    Static embeddings become a table, models for the CPU a blob of OpenVINO. If OpenVINO cannot
    convert a model, torch runs it, and `facts.fallback` is the reason.
    """
    if loaded.table is not None:
        table = memoryview(loaded.table.tobytes())
        return CompiledModel(loaded.facts, loaded.tokenizer_json, table)
    if device != "cpu":
        return CompiledModel(loaded.facts, loaded.tokenizer_json, memoryview(b""))
    from taskembed.encoding.compile.convert import to_openvino

    converted = to_openvino(loaded.model, loaded.facts.max_length)
    facts = replace(loaded.facts, fallback=converted.reason)
    return CompiledModel(facts, loaded.tokenizer_json, memoryview(converted.blob))


def table_engine(compiled: CompiledModel) -> Engine:
    """Return the engine of static embeddings."""
    return StaticEngine(compiled.blob, dim=compiled.facts.width, kind=table_kind(compiled))


def table_kind(compiled: CompiledModel) -> str:
    """Return how static embeddings are pooled to a vector; "" for any other model."""
    return compiled.facts.table if isinstance(compiled.facts, ModelFacts) else ""


def start_engine(
    source: ModelSource, compiled: CompiledModel, device: str, settings: EngineSettings
) -> Engine:
    """Return the engine of a compiled model, ready to run.

    Raises:
        UsageError: the model overflows in the requested precision.
        ModelUnavailableError: the model has to be loaded again for torch, which fails.
    """
    if settings.precision == "fp16" and compiled.facts.fp16_overflows:
        raise UsageError(
            f"{source.files.name} overflows in fp16: its vectors would be wrong",
            hint="--precision bf16, or fp32",
        )
    if table_kind(compiled):
        return table_engine(compiled)
    if device == "cpu" and not compiled.facts.fallback:
        from taskembed.encoding.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(
            compiled.blob,
            precision=settings.precision,
            threads=settings.threads or usable_cores(),
            one_query=settings.one_query,
        )
    from taskembed.encoding.engines.torch import TorchEngine, choose_precision, model_on

    if compiled.facts.fallback:
        settings.notify(f"{source.files.name} runs on torch, slower: {compiled.facts.fallback}")
    precision = choose_precision(settings.precision, device)
    # Subtle: a LoRA adapter is merged in fp32 and cast afterwards; bf16 would round away its small
    # weights.
    model = model_on(load_model(source, settings).model, device, precision)
    return TorchEngine(model, device=device, precision=precision, threads=settings.threads)
