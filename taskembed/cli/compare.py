"""`taskembed compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from taskembed.activity import doing
from taskembed.cli.options import common as opt
from taskembed.cli.printing.figures import difference_cells, note_if_nothing_found, without_nan
from taskembed.cli.printing.output import write
from taskembed.cli.printing.table import Column, print_table
from taskembed.errors import ExitCode
from taskembed.escaping import json_text


def compare_command(
    qrels: Annotated[
        Path, typer.Argument(metavar="QRELS", help="The judgements: TREC qrels, or TSV.")
    ],
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="TREC runs; each is compared with the first."),
    ],
    as_json: opt.AsJson = False,
) -> int:
    """Compare TREC runs on the same judgements, with a paired test.

    Each run is tested against the first, query by query.

    Example:
        taskembed compare scifact/qrels/test.tsv base.run tuned.run
    """
    from taskembed.evaluation.compare import compare
    from taskembed.reading.trec import read_judgements, read_run

    with doing("comparing"):
        rows = compare(read_judgements(qrels), [(str(path), read_run(path)) for path in runs])
    note_if_nothing_found([row.measured for row in rows])
    if as_json:
        write(json_text([without_nan(row.to_json()) for row in rows]) + "\n")
        return ExitCode.OK
    names = rows[0].measured.values
    # differences are those of the main figure, which comes first
    measures = [Column(name, number=True, leave_out=n) for n, name in enumerate(names)]
    others = [Column(name, number=True) for name in ("difference", "95 %", "p")]
    columns = [Column("run"), *measures, *others]
    cells = [
        [
            row.name,
            *(f"{value:.4f}" for value in row.measured.values.values()),
            *difference_cells(row.difference),
            f"{row.p:.4f}" if row.p is not None else "",
        ]
        for row in rows
    ]
    print_table(columns, cells)
    return ExitCode.OK
