"""Which models and tasks are known: what models.toml says, and when to refuse.

    resolve(identify("intfloat/e5-small-v2"), Task.RETRIEVAL).prompt(PromptType.QUERY)  # "query: "

A model is added in models.toml, without any Python. An unknown model has the prompts in its own
files, or the stated ones; nothing is guessed. No model is opened here.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from taskembed.errors import ModelUnavailableError, UsageError
from taskembed.models._tables import INSTRUCTION
from taskembed.models.catalogue import Family, Identified, families, identify
from taskembed.models.folder import SavedPrompts
from taskembed.models.prompts_file import PromptsFile
from taskembed.models.sides import Side, Sides
from taskembed.space import SYMMETRIC_TASKS, HostedModel, PromptType, Task

MODELS_IN_HINT = 6  # a longer list is not read
_FLAGS = "--query-prompt TEXT --document-prompt TEXT"


@dataclass(frozen=True, slots=True)
class PromptOverrides:
    """What a user states about a model beside its name; None for what was not stated.

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


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """All that is known of a model and a task before the model is opened.

    Attributes:
        model: its id as models.toml spells it, or the name that it was asked for by.
        family: the name of its family; "" when models.toml does not know the model.
        task: what the vectors are for.
        sides: what queries take, and what documents take.
        suffix: put after every text, after truncation.
        dim: numbers in its own vectors; None when that is not known.
        truncation: how its vectors may be shortened; "none" when they may not.
        truncated_dims: to these sizes; any when empty.
        prompt_in_pooling: whether the prompt's tokens are pooled.
        end_token: the token that its tokenizer must put at the end; "" when any will do.
        metric: "dot" when its vectors are compared as they are; "" when its files say how.
        licence: of the weights; "" when unknown.
        commercial: False when they are known not to be for commercial use.
        remote_code: whether it loads only with Python code of its own.
        server: the name of the server that it is behind; "" for a model with weights to load.
        parameter: the field of a request that has the value of a side; "" for none.
        max_length: tokens that it reads, as its family says; 0 when that is not known.
        note: what else its family says, for people; "" for nothing.
    """

    model: str
    family: str
    task: Task
    sides: Sides
    suffix: str
    dim: int | None
    truncation: str
    truncated_dims: tuple[int, ...]
    prompt_in_pooling: bool
    end_token: str
    metric: str
    licence: str
    commercial: bool
    remote_code: bool
    server: str
    parameter: str
    max_length: int
    note: str

    def prompt(self, prompt_type: PromptType) -> str:
        """Return the prompt that is put before each text of a side."""
        return self.sides[prompt_type].prompt

    def adapter(self, prompt_type: PromptType) -> str:
        """Return the name of a side's adapter; "" for none."""
        return self.sides[prompt_type].adapter

    def request(self, prompt_type: PromptType) -> str:
        """Return what tells a hosted model's server the side: "input_type=query"; "" for none."""
        value = self.sides[prompt_type].value
        return f"{self.parameter}={value}" if value else ""

    def hosted_model(self, server: str, server_model: str) -> HostedModel:
        """Return how a server that runs the model is asked, where it has that name."""
        query, document = self.sides[PromptType.QUERY], self.sides[PromptType.DOCUMENT]
        return HostedModel(server, server_model, self.parameter, query.value, document.value)

    @property
    def has_adapter(self) -> bool:
        """Whether a side has an adapter."""
        return any(side.adapter for side in self.sides.values())


_NOTHING_SAVED = SavedPrompts()


def resolve(
    model: Identified,
    task: Task,
    stated: PromptOverrides | None = None,
    *,
    saved: SavedPrompts = _NOTHING_SAVED,
) -> ModelSpec:
    """Return what a model takes for a task: what is stated, else known, else saved with the model.

    Args:
        model: what models.toml knows of it.
        task: what the vectors are for.
        stated: what the user says of it.
        saved: the prompts in the model's files; used only if models.toml does not know the model.

    Raises:
        UsageError: what is stated does not fit together, or not with the model.
        ModelUnavailableError: a prompt is neither stated, nor known, nor saved with the model.
    """
    stated = stated or PromptOverrides()
    family = _family_of(model, stated, saved.suffix)
    adapter = stated.adapter_for(task)
    sides = dict(family.tasks.get(task, {}))
    if not sides and adapter is None and family.has_adapters:
        raise _no_adapter(model.name, task)  # no prompt can stand in for it
    if not sides and not family.name:
        sides = _saved(model.name, task, saved.prompts, stated)
    for side, prompt in _stated_prompts(model.name, task, family, stated).items():
        sides[side] = replace(sides.get(side, Side()), prompt=prompt.text, source=prompt.source)
    if stated.instruction is not None:
        sides.setdefault(
            PromptType.DOCUMENT, Side(source="an instruction goes before queries only")
        )
    missing = [side for side in PromptType if side not in sides]
    if missing:
        raise _no_prompts(model.name, task, missing, known=bool(family.name))
    if adapter is not None:
        sides = {side: replace(taken, adapter=adapter) for side, taken in sides.items()}
    return _spec(model, task, family, sides)


