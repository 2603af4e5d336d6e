"""The `EngineSettings` type: where and how a model runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from taskembed.arguments import require_positive
from taskembed.errors import UsageError
from taskembed.files import own_folder
from taskembed.models.files import Hub

if TYPE_CHECKING:
    pass


DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "fp32", "bf16", "fp16", "int8")
INT8 = "int8"


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Where and how a model runs; none of it is part of the space.

    Attributes:
        device: "auto", "cpu", "cuda", "mps"; auto is an accelerator if there is one.
        precision: "auto", "fp32", "bf16", "fp16", "int8"; auto is bf16 if the device supports it;
            int8 is for embedding models on the CPU. See docs/adr/0019.
        threads: number of CPU threads; None for all cores that the process may use.
        one_query: whether to optimise for one short text, on the CPU unless a device is named:
            starting torch takes longer than a query.
        offline: whether the network is never used.
        trust_remote_code: whether to run the Python code of a model that does not load without it.
        api_base: the address of a server with OpenAI's interface that runs the model; for a hosted
            model, it replaces the address of its vendor.
        cache: the folder for compiled models; None for the user's cache folder.
        notify: called with a sentence about each step that is slow, once for each sentence.

    Raises:
        ValueError: there is no such device or precision, or `threads` is below 1.
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
    def hub(self) -> Hub:
        """The hub from which the files of models and adapters are taken."""
        return Hub(self.cache_folder, self.offline, self.notify)

    @property
    def cache_folder(self) -> Path:
        """The folder for compiled models."""
        return Path(self.cache) if self.cache else own_folder()


def device_of(settings: EngineSettings) -> str:
    """Return "cpu", "cuda" or "mps"; torch is imported only if there may be an accelerator.

    Raises:
        UsageError: the device is not available, or does not support the precision.
    """
    device = _device_of(settings)
    if settings.precision == INT8 and device != "cpu":
        raise UsageError(
            f"int8 is only for the CPU, but the model would run on {device}",
            hint="--device cpu; or leave out --precision",
        )
    return device


def _device_of(settings: EngineSettings) -> str:
    wanted = settings.device
    if wanted == "cpu" or (wanted == "auto" and (settings.one_query or not _may_accelerate())):
        return "cpu"
    from taskembed.encoding.engines.torch import choose_device  # torch: 2 s

    try:
        return choose_device(wanted)
    except ValueError as error:
        raise UsageError(
            str(error), hint="--device auto takes the best available device"
        ) from error


def _may_accelerate() -> bool:
    return sys.platform == "darwin" or Path("/dev/nvidiactl").exists()
