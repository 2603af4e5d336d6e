"""Groups of options: several commands take one dataclass, whose fields are options.

    @dataclass(frozen=True, slots=True)
    class OutputOptions:
        quiet: Annotated[bool, typer.Option("--quiet", "-q")] = False

    @with_groups
    def evaluate(data: Data = None, *, output: OutputOptions) -> int: ...

The command has the option `--quiet`, and its function gets an `OutputOptions`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from inspect import Parameter
from typing import Any, get_type_hints


def with_groups(function: Callable[..., int]) -> Callable[..., int]:
    """Return a command whose groups of options are expanded into its signature, for typer.

    Args:
        function: the function of the command. A parameter whose type is a dataclass is a group:
            each field has an annotation for typer and a default. Option names must be distinct.
    """
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, type[Any]] = {
        name: hint for name, hint in hints.items() if is_dataclass(hint) and isinstance(hint, type)
    }
    parameters = [
        spread
        for parameter in inspect.signature(function).parameters.values()
        for spread in (
            _options_of(groups[parameter.name])
            if parameter.name in groups
            else [parameter.replace(annotation=hints[parameter.name], kind=Parameter.KEYWORD_ONLY)]
        )
    ]

    @functools.wraps(function)
    def command(**values: object) -> int:
        for name, group in groups.items():
            chosen = {field.name: values.pop(field.name) for field in fields(group)}
            values[name] = group(**chosen)
        return function(**values)

    # what typer reads: `inspect.signature`, and `typing.get_type_hints`
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {item.name: item.annotation for item in parameters}
    return command


def _options_of(group: type[Any]) -> Iterator[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    for field in fields(group):
        default = Parameter.empty if field.default is MISSING else field.default
        yield Parameter(
            field.name, Parameter.KEYWORD_ONLY, default=default, annotation=hints[field.name]
        )
