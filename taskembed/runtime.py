"""What runs a model: its compiled form from the cache, or made now, and an engine started on it.

An encoder and a reranker are both a model that turns batches of tokens into rows of numbers; here
they are the same.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from platformdirs import user_cache_path

from taskembed.adapters import AdapterFiles
from taskembed.arguments import require_positive
from taskembed.cachefiles import write_atomically
from taskembed.compiled import (
    CompiledModel,
    MadeFrom,
    checked_path,
    entry_path,
    read_entry,
    write_entry,
)
from taskembed.errors import ModelUnavailableError, UsageError
from taskembed.modelfiles import ModelFiles
from taskembed.space import PromptType
from taskembed.tokens import Batch
from taskembed.vectors import FloatRows

if TYPE_CHECKING:
    from taskembed.loader import Loaded


DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


class Engine(Protocol):
    """What runs a model on batches."""

    name: str
    precision: str
    token_budget: int

    def run(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch, FloatRows]]:
        """Yield each batch with float32[n, dim], in any order."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Where and how a model runs; none of it is part of the space.

    Attributes:
        device: "auto", "cpu", "cuda", "mps"; auto is an accelerator when there is one.
        precision: "auto", "fp32", "bf16", "fp16"; auto is bf16 where the device computes with it.
        threads: of the CPU; None for all that the process may use.
        one_query: made ready for one short text, on the CPU unless a device is named: starting
            torch takes longer than a query.
        offline: never use the network.
        trust_remote_code: run the Python code of a model that does not load without it.
        api_base: the address of a server with OpenAI's interface that has the model; of a hosted
            model, in place of its own server's.
        cache: the folder for compiled models; None for the user's.
        notify: told, once, what takes long and what is slower than it could be.

    Raises:
        ValueError: there is no such device or precision, or no thread.
    """

    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    one_query: bool = False
    offline: bool = False
    trust_remote_code: bool = False
    api_base: str | None = None
    cache: Path | None = None
    notify: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("device", self.device, DEVICES),
            ("precision", self.precision, PRECISIONS),
        ):
            if value not in known:
                raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(known)}")
        if self.threads is not None:
            require_positive(self.threads, "threads")

    @property
    def cache_folder(self) -> Path:
        """The folder for compiled models."""
        return Path(self.cache) if self.cache else user_cache_path("taskembed")


class Kind(Enum):
    """What a model is loaded as."""

    ENCODER = "encoder"
    RERANKER = "reranker"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Everything that a compiled model is made from.

    Attributes:
        files: the model's.
        kind: what it is loaded as.
        adapter: merged into its weights; None for none.
        remote_code: whether its own Python code is run.
        answers: of a reranker that answers with a token: which tokens mean yes and no.
        side: whose branch it is, where queries and documents have models of their own.
    """

    files: ModelFiles
    kind: Kind = Kind.ENCODER
    adapter: AdapterFiles | None = None
    remote_code: bool = False
    answers: tuple[str, ...] = ()
    side: PromptType | None = None

    @property
    def digest(self) -> str:
        """Sha256 of all that the compiled model depends on, but for the engine."""
        adapter = self.adapter.digest if self.adapter else ""
        side = self.side.value if self.side else ""
        code = str(self.remote_code)
        parts = (self.kind.value, self.files.digest, adapter, code, side, *self.answers)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    @property
    def name(self) -> str:
        """What a person calls it."""
        name = f"{self.files.name} + {self.adapter.name}" if self.adapter else self.files.name
        return f"{name} for a {self.side.value}" if self.side else name


