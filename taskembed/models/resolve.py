"""Which models and tasks are known: what models.toml says, and when to refuse.

    resolve("intfloat/e5-small-v2", Task.RETRIEVAL).query_prompt    # "query: "

A model is added in models.toml, without any Python. A model that is not there has the prompts that
it brings, or those that are stated; nothing is guessed. No model is opened here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from taskembed.errors import ModelUnavailableError, UsageError
from taskembed.models._tables import INSTRUCTION, TaskPrompts
from taskembed.models.catalogue import Family, _by_name, families
from taskembed.models.prompts_file import PromptsFile
from taskembed.space import SYMMETRIC_TASKS, PromptType, Task

MODELS_IN_HINT = 6  # a longer list is not read
_FLAGS = "--query-prompt TEXT --document-prompt TEXT"


@dataclass(frozen=True, slots=True)
class PromptOverrides:
    """What a user says of a model beside its name; None is what was not said.

    Attributes:
        query_prompt: instead of the known one; "" for none.
        document_prompt: instead of the known one; "" for none. For a symmetric task, one stated
            prompt holds for both sides.
        instruction: fills the family's template: before queries, for a symmetric task before both.
        adapter: a LoRA folder or Hugging Face id, for both sides, instead of the known ones; "" for
            none.
        family: the name of a family, or of a model in it, that the model is of: for a folder.
        prompts: the user's own file.
    """

    query_prompt: str | None = None
    document_prompt: str | None = None
    instruction: str | None = None
    adapter: str | None = None
    family: str | None = None
    prompts: PromptsFile | None = None

    def adapter_for(self, task: Task) -> str | None:
        """Return the adapter that was stated for a task; "" for none, None for the known one."""
        if self.adapter is not None or self.prompts is None:
            return self.adapter
        return self.prompts.adapters.get(task)


Stated = PromptOverrides  # the old name


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
        query_adapter: the name of the LoRA adapter for queries; "" for none; of a hosted model,
            what tells its server that a text is a query: "input_type=query".
        document_adapter: likewise for documents.
        suffix: put after every text, after truncation.
        truncation: how its vectors may be shortened; "none" when they may not.
        truncated_dims: to these sizes; any when empty.
        prompt_in_pooling: whether the prompt's tokens are pooled.
        end_token: the token that its tokenizer must put at the end; "" when any will do.
        metric: "dot" when its vectors are compared as they are; "" when its files say how.
        licence: of the weights; "" when unknown.
        commercial: False when they are known not to be for commercial use.
        remote_code: whether it loads only with Python code of its own.
        server: the name of the server that it is behind; "" for a model with weights to load.
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
    end_token: str
    metric: str
    licence: str
    commercial: bool
    remote_code: bool
    server: str


def resolve(
    model: str,
    task: Task,
    stated: PromptOverrides | None = None,
    *,
    saved_prompts: Mapping[str, str] | None = None,
    saved_suffix: str = "",
) -> ModelSpec:
    """Return what a model takes for a task: what is stated, else known, else what it brings.

    Args:
        model: a Hugging Face id, a folder, "minilm".
        task: what the vectors are for.
        stated: what the user says of it.
        saved_prompts: what the model brings, by name; used only when models.toml has no such model.
        saved_suffix: likewise.

    Raises:
        UsageError: what is stated does not fit together, or not with the model.
        ModelUnavailableError: a prompt is neither stated, nor known, nor brought.
    """
    stated = stated or PromptOverrides()
    family, name = _family_of(model, stated, saved_suffix)
    taken = family.tasks.get(task)
    adapter = stated.adapter_for(task)
    if taken:
        source = _source(family, task, stated)
        prompts = {
            PromptType.QUERY: _Prompt(taken.query_prompt, source),
            PromptType.DOCUMENT: _Prompt(taken.document_prompt, source),
        }
    elif adapter is None and any(other.has_adapter for other in family.tasks.values()):
        raise _no_adapter(name, task)  # no prompt can stand in for it
    else:
        prompts = _saved(task, saved_prompts or {}) if not family.name else {}
    prompts |= _stated(task, stated.query_prompt, stated.document_prompt)
    prompts |= _instructed(name, task, family, stated, prompts)
    missing = [side for side in PromptType if side not in prompts]
    if missing:
        raise _no_prompts(name, task, missing, known=bool(family.name))
    taken = taken or TaskPrompts("", "")
    if adapter is not None:
        taken = replace(taken, query_adapter=adapter, document_adapter=adapter)
    return _spec(name, task, family, taken, prompts)


class _Prompt(NamedTuple):
    text: str
    source: str


_UNKNOWN = Family(name="", source="", licence="", max_length=0, models={}, tasks={})


def _family_of(model: str, stated: PromptOverrides, saved_suffix: str) -> tuple[Family, str]:
    """Return the family of a model with what the user's file says instead, and the model's id."""
    unknown = replace(_UNKNOWN, suffix=saved_suffix)
    family, name = _by_name().get(model.casefold(), (unknown, model))
    if stated.family:
        named = [family for family in families() if family.name == stated.family]
        family = named[0] if named else _by_name().get(stated.family.casefold(), (unknown, ""))[0]
        if not family.name:
            known = ", ".join(family.name for family in families() if not family.hosted)
            raise UsageError(f"{stated.family!r} is not a known family", hint=f"one of: {known}")
    if stated.prompts:
        tasks = {**family.tasks, **stated.prompts.tasks}
        family = replace(family, **{**stated.prompts.changes, "tasks": tasks})
    return family, name


def _source(family: Family, task: Task, stated: PromptOverrides) -> str:
    if stated.prompts and task in stated.prompts.tasks:
        return stated.prompts.name
    return f'models.toml, family "{family.name}"'


def _instructed(
    model: str,
    task: Task,
    family: Family,
    stated: PromptOverrides,
    known: Mapping[PromptType, _Prompt],
) -> dict[PromptType, _Prompt]:
    """Return the prompts that an instruction makes; documents have none unless the task has one."""
    if stated.instruction is None:
        return {}
    if not family.template:
        raise UsageError(
            f"{model} takes no instruction: its family has no template for one",
            hint="--query-prompt TEXT states a whole prompt",
        )
    if stated.query_prompt is not None or (
        stated.document_prompt is not None and task in SYMMETRIC_TASKS
    ):
        raise UsageError("--instruction and a stated prompt for the same side exclude each other")
    prompt = _Prompt(family.template.replace(INSTRUCTION, stated.instruction), "--instruction")
    if task in SYMMETRIC_TASKS:
        return dict.fromkeys(PromptType, prompt)
    none = _Prompt("", "an instruction goes before queries only")
    return {
        PromptType.QUERY: prompt,
        PromptType.DOCUMENT: known.get(PromptType.DOCUMENT, none),
    }


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
        query_adapter=taken.query_adapter or _told(family, taken.query_value),
        document_adapter=taken.document_adapter or _told(family, taken.document_value),
        suffix=family.suffix,
        truncation=family.truncation,
        truncated_dims=family.truncated_dims,
        prompt_in_pooling=family.prompt_in_pooling,
        end_token=family.end_token,
        metric=family.metric,
        licence=family.licence,
        commercial=family.commercial,
        remote_code=family.remote_code,
        server=family.server,
    )


def _told(family: Family, value: str) -> str:
    """Return what tells a hosted model its task, as the field of a request and its value."""
    return f"{family.hosted_parameter}={value}" if value else ""


def _stated(task: Task, query: str | None, document: str | None) -> dict[PromptType, _Prompt]:
    stated = {}
    if query is not None:
        stated[PromptType.QUERY] = _Prompt(query, "--query-prompt")
    if document is not None:
        stated[PromptType.DOCUMENT] = _Prompt(document, "--document-prompt")
    if task not in SYMMETRIC_TASKS or not stated:
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
        hint = (
            f"give {_FLAGS} ('' means none), or --family NAME when it is of a known family; "
            "`taskembed models` lists the known models"
        )
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
        f", and {more} more: see `taskembed models --task {task.value}`" if more > 0 else ""
    )
