"""`taskembed info`."""

from __future__ import annotations

from taskembed.cli import _options as opt
from taskembed.cli._fields import field_lines
from taskembed.cli._output import message, write
from taskembed.errors import ExitCode
from taskembed.escaping import json_text


def info_command(
    index_folder: opt.IndexFolder = opt.DEFAULT_INDEX, as_json: opt.AsJson = False
) -> int:
    """Show what an index is: its space, documents and size.

    Example:
        taskembed info --index notes-index --json
    """
    from taskembed.verbs.describe import describe_index

    description = describe_index(index_folder)
    for note in description.notes:
        message(f"note: {note}")
    value = description.to_json()
    write(json_text(value) + "\n" if as_json else field_lines(value))
    return ExitCode.OK
