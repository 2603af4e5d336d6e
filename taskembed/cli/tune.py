"""`taskembed tune`."""

from __future__ import annotations

from typing import Annotated

import typer

from taskembed.cli.options import common as opt
from taskembed.cli.printing.output import message, write
from taskembed.english import counted
from taskembed.errors import ExitCode
from taskembed.escaping import json_text


def tune_command(
    index_folder: opt.IndexFolder = opt.DEFAULT_INDEX,
    task: opt.ViewOption = None,
    sample: Annotated[
        int,
        typer.Option(
            "--sample",
            min=1,
            metavar="N",
            rich_help_panel=opt.Panel.INDEX,
            help="The number of the index's vectors to use as queries.",
        ),
    ] = 400,
    wait: opt.Wait = 0,
    as_json: opt.AsJson = False,
) -> int:
    """Measure the recall and latency of searches in a large index.

    Vectors of the index are used as queries. For each number of candidates, the output shows the
    share of the exact best ten that is found (recall@10), and the time of a query. `taskembed info`
    shows the figures of the default; `taskembed search --exact` scores every document. If the index
    has several views, the first is measured, or that of --task.

    Example:
        taskembed tune --index notes-index
    """
    from taskembed.verbs.tune import tune_index

    tuning = tune_index(index_folder, task=task, sample=sample, wait_seconds=wait)
    if as_json:
        write(json_text(tuning.to_json()) + "\n")
    else:
        queries = counted(tuning.queries, "query", "queries")
        write(f"{queries} of {tuning.documents:,} documents, task {tuning.task}\n")
        write("candidates  recall@10  ms a query\n")
        for item in tuning.tried:
            name = "exact" if item.candidates is None else f"{item.candidates:,}"
            mark = "  default" if item.candidates == tuning.default else ""
            write(f"{name:>10}  {item.recall:9.4f}  {item.milliseconds:10.1f}{mark}\n")
    if not tuning.is_remembered:
        message("note: there is no permission to write to the index, so the figures are not stored")
    return ExitCode.OK
