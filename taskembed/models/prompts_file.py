"""A user's own prompts file: TOML with the keys of a family in models.toml, checked."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskembed.errors import UsageError, from_os_error
from taskembed.models._tables import FAMILY_KEYS, Table, checked, require_sense, task_sides
from taskembed.models.sides import Sides
from taskembed.space import Task


@dataclass(frozen=True, slots=True)
class PromptsFile:
    """A user's own prompts: what is said of a family, without its models.

    Attributes:
        name: of the file, for people.
        changes: fields of `Family` that it says.
        tasks: the prompts of its tasks.
        adapters: a LoRA folder or Hugging Face id a task, for both sides.
    """

    name: str
    changes: Mapping[str, Any]
    tasks: Mapping[Task, Sides]
    adapters: Mapping[Task, str]


_OWN = (
    *("suffix", "truncation", "truncated_dims", "prompt_in_pooling", "end_token", "template"),
    "metric",
)


def read_prompts_file(path: Path) -> PromptsFile:
    """Read a user's prompts: the keys of a family in models.toml that say how it encodes.

    An adapter may be named relative to the file.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it is not such a file; the message names the key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise from_os_error(error, str(path)) from error
    except ValueError as error:
        raise UsageError(f"{path}: it is not UTF-8") from error
    try:
        return _prompts_file(tomllib.loads(text), path)
    except ValueError as error:
        raise UsageError(f"{path}: {error}", hint="docs/models.md shows such a file") from error


def _prompts_file(table: Table, path: Path) -> PromptsFile:
    kinds = {**{key: FAMILY_KEYS[key] for key in _OWN}, "tasks": dict, "adapters": dict}
    checked(table, "the file", optional=kinds)
    require_sense(table, "the file")
    raw_tasks = table.pop("tasks", {})
    raw_adapters = table.pop("adapters", {})
    checked(raw_tasks, "tasks", optional={task.value: dict for task in Task})
    checked(raw_adapters, "adapters", optional={task.value: str for task in Task})
    tasks = {
        Task(name): task_sides(task, Task(name), table, f'task "{name}"', str(path))
        for name, task in raw_tasks.items()
    }
    beside = path.parent
    adapters = {
        Task(name): str(beside / folder) if (beside / folder).is_dir() else folder
        for name, folder in raw_adapters.items()
    }
    if "truncated_dims" in table:
        table["truncated_dims"] = tuple(table["truncated_dims"])
    return PromptsFile(str(path), table, tasks, adapters)
