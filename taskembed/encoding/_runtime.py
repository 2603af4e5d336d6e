"""What runs a model: its compiled form from the cache, or made now, and an engine started on it.

An encoder and a reranker are both a model that turns batches of tokens into rows of numbers; here
they are the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from tokenizers import Tokenizer

from taskembed.activity import doing
from taskembed.encoding.cache import (
    CompiledModel,
    MadeFrom,
    checked_path,
    entry_path,
    read_entry,
    size_of,
    write_entry,
)
from taskembed.encoding.engines.static import StaticEngine
from taskembed.encoding.settings import EngineSettings, device_of
from taskembed.encoding.tokens import Batch, load_tokenizer
from taskembed.errors import ModelUnavailableError, TaskembedError, UsageError, from_library
from taskembed.files import distrusted, remember, remembered
from taskembed.models.adapters import AdapterFiles
from taskembed.models.files import Located
from taskembed.space import PromptType
from taskembed.vectors import FloatRows

if TYPE_CHECKING:
    from taskembed.encoding.compile.encoders import Loaded


LARGE_BYTES = 2 * 2**30  # of compiled models; from there on, a person is told
Made = TypeVar("Made")
_NOT_THE_MODELS = (TaskembedError, OSError, MemoryError)  # fault


class Engine(Protocol):
    """What runs a model on batches."""

    name: str
    precision: str
    token_budget: int

    def run(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch, FloatRows]]:
        """Yield each batch with float32[n, dim], in any order."""


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

    files: Located
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


class _Watched:
    """An engine of which a failure is said to be the model's, and a vector's size is checked."""

    def __init__(
        self, engine: Engine, dim: int, failing: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._engine = engine
        self._dim = dim
        self._failing = failing
        self.name = engine.name
        self.precision = engine.precision
        self.token_budget = engine.token_budget

    def run(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch, FloatRows]]:
        """Yield each batch with float32[n, dim], in any order.

        Raises:
            ModelUnavailableError: the model cannot be run.
        """
        with self._failing():
            for batch, vectors in self._engine.run(batches):
                if vectors.shape != (len(batch.rows), self._dim):
                    raise ValueError(f"it gives {vectors.shape[1:]} numbers, not {self._dim}")
                yield batch, vectors


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
        self._tokenizer: Tokenizer | None = None
        self._version = _engine_version(self._device)
        self._path = entry_path(settings.cache_folder, source.digest, self._version)
        with doing(f"loading the model {source.name}"):
            found = read_entry(self._path, source.digest, self._version)
        self._is_from_cache = found is not None
        self.compiled = found or self._compile()

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer, with neither truncation nor padding of its own."""
        if self._tokenizer is None:
            self._tokenizer = self._of_compiled(
                lambda: load_tokenizer(self.compiled.tokenizer_json)
            )
        return self._tokenizer

    @property
    def engine(self) -> Engine:
        """The engine, started at the first use."""
        if self._engine is None:
            with doing(f"loading the model {self._source.name}"):
                engine = self._of_compiled(
                    lambda: _start(self._source, self.compiled, self._device, self._settings)
                )
            self._engine = _Watched(engine, self.compiled.facts.dim, self.failing)
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
        if done in self._checked or (self._loaded is None and remembered(done) is not None):
            return
        with doing(f"comparing {source.name} with sentence-transformers"):
            if self._loaded is None:
                self._settings.notify(f"comparing {source.name} with sentence-transformers, once")
                self._loaded = _load(source, self._settings)
            loaded = self._loaded
            engine = self._of_compiled(lambda: self._exact(loaded))
            compare(loaded, _Watched(engine, self.compiled.facts.dim, self.failing))
        self._checked.add(done)
        remember(done, "compared")

    def forget(self) -> None:
        """Free what was loaded to compile or to compare."""
        self._loaded = None

    def _exact(self, loaded: Loaded) -> Engine:
        """Return an engine in fp32, on the CPU."""
        if self.compiled.facts.table:
            return _table_engine(self.compiled)
        if self._device == "cpu" and not self.compiled.facts.fallback:
            from taskembed.encoding.engines.openvino import OpenVinoEngine

            threads = self._settings.threads or _cores()
            blob = self.compiled.blob
            return OpenVinoEngine(blob, precision="fp32", threads=threads, one_query=True)
        from taskembed.encoding.engines.torch import TorchEngine

        return TorchEngine(loaded.model, device="cpu", precision="fp32", threads=None)

    def _of_compiled(self, make: Callable[[], Made]) -> Made:
        """Return what is made of the compiled model, compiling again what came from the cache.

        Raises:
            ModelUnavailableError: it cannot be made of a model that was just compiled either.
        """
        if self._is_from_cache:
            try:
                return make()
            except _NOT_THE_MODELS:
                raise
            except Exception:  # noqa: BLE001  # whatever a library says of bytes that it cannot use
                self._compile_again()
        with self.failing():
            return make()

    @contextlib.contextmanager
    def failing(self) -> Iterator[None]:
        """Say of what fails within it that the model cannot be run; its entry is deleted.

        Raises:
            ModelUnavailableError: something failed.
        """
        try:
            yield
        except _NOT_THE_MODELS:
            raise
        except Exception as error:
            raise self._failed(error) from error

    def _compile_again(self) -> None:
        """Compile a model whose entry in the cache is not what it should be.

        Raises:
            ModelUnavailableError: the entry said something wrong of the model, which was used.
        """
        before = self.compiled.facts
        self._settings.notify(f"{self._path} cannot be used")
        self.compiled, self._is_from_cache = self._compile(), False
        if self.compiled.facts != before:
            raise ModelUnavailableError(
                f"the compiled form of {self._source.name} in the cache was damaged; it has been "
                "made again",
                hint="run the same command again",
            )

    def _failed(self, error: Exception) -> TaskembedError:
        """Return what is said when the compiled model fails; what is in the cache is deleted."""
        if self._is_from_cache:
            with contextlib.suppress(OSError):
                self._path.unlink()
        return from_library(
            error,
            f"the model {self._source.name} cannot be run",
            hint="run the same command again: it compiles the model anew"
            if self._is_from_cache
            else "name another model with --model",
        )

    def _compile(self) -> CompiledModel:
        """Compile the model, and put it in the cache."""
        source, settings = self._source, self._settings
        settings.notify(f"compiling the model {source.name} for this machine; this happens once")
        with doing(f"compiling the model {source.name}"):
            loaded = _load(source, settings, settings.notify)
            compiled = _compile(loaded, self._device)
        made_from = MadeFrom(
            model=source.files.name,
            revision=source.files.revision,
            adapter=source.adapter.name if source.adapter else "",
            kind=source.kind.value,
            digest=source.digest,
            engine=self._version,
        )
        self._keep(compiled, made_from)
        if loaded.reference is not None:
            self._loaded = loaded
        return compiled

    def _keep(self, compiled: CompiledModel, made_from: MadeFrom) -> None:
        """Put a compiled model in the cache, or say why it is not kept."""
        folder, notify = self._path.parent, self._settings.notify
        if why := distrusted(folder):
            notify(
                f"note: {why}, so compiled models are neither taken from it nor kept there; make "
                "it yours alone (chmod go-w), or name another folder with --cache"
            )
        elif not write_entry(self._path, compiled, made_from):
            notify(f"{folder} cannot be written: the next command compiles again")
        elif (size := size_of(self._settings.cache_folder)) > LARGE_BYTES:
            notify(
                f"note: the compiled models in {folder} take {size / 2**30:.1f} GiB; "
                "`taskembed cache clear --unused 30` deletes those not used for 30 days"
            )


