"""Runs a model: finds its compiled form in the cache or compiles it, and starts an engine.

Encoders and rerankers are treated alike: both map batches of tokens to rows of numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tokenizers import Tokenizer

from taskembed.activity import doing
from taskembed.encoding._engines import (
    Engine,
    WatchedEngine,
    compile_loaded,
    engine_version_of,
    load_model,
    start_engine,
    table_engine,
    table_kind,
    usable_cores,
)
from taskembed.encoding._source import ModelSource
from taskembed.encoding.cache import (
    CompiledModel,
    MadeFrom,
    checked_path,
    entry_path,
    read_entry,
    size_of,
    write_entry,
)
from taskembed.encoding.settings import EngineSettings, device_of
from taskembed.encoding.tokens import load_tokenizer
from taskembed.errors import ModelUnavailableError, TaskembedError, from_library
from taskembed.files import distrusted, remember, remembered

if TYPE_CHECKING:
    from taskembed.encoding.compile.encoders import Loaded


LARGE_BYTES = 2 * 2**30  # size of the cache above which a note says how to clear it
Made = TypeVar("Made")
_NOT_THE_MODELS = (TaskembedError, OSError, MemoryError)  # errors that the model does not cause


class Runtime:
    """A model ready to run: compiled at its very first use; its engine starts at the first batch.

    Raises:
        ModelUnavailableError: the model cannot be loaded.
        UsageError: the requested device is not available.
    """

    def __init__(self, source: ModelSource, settings: EngineSettings) -> None:
        self._source = source
        self._settings = settings
        self._device = device_of(settings)
        self._engine: Engine | None = None
        self._starting: Future[Engine] | None = None
        self._loaded: Loaded | None = None
        self._checked: set[Path] = set()
        self._tokenizer: Tokenizer | None = None
        self._engine_version = engine_version_of(self._device)
        self._version = self._version_of(self._engine_version)
        self._path = entry_path(settings.cache_folder, source.digest, self._version)
        with doing(f"loading the model {source.name}"):
            found = read_entry(self._path, source.digest, self._version)
        self._is_from_cache = found is not None
        self.compiled = found or self._compile()

    def _version_of(self, engine_version: str) -> str:
        """Return the version of the engine, on which the compiled form depends."""
        return engine_version

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer, which neither truncates nor pads."""
        if self._tokenizer is None:
            self._tokenizer = self._of_compiled(
                lambda: load_tokenizer(self.compiled.tokenizer_json)
            )
        return self._tokenizer

    def start(self) -> None:
        """Start the engine in a thread, if the model is compiled; errors come with `engine`."""
        if self._is_from_cache and self._engine is None and self._starting is None:
            thread = ThreadPoolExecutor(1, "engine")
            self._starting = thread.submit(self._start)
            thread.shutdown(wait=False)

    def _start(self) -> Engine:
        return start_engine(self._source, self.compiled, self._device, self._settings)

    def _started(self) -> Engine:
        """Return the engine that `start` began to start; a second call starts another engine."""
        starting, self._starting = self._starting, None
        return starting.result() if starting else self._start()

    @property
    def engine(self) -> Engine:
        """The engine, started at the first use."""
        if self._engine is None:
            with doing(f"loading the model {self._source.name}"):
                engine = self._of_compiled(self._started)
            self._engine = WatchedEngine(engine, self.compiled.facts.width, self.failing)
        return self._engine

    @property
    def started(self) -> Engine | None:
        """The engine, if it was started."""
        return self._engine

    def check(self, path_of_texts: str, compare: Callable[[Loaded, Engine], None]) -> None:
        """Compare the model with its reference, in fp32, unless this was done before.

        Args:
            path_of_texts: all other settings that change a vector: prompt, limit, dimension.
            compare: raises an error if the two differ.
        """
        source, folder = self._source, self._settings.cache_folder
        done = checked_path(folder, source.digest, self._engine_version, path_of_texts)
        if done in self._checked or (self._loaded is None and remembered(done) is not None):
            return
        with doing(f"comparing {source.name} with sentence-transformers"):
            if self._loaded is None:
                self._settings.notify(f"comparing {source.name} with sentence-transformers, once")
            loaded = self.loaded()
            engine = self._of_compiled(lambda: self._exact(loaded))
            compare(loaded, WatchedEngine(engine, self.compiled.facts.width, self.failing))
        self._checked.add(done)
        remember(done, "compared")

    def loaded(self) -> Loaded:
        """Return the model in memory, on the CPU and in fp32; it is kept until `forget`.

        Raises:
            ModelUnavailableError: the model cannot be loaded.
        """
        if self._loaded is None:
            self._loaded = load_model(self._source, self._settings)
        return self._loaded

    def forget(self) -> None:
        """Free the model that was loaded to compile or to compare."""
        self._loaded = None

    def _exact(self, loaded: Loaded) -> Engine:
        """Return an engine in fp32, on the CPU."""
        if table_kind(self.compiled):
            return table_engine(self.compiled)
        if self._device == "cpu" and not self.compiled.facts.fallback:
            from taskembed.encoding.engines.openvino import OpenVinoEngine

            threads = self._settings.threads or usable_cores()
            blob = self.compiled.blob
            return OpenVinoEngine(blob, precision="fp32", threads=threads, one_query=True)
        from taskembed.encoding.engines.torch import TorchEngine

        return TorchEngine(loaded.model, device="cpu", precision="fp32", threads=None)

    def _of_compiled(self, make: Callable[[], Made]) -> Made:
        """Return `make()`; if it fails with a model from the cache, compile again and retry.

        Raises:
            ModelUnavailableError: `make` also fails with the model that was just compiled.
        """
        if self._is_from_cache:
            try:
                return make()
            except _NOT_THE_MODELS:
                raise
            except Exception:  # noqa: BLE001  # libraries raise many types for damaged bytes
                self._compile_again()
        with self.failing():
            return make()

    @contextlib.contextmanager
    def failing(self) -> Iterator[None]:
        """Report errors within the context as errors of the model; delete its entry in the cache.

        Raises:
            ModelUnavailableError: an operation within the context failed.
        """
        try:
            yield
        except _NOT_THE_MODELS:
            raise
        except Exception as error:
            raise self._failed(error) from error

    def _compile_again(self) -> None:
        """Compile a model again because its entry in the cache is damaged.

        Raises:
            ModelUnavailableError: wrong facts from the damaged entry were already used.
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
        """Delete a failing model's entry in the cache, and return the error to raise."""
        if self._is_from_cache:
            with contextlib.suppress(OSError):
                self._path.unlink()
        return from_library(
            error,
            f"the model {self._source.name} cannot be run",
            hint="run the same command again: it compiles the model again"
            if self._is_from_cache
            else "name another model with --model",
        )

    def _compile(self) -> CompiledModel:
        """Compile the model, and write it to the cache."""
        source, settings = self._source, self._settings
        settings.notify(f"compiling the model {source.name} for this machine; this happens once")
        with doing(f"compiling the model {source.name}"):
            loaded = load_model(source, settings, settings.notify)
            compiled = compile_loaded(loaded, self._device)
        self._keep(compiled)
        if loaded.reference is not None:
            self._loaded = loaded
        return compiled

    def _keep(self, compiled: CompiledModel) -> None:
        """Write a compiled model to the cache, or notify why this is impossible."""
        source = self._source
        made_from = MadeFrom(
            model=source.files.name,
            revision=source.files.revision,
            adapter=source.adapter.name if source.adapter else "",
            kind=source.kind.value,
            digest=source.digest,
            engine=self._version,
        )
        folder, notify = self._path.parent, self._settings.notify
        if why := distrusted(folder):
            notify(
                f"note: {why}, so compiled models are neither read from it nor written to it; make "
                "it yours alone (chmod go-w), or name another folder with --cache"
            )
        elif not write_entry(self._path, compiled, made_from):
            notify(f"{folder} cannot be written: the next command compiles again")
        elif (size := size_of(self._settings.cache_folder)) > LARGE_BYTES:
            notify(
                f"note: the compiled models in {folder} take {size / 2**30:.1f} GiB; "
                "`taskembed cache clear --unused 30` deletes those not used for 30 days"
            )
