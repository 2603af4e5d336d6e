"""What typer and pydantic say of a command's words, said as we say things."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any

import typer
from typer.exceptions import TyperException

from taskembed.errors import UsageError

_HELP = "--help shows what there is"
# what pydantic calls a failure, and what it is; `told` is what it knows of it
_REASONS: dict[str, Callable[[str, dict[str, Any]], str]] = {
    "int_parsing": lambda value, _: f"{value} is not a whole number",
    "int_from_float": lambda value, _: f"{value} is not a whole number",
    "int_parsing_size": lambda value, _: f"{value} is too large",
    "float_parsing": lambda value, _: f"{value} is not a number",
    "bool_parsing": lambda value, _: f"{value} is neither true nor false",
    "greater_than_equal": lambda value, told: f"{value} is less than {told['ge']:g}",
    "less_than_equal": lambda value, told: f"{value} is more than {told['le']:g}",
}


def usage_error(error: TyperException, arguments: Sequence[str]) -> UsageError:
    """Return the error of ours for one in a command's words."""
    hint = _HELP
    if _command(error) == "search" and (dashed := _dashed_query(error, arguments)):
        hint = f"a query that begins with a dash goes after --: taskembed search -- {dashed}"
    if isinstance(error, typer.BadParameter) and error.message and error.param:
        return UsageError(_reason(error), what=_named(error), hint=hint)
    said = error.format_message()
    return UsageError(said[:1].lower() + said[1:].rstrip("."), hint=hint)


def _named(error: typer.BadParameter) -> str:
    """Return what the user knows the value by: an option, a variable, an argument."""
    parameter: Any = error.param
    source = error.ctx and error.ctx.get_parameter_source(parameter.name)
    if source and source.name == "ENVIRONMENT":
        return str(parameter.envvar)
    return str(max(parameter.opts, key=len)) if parameter.opts[0][0] == "-" else parameter.metavar


def _reason(error: typer.BadParameter) -> str:
    errors = getattr(error.__cause__, "errors", None)  # pydantic's, which costs 0.1 s to import
    if errors is None:
        return error.message.rstrip(".")
    first = errors()[0]
    say = _REASONS.get(first["type"])
    if say:
        return say(repr(str(first["input"])), first.get("ctx", {}))
    return error.message.removeprefix("Value error, ").rstrip(".")


def _command(error: TyperException) -> str:
    context = getattr(error, "ctx", None)
    return str(context.command.name) if context else ""


def _dashed_query(error: TyperException, arguments: Sequence[str]) -> str:
    """Return the argument that was taken for options, and is more likely a query."""
    parameter = getattr(error, "param", None)
    name = getattr(error, "option_name", "") or (parameter.opts[0] if parameter else "")
    if len(name) != len("-f"):
        return ""
    for argument in arguments:
        is_dashed = argument[:1] == "-" and argument[:2] != "--"
        if is_dashed and len(argument) > len(name) and name[1] in argument:
            return quoted(argument)
    return ""


def quoted(text: str) -> str:
    """Return text as a word for a shell, in the quotes that people type where these do."""
    return shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'
