"""From options to the settings of an engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from taskembed.cli.options import Device, Precision
from taskembed.cli.output import message
from taskembed.errors import UsageError

if TYPE_CHECKING:
    from taskembed.encoding.settings import EngineSettings
    from taskembed.models.resolve import Stated


def engine_settings(  # one an option
    device: Device,
    precision: Precision,
    threads: int | None,
    *,
    offline: bool,
    cache: Path | None,
    one_query: bool = False,
    trust_remote_code: bool = False,
    api_base: str | None = None,
    quiet: bool = False,
) -> EngineSettings:
    """Return the settings; what takes long is said on stderr, unless `quiet`."""
    from taskembed.encoding.settings import EngineSettings  # numpy and tokenizers: 0.07 s

    return EngineSettings(
        device=device.value,
        precision=precision.value,
        threads=threads,
        one_query=one_query,
        offline=offline,
        trust_remote_code=trust_remote_code,
        api_base=api_base,
        cache=cache,
        notify=(lambda _: None) if quiet else message,
    )


def stated_words(
    query_prompt: str | None,
    document_prompt: str | None,
    instruction: str | None,
    adapter: str | None,
    family: str | None,
    prompts: Path | None,
    *,
    no_adapter: bool = False,
) -> Stated:
    """Return what was said of the model beside its name.

    Raises:
        UsageError: an adapter, and none.
    """
    if adapter is not None and no_adapter:
        raise UsageError("--adapter and --no-adapter exclude each other")
    from taskembed.models.prompts_file import read_prompts_file
    from taskembed.models.resolve import Stated

    return Stated(
        query_prompt=query_prompt,
        document_prompt=document_prompt,
        instruction=instruction,
        adapter="" if no_adapter else adapter,
        family=family,
        prompts=read_prompts_file(prompts) if prompts else None,
    )
