"""Resolves the prompts and adapters of a model for a task, or refuses the combination.

    resolve(identify("intfloat/e5-small-v2"), Task.RETRIEVAL).prompt(PromptType.QUERY)  # "query: "

A model is added in models.toml, without any Python code. The prompts of an unknown
model are those in its files or those that the user states; none are guessed. No model is opened
here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from taskembed.errors import ModelUnavailableError, UsageError
from taskembed.models._saved_sides import saved_sides
from taskembed.models._tables import INSTRUCTION
from taskembed.models.catalogue import Family, Identified, families, identify
from taskembed.models.folder import SavedPrompts
from taskembed.models.prompts_file import PromptsFile
from taskembed.models.sides import Side, Sides
from taskembed.space import SYMMETRIC_TASKS, HostedModel, PromptType, Task

MODELS_IN_HINT = 6  # models named in a hint; nobody reads longer lists
_FLAGS = "--query-prompt TEXT --document-prompt TEXT"


@dataclass(frozen=True, slots=True)
class PromptOverrides:
    """Settings of a model that the user states; None for settings that are not stated.

    Attributes:
        query_prompt: replaces the known prompt of queries; "" for no prompt.
        document_prompt: replaces the known prompt of documents; "" for no prompt. For a symmetric
            task, a single stated prompt is used for both sides.
        instruction: the instruction in the family's template, which is put before queries; for a
            symmetric task, before documents too.
        adapter: a LoRA folder or Hugging Face id, which replaces the known adapters of both sides;
            "" for no adapter.
        family: the family of a model in a folder: its name, or the name of a model in it.
        prompts: the user's own prompts file.
    """

    query_prompt: str | None = None
    document_prompt: str | None = None
    instruction: str | None = None
    adapter: str | None = None
    family: str | None = None
    prompts: PromptsFile | None = None

    def adapter_for(self, task: Task) -> str | None:
        """Return the stated adapter of a task; "" for no adapter, None if none is stated."""
        if self.adapter is not None or self.prompts is None:
            return self.adapter
        return self.prompts.adapters.get(task)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The settings of a model for a task, before the model is opened.

    Attributes:
        model: its id in models.toml, or the name that the user gave.
        family: the name of its family; "" if models.toml does not list the model.
        task: the purpose of the vectors.
        sides: the settings of queries and of documents.
        suffix: the suffix of every text, which is appended after truncation.
        dim: the dimension of its own vectors; None if unknown.
        truncation: how its vectors may be shortened; "none" if they may not.
        truncated_dims: the dimensions to which they may be shortened; empty for any.
        prompt_in_pooling: whether the prompt's tokens are pooled.
        end_token: the token that its tokenizer must put at the end of a text; "" for no check.
        metric: "dot" for the inner product of vectors that are not normalised; "" if the model's
            files name the metric.
        licence: the licence of the weights; "" if unknown.
        commercial: False if commercial use is known to be excluded.
        remote_code: whether the model loads only with its own Python code.
        server: the name of the server that runs the model; "" for a model with weights to load.
        parameter: the field of a request that names the side of a text; "" for none.
        max_length: number of tokens that it reads, by its family; 0 if unknown.
        note: a remark about the family, for people; "" for none.
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
        """Return the field by which a hosted model is told the side: "input_type=query"; or ""."""
        value = self.sides[prompt_type].value
        return f"{self.parameter}={value}" if value else ""

    def hosted_model(self, server: str, server_model: str) -> HostedModel:
        """Return the model as a hosted model, for its server and its name there."""
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
    """Return the settings of a model for a task.

    Stated settings come first, then those of models.toml, then those saved with the model.

    Args:
        model: the model and its family.
        task: the purpose of the vectors.
        stated: the settings that the user states.
        saved: the prompts in the model's files; used only if models.toml does not list the model.

    Raises:
        UsageError: the stated settings contradict each other or do not fit the model.
        ModelUnavailableError: a prompt is neither stated nor known nor saved with the model.
    """
    stated = stated or PromptOverrides()
    family = _family_of(model, stated, saved.suffix)
    adapter = stated.adapter_for(task)
    sides = dict(family.tasks.get(task, {}))
    if not sides and adapter is None and family.has_adapters:
        raise _no_adapter(model.name, task)  # a prompt cannot replace an adapter
    if not sides and not family.name:
        sides = saved_sides(model.name, task, saved.prompts, _own_sides(stated))
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
    """Return the family of a model, with the changes of the user's prompts file."""
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


def _own_sides(stated: PromptOverrides) -> set[PromptType]:
    """Return the sides whose prompts the user states."""
    prompts = {
        PromptType.QUERY: stated.query_prompt,
        PromptType.DOCUMENT: stated.document_prompt,
    }
    return {side for side, prompt in prompts.items() if prompt is not None}


def _stated_prompts(
    model: str, task: Task, family: Family, stated: PromptOverrides
) -> dict[PromptType, _Prompt]:
    """Return the prompts that are stated, or that result from a stated instruction."""
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
            f"both sides of the task {task.value!r} have one prompt, "
            f"but --query-prompt is {query!r} and --document-prompt is {document!r}",
            hint="give only one of them: it is used for both sides",
        )
    one = next(iter(stated.values()))
    return {side: stated.get(side, one) for side in PromptType}


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
            f"{model} is not a known model and its files have no {one_side or 'prompts'} "
            f"for the task {task.value!r}"
        )
    if one_side:
        hint = f"give --{missing[0].value}-prompt TEXT ('' means none)"
    elif known:
        hint = f"{_models_that_do(task)}; or give {_FLAGS} ('' means none)"
    else:
        hint = (
            f"give {_FLAGS} ('' means none), or --family NAME if it belongs to a known family; "
            "`taskembed models` lists the known models"
        )
    return ModelUnavailableError(message, hint=hint)


def _models_that_do(task: Task) -> str:
    """Return a list of models to use instead: those that run here without their own code."""
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
