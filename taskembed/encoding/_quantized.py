"""A model in int8 on the CPU: quantised at its first use, and cached beside its fp32 form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from taskembed.activity import doing
from taskembed.encoding._engines import Engine, table_kind
from taskembed.encoding._runtime import Runtime
from taskembed.encoding.cache import CompiledModel, checked_path
from taskembed.errors import UsageError
from taskembed.files import remembered

if TYPE_CHECKING:
    from taskembed.encoding.compile.encoders import Loaded

RECIPE = 1  # version of the quantisation; raise it when its texts or options change
OTHER_PRECISION = "leave out --precision: auto is the fastest precision without loss"


class QuantizedRuntime(Runtime):
    """A model ready to run in int8: weights and inputs of its matrix products are quantised.

    The fp32 form is compiled too, because int8 is compared with it; the fp32 form is compared with
    sentence-transformers.

    Raises:
        ModelUnavailableError: the model cannot be loaded, or int8 changes its rankings too much.
        UsageError: it would run on an accelerator or on torch, or has static embeddings.
        MissingLibraryError: the model is not quantised yet, and NNCF is not installed.
    """

    _plain: Runtime | None = None  # the fp32 form; opened when it is needed

    def _version_of(self, engine_version: str) -> str:
        # without the version of NNCF, which a search does not need
        return f"{engine_version}, int8 {RECIPE}"

    def check(self, path_of_texts: str, compare: Callable[[Loaded, Engine], None]) -> None:
        """Compare the fp32 form with its reference, unless that was done before."""
        source, folder = self._source, self._settings.cache_folder
        done = checked_path(folder, source.digest, self._engine_version, path_of_texts)
        if self._plain is not None or remembered(done) is None:
            self._opened().check(path_of_texts, compare)

    def forget(self) -> None:
        """Free the models that were loaded to compile or to compare."""
        self._plain = None

    def _opened(self) -> Runtime:
        if self._plain is None:
            self._plain = Runtime(self._source, replace(self._settings, precision="fp32"))
        return self._plain

    def _compile(self) -> CompiledModel:
        """Quantise the model, and write it to the cache."""
        from taskembed.extras import INT8, require_installed  # 0.01 s

        require_installed("nncf", INT8)  # seconds to import
        plain = self._opened()
        self._require_layers(plain.compiled)
        from taskembed.encoding.compile.quantize import quantize  # seconds

        name = self._source.name
        self._settings.notify(f"quantising the model {name} to int8; this happens once")
        with doing(f"quantising the model {name}"), self.failing():
            compiled = quantize(plain.loaded(), plain.compiled, name, self._source.side)
        self._keep(compiled)
        return compiled

    def _require_layers(self, compiled: CompiledModel) -> None:
        """Refuse a model that cannot be quantised.

        Raises:
            UsageError: the model has static embeddings, or OpenVINO cannot convert it.
        """
        if table_kind(compiled):
            why = "has static embeddings, and no layers to quantise"
        elif compiled.facts.fallback:
            why = f"runs on torch ({compiled.facts.fallback}), which does not support int8"
        else:
            return
        raise UsageError(f"{self._source.files.name} {why}", hint=OTHER_PRECISION)
