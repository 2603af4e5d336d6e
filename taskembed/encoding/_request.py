"""What an encoder is asked to be, beside its model."""

from __future__ import annotations

from dataclasses import dataclass, field

from taskembed.encoding.settings import EngineSettings
from taskembed.models.resolve import PromptOverrides
from taskembed.space import Task


@dataclass(frozen=True, slots=True)
class EncoderRequest:
    """What an encoder is asked to be; `load_encoder` describes the fields."""

    task: Task
    revision: str | None = None
    stated: PromptOverrides = field(default_factory=PromptOverrides)
    dim: int | None = None
    force_dim: bool = False
    settings: EngineSettings = field(default_factory=EngineSettings)
