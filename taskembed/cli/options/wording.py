"""Converts errors of typer and pydantic about arguments into usage errors."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any

import typer
from typer.exceptions import TyperException

from taskembed.errors import UsageError

_HELP = "see --help"
# pydantic's type of an error -> our message, from the value and the error's context
_REASONS: dict[str, Callable[[str, dict[str, Any]], str]] = {
    "int_parsing": lambda value, _: f"{value} is not a whole number",
    "int_from_float": lambda value, _: f"{value} is not a whole number",
    "int_parsing_size": lambda value, _: f"{value} is too large",
    "float_parsing": lambda value, _: f"{value} is not a number",
    "bool_parsing": lambda value, _: f"{value} is neither true nor false",
    "greater_than_equal": lambda value, context: f"{value} is less than {context['ge']:g}",
    "less_than_equal": lambda value, context: f"{value} is more than {context['le']:g}",
}


def usage_error(error: TyperException, arguments: Sequence[str]) -> UsageError:
    """Return a usage error for an error of typer.

    Args:
        error: typer's error.
        arguments: the arguments of the command.
    """
    hint = _HELP
    if _command(error) == "search" and (dashed := _dashed_query(error, arguments)):
        hint = f"put -- before a query that begins with a dash: taskembed search -- {dashed}"
    if isinstance(error, typer.BadParameter) and error.message and error.param:
        return UsageError(_reason(error), what=_named(error), hint=hint)
    text = error.format_message()
    return UsageError(text[:1].lower() + text[1:].rstrip("."), hint=hint)


def _named(error: typer.BadParameter) -> str:
    """Return the name of the option, variable or argument with an invalid value."""
    parameter: Any = error.param
    source = error.ctx and error.ctx.get_parameter_source(parameter.name)
    if source and source.name == "ENVIRONMENT":
        return str(parameter.envvar)
    if source and source.name == "DEFAULT_MAP" and error.ctx:
        return str(error.ctx.default_map.place_of(parameter.name))  # type: ignore[union-attr]
    return str(max(parameter.opts, key=len)) if parameter.opts[0][0] == "-" else parameter.metavar


def _reason(error: typer.BadParameter) -> str:
    errors = getattr(
        error.__cause__, "errors", None
    )  # pydantic's errors; importing pydantic takes 0.1 s
    if errors is None:
        return error.message.rstrip(".")
    first = errors()[0]
    say = _REASONS.get(first["type"])
    if say:
        return say(repr(str(first["input"])), first.get("ctx", {}))
    return str(first.get("ctx", {}).get("error", first["msg"])).rstrip(".")


def _command(error: TyperException) -> str:
    context = getattr(error, "ctx", None)
    return str(context.command.name) if context else ""


def _dashed_query(error: TyperException, arguments: Sequence[str]) -> str:
    """Return, in quotes, an argument that was parsed as options but is probably a query."""
    parameter = getattr(error, "param", None)
    name = getattr(error, "option_name", "") or (parameter.opts[0] if parameter else "")
    if len(name) != len("-f"):
        return ""
    context: Any = getattr(error, "ctx", None)
    options = [item for item in context.command.params if item.opts[0].startswith("-")]
    with_value = {opt for item in options if not item.is_flag for opt in item.opts}
    previous = ""
    for argument in arguments[: arguments.index("--") if "--" in arguments else None]:
        is_dashed = argument[:1] == "-" and argument[:2] != "--" and previous not in with_value
        if is_dashed and len(argument) > len(name) and name[1] in argument:
            return quoted(argument)
        previous = argument
    return ""


def quoted(text: str) -> str:
    """Return text as one word for a shell, in double quotes if possible."""
    return shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'
