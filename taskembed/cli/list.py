"""`taskembed list`."""

from __future__ import annotations

from typing import Annotated

import typer

from taskembed.cli.options import common as opt
from taskembed.cli.options.documents import DocumentOptions
from taskembed.cli.options.grouping import with_groups
from taskembed.cli.options.groups import OutputOptions
from taskembed.cli.printing.documents import DocumentFormat
from taskembed.cli.printing.output import message
from taskembed.errors import ExitCode


@with_groups
def list_command(
    index_folder: opt.IndexFolder = opt.DEFAULT_INDEX,
    where: opt.Where = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            min=1,
            metavar="N",
            rich_help_panel=opt.Panel.OUTPUT,
            help="Print at most this many documents.",
        ),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(
            "--after",
            metavar="ID",
            rich_help_panel=opt.Panel.OUTPUT,
            help="Begin after this id, such as the last id of the previous page.",
        ),
    ] = None,
    *,
    printed: DocumentOptions,
    out: OutputOptions,
) -> int:
    """List the documents of an index in the order of their ids.

    Documents are printed as they are read, so an index of any size can be listed. No model is
    loaded.

    Example:
        taskembed list --where "lang = 'de'" --format tsv --fields title --no-text
        taskembed list --limit 100 --after moon
    """
    printer = printed.printer(as_json=out.as_json, for_people=DocumentFormat.TABLE)
    from taskembed.verbs.documents import list_documents

    printer.print_all(list_documents(index_folder, where=where, after=after or "", limit=limit))
    if not out.quiet:
        if where is not None and not printer.count and not after:
            message(f"note: {opt.NOTHING_PASSES}")
        for note in printer.notes():
            message(f"note: {note}")
    return ExitCode.OK
