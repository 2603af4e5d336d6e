"""Finds the files in an index's folder that no kept generation needs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from taskembed.errors import TaskembedError
from taskembed.index.disk._lock import LOCK
from taskembed.index.disk.generations import KEPT_GENERATIONS
from taskembed.index.disk.manifests import PART, generations_of, manifest_name, read_manifest


def unneeded(folder: Path, names: list[str], next_generation: int) -> list[str]:
    """Return the files to delete: older manifests first, then the files that only they name.

    Args:
        folder: the folder of the index.
        names: the files of the index in it, also those that were never committed.
        next_generation: the number of the next commit.
    """
    generations = generations_of(names)
    kept, dropped = generations[-KEPT_GENERATIONS:], generations[:-KEPT_GENERATIONS]
    try:
        named = {name for number in kept for name in read_manifest(folder, number).files}
    except (TaskembedError, OSError):
        # The files of a damaged manifest are unknown, so only uncommitted files may be deleted.
        named = {name for name in names if _generation_of(name) < next_generation}
        dropped = []
    old_manifests = [manifest_name(number) for number in dropped]
    safe = named | {LOCK} | {manifest_name(number) for number in generations}
    return old_manifests + [name for name in names if name not in safe and not PART.fullmatch(name)]


def number_in(name: str) -> int:
    """Return the generation in the name of a file; -1 if the name has none."""
    number = re.search(r"-(\d{8})", name)
    return int(number[1]) if number else -1


def _generation_of(name: str) -> int:
    """Return the generation that a file was written for; a temporary file is later than any."""
    number = number_in(name)
    return sys.maxsize if number < 0 or name.endswith(".tmp") else number
