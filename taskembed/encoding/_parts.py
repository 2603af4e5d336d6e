"""The files of a model and its adapters, and the runtimes of queries and documents."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from taskembed.encoding._engines import Engine
from taskembed.encoding._quantized import QuantizedRuntime
from taskembed.encoding._runtime import Runtime
from taskembed.encoding._source import ModelSource
from taskembed.encoding.facts import ModelFacts
from taskembed.encoding.settings import INT8, EngineSettings
from taskembed.models.adapters import AdapterFiles, find_adapter
from taskembed.models.catalogue import Family, identify
from taskembed.models.files import (
    Located,
)
from taskembed.models.stock_views import (
    has_sides,
)
from taskembed.space import PromptType

if TYPE_CHECKING:
    pass


class ModelParts:
    """The files of a space's model and adapters, and the runtime of each side."""

    def __init__(
        self,
        files: Located,
        adapters: Mapping[PromptType, str],
        family: Family | None,
        settings: EngineSettings,
        *,
        remote_code: bool,
    ) -> None:
        """Find the adapters; nothing is loaded yet.

        Args:
            files: the files of the model.
            adapters: the name of each side's adapter; "" for none.
            family: the family of the model; None if it is unknown.
            settings: where and how the model runs.
            remote_code: whether the model's own Python code is run.

        Raises:
            ModelUnavailableError: an adapter is missing, or is not a LoRA adapter.
        """
        self.files = files
        self._family = family
        self._settings = settings
        self._remote_code = remote_code
        names = [name for name in dict.fromkeys(adapters.values()) if name]
        located = {name: self._find(name) for name in names}
        self._adapters = {side: located.get(name) for side, name in adapters.items()}
        self._sided = has_sides(files.folder)
        self._runtimes: dict[tuple[AdapterFiles | None, PromptType | None], Runtime] = {}

    def adapter_name(self, side: PromptType) -> str:
        """Return the name of a side's adapter as an index stores it; "" for none."""
        adapter = self._adapters[side]
        return adapter.name if adapter else ""

    def _find(self, name: str) -> AdapterFiles:
        adapter = find_adapter(name, self.files.folder, self._settings.hub)
        base = identify(adapter.base).family
        if base is not None and base != self._family:
            self._settings.notify(
                f"note: the adapter {name} was trained on {adapter.base}, not {self.files.name}"
            )
        return adapter

    @property
    def adapters(self) -> list[AdapterFiles]:
        """The adapters of both sides; an adapter of both is listed once."""
        return list(dict.fromkeys(adapter for adapter in self._adapters.values() if adapter))

    @property
    def adapter_digest(self) -> str:
        """Sha256 over the adapters of both sides; "" if there are none."""
        digests = [adapter.digest if adapter else "" for adapter in self._adapters.values()]
        return hashlib.sha256("\0".join(digests).encode()).hexdigest() if any(digests) else ""

    @property
    def first(self) -> PromptType:
        """The side that is needed first."""
        return PromptType.QUERY if self._settings.one_query else PromptType.DOCUMENT

    @property
    def facts(self) -> ModelFacts:
        """The facts about the model of the first side."""
        return self.runtime(self.first).compiled.encoder_facts

    def runtime(self, prompt_type: PromptType) -> Runtime:
        """Return the runtime of a side; both sides share one if they use the same model."""
        adapter, side = key = self._key(prompt_type)
        if key not in self._runtimes:
            source = ModelSource(
                self.files, adapter=adapter, remote_code=self._remote_code, side=side
            )
            is_int8 = self._settings.precision == INT8
            runtime = QuantizedRuntime if is_int8 else Runtime
            self._runtimes[key] = runtime(source, self._settings)
        return self._runtimes[key]

    def sides_of(self, runtime: Runtime) -> list[PromptType]:
        """Return the sides that a runtime runs."""
        return [side for side in PromptType if self._runtimes.get(self._key(side)) is runtime]

    def _key(self, side: PromptType) -> tuple[AdapterFiles | None, PromptType | None]:
        return self._adapters[side], side if self._sided else None

    @property
    def started(self) -> Engine | None:
        """An engine that was started; None before a text is encoded."""
        return next((item.started for item in self._runtimes.values() if item.started), None)
