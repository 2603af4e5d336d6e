"""The tables that models.toml and a user's prompts file have in common: keys, types, tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskembed.models.sides import Side, Sides
from taskembed.space import DOT, SYMMETRIC_TASKS, PromptType, Task

INSTRUCTION = "{instruction}"  # its place in a template
TRUNCATIONS = ("none", "slice", "layer-norm", "projection")


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
_SIDES = {
    "query": (PromptType.QUERY,),
    "document": (PromptType.DOCUMENT,),
    "both": tuple(PromptType),
}
_KINDS = {"": "prompt", "_instruction": "prompt", "_value": "value", "_adapter": "adapter"}
# key of a task -> the field of `Side` that it fills, and of which sides
_TASK_KEYS = {
    key + ending: (field_name, sides)
    for key, sides in _SIDES.items()
    for ending, field_name in _KINDS.items()
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


def task_sides(raw: object, task: Task, family: Table, where: str, source: str) -> Sides:
    """Return what the two sides of a task take, from its table.

    Args:
        raw: the table.
        task: the task that it is for.
        family: the table of its family, or of the prompts file.
        where: the table's place, for the messages of errors.
        source: where its prompts come from, for people.

    Raises:
        ValueError: a key makes no sense, or is missing.
    """
    is_told = bool(family.get("hosted_parameter"))
    keys = [
        key
        for key in _TASK_KEYS
        if key.endswith("_value") == is_told
        and not (key.endswith("_adapter") and family.get("server"))
        and (key.startswith("both") or task not in SYMMETRIC_TASKS)
    ]
    filled: dict[PromptType, dict[str, str]] = {side: {} for side in PromptType}
    for key, text in checked(raw, where, optional=dict.fromkeys(keys, str)).items():
        is_instruction = key.endswith("_instruction")
        if is_instruction and "template" not in family:
            raise ValueError(f'{where}: "{key}" needs a "template" of the family')
        field_name, sides = _TASK_KEYS[key]
        for side in sides:
            if field_name in filled[side]:
                raise ValueError(f'{where}: "{key}" says again what {side}_{field_name} is')
            filled[side][field_name] = (
                family["template"].replace(INSTRUCTION, text) if is_instruction else text
            )
    needed = "value" if is_told else "prompt"
    for side in PromptType:
        if needed not in filled[side]:
            raise ValueError(f"{where}: no key says what {side}_{needed} is")
    return {side: Side(**fields, source=source) for side, fields in filled.items()}


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
