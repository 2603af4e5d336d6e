"""What every command does before its function is called."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from typer.core import TyperCommand

from taskembed.cli.environment import (
    leave_out_what_does_not_fit,
    unset_variables,
    with_variables,
)
from taskembed.cli.output import message
from taskembed.cli.progress import shown_progress
from taskembed.cli.wording import quoted
from taskembed.errors import MissingLibraryError, ModelUnavailableError, UsageError

# names of files may be any bytes; an id is refused by what looks for it
ANY_BYTES = {"inputs", "queries", "doc_ids"}
TRUE = {"1", "true", "t", "yes", "y", "on"}  # what typer takes for it in a variable


@dataclass
class Said:
    """What of a command's words is needed when it has failed.

    Attributes:
        json: whether JSON was asked for; None as long as the words are not understood.
    """

    json: bool | None = None

    def as_json(self, arguments: Sequence[str]) -> bool:
        """Whether errors are to be JSON, also errors in the words themselves."""
        if self.json is not None:
            return self.json
        options = arguments[: arguments.index("--")] if "--" in arguments else arguments
        return "--json" in options or os.environ.get("TASKEMBED_JSON", "").lower() in TRUE


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

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  # typer's own Context has no public name
        """Call the function.

        Raises:
            UsageError: a word is not UTF-8, or there are too many.
        """
        said = ctx.find_object(Said)
        if said is not None:
            said.json = bool(ctx.params.get("as_json"))
        for parameter in self.params:
            value = ctx.params.get(parameter.name)
            if parameter.name not in ANY_BYTES and isinstance(value, str) and not _is_text(value):
                name = parameter.opts[0] if parameter.opts[0].startswith("-") else "the argument"
                raise UsageError(
                    f"{name} is not UTF-8: {value!r}", hint="check the encoding of the script"
                )
        if ctx.args:
            text = " ".join([str(ctx.params[self.params[0].name]), *ctx.args])
            raise UsageError(
                f"{len(ctx.args) + 1} arguments, where one is expected",
                hint=f"put the {self.params[0].name} in quotes: "
                f"taskembed {self.name} {quoted(text)}",
            )
        notes = leave_out_what_does_not_fit(ctx)
        if self.name == "index" and not ctx.params["quiet"]:
            for note in notes:
                message(f"note: {note}")
        try:
            with shown_progress(quiet=bool(ctx.params.get("quiet"))):
                return super().invoke(ctx)
        except (UsageError, ModelUnavailableError, MissingLibraryError) as error:
            error.message = with_variables(error.message, ctx)
            error.hint = unset_variables(error.hint, ctx) if error.hint else None
            raise


def _is_text(value: str) -> bool:
    """Whether there is no byte in it that Python could not decode."""
    return not any("\udc80" <= character <= "\udcff" for character in value)
