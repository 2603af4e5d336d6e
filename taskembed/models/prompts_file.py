"""Reads a user's own prompts file: TOML with the keys of a family in models.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from taskembed.errors import UsageError, os_errors
from taskembed.models._tables import EncodingKeys, PromptsTable, task_sides
from taskembed.models.sides import Sides
from taskembed.space import Task
from taskembed.strict import checked


@dataclass(frozen=True, slots=True)
class PromptsFile:
    """A user's own prompts: the keys of a family, without its models.

    Attributes:
        name: the name of the file, for messages.
        changes: values for fields of `Family`.
        tasks: the prompts of each task.
        adapters: a LoRA folder or Hugging Face id for each task, for both sides.
    """

    name: str
    changes: Mapping[str, Any]
    tasks: Mapping[Task, Sides]
    adapters: Mapping[Task, str]


def read_prompts_file(path: Path) -> PromptsFile:
    """Read a user's prompts file.

    Paths of adapters may be relative to the file.

    Raises:
        NotFoundError: there is no such file.
        UsageError: the file is not a prompts file; the message names the key.
    """
    try:
        with os_errors(path):
            text = path.read_text(encoding="utf-8")
    except ValueError as error:
        raise UsageError("it is not UTF-8", what=str(path)) from error
    try:
        return _prompts_file(tomllib.loads(text), path)
    except ValueError as error:
        hint = "docs/models.md shows such a file"
        raise UsageError(str(error), what=str(path), hint=hint) from error


def _prompts_file(raw: Mapping[str, Any], path: Path) -> PromptsFile:
    table = checked(PromptsTable, raw)
    tasks = {
        Task(name): task_sides(task, Task(name), table, f'task "{name}"', str(path))
        for name, task in table.tasks.items()
    }
    beside = path.parent
    adapters = {
        Task(name): str(beside / folder) if (beside / folder).is_dir() else folder
        for name, folder in table.adapters.items()
    }
    keys = {item.name for item in fields(EncodingKeys)} & raw.keys()
    return PromptsFile(str(path), {key: getattr(table, key) for key in keys}, tasks, adapters)
