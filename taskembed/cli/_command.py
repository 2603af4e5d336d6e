"""What every command does before its function is called."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from taskembed.cli._environment import (
    leave_out_what_does_not_fit,
    unknown_variables,
    unset_variables,
    with_variables,
)
from taskembed.cli._help import write_help
from taskembed.cli._output import message
from taskembed.cli._progress import shown_progress
from taskembed.cli._wording import quoted
from taskembed.errors import MissingLibraryError, ModelUnavailableError, UsageError

# names of files may be any bytes; an id is refused by what looks for it
ANY_BYTES = {"inputs", "queries", "doc_ids"}
AS_JSON = "as_json"  # the parameter of --json


@dataclass
class Said:
    """What of a command's words is needed when it has failed.

    Attributes:
        json: errors are printed as JSON.
    """

    json: bool = False


class Command(TyperCommand):
    """A command whose words are text, and whose errors look as they were asked to.

    One with `allow_extra_args` takes one text, which was typed without quotes when there are more.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  # typer's
        super().__init__(*arguments, **options)
        parameters: list[Any] = self.params
        for parameter in parameters:
            # a file that may not be read is an error of its own, 77, and not of usage
            parameter.type_descriptor.parameter_info.readable = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  # typer's Context
        """Parse the words, and remember first whether errors in them are to be JSON."""
        remember_json(ctx, self.make_parser(ctx), self.params, args)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        """Write the help."""
        write_help(self, ctx, formatter)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401
        """Call the function.

        Raises:
            UsageError: a word is not UTF-8, or there are too many.
        """
        self._require_text(ctx)
        self._require_one_text(ctx)
        notes = leave_out_what_does_not_fit(ctx)
        if not ctx.params.get("quiet"):
            for note in notes if self.name == "index" else []:
                message(f"note: {note}")
            for name in unknown_variables(os.environ):
                message(f"note: {name} has no effect; `taskembed --help` lists the variables")
        try:
            with shown_progress(quiet=bool(ctx.params.get("quiet"))):
                return super().invoke(ctx)
        except (UsageError, ModelUnavailableError, MissingLibraryError) as error:
            error.message = with_variables(error.message, ctx)
            error.hint = unset_variables(error.hint, ctx) if error.hint else None
            raise

    def _require_text(self, ctx: Any) -> None:  # noqa: ANN401
        for parameter in self.params:
            value = ctx.params.get(parameter.name)
            if parameter.name not in ANY_BYTES and isinstance(value, str) and not _is_text(value):
                name = parameter.opts[0] if parameter.opts[0].startswith("-") else "the argument"
                raise UsageError(
                    f"{name} is not UTF-8: {value!r}", hint="check the encoding of the script"
                )

    def _require_one_text(self, ctx: Any) -> None:  # noqa: ANN401
        if ctx.args:
            text = " ".join([str(ctx.params[self.params[0].name]), *ctx.args])
            raise UsageError(
                f"{len(ctx.args) + 1} arguments, where one is expected",
                hint=f"put the {self.params[0].name} in quotes: "
                f"taskembed {self.name} {quoted(text)}",
            )


class Group(TyperGroup):
    """Commands, of which one is named by the words."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        """Write the help."""
        write_help(self, ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401
        """Parse the words before the command's name; an unknown name too may be followed by --json.

        The command, if there is one, then says it better: it knows which words are values.
        """
        parser = self.make_parser(ctx)
        parser.allow_interspersed_args = True
        params = [item for command in self.commands.values() for item in command.params]
        option = next(item for item in params if item.name == AS_JSON)
        option.add_to_parser(parser, ctx)
        remember_json(ctx, parser, [option], args)
        own: list[Any] = self.get_params(ctx)
        for parameter in own:  # typer would import pydantic to check that nothing was given
            parameter.process_value = _unless_none(parameter.process_value)
        return super().parse_args(ctx, args)


def remember_json(ctx: Any, parser: Any, params: list[Any], args: list[str]) -> None:  # noqa: ANN401
    """Remember whether --json, or its variable, is among words that may be wrong otherwise."""
    said = ctx.find_object(Said)
    option = next((item for item in params if item.name == AS_JSON), None)
    if said is None or option is None:
        return
    parser.ignore_unknown_options = True
    strict, ctx.resilient_parsing = ctx.resilient_parsing, True  # no error: the next parser has it
    given = parser.parse_args(list(args))[0]
    ctx.resilient_parsing = strict
    value, _ = option.consume_value(ctx, given)
    try:
        said.json = bool(option.process_value(ctx, value))
    except typer.BadParameter:  # a variable that says neither
        said.json = False


def _unless_none(process: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda context, value: None if value is None else process(context, value)


def _is_text(value: str) -> bool:
    """Whether there is no byte in it that Python could not decode."""
    return not any("\udc80" <= character <= "\udcff" for character in value)
