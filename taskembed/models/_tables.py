"""The tables of models.toml and of a user's prompts file: their keys, types and ranges.

`strict.checked` checks a file against them. Comments in models.toml describe each key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, MinLen

from taskembed.models.sides import Side, Sides
from taskembed.space import SYMMETRIC_TASKS, PromptType, Task
from taskembed.strict import STRICT

INSTRUCTION = "{instruction}"  # placeholder in a template

AtLeastOne = Annotated[int, Ge(1)]
NotEmpty = Annotated[str, MinLen(1)]
TaskName = Literal["retrieval", "similarity", "classification", "clustering", "code"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodingKeys:
    """The keys about encoding, which models.toml and a prompts file have in common."""

    suffix: str = ""
    truncation: Literal["none", "slice", "layer-norm", "projection"] = "none"
    truncated_dims: tuple[AtLeastOne, ...] = ()
    prompt_in_pooling: bool = True
    end_token: str = ""
    template: str = ""
    metric: Literal["", "dot"] = ""

    def _check(self, *, is_cut: bool) -> None:
        if self.truncated_dims and not is_cut:
            raise ValueError('"truncated_dims" needs a "truncation"')
        if self.template and INSTRUCTION not in self.template:
            raise ValueError(f'"template" has no {INSTRUCTION}: {self.template!r}')


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptsTable(EncodingKeys):
    """A user's prompts file."""

    __pydantic_config__ = STRICT

    tasks: Mapping[TaskName, Mapping[str, str]] = field(default_factory=dict)
    adapters: Mapping[TaskName, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check(is_cut=self.truncation != "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyKeys(EncodingKeys):
    """The keys of a family in models.toml, except its tasks."""

    name: NotEmpty
    source: NotEmpty
    licence: NotEmpty
    max_length: AtLeastOne
    models: Annotated[Mapping[str, AtLeastOne], MinLen(1)]
    commercial: bool = True
    remote_code: bool = False
    server: str = ""
    hosted_parameter: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyTable(FamilyKeys):
    """A family in models.toml."""

    __pydantic_config__ = STRICT

    tasks: Annotated[Mapping[TaskName, Mapping[str, str]], MinLen(1)]

    def __post_init__(self) -> None:
        self._check(is_cut=self.truncation != "none" or bool(self.server))
        require_link(self.source)
        if self.hosted_parameter and not self.server:
            raise ValueError('"hosted_parameter" needs a "server"')
        for alias, model in self.aliases.items():
            if model not in self.models:
                raise ValueError(f'"aliases" has {alias!r} for {model!r}, which is not in "models"')


def require_link(source: str) -> None:
    """Check that the source of prompts is a link.

    Raises:
        ValueError: it does not begin with https://.
    """
    if not source.startswith("https://"):
        raise ValueError(f'"source" does not begin with https://: {source!r}')


_SIDES = {
    "query": (PromptType.QUERY,),
    "document": (PromptType.DOCUMENT,),
    "both": tuple(PromptType),
}
_KINDS = {"": "prompt", "_instruction": "prompt", "_value": "value", "_adapter": "adapter"}
# key of a task -> the field of `Side` that it sets, and the sides for which it sets the field
_TASK_KEYS = {
    key + ending: (field_name, sides)
    for key, sides in _SIDES.items()
    for ending, field_name in _KINDS.items()
}


def task_sides(
    raw: Mapping[str, str], task: Task, family: FamilyTable | PromptsTable, where: str, source: str
) -> Sides:
    """Return the settings of both sides of a task, from its table.

    Args:
        raw: the table of the task.
        task: the task.
        family: its family, or the prompts file.
        where: the position of the table, for messages of errors.
        source: the origin of the prompts, for people.

    Raises:
        ValueError: a key is unknown, sets a field for the second time, or is missing.
    """
    hosted = isinstance(family, FamilyTable) and bool(family.server)
    is_told = isinstance(family, FamilyTable) and bool(family.hosted_parameter)
    keys = [
        key
        for key in _TASK_KEYS
        if key.endswith("_value") == is_told
        and not (key.endswith("_adapter") and hosted)
        and (key.startswith("both") or task not in SYMMETRIC_TASKS)
    ]
    filled: dict[PromptType, dict[str, str]] = {side: {} for side in PromptType}
    for key, text in raw.items():
        if key not in keys:
            raise ValueError(f'{where}: unknown key "{key}"; the keys are {", ".join(keys)}')
        is_instruction = key.endswith("_instruction")
        if is_instruction and not family.template:
            raise ValueError(f'{where}: "{key}" needs a "template" of the family')
        field_name, sides = _TASK_KEYS[key]
        for side in sides:
            if field_name in filled[side]:
                raise ValueError(
                    f'{where}: "{key}" sets {side}_{field_name}, which another key has set'
                )
            filled[side][field_name] = (
                family.template.replace(INSTRUCTION, text) if is_instruction else text
            )
    needed = "value" if is_told else "prompt"
    for side in PromptType:
        if needed not in filled[side]:
            raise ValueError(f"{where}: no key sets {side}_{needed}")
    return {side: Side(**fields, source=source) for side, fields in filled.items()}
