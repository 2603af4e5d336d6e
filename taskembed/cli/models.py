"""`taskembed models`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli.options import common as opt
from taskembed.cli.printing.fields import field_lines
from taskembed.cli.printing.output import write
from taskembed.cli.printing.table import Column, print_table
from taskembed.escaping import json_text
from taskembed.models.lengths import NO_LIMIT
from taskembed.space import Task

if TYPE_CHECKING:
    from taskembed.models.catalogue import Family, RerankerFamily


def models_command(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help="A model or folder to show with its prompts; or part of a name.",
        ),
    ] = None,
    task: Annotated[
        Task | None,
        opt.task_option("Only models with prompts or adapters for this task."),
    ] = None,
    as_json: opt.AsJson = False,
) -> int:
    """List the known models and rerankers, with their tasks.

    Any other Hugging Face model or folder works too, with the prompts saved in it, with
    --query-prompt and --document-prompt, or with --prompts. Any cross-encoder works as a reranker.

    Example:
        taskembed models --task code
    """
    from taskembed.verbs.models import find_known

    known = find_known(model, task)
    described, is_one = known.to_json(), known.is_exact
    if model is not None and not described:
        from taskembed.verbs.explain import describe_folder

        described, is_one = [describe_folder(model)], True
    if as_json:
        write(json_text(described) + "\n")
    elif is_one:
        write(field_lines(described[0]))
    else:
        _print_models(known.families, known.rerankers)
    return 0


def _print_models(chosen: Sequence[Family], judges: Sequence[RerankerFamily]) -> None:
    from taskembed.verbs.models import needs_of

    rows = [
        (
            *(model, str(dim), _tokens(family), _licence(family), needs_of(family)),
            " ".join(task.value for task in family.tasks),
        )
        for family in chosen
        for model, dim in family.models.items()
    ]
    if rows:
        numbers = [Column(name, number=True) for name in ("dim", "tokens")]
        others = [("licence", 1), ("needs", 2), ("tasks", 3)]
        print_table(
            [Column("model"), *numbers, *(Column(name, leave_out=n) for name, n in others)], rows
        )
    judging = [
        (model, _licence(family), family.note) for family in judges for model in family.models
    ]
    if rows and judging:
        write("\n")
    if judging:
        columns = [Column("reranker"), Column("licence", leave_out=1), Column("note", leave_out=2)]
        print_table(columns, judging)


def _tokens(family: Family) -> str:
    return str(family.max_length) if family.max_length < NO_LIMIT else "any"


def _licence(family: Family | RerankerFamily) -> str:
    return family.licence + ("" if family.commercial else " (not for commercial use)")
