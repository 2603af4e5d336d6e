"""Which models and tasks are known: what models.toml says, and when to refuse.

    resolve("intfloat/e5-small-v2", Task.RETRIEVAL).query_prompt    # "query: "

A model is added in models.toml, without any Python. A model that is not there has the prompts that
it brings, or those that are stated; nothing is guessed. No model is opened here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from taskembed.errors import ModelUnavailableError, UsageError
from taskembed.space import PromptType, Task

MODELS_IN_HINT = 6  # a longer list is not read
INSTRUCTION = "{instruction}"  # its place in a template
TRUNCATIONS = ("none", "slice", "layer-norm", "projection")

_SYMMETRIC = frozenset({Task.SIMILARITY, Task.CLASSIFICATION, Task.CLUSTERING})
_FLAGS = "--query-prompt TEXT --document-prompt TEXT"


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
    hosted: bool = False
    hosted_parameter: str = ""
    template: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """All that is known of a model and a task before the model is opened.

    Attributes:
        model: its id as models.toml spells it, or the name that it was asked for by.
        family: the name of its family; "" when models.toml does not know the model.
        task: what the vectors are for.
        query_prompt: put before every query.
        document_prompt: put before every document.
        query_prompt_source: where that prompt comes from, for people.
        document_prompt_source: where that prompt comes from, for people.
        query_adapter: the name of the LoRA adapter for queries; "" for none.
        document_adapter: the name of the LoRA adapter for documents; "" for none.
        suffix: put after every text, after truncation.
        truncation: how its vectors may be shortened; "none" when they may not.
        truncated_dims: to these sizes; any when empty.
        prompt_in_pooling: whether the prompt's tokens are pooled.
        licence: of the weights; "" when unknown.
        commercial: False when they are known not to be for commercial use.
        remote_code: whether it loads only with Python code of its own.
        hosted: whether it exists only behind a server's interface.
    """

    model: str
    family: str
    task: Task
    query_prompt: str
    document_prompt: str
    query_prompt_source: str
    document_prompt_source: str
    query_adapter: str
    document_adapter: str
    suffix: str
    truncation: str
    truncated_dims: tuple[int, ...]
    prompt_in_pooling: bool
    licence: str
    commercial: bool
    remote_code: bool
    hosted: bool


@cache
def families() -> tuple[Family, ...]:
    """Return the families of models.toml, in its order."""
    toml = resources.files("taskembed").joinpath("models.toml")
    return parse_families(toml.read_text(encoding="utf-8"))


def find_family(model: str) -> Family | None:
    """Return the family of exactly that id or alias, in any case; never of a part of one."""
    return _by_name().get(model.casefold(), (None, ""))[0]


def resolve(
    model: str,
    task: Task,
    *,
    query_prompt: str | None = None,
    document_prompt: str | None = None,
    saved_prompts: Mapping[str, str] | None = None,
) -> ModelSpec:
    """Return what a model takes for a task: what is stated, else known, else what it brings.

    Args:
        model: a Hugging Face id, a folder, "minilm".
        task: what the vectors are for.
        query_prompt: stated instead of the known one; "" for none. For a symmetric task, one
            stated prompt holds for both sides.
        document_prompt: stated instead of the known one; "" for none.
        saved_prompts: what the model brings, by name; used only when models.toml has no such model.

    Raises:
        UsageError: two prompts are stated for a task whose sides are alike.
        ModelUnavailableError: a prompt is neither stated, nor known, nor brought.
    """
    family, name = _by_name().get(model.casefold(), (_UNKNOWN, model))
    taken = family.tasks.get(task)
    if taken:
        source = f'models.toml, family "{family.name}"'
        prompts = {
            PromptType.QUERY: _Prompt(taken.query_prompt, source),
            PromptType.DOCUMENT: _Prompt(taken.document_prompt, source),
        }
    elif any(other.query_adapter or other.document_adapter for other in family.tasks.values()):
        raise _no_adapter(name, task)  # no prompt can stand in for it
    else:
        prompts = _saved(task, saved_prompts or {}) if family is _UNKNOWN else {}
    prompts |= _stated(task, query_prompt, document_prompt)
    missing = [side for side in PromptType if side not in prompts]
    if missing:
        raise _no_prompts(name, task, missing, known=family is not _UNKNOWN)
    return _spec(name, task, family, taken or TaskPrompts("", ""), prompts)


class _Prompt(NamedTuple):
    text: str
    source: str


_UNKNOWN = Family(name="", source="", licence="", max_length=0, models={}, tasks={})


@cache
def _by_name() -> dict[str, tuple[Family, str]]:
    """Return the family and the id of every id and alias, by its letters regardless of case."""
    found: dict[str, tuple[Family, str]] = {}
    for family in families():
        names = {model: model for model in family.models} | dict(family.aliases)
        found |= {name.casefold(): (family, model) for name, model in names.items()}
    return found


def _spec(
    model: str,
    task: Task,
    family: Family,
    taken: TaskPrompts,
    prompts: Mapping[PromptType, _Prompt],
) -> ModelSpec:
    query, document = prompts[PromptType.QUERY], prompts[PromptType.DOCUMENT]
    return ModelSpec(
        model=model,
        family=family.name,
        task=task,
        query_prompt=query.text,
        document_prompt=document.text,
        query_prompt_source=query.source,
        document_prompt_source=document.source,
        query_adapter=taken.query_adapter,
        document_adapter=taken.document_adapter,
        suffix=family.suffix,
        truncation=family.truncation,
        truncated_dims=family.truncated_dims,
        prompt_in_pooling=family.prompt_in_pooling,
        licence=family.licence,
        commercial=family.commercial,
        remote_code=family.remote_code,
        hosted=family.hosted,
    )


def _stated(task: Task, query: str | None, document: str | None) -> dict[PromptType, _Prompt]:
    stated = {}
    if query is not None:
        stated[PromptType.QUERY] = _Prompt(query, "--query-prompt")
    if document is not None:
        stated[PromptType.DOCUMENT] = _Prompt(document, "--document-prompt")
    if task not in _SYMMETRIC or not stated:
        return stated
    if len({prompt.text for prompt in stated.values()}) > 1:
        raise UsageError(
            f"the two sides of the task {task.value!r} are alike, but --query-prompt is {query!r} "
            f"and --document-prompt is {document!r}",
            hint="give one of them: it holds for both sides",
        )
    one = next(iter(stated.values()))
    return {side: stated.get(side, one) for side in PromptType}


# The names under which a model may save its prompts, best first: MTEB's order. The name that
# `default_prompt_name` gives is in none of them: it says nothing about a task.
_DOCUMENT_NAMES = ("document", "passage", "corpus")
_SAVED_NAMES: dict[Task, dict[PromptType, tuple[str, ...]]] = {
    Task.RETRIEVAL: {
        PromptType.QUERY: ("Retrieval-query", "Retrieval", "query"),
        PromptType.DOCUMENT: ("Retrieval-document", "Retrieval", *_DOCUMENT_NAMES),
    },
    Task.SIMILARITY: dict.fromkeys(PromptType, ("STS",)),
    Task.CLASSIFICATION: dict.fromkeys(PromptType, ("Classification",)),
    Task.CLUSTERING: dict.fromkeys(PromptType, ("Clustering",)),
    # "CodeRetrieval" alone is the prompt of the query: code is found as any document is.
    Task.CODE: {
        PromptType.QUERY: (
            *("CodeRetrieval-query", "CodeRetrieval"),
            *("InstructionRetrieval-query", "InstructionRetrieval"),
        ),
        PromptType.DOCUMENT: (
            *("CodeRetrieval-document", "InstructionRetrieval-document"),
            *("Retrieval-document", *_DOCUMENT_NAMES),
        ),
    },
}
# Subtle: sentence-transformers writes these two, empty, into every model that it saves. Empty they
# do not mean that the author wants no prompt.
_ALWAYS_SAVED = ("query", "document")


def _saved(task: Task, saved: Mapping[str, str]) -> dict[PromptType, _Prompt]:
    """Return the prompts that a model brings for a task; both, one or none."""
    chosen = {}
    for side, names in _SAVED_NAMES[task].items():
        present = [name for name in names if name in saved]
        if present:
            meant = (name for name in present if saved[name] or name not in _ALWAYS_SAVED)
            chosen[side] = next(meant, present[0])
    if all(not saved[name] and name in _ALWAYS_SAVED for name in chosen.values()):
        return {}
    return {
        side: _Prompt(saved[name], f"the model's own prompt {name!r}")
        for side, name in chosen.items()
    }


def _no_adapter(model: str, task: Task) -> ModelUnavailableError:
    return ModelUnavailableError(
        f"{model} has no adapter for the task {task.value!r}", hint=_models_that_do(task)
    )


def _no_prompts(
    model: str, task: Task, missing: list[PromptType], *, known: bool
) -> ModelUnavailableError:
    one_side = f"{missing[0].value} prompt" if len(missing) == 1 else ""
    if known:
        message = f"{model} has no {one_side or 'prompt'} for the task {task.value!r}"
    else:
        message = (
            f"{model} is not a known model and brings no {one_side or 'prompts'} "
            f"for the task {task.value!r}"
        )
    if one_side:
        hint = f"give --{missing[0].value}-prompt TEXT ('' means none)"
    elif known:
        hint = f"{_models_that_do(task)}; or give {_FLAGS} ('' means none)"
    else:
        hint = f"give {_FLAGS} ('' means none); `taskembed models` lists the known models"
    return ModelUnavailableError(message, hint=hint)


def _models_that_do(task: Task) -> str:
    """Return the models to take instead: those that run here, without code of their own."""
    usable = (
        family
        for family in families()
        if task in family.tasks and not family.hosted and not family.remote_code
    )
    models = sorted((model for family in usable for model in family.models), key=str.casefold)
    shown, more = ", ".join(models[:MODELS_IN_HINT]), len(models) - MODELS_IN_HINT
    return f"models that do: {shown}" + (
        f", and {more} more: see `taskembed models`" if more > 0 else ""
    )


# From here on: reading models.toml. Its mistakes are a developer's, hence ValueError.

_Table = dict[str, Any]  # what tomllib gives; `_checked` makes it true to its types

_REQUIRED: dict[str, type] = {
    **dict.fromkeys(("name", "source", "licence"), str),
    "max_length": int,
    **dict.fromkeys(("models", "tasks"), dict),
}
_OPTIONAL: dict[str, type] = {
    **dict.fromkeys(("suffix", "truncation", "hosted_parameter", "template", "note"), str),
    **dict.fromkeys(("commercial", "prompt_in_pooling", "remote_code", "hosted"), bool),
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
    dict: "a table",
    list: "a list",
}


def parse_families(toml_text: str) -> tuple[Family, ...]:
    """Read the text of models.toml.

    Raises:
        ValueError: it is no TOML, or a key is unknown, missing, or has a value that makes no
            sense. The message names the family and the key.
    """
    top = _checked(tomllib.loads(toml_text), "models.toml", required={"family": list})
    parsed = tuple(_family(table, position) for position, table in enumerate(top["family"], 1))
    _refuse_twice((family.name for family in parsed), "the name of a family")
    names = (name for family in parsed for name in (*family.models, *family.aliases))
    _refuse_twice((name.casefold() for name in names), "the id of a model")
    return parsed


def _family(raw: object, position: int) -> Family:
    name = raw.get("name") if isinstance(raw, dict) else None
    where = f'family "{name}"' if name else f"family number {position}"
    table = _checked(raw, where, required=_REQUIRED, optional=_OPTIONAL)
    _checked(table["models"], f"{where}, models", optional=dict.fromkeys(table["models"], int))
    aliases = table.get("aliases", {})
    _checked(aliases, f"{where}, aliases", optional=dict.fromkeys(aliases, str))
    _checked(table["tasks"], f"{where}, tasks", optional={task.value: dict for task in Task})
    dims = table.get("truncated_dims", [])
    cut = table.get("truncation", "none") != "none" or table.get("hosted", False)
    for key, right in {
        "source": table["source"].startswith("https://"),
        "licence": table["licence"],
        "max_length": table["max_length"] > 0,
        "models": table["models"] and all(dim > 0 for dim in table["models"].values()),
        "tasks": table["tasks"],
        "truncation": table.get("truncation", "none") in TRUNCATIONS,
        "truncated_dims": all(type(dim) is int and dim > 0 for dim in dims) and (cut or not dims),
        "template": INSTRUCTION in table.get("template", INSTRUCTION),
        "aliases": set(aliases.values()) <= table["models"].keys(),
    }.items():
        if not right:
            raise ValueError(f'{where}: "{key}" makes no sense: {table[key]!r}')
    tasks = {
        Task(name): _task(task, Task(name), table, f'{where}, task "{name}"')
        for name, task in table["tasks"].items()
    }
    return Family(**{**table, "tasks": tasks, "truncated_dims": tuple(dims)})


def _task(raw: object, task: Task, family: _Table, where: str) -> TaskPrompts:
    hosted = family.get("hosted", False)
    keys = [
        key
        for key in _TASK_KEYS
        if key.endswith("_value") == hosted and (key.startswith("both") or task not in _SYMMETRIC)
    ]
    filled = {"query_prompt": "", "document_prompt": ""} if hosted else {}
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
        field_name = f"{side.value}_{'value' if hosted else 'prompt'}"
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
