"""Which models and tasks are known. What is known is data: models.toml has no Python in it."""

from __future__ import annotations

import tomllib
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from importlib.resources import files
from typing import NoReturn

from taskembed.errors import ModelUnavailableError, UsageError
from taskembed.space import Task

SYMMETRIC = frozenset({Task.SIMILARITY, Task.CLASSIFICATION, Task.CLUSTERING})
TRUNCATIONS = frozenset({"none", "slice", "layer-norm", "projection"})
NAMED_IN_HINTS = 6

# The names by which models save prompts, in MTEB's order: first hit.
# https://github.com/embeddings-benchmark/mteb/blob/main/mteb/models/abs_encoder.py
_SAVED_QUERY = {
    Task.RETRIEVAL: ("Retrieval-query", "Retrieval", "query"),
    Task.CODE: ("CodeRetrieval-query", "CodeRetrieval", "InstructionRetrieval"),
    Task.SIMILARITY: ("STS",),
    Task.CLASSIFICATION: ("Classification",),
    Task.CLUSTERING: ("Clustering",),
}
_SAVED_DOCUMENT = {
    Task.RETRIEVAL: ("Retrieval-document", "document", "passage", "corpus"),
    Task.CODE: ("CodeRetrieval-document", "Retrieval-document", "document", "passage", "corpus"),
}


@dataclass(frozen=True, slots=True)
class TaskPrompts:
    """What a family does for a task, side by side.

    Attributes:
        query_prompt: put before a query, byte for byte.
        document_prompt: put before a document.
        query_adapter: the LoRA adapter for queries; "" for none.
        document_adapter: the LoRA adapter for documents.
        query_value: what a hosted model's parameter is set to for queries.
        document_value: what it is set to for documents.
    """

    query_prompt: str = ""
    document_prompt: str = ""
    query_adapter: str = ""
    document_adapter: str = ""
    query_value: str = ""
    document_value: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """Models that are used alike: a [[family]] of models.toml.

    Attributes:
        name: what messages call it.
        source: the address where its prompts are written.
        licence: of the weights, as SPDX has it, or the authors' name for it.
        max_length: tokens that it reads.
        models: the dimensions of each model's vectors, by id.
        tasks: what it does for each task that it was made for.
        commercial: whether the licence allows commercial use.
        suffix: put after every text, after truncation.
        truncation: how its vectors are made shorter: "none" (they are not), "slice",
            "layer-norm" (layer norm, then slice), "projection" (matrices of its own).
        truncated_dims: sizes that it was trained for.
        prompt_in_pooling: whether the prompt's tokens are pooled.
        remote_code: whether it needs code of its own.
        hosted: whether it is behind a server's interface.
        hosted_parameter: the name of the parameter that says task and side there.
        template: of the prompt, for a family that takes instructions: "...{instruction}...".
        aliases: other ids of its models.
        note: one sentence more.
    """

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
    """What is known of a model and a task without opening the model.

    `family` is "" when it is in no table. The sources say, for people, where each prompt is from.
    The other attributes are those of `Family` and `TaskPrompts`.
    """

    model: str
    family: str
    task: Task
    query_prompt: str
    document_prompt: str
    query_prompt_source: str
    document_prompt_source: str
    query_adapter: str = ""
    document_adapter: str = ""
    suffix: str = ""
    truncation: str = "none"
    truncated_dims: tuple[int, ...] = ()
    prompt_in_pooling: bool = True
    licence: str = ""
    commercial: bool = True
    remote_code: bool = False
    hosted: bool = False


@cache
def families() -> tuple[Family, ...]:
    """Return every known family, in the order of models.toml."""
    return parse_families(files("taskembed").joinpath("models.toml").read_text(encoding="utf-8"))


def find_family(model: str) -> Family | None:
    """Return the family of a model by its exact id, whatever its case; never by a part of it."""
    return _by_id().get(model.lower())


@cache
def _by_id() -> Mapping[str, Family]:
    return {
        name.lower(): family for family in families() for name in (*family.models, *family.aliases)
    }


def parse_families(text: str) -> tuple[Family, ...]:
    """Read the text of a models.toml.

    Raises:
        ValueError: a key is unknown or missing, or a value is of another type.
    """
    document = tomllib.loads(text)
    _require_keys(document, {"family"}, "models.toml")
    return tuple(_family(values) for values in document["family"])


def _family(values: dict[str, object]) -> Family:
    name = str(values.get("name", "?"))
    where = f"the family {name!r}"
    known = {item.name: item for item in fields(Family)}
    _require_keys(values, known.keys(), where)
    required = ("name", "source", "licence", "max_length", "models", "tasks")
    if missing := [key for key in required if key not in values]:
        raise ValueError(f"{where} has no {missing[0]!r}")
    for key, value in values.items():
        if not _is_of_type(value, str(known[key].type)):
            raise ValueError(f"{key!r} of {where} is not of the type {known[key].type}")
    if values.get("truncation", "none") not in TRUNCATIONS:
        raise ValueError(f"'truncation' of {where} is not one of {sorted(TRUNCATIONS)}")
    template = str(values.get("template", ""))
    tasks = {
        Task(task): _task_prompts(entry, Task(task), template, f"{task} of {where}")
        for task, entry in _tasks(values["tasks"], where).items()
    }
    dims = values.get("truncated_dims", [])
    rest = {
        **values,
        "tasks": tasks,
        "truncated_dims": tuple(dims) if isinstance(dims, list) else (),
    }
    return Family(**rest)  # type: ignore[arg-type]  # the types were looked at above


