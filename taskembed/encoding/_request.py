"""The options of an encoder, other than its model."""

from __future__ import annotations

from dataclasses import dataclass, field

from taskembed.encoding.settings import EngineSettings
from taskembed.models.resolve import PromptOverrides
from taskembed.space import Task


@dataclass(frozen=True, slots=True)
class EncoderRequest:
    """The options of an encoder; the arguments of `load_encoder` with the same names."""

    task: Task
    revision: str | None = None
    stated: PromptOverrides = field(default_factory=PromptOverrides)
    dim: int | None = None
    force_dim: bool = False
    settings: EngineSettings = field(default_factory=EngineSettings)
