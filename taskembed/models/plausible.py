"""Checks that a model's configuration has no more layers than its weights can fill.

A library creates all layers before it reads their weights, which takes hours for a million layers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError, safe_open

from taskembed.errors import ModelUnavailableError
from taskembed.models.folder import module_folders, walk
from taskembed.models.saved_json import read_saved

MOST_SHARED = 256  # layers or experts, which may share weights instead of having their own tensors
MOST_LABELS = 100_000
_COUNTS = re.compile(r"(^|_)(n|num|number|layers?|depth|depths)(_|$)|(layers?|blocks?|experts?)$")
_PARTS = re.compile(r"layer|block|expert|depth|label")


def require_plausible(name: str, folder: Path) -> None:
    """Refuse a model whose configuration has more layers or experts than its weights can fill.

    Raises:
        ModelUnavailableError: a number in a configuration is too large, or a file is damaged.
        StorageError: a file cannot be read.
    """
    for place in module_folders(walk(folder)):
        config = read_saved(place / "config.json") or {}
        found = [(key, count) for key, count in _numbers(config) if _counts_parts(key)]
        largest = max((count for _, count in found), default=0)
        if largest <= MOST_SHARED:
            continue
        tensors = sum(_tensors_in(name, path) for path in place.glob("*.safetensors"))
        for key, count in found:
            if count > (MOST_LABELS if "label" in key else max(tensors, MOST_SHARED)):
                raise ModelUnavailableError(
                    f"the model {name!r} cannot be loaded: {place / 'config.json'} asks for {key} "
                    f"{count:,}, but the weights have {tensors:,} tensors",
                    hint="download the model again, or name another one",
                )


def _counts_parts(key: str) -> bool:
    return bool(_PARTS.search(key) and _COUNTS.search(key))


def _numbers(value: object, key: str = "") -> Iterator[tuple[str, float]]:
    """Yield each number in a configuration with its key; in a list, with the key of the list."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _numbers(item, str(name).lower())
    elif isinstance(value, list):
        for item in value:
            yield from _numbers(item, key)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield key, value


def _tensors_in(name: str, path: Path) -> int:
    try:
        with safe_open(path, framework="numpy") as tensors:
            return len(tensors.keys())
    except SafetensorError as error:
        raise ModelUnavailableError(
            f"the model {name!r} cannot be loaded: {path}: {error}",
            hint="download the model again: the file is damaged",
        ) from error