class Runtime:
    """A model ready to run: compiled at the first use ever, its engine started at the first batch.

    Raises:
        ModelUnavailableError: the model cannot be loaded.
        UsageError: there is no such device here.
    """

    def __init__(self, source: ModelSource, settings: EngineSettings) -> None:
        self._source = source
        self._settings = settings
        self._device = device_of(settings)
        self._engine: Engine | None = None
        self._loaded: Loaded | None = None
        self._checked: set[Path] = set()
        self._version = _engine_version(self._device)
        self.compiled = self._from_cache() or self._compile()

    @property
    def engine(self) -> Engine:
        """The engine, started at the first use."""
        if self._engine is None:
            self._engine = _start(self._source, self.compiled, self._device, self._settings)
        return self._engine

    @property
    def started(self) -> Engine | None:
        """The engine, if it was started."""
        return self._engine

    def check(self, path_of_texts: str, compare: Callable[[Loaded, Engine], None]) -> None:
        """Compare the model with its reference, in fp32, unless that was done before.

        Args:
            path_of_texts: everything else between a text and its vector: prompt, limit, size.
            compare: raises when the two differ.
        """
        source, folder = self._source, self._settings.cache_folder
        done = checked_path(folder, source.digest, self._version, path_of_texts)
        if done in self._checked or (self._loaded is None and done.is_file()):
            return
        if self._loaded is None:
            self._settings.notify(f"comparing {source.name} with sentence-transformers, once")
            self._loaded = _load(source, self._settings)
        compare(self._loaded, self._exact(self._loaded))
        self._checked.add(done)
        write_atomically(done, [])

    def forget(self) -> None:
        """Free what was loaded to compile or to compare."""
        self._loaded = None

    def _exact(self, loaded: Loaded) -> Engine:
        """Return an engine in fp32, on the CPU."""
        if self._device == "cpu" and not self.compiled.facts.fallback:
            from taskembed.engines.openvino import OpenVinoEngine

            threads = self._settings.threads or _cores()
            blob = self.compiled.blob
            return OpenVinoEngine(blob, precision="fp32", threads=threads, one_query=True)
        from taskembed.engines.torch import TorchEngine

        return TorchEngine(loaded.model, device="cpu", precision="fp32", threads=None)

    def _from_cache(self) -> CompiledModel | None:
        digest = self._source.digest
        path = entry_path(self._settings.cache_folder, digest, self._version)
        return read_entry(path, digest)

    def _compile(self) -> CompiledModel:
        """Compile the model, and put it in the cache."""
        source, settings = self._source, self._settings
        settings.notify(f"compiling the model {source.name} for this machine; this happens once")
        loaded = _load(source, settings)
        compiled = _compile(loaded, self._device)
        made_from = MadeFrom(
            model=source.files.name,
            revision=source.files.revision,
            adapter=source.adapter.name if source.adapter else "",
            kind=source.kind.value,
            digest=source.digest,
            engine=self._version,
        )
        path = entry_path(settings.cache_folder, source.digest, self._version)
        if not write_entry(path, compiled, made_from):
            settings.notify(f"{path.parent} cannot be written: the next command compiles again")
        if loaded.reference is not None:
            self._loaded = loaded
        return compiled


def _engine_version(device: str) -> str:
    """Return what a compiled model depends on beside its source."""
    if device != "cpu":
        return "torch"
    from taskembed.engines.openvino import engine_version  # 0.07 s

    return engine_version()


def device_of(settings: EngineSettings) -> str:
    """Return "cpu", "cuda" or "mps"; torch is imported only when there may be an accelerator.

    Raises:
        UsageError: there is no such device here.
    """
    wanted = settings.device
    if wanted == "cpu" or (wanted == "auto" and (settings.one_query or not _may_accelerate())):
        return "cpu"
    from taskembed.engines.torch import choose_device  # torch: 2 s

    try:
        return choose_device(wanted)
    except ValueError as error:
        raise UsageError(str(error), hint="--device auto takes the best that there is") from error


def _cores() -> int | None:
    """Return how many cores the process may use; None where the system does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def _may_accelerate() -> bool:
    return sys.platform == "darwin" or Path("/dev/nvidiactl").exists()


def _load(source: ModelSource, settings: EngineSettings) -> Loaded:
    """Load a model with torch, on the CPU and in fp32."""
    if source.remote_code and not settings.trust_remote_code:
        raise ModelUnavailableError(
            f"{source.files.name} needs Python code of its own to be loaded, which is not run "
            "unasked",
            hint="read that code, then give --trust-remote-code",
        )
    if source.kind is Kind.RERANKER:
        from taskembed.rerank_loader import load_reranker_model  # seconds

        return load_reranker_model(
            source.files,
            source.answers,
            trust_remote_code=source.remote_code,
        )
    from taskembed.loader import load_encoder_model  # seconds

    return load_encoder_model(
        source.files,
        source.adapter,
        trust_remote_code=source.remote_code,
        side=source.side or PromptType.DOCUMENT,
    )


def _compile(loaded: Loaded, device: str) -> CompiledModel:
    if device != "cpu":
        return CompiledModel(loaded.facts, loaded.tokenizer_json, memoryview(b""))
    from taskembed.loader import to_openvino

    blob, reason = to_openvino(loaded.model, loaded.facts.max_length)
    return CompiledModel(
        replace(loaded.facts, fallback=reason), loaded.tokenizer_json, memoryview(blob)
    )


def _start(
    source: ModelSource, compiled: CompiledModel, device: str, settings: EngineSettings
) -> Engine:
    if settings.precision == "fp16" and compiled.facts.fp16_overflows:
        raise UsageError(
            f"{source.files.name} overflows in fp16: its vectors would be wrong",
            hint="--precision bf16, or fp32",
        )
    if device == "cpu" and not compiled.facts.fallback:
        from taskembed.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(
            compiled.blob,
            precision=settings.precision,
            threads=settings.threads or _cores(),
            one_query=settings.one_query,
        )
    from taskembed.engines.torch import DTYPES, TorchEngine, choose_precision

    if compiled.facts.fallback:
        settings.notify(f"{source.files.name} runs on torch, slower: {compiled.facts.fallback}")
    precision = choose_precision(settings.precision, device)
    # Subtle: merged in fp32, then cast: a LoRA's small differences would drown in bf16.
    model = _load(source, settings).model.to(device=device, dtype=DTYPES[precision])
    return TorchEngine(model, device=device, precision=precision, threads=settings.threads)
