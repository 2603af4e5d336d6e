"""Where and how a model runs."""

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
        device: "auto", "cpu", "cuda", "mps"; auto is an accelerator when there is one.
        precision: "auto", "fp32", "bf16", "fp16", "int8"; auto is bf16 where the device computes
            with it; int8 is for embedding models on the CPU. See docs/adr/0019.
        threads: of the CPU; None for all that the process may use.
        one_query: made ready for one short text, on the CPU unless a device is named: starting
            torch takes longer than a query.
        offline: never use the network.
        trust_remote_code: run the Python code of a model that does not load without it.
        api_base: the address of a server with OpenAI's interface that has the model; of a hosted
            model, in place of its own server's.
        cache: the folder for compiled models; None for the user's.
        notify: called with a sentence about each step that takes long or is slower than it could
            be; once for each.

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
    def hub(self) -> Hub:
        """Where the files of models and adapters are found."""
        return Hub(self.cache_folder, self.offline, self.notify)

    @property
    def cache_folder(self) -> Path:
        """The folder for compiled models."""
        return Path(self.cache) if self.cache else own_folder()


def device_of(settings: EngineSettings) -> str:
    """Return "cpu", "cuda" or "mps"; torch is imported only when there may be an accelerator.

    Raises:
        UsageError: there is no such device here, or it does not compute in the precision.
    """
    device = _device_of(settings)
    if settings.precision == INT8 and device != "cpu":
        raise UsageError(
            f"int8 is a precision of the CPU, and the model would run on {device}",
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
        raise UsageError(str(error), hint="--device auto takes the best that there is") from error


def _may_accelerate() -> bool:
    return sys.platform == "darwin" or Path("/dev/nvidiactl").exists()
