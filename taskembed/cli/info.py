"""`taskembed info`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from taskembed.cli import _options as opt
from taskembed.cli._fields import field_lines
from taskembed.cli._output import message, write
from taskembed.errors import ExitCode
from taskembed.escaping import escaped, json_text


def info_command(
    index_folder: opt.IndexFolder = opt.DEFAULT_INDEX,
    fields: Annotated[
        bool,
        typer.Option(
            "--fields",
            rich_help_panel=opt.Panel.OUTPUT,
            help="List the fields that --where can name: their types, and three values.",
        ),
    ] = False,
    as_json: opt.AsJson = False,
) -> int:
    """Show what an index is: its space, documents, size and fields.

    Example:
        taskembed info --index notes-index --json
    """
    if fields:
        write(_fields_of(index_folder, as_json=as_json))
        return ExitCode.OK
    from taskembed.verbs.describe import describe_index

    description = describe_index(index_folder)
    for note in description.notes:
        message(f"note: {note}")
    value = description.to_json()
    write(json_text(value) + "\n" if as_json else field_lines(value))
    return ExitCode.OK


def _fields_of(index_folder: Path, *, as_json: bool) -> str:
    from taskembed.verbs.describe import describe_fields

    fields = describe_fields(index_folder)
    if as_json:
        return json_text({"fields": [asdict(field) for field in fields]}) + "\n"
    rows = [(field.name, field.type, ", ".join(field.examples)) for field in fields]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    lines = [f"{name:{widths[0]}}  {kind:{widths[1]}}  {examples}" for name, kind, examples in rows]
    return "".join(f"{escaped(line.rstrip())}\n" for line in lines)
