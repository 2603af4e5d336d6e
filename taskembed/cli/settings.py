"""From options to the settings of an engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from taskembed.cli.options import Device, Precision
from taskembed.cli.output import message

if TYPE_CHECKING:
    from taskembed.encoder import EngineSettings


def engine_settings(
    device: Device,
    precision: Precision,
    threads: int | None,
    *,
    offline: bool,
    cache: Path | None,
    one_query: bool = False,
    quiet: bool = False,
) -> EngineSettings:
    """Return the settings; what takes long is said on stderr, unless `quiet`."""
    from taskembed.encoder import EngineSettings  # numpy and tokenizers: 0.07 s

    return EngineSettings(
        device=device.value,
        precision=precision.value,
        threads=threads,
        one_query=one_query,
        offline=offline,
        cache=cache,
        notify=(lambda _: None) if quiet else message,
    )