class _Prompt(NamedTuple):
    text: str
    source: str


_UNKNOWN = Family(name="", source="", licence="", max_length=0, models={}, tasks={})


def _family_of(model: Identified, stated: PromptOverrides, saved_suffix: str) -> Family:
    """Return the family of a model, with what the user's file says instead."""
    unknown = replace(_UNKNOWN, suffix=saved_suffix)
    family = model.family or unknown
    if stated.family:
        named = [family for family in families() if family.name == stated.family]
        family = named[0] if named else identify(stated.family).family or unknown
        if not family.name:
            known = ", ".join(family.name for family in families() if not family.hosted)
            raise UsageError(f"{stated.family!r} is not a known family", hint=f"one of: {known}")
    if stated.prompts:
        tasks = {**family.tasks, **stated.prompts.tasks}
        family = replace(family, **{**stated.prompts.changes, "tasks": tasks})
    return family


def _stated_prompts(
    model: str, task: Task, family: Family, stated: PromptOverrides
) -> dict[PromptType, _Prompt]:
    """Return the prompts that are stated, or that an instruction makes."""
    prompts = _stated(task, stated.query_prompt, stated.document_prompt)
    if stated.instruction is None:
        return prompts
    if not family.template:
        raise UsageError(
            f"{model} takes no instruction: its family has no template for one",
            hint="--query-prompt TEXT states a whole prompt",
        )
    if PromptType.QUERY in prompts:
        raise UsageError("--instruction and a stated prompt for the same side exclude each other")
    prompt = _Prompt(family.template.replace(INSTRUCTION, stated.instruction), "--instruction")
    if task in SYMMETRIC_TASKS:
        return dict.fromkeys(PromptType, prompt)
    return {**prompts, PromptType.QUERY: prompt}


def _spec(model: Identified, task: Task, family: Family, sides: Sides) -> ModelSpec:
    return ModelSpec(
        model=model.name,
        family=family.name,
        task=task,
        sides={side: sides[side] for side in PromptType},
        suffix=family.suffix,
        dim=model.dim,
        truncation=family.truncation,
        truncated_dims=family.truncated_dims,
        prompt_in_pooling=family.prompt_in_pooling,
        end_token=family.end_token,
        metric=family.metric,
        licence=family.licence,
        commercial=family.commercial,
        remote_code=family.remote_code,
        server=family.server,
        parameter=family.hosted_parameter,
        max_length=family.max_length,
        note=family.note,
    )


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


# The names under which a model may save its prompts, best first: MTEB's order. The prompt named by
# `default_prompt_name` is not among them: it is not tied to a task.
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
# For the same reason its encode_document never reads these two: it finds the empty one first.
_HIDDEN_NAMES = ("passage", "corpus")


def _saved(
    model: str, task: Task, saved: Mapping[str, str], stated: PromptOverrides
) -> dict[PromptType, Side]:
    """Return the prompts of a task that a model's files define: for both sides, one, or none.

    Raises:
        ModelUnavailableError: the prompt for documents is in doubt, and none is stated.
    """
    chosen = {}
    for side, names in _SAVED_NAMES[task].items():
        present = [name for name in names if name in saved]
        if present:
            meant = (name for name in present if saved[name] or name not in _ALWAYS_SAVED)
            chosen[side] = next(meant, present[0])
    if all(not saved[name] and name in _ALWAYS_SAVED for name in chosen.values()):
        return {}
    name = chosen.get(PromptType.DOCUMENT, "")
    has_query = PromptType.QUERY in chosen or stated.query_prompt is not None
    if name in _HIDDEN_NAMES and saved[name] and has_query and stated.document_prompt is None:
        raise _in_doubt(model, name, saved[name])
    return {
        side: Side(saved[name], source=f"the model's own prompt {name!r}")
        for side, name in chosen.items()
    }


def _in_doubt(model: str, name: str, prompt: str) -> ModelUnavailableError:
    return ModelUnavailableError(
        f"{model} has saved {prompt!r} as its prompt {name!r}, but sentence-transformers encodes "
        "documents with the prompt 'document', which is empty: it is not clear which is right",
        hint=f"give --document-prompt {shlex.quote(prompt)}, or --document-prompt '' for none, as "
        "the model was trained",
    )


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
