"""`taskembed distill`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.activity import doing
from taskembed.cli._process.stopping import Stopper
from taskembed.cli.options import common as opt
from taskembed.cli.options.grouping import with_groups
from taskembed.cli.options.groups import LongOutputOptions, MachineOptions
from taskembed.cli.printing.output import write
from taskembed.english import counted
from taskembed.errors import ExitCode
from taskembed.escaping import json_text
from taskembed.space import Task

if TYPE_CHECKING:
    from taskembed.training.distill import Distilled


Teachers = Annotated[
    list[str],
    typer.Option(
        "--teacher",
        metavar="MODEL",
        rich_help_panel=opt.Panel.RERANKER,
        help="A reranker: a Hugging Face id, or a folder. Repeat the option to average several.",
    ),
]


@with_groups
def distill_command(
    pairs: Annotated[
        Path,
        typer.Argument(
            metavar="PAIRS", help="A file of queries, each with a document that answers the query."
        ),
    ],
    teacher: Teachers,
    output: Annotated[
        Path,
        opt.output_option("The file of ratings, as JSONL; an existing file is continued."),
    ] = Path("rated.jsonl"),
    task: opt.TaskOption = Task.RETRIEVAL,
    model: opt.ModelOption = None,
    candidates: Annotated[
        int,
        typer.Option(
            "--candidates",
            min=2,
            metavar="N",
            rich_help_panel=opt.Panel.INPUT,
            help="The number of documents to rate per query: its own, and the nearest others.",
        ),
    ] = 8,
    limit: Annotated[
        int,
        typer.Option(
            "--limit",
            min=0,
            metavar="N",
            rich_help_panel=opt.Panel.INPUT,
            help="Use only the first N queries; 0 for all.",
        ),
    ] = 0,
    *,
    machine: MachineOptions,
    out: LongOutputOptions,
) -> int:
    """Rate documents with rerankers, to make data for `train`.

    Scores become preferences between two documents, and preferences become one rating for each
    document, by the Bradley-Terry model (Elo). A stopped run continues when it is started again.

    Example:
        taskembed distill pairs.jsonl --teacher BAAI/bge-reranker-v2-m3
    """
    from taskembed.training.distill import distill_by_name

    settings = machine.settings(quiet=out.quiet)

    def update(count: int) -> None:
        step.done = count

    with Stopper(), doing("", unit="queries") as step:
        rated = distill_by_name(
            pairs,
            output,
            teachers=teacher,
            model=model,
            task=task or Task.RETRIEVAL,
            settings=settings,
            candidates=candidates,
            limit=limit,
            on_progress=update,
        )
    _print_ratings(output, rated, as_json=out.as_json)
    return ExitCode.OK


def _print_ratings(output: Path, rated: Distilled, *, as_json: bool) -> None:
    if as_json:
        value = {"output": str(output), "queries": rated.queries, "before": rated.before}
        write(json_text({**value, "agreed": round(rated.agreed, 6)}) + "\n")
        return
    write(
        f"{output}: {counted(rated.queries, 'query', 'queries')}, "
        f"{rated.before:,} of them from before; "
        f"the given document is rated best in {rated.agreed:.1%}\n"
    )