def _engine_version(device: str) -> str:
    """Return what a compiled model depends on beside its source."""
    if device != "cpu":
        return "torch"
    from taskembed.encoding.engines.openvino import engine_version  # 0.07 s

    return engine_version()


def _cores() -> int | None:
    """Return how many cores the process may use; None where the system does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def _load(
    source: ModelSource, settings: EngineSettings, notify: Callable[[str], None] = lambda _: None
) -> Loaded:
    """Load a model with torch, on the CPU and in fp32."""
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


def _compile(loaded: Loaded, device: str) -> CompiledModel:
    if loaded.table is not None:
        table = memoryview(loaded.table.tobytes())
        return CompiledModel(loaded.facts, loaded.tokenizer_json, table)
    if device != "cpu":
        return CompiledModel(loaded.facts, loaded.tokenizer_json, memoryview(b""))
    from taskembed.encoding.compile.convert import to_openvino

    blob, reason = to_openvino(loaded.model, loaded.facts.max_length)
    return CompiledModel(
        replace(loaded.facts, fallback=reason), loaded.tokenizer_json, memoryview(blob)
    )


def _table_engine(compiled: CompiledModel) -> Engine:
    return StaticEngine(compiled.blob, dim=compiled.facts.dim, kind=compiled.facts.table)


def _start(
    source: ModelSource, compiled: CompiledModel, device: str, settings: EngineSettings
) -> Engine:
    if settings.precision == "fp16" and compiled.facts.fp16_overflows:
        raise UsageError(
            f"{source.files.name} overflows in fp16: its vectors would be wrong",
            hint="--precision bf16, or fp32",
        )
    if compiled.facts.table:
        return _table_engine(compiled)
    if device == "cpu" and not compiled.facts.fallback:
        from taskembed.encoding.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(
            compiled.blob,
            precision=settings.precision,
            threads=settings.threads or _cores(),
            one_query=settings.one_query,
        )
    from taskembed.encoding.engines.torch import DTYPES, TorchEngine, choose_precision

    if compiled.facts.fallback:
        settings.notify(f"{source.files.name} runs on torch, slower: {compiled.facts.fallback}")
    precision = choose_precision(settings.precision, device)
    # Subtle: merged in fp32, then cast: a LoRA's small differences would drown in bf16.
    model = _load(source, settings).model.to(device=device, dtype=DTYPES[precision])
    return TorchEngine(model, device=device, precision=precision, threads=settings.threads)
