"""What is known of every model, from tests/known_models.toml: written by hand, never derived."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskembed.space import Task

_DEFAULTS: dict[str, Any] = {
    "commercial": True,
    "aliases": {},
    "suffix": "",
    "truncation": "none",
    "truncated_dims": [],
    "prompt_in_pooling": True,
    "end_token": "",
    "metric": "",
    "template": "",
    "remote_code": False,
    "server": "",
    "hosted_parameter": "",
}


@dataclass(frozen=True)
class KnownTask:
    """What a text of either side of a task is given."""

    family: str
    task: Task
    query: str
    document: str
    adapters: tuple[str, str]
    values: tuple[str, str]


@dataclass(frozen=True)
class Tiny:
    """A model that a test can make: in which layout, and what of a layout's is otherwise."""

    model: str
    layout: str
    quick: bool
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Known:
    """A family. `facts` are its other fields in models.toml, by their names there."""

    name: str
    facts: Mapping[str, Any]
    models: Mapping[str, int]
    tasks: tuple[KnownTask, ...]
    tiny: tuple[Tiny, ...]


def _read() -> Iterator[Known]:
    text = Path(__file__).with_name("known_models.toml").read_text(encoding="utf-8")
    for name, table in tomllib.loads(text).items():
        tasks = tuple(
            KnownTask(
                name,
                task,
                said.pop("query", ""),
                said.pop("document", ""),
                tuple(said.pop("adapters", ("", ""))),
                tuple(said.pop("values", ("", ""))),
            )
            for task in Task
            if (said := table.get(task.value)) is not None
        )
        assert not any(table.pop(task.task.value) for task in tasks), name  # all of it was read
        tiny = tuple(
            Tiny(made.pop("model"), made.pop("layout"), made.pop("quick", False), made)
            for made in table.pop("tiny", [])
        )
        models = table.pop("models")
        assert table.keys() <= {"licence", "max_length", *_DEFAULTS}, name
        yield Known(name, {**_DEFAULTS, **table}, models, tasks, tiny)


KNOWN = tuple(_read())
TASKS = [task for family in KNOWN for task in family.tasks]


def known_of(model: str) -> Known:
    """Return the family of a model."""
    return next(family for family in KNOWN if model in family.models)
