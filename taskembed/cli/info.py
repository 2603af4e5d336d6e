"""`taskembed info`."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli.options import common as opt
from taskembed.cli.printing.fields import field_lines
from taskembed.cli.printing.output import message, write
from taskembed.cli.printing.progress import duration
from taskembed.errors import ExitCode, UsageError
from taskembed.escaping import escaped, json_text

if TYPE_CHECKING:
    from taskembed.verbs.describe import IndexDescription

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}  # by unit
_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_CLOCK_SECONDS = 300  # tolerated difference between the clocks of two machines


def info_command(
    index_folder: opt.IndexFolder = opt.DEFAULT_INDEX,
    fields: Annotated[
        bool,
        typer.Option(
            "--fields",
            rich_help_panel=opt.Panel.OUTPUT,
            help="List the fields that --where can use, with their types and three values.",
        ),
    ] = False,
    max_age: Annotated[
        str | None,
        typer.Option(
            "--max-age",
            metavar="AGE",
            rich_help_panel=opt.Panel.INDEX,
            help="Exit with 1 if the last run of `index` is older, such as 26h, 90m or 7d.",
        ),
    ] = None,
    as_json: opt.AsJson = False,
) -> int:
    """Show an index: its space, documents, size, fields and last run.

    Example:
        taskembed info --index notes-index --json
        taskembed info --index notes-index --max-age 26h
    """
    limit = None if max_age is None else parse_age(max_age)
    if fields:
        if limit is not None:
            raise UsageError("--fields and --max-age cannot be combined")
        write(_fields_of(index_folder, as_json=as_json))
        return ExitCode.OK
    from taskembed.verbs.describe import describe_index

    description = describe_index(index_folder)
    for note in description.notes:
        message(f"note: {note}")
    value = description.to_json()
    write(json_text(value) + "\n" if as_json else field_lines(value))
    problem = "" if limit is None else _too_old(description, limit, max_age or "")
    if problem:
        message(problem)
    return ExitCode.PARTIAL if problem else ExitCode.OK


def parse_age(text: str) -> float:
    """Return an age in seconds: 93600 for "26h".

    Raises:
        UsageError: the text is not a number and a unit.
    """
    found = _AGE.fullmatch(text.strip())
    if not found:
        raise UsageError(
            f"--max-age {text!r} is not an age", hint="for example 26h, 90m, 45s or 7d"
        )
    return float(found[1]) * _SECONDS[found[2]]


def _too_old(description: IndexDescription, limit: float, shown: str) -> str:
    """Return why the last run of `index` is too old; "" if it is recent enough."""
    seconds = description.seconds_since_run(datetime.now(UTC))
    if seconds is None:
        return "no run of `taskembed index` is known for this index"
    at = description.last_run["finished_at"]
    if seconds < -_CLOCK_SECONDS:
        return f"the last run ended at {at}, which is in the future: check the clock"
    if seconds > limit:
        return f"the last run ended {duration(seconds)} ago, at {at}: more than {shown}"
    return ""


def _fields_of(index_folder: Path, *, as_json: bool) -> str:
    from taskembed.verbs.describe import describe_fields

    fields = describe_fields(index_folder)
    if as_json:
        return json_text({"fields": [asdict(field) for field in fields]}) + "\n"
    rows = [(field.name, field.type, ", ".join(field.examples)) for field in fields]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    lines = [f"{name:{widths[0]}}  {kind:{widths[1]}}  {examples}" for name, kind, examples in rows]
    return "".join(f"{escaped(line.rstrip())}\n" for line in lines)
