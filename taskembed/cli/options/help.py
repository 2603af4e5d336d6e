"""Writes the help of a command: what it does, an example, and its options under headings.

It uses the formatter that is included in typer, since rich would take 0.06 s to import.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from enum import Enum
from typing import Any

from taskembed.cli.options.common import Panel

# Any below: typer's commands, parameters and formatter have no public types

MAX_WIDTH = 120  # columns; longer lines are hard to read
NAMES_WIDTH = 26  # columns; an option with longer names has its description below them
COMMANDS_WIDTH = 10  # columns
ARGUMENTS, GENERAL = "Arguments", "General"  # before and after the headings of `Panel`
_DEFAULT = re.compile(r"\[default: [^]]{,17}\]")
# stand-ins for characters at which no line is broken: hyphens, and spaces in a short default
_HYPHEN, _SPACE = "\u2011", "\xa0"


def write_help(command: Any, context: Any, formatter: Any) -> None:  # noqa: ANN401
    """Write the help of a command: usage, description, commands, options, epilogue."""
    arguments = [_names(item) for item in command.params if _is_argument(item)]
    of_group = ["COMMAND", "..."] if getattr(command, "commands", None) else []
    formatter.write_usage(context.command_path, " ".join(["[OPTIONS]", *of_group, *arguments]))
    _write_description(command.help, formatter)
    _write_commands(getattr(command, "commands", {}), formatter)
    _write_options(command.get_params(context), context, formatter)
    _write_description(command.epilog, formatter)
    text = formatter.getvalue().replace(_HYPHEN, "-").replace(_SPACE, " ")
    formatter.buffer[:] = [text]


def summary(command: Any) -> str:  # noqa: ANN401
    """Return the first sentence of a command's help."""
    first = str(command.help or "").split("\n\n")[0]
    return " ".join(first.split()).removesuffix(".")


def _write_description(text: str | None, formatter: Any) -> None:  # noqa: ANN401
    """Write paragraphs; one whose second line is indented is an example, and is not folded."""
    for paragraph in inspect.cleandoc(text or "").split("\n\n"):
        formatter.write_paragraph()
        lines = paragraph.splitlines()
        with formatter.indentation():
            if len(lines) > 1 and lines[1].startswith(" "):
                formatter.write("".join(f"  {line}\n" for line in lines))
            elif lines:
                formatter.write_text(_unbroken(" ".join(lines)))


def _write_commands(commands: dict[str, Any], formatter: Any) -> None:  # noqa: ANN401
    """Write each command's summary, under its heading."""
    rows: dict[str, list[tuple[str, str]]] = {}
    for name, command in commands.items():
        heading = getattr(command, "rich_help_panel", None) or "Commands"
        rows.setdefault(heading, []).append((name, summary(command)))
    for heading, some in rows.items():
        _write_rows(heading, some, formatter, COMMANDS_WIDTH)


def _write_options(parameters: Iterable[Any], context: Any, formatter: Any) -> None:  # noqa: ANN401
    """Write arguments, then options under their headings, in the order of `Panel`."""
    rows: dict[str, list[tuple[str, str]]] = {name: [] for name in (ARGUMENTS, *Panel, GENERAL)}
    for parameter in parameters:
        heading = getattr(parameter, "rich_help_panel", None) or GENERAL
        rows[ARGUMENTS if _is_argument(parameter) else heading].append(
            (_names(parameter), _described(parameter, context))
        )
    for heading, some in rows.items():
        _write_rows(heading, some, formatter, NAMES_WIDTH)


def _write_rows(heading: str, rows: list[tuple[str, str]], formatter: Any, width: int) -> None:  # noqa: ANN401
    """Write two columns under a heading, if there are rows; the first column is `width` wide."""
    if rows:
        with formatter.section(heading):
            formatter.write_dl([(name.ljust(width), _unbroken(text)) for name, text in rows], width)


def _is_argument(parameter: Any) -> bool:  # noqa: ANN401
    return bool(parameter.param_type_name == "argument")


def _names(parameter: Any) -> str:  # noqa: ANN401
    """Return an option's names and the name of its value: "-o, --output FILE"."""
    if _is_argument(parameter):
        return str(parameter.metavar)
    names = " / ".join([", ".join(sorted(parameter.opts, key=len)), *parameter.secondary_opts])
    return names if parameter.is_flag else f"{names} {parameter.metavar or _choices(parameter)}"


def _choices(parameter: Any) -> str:  # noqa: ANN401
    return "|".join(str(choice.value) for choice in parameter.type_descriptor.choices)


def _described(parameter: Any, context: Any) -> str:  # noqa: ANN401
    """Return an option's description, with its default."""
    text, default = parameter.help or "", parameter.get_default(context, call=False)
    if parameter.required and not _is_argument(parameter):
        text += "  [required]"
    elif default is not None and default is not False and "[default: " not in text:
        text += f"  [default: {default.value if isinstance(default, Enum) else default}]"
    return text


def _unbroken(text: str) -> str:
    return _DEFAULT.sub(lambda found: found[0].replace(" ", _SPACE), text.replace("-", _HYPHEN))