def _tasks(value: object, where: str) -> dict[str, dict[str, str]]:
    if not isinstance(value, dict) or not value:
        raise ValueError(f"{where} has no tasks")
    _require_keys(value, {task.value for task in Task}, f"tasks of {where}")
    return value


def _task_prompts(entry: dict[str, str], task: Task, template: str, where: str) -> TaskPrompts:
    """Read a task: query and document, or both; as prompts, instructions, adapters or values."""
    kinds = ("", "_instruction", "_adapter", "_value")
    _require_keys(entry, {f"{s}{k}" for s in ("query", "document", "both") for k in kinds}, where)
    if task in SYMMETRIC and any(not key.startswith("both") for key in entry):
        raise ValueError(f"{where} is symmetric: only 'both' has a meaning")

    def side(name: str, kind: str) -> str | None:
        return entry.get(f"{name}{kind}", entry.get(f"both{kind}"))

    def prompt(name: str) -> str:
        instruction = side(name, "_instruction")
        if instruction is not None:
            return template.replace("{instruction}", instruction)
        return side(name, "") or ""

    return TaskPrompts(
        query_prompt=prompt("query"),
        document_prompt=prompt("document"),
        query_adapter=side("query", "_adapter") or "",
        document_adapter=side("document", "_adapter") or "",
        query_value=side("query", "_value") or "",
        document_value=side("document", "_value") or "",
    )


def _require_keys(values: Mapping[str, object], known: Container[str], where: str) -> None:
    if unknown := sorted(key for key in values if key not in known):
        raise ValueError(f"{where} has an unknown key: {unknown[0]!r}")


def _is_of_type(value: object, type_name: str) -> bool:
    kinds: dict[str, type | tuple[type, ...]] = {"str": str, "bool": bool}
    if type_name == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if type_name == "tuple[int, ...]":
        return isinstance(value, list) and all(isinstance(item, int) for item in value)
    return isinstance(value, kinds.get(type_name, dict))


def resolve(
    model: str,
    task: Task,
    *,
    query_prompt: str | None = None,
    document_prompt: str | None = None,
    saved_prompts: Mapping[str, str] | None = None,
) -> ModelSpec:
    """Return what is known of a model for a task: stated prompts first, then the table's.

    Args:
        model: its id or folder.
        task: what it is to be used for.
        query_prompt: stated by the user; "" means none.
        document_prompt: stated by the user; "" means none.
        saved_prompts: what a model that is in no table brings, by name.

    Raises:
        ModelUnavailableError: there are no prompts for the task.
        UsageError: two prompts were stated for a task whose sides are one.
    """
    query_prompt, document_prompt = _stated(task, query_prompt, document_prompt)
    family = find_family(model)
    known = family.tasks.get(task) if family else None
    query: _Prompt | None = None
    document: _Prompt | None = None
    if family and known:
        where = f"models.toml, family {family.name!r} ({family.source})"
        query, document = (known.query_prompt, where), (known.document_prompt, where)
    elif family is None:
        query, document = _saved(task, saved_prompts or {})
    if query_prompt is not None:
        query = (query_prompt, "stated (--query-prompt)")
    if document_prompt is not None:
        document = (document_prompt, "stated (--document-prompt)")
    if query is None or document is None:
        _refuse(model, task, family)
    return ModelSpec(
        model=model,
        family=family.name if family else "",
        task=task,
        query_prompt=query[0],
        document_prompt=document[0],
        query_prompt_source=query[1],
        document_prompt_source=document[1],
        query_adapter=known.query_adapter if known else "",
        document_adapter=known.document_adapter if known else "",
        **({name: getattr(family, name) for name in _OF_FAMILY} if family else {}),
    )


_OF_FAMILY = (
    "suffix",
    "truncation",
    "truncated_dims",
    "prompt_in_pooling",
    "licence",
    "commercial",
    "remote_code",
    "hosted",
)

_Prompt = tuple[str, str]  # the prompt, and where it is from


def _stated(
    task: Task, query_prompt: str | None, document_prompt: str | None
) -> tuple[str | None, str | None]:
    """Return the stated prompts; the sides of a symmetric task have one between them."""
    if task not in SYMMETRIC:
        return query_prompt, document_prompt
    if query_prompt is None or document_prompt is None:
        one = query_prompt if query_prompt is not None else document_prompt
        return one, one
    if query_prompt != document_prompt:
        raise UsageError(
            f"the task {task.value!r} has no sides: query and document take the same prompt",
            hint="state one of --query-prompt and --document-prompt",
        )
    return query_prompt, document_prompt


def _saved(task: Task, prompts: Mapping[str, str]) -> tuple[_Prompt | None, _Prompt | None]:
    def first(names: tuple[str, ...]) -> _Prompt | None:
        name = next((name for name in names if name in prompts), None)
        return None if name is None else (prompts[name], f"the model's own prompt {name!r}")

    query = first(_SAVED_QUERY[task])
    if task in SYMMETRIC:
        return query, query
    return query, first(_SAVED_DOCUMENT[task])


def _refuse(model: str, task: Task, family: Family | None) -> NoReturn:
    flags = "--query-prompt TEXT --document-prompt TEXT ('' means none)"
    if family is None:
        raise ModelUnavailableError(
            f"{model} is not a known model and brings no prompts for the task {task.value!r}",
            hint=f"state them: {flags}; `taskembed models` lists the known models",
        )
    able = [name for other in families() if task in other.tasks for name in other.models]
    more = len(able) - NAMED_IN_HINTS
    rest = f" and {more} more: see `taskembed models`" if more > 0 else ""
    raise ModelUnavailableError(
        f"{model} has no prompt for the task {task.value!r}",
        hint=f"use {', '.join(able[:NAMED_IN_HINTS])}{rest}; or state them: {flags}",
    )
