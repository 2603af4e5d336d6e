"""`taskembed ablate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli.options import common as opt
from taskembed.cli.options.grouping import with_groups
from taskembed.cli.options.groups import LongOutputOptions, MachineOptions, ModelOptions
from taskembed.cli.options.judged_data import DataOptions
from taskembed.cli.printing.figures import difference_cells, without_nan
from taskembed.cli.printing.output import message, require_output, write
from taskembed.cli.printing.table import Column, print_table
from taskembed.errors import ExitCode
from taskembed.escaping import json_text
from taskembed.index.ranking.modes import Mode
from taskembed.space import PromptType

if TYPE_CHECKING:
    from taskembed.evaluation.ablate import Ablated


@with_groups
def ablate_command(
    *,
    data: DataOptions,
    model: ModelOptions,
    trust_remote_code: opt.TrustRemoteCode = False,
    chart: Annotated[
        Path | None,
        typer.Option(
            "--chart",
            metavar="FILE",
            rich_help_panel=opt.Panel.OUTPUT,
            help="Also draw a chart to this file: .png, .svg or .pdf.",
        ),
    ] = None,
    machine: MachineOptions,
    out: LongOutputOptions,
) -> int:
    """Measure how much the prompts and the adapter contribute.

    The same data is evaluated with the right prompts and adapter, without them, and with wrong
    ones; for retrieval and code also by words alone, and by vectors and words, as search does. Each
    variant is one row, with its difference from the right one, and the 95 % confidence interval of
    the difference by bootstrap.

    Example:
        taskembed ablate scifact --task retrieval --model intfloat/e5-small-v2
    """
    from taskembed.evaluation.ablate import ablate
    from taskembed.evaluation.chart import require_chart_name, save_chart
    from taskembed.evaluation.data import read_judged
    from taskembed.evaluation.metrics import require_libraries

    settings = machine.settings(quiet=out.quiet, trust_remote_code=trust_remote_code)
    stated, task = model.stated(), model.required_task()
    files = data.files()
    if chart is not None:
        require_chart_name(chart)
        require_output(
            "--chart", chart, [*files.paths(), model.adapter, model.prompts], in_place=True
        )
    require_libraries()
    judged = read_judged(task, files, notify=settings.notify)
    rows = list(
        ablate(model.model, task, judged, revision=model.revision, stated=stated, settings=settings)
    )
    if out.as_json:
        value = {
            "model": rows[0].space.model,
            "task": task.value,
            "main": rows[0].measured.main,
            "units": len(rows[0].measured.names),
            "ways": [row.to_json() for row in rows],
        }
        write(json_text(without_nan(value)) + "\n")
    else:
        print_table(*_ablation_cells(rows))
        by_vectors = [row for row in rows if row.mode is Mode.DENSE]
        if all(row.difference is None or row.same_as for row in by_vectors):
            message(f"note: {rows[0].space.model} has no prompts and no adapters")
    if chart is not None:
        save_chart(rows, f"{rows[0].space.model}: {task.value}", chart)
    return ExitCode.OK


def _ablation_cells(rows: Sequence[Ablated]) -> tuple[list[Column], list[list[str]]]:
    columns = [
        Column("way"),
        *(Column(name, number=True) for name in (rows[0].measured.main, "difference", "95 %")),
        Column("query prompt", leave_out=2),
        Column("document prompt", leave_out=3),
        Column("adapter", leave_out=1),
    ]
    cells = []
    for row in rows:
        space = row.space
        adapters = dict.fromkeys(space.adapter(side) or space.request(side) for side in PromptType)
        has_vectors = row.mode is not Mode.WORDS
        cells.append(
            [
                row.name + (f" (as {row.same_as})" if row.same_as else ""),
                f"{row.measured.value:.4f}",
                *difference_cells(row.difference),
                repr(space.query_prompt) if has_vectors and space.query_prompt else "",
                repr(space.document_prompt) if has_vectors and space.document_prompt else "",
                ", ".join(filter(None, adapters)) if has_vectors else "",
            ]
        )
    return columns, cells
