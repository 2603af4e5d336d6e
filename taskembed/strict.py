"""Checks external data against a type: turns a table of TOML or JSON into a frozen dataclass.

    @dataclass(frozen=True, slots=True)
    class Lora:
        __pydantic_config__ = STRICT
        rank: Annotated[int, Ge(1)] = 16

    checked(Lora, {"rank": 4})    # Lora(rank=4)
    checked(Lora, {"rang": 4})    # MisfitError: unknown key "rang"; the keys are rank
    checked(Lora, {"rank": 0})    # MisfitError: "rank" must be at least 1: 0

Every key must be known and every value must have its exact type: "4" is not a number, and true is
not 1. pydantic does the checks; the messages are defined here
(docs/adr/0014-strict-validation.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

if TYPE_CHECKING:
    from pydantic import ConfigDict, TypeAdapter

T = TypeVar("T")

STRICT: ConfigDict = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

_TABLE = "is not a table: {input!r}"
_LIST = "is not a list: {input!r}"
_REASONS = {  # pydantic's type of an error -> our message
    "string_type": "is not a string: {input!r}",
    "int_type": "is not a whole number: {input!r}",
    "int_from_float": "is not a whole number: {input!r}",
    "float_type": "is not a number: {input!r}",
    "finite_number": "is not a finite number: {input!r}",
    "bool_type": "is not true or false: {input!r}",
    "tuple_type": _LIST,
    "list_type": _LIST,
    "dataclass_type": _TABLE,
    "dict_type": _TABLE,
    "mapping_type": _TABLE,
    "greater_than": "must be more than {gt:g}: {input!r}",
    "greater_than_equal": "must be at least {ge:g}: {input!r}",
    "less_than": "must be less than {lt:g}: {input!r}",
    "less_than_equal": "must be at most {le:g}: {input!r}",
    "too_short": "must not be empty",
    "string_too_short": "is empty",
    "literal_error": "is none of {expected}: {input!r}",
    "enum": "is none of {expected}: {input!r}",
}


class MisfitError(ValueError):
    """Data that does not match its type.

    Attributes:
        path: the keys and positions of the value: ("data", 0, "limit").
        reason: what is wrong with the value.
    """

    def __init__(self, message: str, *, path: Sequence[str | int], reason: str) -> None:
        super().__init__(message)
        self.path = tuple(path)
        self.reason = reason


def checked(kind: type[T], value: object) -> T:
    """Return data as an object of a type.

    Args:
        kind: a dataclass with `__pydantic_config__ = STRICT`, or a type composed of such classes.
        value: the parsed TOML or JSON.

    Raises:
        MisfitError: a key is unknown or missing, or a value has another type or is out of range.
    """
    from pydantic import ValidationError

    hashable: Any = kind
    try:
        # in JSON mode, lists may become tuples and strings enums, while all else is strict
        found: T = _adapter(hashable).validate_json(json.dumps(value, default=str))
    except ValidationError as error:
        raise _misfit(kind, value, error.errors(include_url=False)[0]) from error
    return found


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:  # noqa: ANN401  # any type
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _misfit(kind: type[Any], value: object, error: Mapping[str, Any]) -> MisfitError:
    path, key = error["loc"], error["loc"][-1] if error["loc"] else ""
    holder, place = _place(value, path[:-1]), _place(value, path)
    given = error["input"]
    match error["type"]:
        case "missing":
            place, reason = holder, f'the key "{key}" is missing'
        case "unexpected_keyword_argument":
            known = ", ".join(_keys(kind, path[:-1]))
            place, reason = holder, f'unknown key "{key}"; the keys are {known}'
        case "literal_error" if key == "[key]":  # pydantic's word for the key of a dict
            place = _place(value, path[:-2])
            reason = f'unknown key "{given}"; the keys are {error["ctx"]["expected"]}'
        case "value_error":  # of `__post_init__`
            reason = str(error["ctx"]["error"])
        case "tuple_type" if isinstance(given, dict):
            place, reason = holder, f'"{key}" is one table, not a list of them: write [[{key}]]'
        case name:
            reason = _REASONS.get(name, error["msg"]).format(input=given, **error.get("ctx", {}))
            if not path:
                place, reason = "", f"the whole {reason}"
            elif isinstance(key, str):
                place, reason = holder, f'"{key}" {reason}'
            else:  # a position in a list
                place, reason = "", f"{place} {reason}"
    return MisfitError(f"{place}: {reason}" if place else reason, path=path, reason=reason)


def _place(value: Any, path: Sequence[str | int]) -> str:  # noqa: ANN401  # whatever was parsed
    """Return the name of a place in messages: 'data 2', or 'family "e5", models'."""
    words: list[str] = []
    for step in path:
        if isinstance(step, str):
            value = value.get(step)  # none, where it is missing
            words.append(step)
        else:
            value = value[step]
            name = value.get("name") if isinstance(value, dict) else None
            words[-1:] = [f"{words[-1]} {json.dumps(name) if name else step + 1}"]
    return ", ".join(words)


def _keys(kind: Any, path: Sequence[str | int]) -> list[str]:  # noqa: ANN401  # any type
    """Return the keys of the dataclass at a path within a type."""
    for step in path:
        if is_dataclass(kind):
            kind = get_type_hints(kind)[str(step)]
        else:  # of a tuple, or the values of a dict
            kind = [item for item in get_args(kind) if item is not Ellipsis][-1]
        kind = next((item for item in get_args(kind) if NoneType in get_args(kind)), kind)
    return [item.name for item in fields(kind)]
