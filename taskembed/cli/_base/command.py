"""The base class of all commands: parsing, checks, notes, progress, help."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from taskembed.cli._base.addresses import refuse_collection, require_readable
from taskembed.cli.options.common import LOG_FILE
from taskembed.cli.options.config import Config
from taskembed.cli.options.conversion import convert_quickly
from taskembed.cli.options.environment import (
    reset_unfit_variables,
    unknown_variables,
    unset_variables,
    with_variable,
    with_variables,
)
from taskembed.cli.options.help import write_help
from taskembed.cli.options.wording import quoted
from taskembed.cli.printing.log import LOG
from taskembed.cli.printing.output import message, require_output
from taskembed.cli.printing.progress import shown_progress
from taskembed.errors import (
    IndexDamagedError,
    MissingLibraryError,
    ModelUnavailableError,
    TaskembedError,
    UsageError,
)
from taskembed.objects import address_in

# parameters whose text may be any bytes: file names; an id that is not UTF-8 is refused later
ANY_BYTES = {"inputs", "queries", "doc_ids"}
OF_INDEXES = ("index_folder", "against")  # parameters that name an index
AS_JSON = "as_json"  # the parameter of --json


@dataclass
class ErrorFormat:
    """How errors of the command are printed; set while its arguments are parsed.

    Attributes:
        json: as JSON, rather than as lines for people.
    """

    json: bool = False


class Command(TyperCommand):
    """A command that requires UTF-8 arguments, and prints errors in the requested format.

    With `allow_extra_args` it takes one text; for several words, the error suggests quotes.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401  # typer's
        super().__init__(*arguments, **options)
        parameters: list[Any] = self.params
        for parameter in parameters:
            # an unreadable file ends with code 77, not with a usage error
            parameter.type_descriptor.parameter_info.readable = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  # typer's Context
        """Parse the arguments, after finding out whether parsing errors are printed as JSON."""
        repeated = [item.name for item in self.params if getattr(item, "multiple", False)]
        config = ctx.default_map = Config(with_variable(self.params), os.environ, repeated)
        convert_quickly(self.get_params(ctx))
        set_error_format(ctx, self.make_parser(ctx), self.params, args)
        left: list[str] = super().parse_args(ctx, args)
        for parameter in self.params:
            value = ctx.params.get(parameter.name)
            source = ctx.get_parameter_source(parameter.name)
            if "--index" in parameter.opts and value is not None and source.name != "DEFAULT":
                ctx.params[parameter.name] = config.index_named(value)
        return left

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        """Write the help, which does not depend on the configuration file."""
        ctx.default_map = None
        write_help(self, ctx, formatter)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401
        """Call the command's function.

        Raises:
            UsageError: an argument is not UTF-8, or there are too many.
        """
        self._require_text(ctx)
        self._require_one_text(ctx)
        copies: dict[str, Path] = {}
        try:
            options = {item.name: item.opts[0] for item in self.params if item.opts}
            require_readable(ctx.params, options, OF_INDEXES)
            copies = self._fetch_published(ctx)
            notes = reset_unfit_variables(ctx)
            if not ctx.params.get("quiet"):
                for note in notes if self.name == "index" else []:
                    message(f"note: {note}")
                for name in unknown_variables(os.environ):
                    message(f"note: {name} has no effect; `taskembed --help` lists the variables")
            open_log(ctx.params)
            with shown_progress(quiet=bool(ctx.params.get("quiet"))):
                return super().invoke(ctx)
        except (UsageError, ModelUnavailableError, MissingLibraryError) as error:
            error.message = with_variables(error.message, ctx)
            error.hint = unset_variables(error.hint, ctx) if error.hint else None
            raise
        except IndexDamagedError as error:
            if copies:
                from taskembed.cli._base.published import damage_hint

                error.hint = damage_hint(error.message, copies) or error.hint
            raise

    def _fetch_published(self, ctx: Any) -> dict[str, Path]:  # noqa: ANN401
        indexes = [ctx.params.get(name) for name in OF_INDEXES]
        for place in indexes if self.name != "search" else []:
            refuse_collection(str(self.name), place)
        if self.name == "mcp":  # it names what it serves by the addresses
            return {}
        if any(isinstance(place, Path) and address_in(place) for place in indexes):
            from taskembed.cli._base.published import fetch_published

            with shown_progress(quiet=bool(ctx.params.get("quiet"))):
                return fetch_published(str(self.name), ctx.params, OF_INDEXES)
        return {}

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
                f"expected one argument, but got {len(ctx.args) + 1}",
                hint=f"put the {self.params[0].name} in quotes: "
                f"taskembed {self.name} {quoted(text)}",
            )


def open_log(given: Mapping[str, Any]) -> None:
    """Open the log file of a command, if the option is given; `run` closes the file.

    Raises:
        UsageError: the file is one of the inputs, or inside the index.
        TaskembedError: the file cannot be written to.
    """
    path = given.get("log_file")
    if path is not None:
        files = [name for name in given.get("inputs") or () if Path(name).is_file()]
        require_output(LOG_FILE, path, [*files, given.get("index_folder")], in_place=True)
        LOG.open(path)


class Group(TyperGroup):
    """A group of commands."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        """Write the help."""
        write_help(self, ctx, formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401
        """Parse the arguments before the command's name.

        `--json` is searched among all arguments, in case the command's name is unknown. A known
        command searches again, since it can tell an option from an option's value.
        """
        parser = self.make_parser(ctx)
        parser.allow_interspersed_args = True
        params = [item for command in self.commands.values() for item in command.params]
        option = next((item for item in params if item.name == AS_JSON), None)
        if option is not None:  # the command is known, so this group has no errors to print
            option.add_to_parser(parser, ctx)
            set_error_format(ctx, parser, [option], args)
        convert_quickly(self.get_params(ctx))
        return super().parse_args(ctx, args)


def set_error_format(ctx: Any, parser: Any, params: list[Any], args: list[str]) -> None:  # noqa: ANN401
    """Find out whether errors are printed as JSON, even if other arguments are invalid.

    Args:
        ctx: the context of the command; its `ErrorFormat` is set.
        parser: a parser of the command, which cannot be used again.
        params: the parameters of the command.
        args: all arguments of the command.
    """
    error_format = ctx.find_object(ErrorFormat)
    option = next((item for item in params if item.name == AS_JSON), None)
    if error_format is None or option is None:
        return
    parser.ignore_unknown_options = True
    # errors are ignored here: the next parser raises them
    was_resilient, ctx.resilient_parsing = ctx.resilient_parsing, True
    given = parser.parse_args(list(args))[0]
    ctx.resilient_parsing = was_resilient
    if given.get("help"):
        return
    try:
        value, _ = option.consume_value(ctx, given)
        error_format.json = bool(option.process_value(ctx, value))
    except (typer.BadParameter, TaskembedError):  # from the variable or the configuration file
        error_format.json = False


def _is_text(value: str) -> bool:
    """Return whether a value was valid UTF-8; Python replaces other bytes by surrogates."""
    return not any("\udc80" <= character <= "\udcff" for character in value)
