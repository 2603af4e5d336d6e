"""The families of models that models.toml describes, and the prompts file of a user: TOML, checked.

    parse_families(text)[0].tasks[Task.RETRIEVAL].query_prompt

Nothing is decided here: see resolve.py. A mistake in models.toml is a developer's and a ValueError;
its message names the table and the key.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taskembed.errors import UsageError, from_os_error
from taskembed.space import DOT, SYMMETRIC_TASKS, PromptType, Task

INSTRUCTION = "{instruction}"  # its place in a template
TRUNCATIONS = ("none", "slice", "layer-norm", "projection")
# tokens: of a model that reads texts of any length; a tokenizer that knows no limit says 10**30
NO_LIMIT = 10**9


@dataclass(frozen=True, slots=True)
class TaskPrompts:
    """What one task takes, on either side.

    Attributes:
        query_prompt: put before every query; "" for none.
        document_prompt: put before every document; "" for none.
        query_adapter: the name of the LoRA adapter for queries; "" for none.
        document_adapter: the name of the LoRA adapter for documents; "" for none.
        query_value: what tells a hosted model that it is a query; "" when nothing does.
        document_value: what tells a hosted model that it is a document; "" when nothing does.
    """

    query_prompt: str
    document_prompt: str
    query_adapter: str = ""
    document_adapter: str = ""
    query_value: str = ""
    document_value: str = ""

    @property
    def has_adapter(self) -> bool:
        """Whether a side has one."""
        return bool(self.query_adapter or self.document_adapter)


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
    tasks: Mapping[Task, TaskPrompts]
    adapters: Mapping[Task, str]


@dataclass(frozen=True, slots=True)
class Family:
    """Models that share everything but their dimensions; models.toml describes the fields."""

    name: str
    source: str
    licence: str
    max_length: int
    models: Mapping[str, int]
    tasks: Mapping[Task, TaskPrompts]
    commercial: bool = True
    suffix: str = ""
    truncation: str = "none"
    truncated_dims: tuple[int, ...] = ()
    prompt_in_pooling: bool = True
    remote_code: bool = False
    server: str = ""
    hosted_parameter: str = ""
    end_token: str = ""
    metric: str = ""
    template: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def hosted(self) -> bool:
        """Whether its models are behind a server."""
        return bool(self.server)


@dataclass(frozen=True, slots=True)
class RerankerFamily:
    """Rerankers that are read alike; models.toml describes the fields."""

    name: str
    source: str
    licence: str
    models: tuple[str, ...]
    commercial: bool = True
    max_length: int = 0
    temperature: float = 1.0
    instruction: str = ""
    before: str = ""
    between: str = ""
    after: str = ""
    answers: tuple[str, ...] = ()
    note: str = ""


_Table = dict[str, Any]  # what tomllib gives; `_checked` makes it true to its types

_REQUIRED: dict[str, type] = {
    **dict.fromkeys(("name", "source", "licence"), str),
    "max_length": int,
    **dict.fromkeys(("models", "tasks"), dict),
}
_TEXTS = (
    *("suffix", "truncation", "server", "hosted_parameter", "template", "end_token"),
    *("metric", "note"),
)
_OPTIONAL: dict[str, type] = {
    **dict.fromkeys(_TEXTS, str),
    **dict.fromkeys(("commercial", "prompt_in_pooling", "remote_code"), bool),
    "truncated_dims": list,
    "aliases": dict,
}
_SIDES = {"query": ("query",), "document": ("document",), "both": ("query", "document")}
_KINDS = {"": "prompt", "_instruction": "prompt", "_value": "value", "_adapter": "adapter"}
# key of a task -> the fields of TaskPrompts that it fills: both_value fills query_value and
# document_value
_TASK_KEYS = {
    key + ending: tuple(f"{side}_{kind}" for side in sides)
    for key, sides in _SIDES.items()
    for ending, kind in _KINDS.items()
}
_TYPE_NAMES = {
    str: "a string",
    int: "a whole number",
    bool: "true or false",
    float: "a number with a point",
    dict: "a table",
    list: "a list",
}


def parse_families(toml_text: str) -> tuple[Family, ...]:
    """Read the text of models.toml.

    Raises:
        ValueError: it is no TOML, or a key is unknown, missing, or has a value that makes no
            sense. The message names the family and the key.
    """
    top = _top(toml_text)
    parsed = tuple(_family(table, position) for position, table in enumerate(top["family"], 1))
    _refuse_twice((family.name for family in parsed), "the name of a family")
    names = (name for family in parsed for name in (*family.models, *family.aliases))
    _refuse_twice((name.casefold() for name in names), "the id of a model")
    return parsed


def parse_rerankers(toml_text: str) -> tuple[RerankerFamily, ...]:
    """Read the rerankers of models.toml.

    Raises:
        ValueError: as `parse_families`.
    """
    tables = _top(toml_text).get("reranker", [])
    parsed = tuple(_reranker(table, position) for position, table in enumerate(tables, 1))
    _refuse_twice((family.name for family in parsed), "the name of a reranker")
    names = (name.casefold() for family in parsed for name in family.models)
    _refuse_twice(names, "the id of a reranker")
    return parsed


def _top(toml_text: str) -> _Table:
    table = tomllib.loads(toml_text)
    return _checked(table, "models.toml", required={"family": list}, optional={"reranker": list})


_RERANKER: dict[str, type] = {
    **dict.fromkeys(("instruction", "before", "between", "after", "note"), str),
    "answers": list,
    "commercial": bool,
    "max_length": int,
    "temperature": float,
}


def _reranker(raw: object, position: int) -> RerankerFamily:
    name = raw.get("name") if isinstance(raw, dict) else None
    where = f'reranker "{name}"' if name else f"reranker number {position}"
    required = {**dict.fromkeys(("name", "source", "licence"), str), "models": list}
    table = _checked(raw, where, required=required, optional=_RERANKER)
    texts = [table.get(key, "") for key in ("before", "between", "after")]
    answers = table.get("answers", [])
    for key, right in {
        "source": table["source"].startswith("https://"),
        "licence": table["licence"],
        "models": table["models"] and all(isinstance(model, str) for model in table["models"]),
        "max_length": table.get("max_length", 0) >= 0,
        "temperature": table.get("temperature", 1.0) > 0,
        "before": all(texts) or not any(texts),
        "instruction": bool(table.get("instruction")) == (INSTRUCTION in "".join(texts)),
        "answers": bool(answers) == bool(texts[0]) and all(isinstance(a, str) for a in answers),
    }.items():
        if not right:
            raise ValueError(f'{where}: "{key}" makes no sense: {table.get(key)!r}')
    lists = {"models": tuple(table["models"]), "answers": tuple(answers)}
    return RerankerFamily(**{**table, **lists})


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


def _prompts_file(table: _Table, path: Path) -> PromptsFile:
    kinds = {**{key: _OPTIONAL[key] for key in _OWN}, "tasks": dict, "adapters": dict}
    _checked(table, "the file", optional=kinds)
    _make_sense(table, "the file")
    raw_tasks = table.pop("tasks", {})
    raw_adapters = table.pop("adapters", {})
    _checked(raw_tasks, "tasks", optional={task.value: dict for task in Task})
    _checked(raw_adapters, "adapters", optional={task.value: str for task in Task})
    tasks = {
        Task(name): _task(task, Task(name), table, f'task "{name}"')
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


def _make_sense(table: _Table, where: str) -> None:
    """Refuse values of optional keys that make no sense."""
    dims = table.get("truncated_dims", [])
    cut = table.get("truncation", "none") != "none" or bool(table.get("server"))
    for key, right in {
        "truncation": table.get("truncation", "none") in TRUNCATIONS,
        "truncated_dims": all(type(dim) is int and dim > 0 for dim in dims) and (cut or not dims),
        "template": INSTRUCTION in table.get("template", INSTRUCTION),
        "metric": table.get("metric", DOT) == DOT,
    }.items():
        if not right:
            raise ValueError(f'{where}: "{key}" makes no sense: {table[key]!r}')


def _family(raw: object, position: int) -> Family:
    name = raw.get("name") if isinstance(raw, dict) else None
    where = f'family "{name}"' if name else f"family number {position}"
    table = _checked(raw, where, required=_REQUIRED, optional=_OPTIONAL)
    _checked(table["models"], f"{where}, models", optional=dict.fromkeys(table["models"], int))
    aliases = table.get("aliases", {})
    _checked(aliases, f"{where}, aliases", optional=dict.fromkeys(aliases, str))
    _checked(table["tasks"], f"{where}, tasks", optional={task.value: dict for task in Task})
    for key, right in {
        "source": table["source"].startswith("https://"),
        "licence": table["licence"],
        "max_length": table["max_length"] > 0,
        "models": table["models"] and all(dim > 0 for dim in table["models"].values()),
        "tasks": table["tasks"],
        "aliases": set(aliases.values()) <= table["models"].keys(),
        "hosted_parameter": not table.get("hosted_parameter") or table.get("server"),
    }.items():
        if not right:
            raise ValueError(f'{where}: "{key}" makes no sense: {table[key]!r}')
    _make_sense(table, where)
    dims = table.get("truncated_dims", [])
    tasks = {
        Task(name): _task(task, Task(name), table, f'{where}, task "{name}"')
        for name, task in table["tasks"].items()
    }
    return Family(**{**table, "tasks": tasks, "truncated_dims": tuple(dims)})


def _task(raw: object, task: Task, family: _Table, where: str) -> TaskPrompts:
    told = bool(family.get("hosted_parameter"))
    keys = [
        key
        for key in _TASK_KEYS
        if key.endswith("_value") == told
        and not (key.endswith("_adapter") and family.get("server"))
        and (key.startswith("both") or task not in SYMMETRIC_TASKS)
    ]
    filled = {"query_prompt": "", "document_prompt": ""} if told else {}
    for key, text in _checked(raw, where, optional=dict.fromkeys(keys, str)).items():
        is_instruction = key.endswith("_instruction")
        if is_instruction and "template" not in family:
            raise ValueError(f'{where}: "{key}" needs a "template" of the family')
        prompt = family["template"].replace(INSTRUCTION, text) if is_instruction else text
        for field_name in _TASK_KEYS[key]:
            if field_name in filled:
                raise ValueError(f'{where}: "{key}" says again what {field_name} is')
            filled[field_name] = prompt
    for side in PromptType:
        field_name = f"{side.value}_{'value' if told else 'prompt'}"
        if field_name not in filled:
            raise ValueError(f"{where}: no key says what {field_name} is")
    return TaskPrompts(**filled)


def _checked(
    raw: object,
    where: str,
    *,
    required: Mapping[str, type] | None = None,
    optional: Mapping[str, type] | None = None,
) -> _Table:
    """Return the table, or refuse a key that is missing, unknown, or of another type."""
    if not isinstance(raw, dict):
        raise ValueError(f"{where}: not a table")
    types = {**(required or {}), **(optional or {})}
    for key in required or {}:
        if key not in raw:
            raise ValueError(f'{where}: no key "{key}"')
    for key, value in raw.items():
        if key not in types:
            raise ValueError(f'{where}: unknown key "{key}"')
        if type(value) is not types[key]:
            raise ValueError(f'{where}: "{key}" is not {_TYPE_NAMES[types[key]]}: {value!r}')
    return raw


def _refuse_twice(names: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f'models.toml: "{name}" is {what} twice')
        seen.add(name)
