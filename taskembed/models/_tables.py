"""The tables that models.toml and a user's prompts file have in common: keys, types, tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from taskembed.space import DOT, SYMMETRIC_TASKS, PromptType, Task

INSTRUCTION = "{instruction}"  # its place in a template
TRUNCATIONS = ("none", "slice", "layer-norm", "projection")


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


Table = dict[str, Any]  # what tomllib gives; `checked` makes it true to its types
_TEXTS = (
    *("suffix", "truncation", "server", "hosted_parameter", "template", "end_token"),
    *("metric", "note"),
)
FAMILY_KEYS: dict[str, type] = {
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


def require_sense(table: Table, where: str) -> None:
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


def task_prompts(raw: object, task: Task, family: Table, where: str) -> TaskPrompts:
    told = bool(family.get("hosted_parameter"))
    keys = [
        key
        for key in _TASK_KEYS
        if key.endswith("_value") == told
        and not (key.endswith("_adapter") and family.get("server"))
        and (key.startswith("both") or task not in SYMMETRIC_TASKS)
    ]
    filled = {"query_prompt": "", "document_prompt": ""} if told else {}
    for key, text in checked(raw, where, optional=dict.fromkeys(keys, str)).items():
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


def checked(
    raw: object,
    where: str,
    *,
    required: Mapping[str, type] | None = None,
    optional: Mapping[str, type] | None = None,
) -> Table:
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
