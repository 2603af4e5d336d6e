"""The tables of the configuration file, as types that validate its contents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Annotated

from annotated_types import Ge, Len

from taskembed.cli.options.common import Device, Precision
from taskembed.space import Task
from taskembed.strict import STRICT


@dataclass(frozen=True, slots=True)
class Defaults:
    """Defaults of options; the keys are named like their variables: threads, TASKEMBED_THREADS."""

    __pydantic_config__ = STRICT

    index: Annotated[str, Len(1)] | None = None
    task: str | None = None
    model: Annotated[str, Len(1)] | None = None
    api_base: Annotated[str, Len(1)] | None = None
    device: Device | None = None
    precision: Precision | None = None
    threads: Annotated[int, Ge(1)] | None = None
    offline: bool | None = None
    cache: Annotated[str, Len(1)] | None = None
    quiet: bool | None = None
    json: bool | None = None

    def __post_init__(self) -> None:
        if self.task is not None:
            Task(self.task)

    def given(self) -> dict[str, object]:
        """Return the defaults in the file, as values of options."""
        return {
            name: value.value if isinstance(value, Enum) else value
            for name, value in asdict(self).items()
            if value is not None
        }


@dataclass(frozen=True, slots=True)
class ConfigTables:
    """The whole file."""

    __pydantic_config__ = STRICT

    indexes: Mapping[str, Annotated[str, Len(1)]] = field(default_factory=dict)
    defaults: Defaults = field(default_factory=Defaults)
