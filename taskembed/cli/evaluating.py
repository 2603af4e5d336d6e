"""`taskembed evaluate`, `ablate` and `compare`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.activity import doing
from taskembed.cli import options as opt
from taskembed.cli._groups import with_groups
from taskembed.cli.counting import Counting
from taskembed.cli.output import is_one_of, message, require_output, results, write
from taskembed.cli.table import Column, print_table
from taskembed.errors import ExitCode, UsageError
from taskembed.escaping import json_text, tsv_cell
from taskembed.space import SYMMETRIC_TASKS, Task

if TYPE_CHECKING:
    from taskembed.encoding.settings import EngineSettings
    from taskembed.evaluation.ablate import Ablated
    from taskembed.evaluation.compare import Compared
    from taskembed.evaluation.data import Files, Judged
    from taskembed.evaluation.measured import Difference, Measured
    from taskembed.models.resolve import PromptOverrides
    from taskembed.reading.trec import Run

Data = Annotated[
    Path | None,
    typer.Argument(
        metavar="[DATA]",
        help="A folder: corpus, queries, qrels; or pairs; or train, test; or texts; or one file.",
    ),
]
Queries = Annotated[
    Path | None,
    typer.Option(
        "--queries",
        metavar="FILE",
        rich_help_panel=opt.Panel.INPUT,
        help="The queries, when not in the folder: JSONL with id and text, or TSV.",
    ),
]
Qrels = Annotated[
    Path | None,
    typer.Option(
        "--qrels",
        metavar="FILE",
        rich_help_panel=opt.Panel.INPUT,
        help="The judgements, when not in the folder: TREC qrels, or TSV.",
    ),
]
Limit = Annotated[
    int,
    typer.Option(
        "--limit",
        min=0,
        metavar="N",
        rich_help_panel=opt.Panel.INPUT,
        help="Only the first N queries, pairs, or texts to test on; 0 for all.",
    ),
]


@with_groups
def evaluate(
    data: Data = None,
    *,
    model: opt.ModelOptions,
    index_folder: Annotated[
        Path | None,
        typer.Option(
            "--index",
            metavar="DIR",
            rich_help_panel=opt.Panel.INDEX,
            help="Evaluate that index, rather than a corpus.",
        ),
    ] = None,
    queries: Queries = None,
    qrels: Qrels = None,
    limit: Limit = 0,
    no_adapter: opt.NoAdapter = False,
    trust_remote_code: opt.TrustRemoteCode = False,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run",
            metavar="FILE",
            rich_help_panel=opt.Panel.OUTPUT,
            help="Keep the hits, as a TREC run.",
        ),
    ] = None,
    per_unit: Annotated[
        Path | None,
        typer.Option(
            "--per-query",
            metavar="FILE",
            rich_help_panel=opt.Panel.OUTPUT,
            help="Write the figures of each query (pair, draw) as TSV.",
        ),
    ] = None,
    machine: opt.MachineOptions,
    out: opt.OutputOptions,
) -> int:
    """Measure how good a model or an index is on data with judgements.

    retrieval, code: nDCG@10, Recall@100, MRR@10, MAP. similarity: Spearman, Pearson.
    classification: accuracy and F1 of logistic regression and kNN. clustering: V-measure.

    Example:
        taskembed evaluate scifact --task retrieval
    """
    from taskembed.evaluation.data import Files

    settings = machine.settings(quiet=out.quiet, trust_remote_code=trust_remote_code)
    stated = model.stated(no_adapter=no_adapter)
    files = Files(data, queries, qrels, limit)
    read = [*files.paths(), index_folder, model.adapter, model.prompts]
    require_output("--run", run, read)
    require_output("--per-query", per_unit, read)
    if run is not None and per_unit is not None and is_one_of(per_unit, [run]):
        raise UsageError("--run and --per-query name one file")
    hits: Run | None
    if index_folder is not None:
        if model.revision is not None:
            raise UsageError("an index has its own --revision", hint="leave it out")
        with doing("evaluating"):
            measured, hits = _of_index(index_folder, files, model, stated, settings)
    else:
        if run is not None and model.required_task() in SYMMETRIC_TASKS:
            raise UsageError("--run is for retrieval and code")
        with doing("evaluating"):
            measured, hits = _of_model(files, model, stated, settings)
    _print_measured(measured, as_json=out.as_json)
    if run is not None and hits is not None:
        _write_run(hits, run)
    if per_unit is not None:
        _write_units(measured, per_unit)
    return ExitCode.OK


def _of_model(
    files: Files,
    model: opt.ModelOptions,
    stated: PromptOverrides,
    settings: EngineSettings,
) -> tuple[Measured, Run | None]:
    from taskembed.encoding.load import load_encoder
    from taskembed.evaluation.compare import measure_run
    from taskembed.evaluation.data import Ranking
    from taskembed.evaluation.evaluate import evaluate as measure
    from taskembed.evaluation.evaluate import rank

    task = model.required_task()
    data = _judged(files, task, settings)
    encoder = Counting(
        load_encoder(model.model, task, revision=model.revision, stated=stated, settings=settings)
    )
    if isinstance(data, Ranking):
        hits = rank(encoder, data)
        _say_cut(encoder, settings)
        return measure_run(data.judgements, hits), hits
    measured = measure(encoder, data)
    _say_cut(encoder, settings)
    return measured, None


def _say_cut(encoder: Counting, settings: EngineSettings) -> None:
    for note in encoder.notes():
        settings.notify(f"note: {note}")


def _judged(files: Files, task: Task, settings: EngineSettings) -> Judged:
    from taskembed.evaluation.data import read_judged
    from taskembed.evaluation.metrics import require_libraries

    require_libraries()
    return read_judged(task, files, notify=settings.notify)


def _of_index(
    folder: Path,
    files: Files,
    model: opt.ModelOptions,
    stated: PromptOverrides,
    settings: EngineSettings,
) -> tuple[Measured, Run]:
    from taskembed.evaluation.compare import measure_run
    from taskembed.evaluation.data import Ranking, read_judged
    from taskembed.evaluation.evaluate import rank_index
    from taskembed.evaluation.metrics import require_libraries
    from taskembed.index.reader import Index
    from taskembed.models.resolve import PromptOverrides
    from taskembed.verbs.encoders import encoder_for_search, require_expected

    adapter = stated.adapter or None  # where that of the index is now
    if stated != PromptOverrides(adapter=adapter):
        raise UsageError("an index has its own prompts and adapter", hint="leave them out")
    require_libraries()
    with Index.open(folder) as index:
        if index.space.task in SYMMETRIC_TASKS:
            raise UsageError(
                f"{folder} is for {index.space.task.value}, which is not evaluated by ranking",
                hint="taskembed evaluate DATA --task TASK",
            )
        require_expected(index, settings, task=model.task, model=model.model, adapter=adapter)
        data = read_judged(index.space.task, files, with_corpus=False, notify=settings.notify)
        assert isinstance(data, Ranking)  # noqa: S101  # what those two tasks have
        encoder = Counting(encoder_for_search(index, settings, model=model.model, adapter=adapter))
        hits = rank_index(index, encoder, data)
        _say_cut(encoder, settings)
    return measure_run(data.judgements, hits), hits


def _write_run(hits: Run, path: Path) -> None:
    from taskembed.reading.trec import run_lines

    with results(path) as stream:
        for line in run_lines(hits, "taskembed"):
            write(line, stream)


def _write_units(measured: Measured, path: Path) -> None:
    columns = list(measured.per_unit)
    with results(path) as stream:
        write("\t".join(["name", *columns]) + "\n", stream)
        for row, name in enumerate(measured.names):
            values = (f"{measured.per_unit[column][row]:.6f}" for column in columns)
            write("\t".join([tsv_cell(name), *values]) + "\n", stream)


def _print_measured(measured: Measured, *, as_json: bool) -> None:
    if measured.main == "nDCG@10":
        _say_nothing_found([measured])
    if as_json:
        value = {
            "main": measured.main,
            "values": {name: round(value, 6) for name, value in measured.values.items()},
            "units": len(measured.names),
        }
        write(json_text(_without_nan(value)) + "\n")
        return
    width = max(map(len, measured.values))
    for name, number in measured.values.items():
        write(f"{name:{width}}  {number:.4f}\n")


@with_groups
def ablate(
    data: Data = None,
    *,
    model: opt.ModelOptions,
    queries: Queries = None,
    qrels: Qrels = None,
    limit: Limit = 0,
    trust_remote_code: opt.TrustRemoteCode = False,
    chart: Annotated[
        Path | None,
        typer.Option(
            "--chart",
            metavar="FILE",
            rich_help_panel=opt.Panel.OUTPUT,
            help="Draw it too: a file that ends in .png, .svg or .pdf.",
        ),
    ] = None,
    machine: opt.MachineOptions,
    out: opt.OutputOptions,
) -> int:
    """Measure what the right prompts and adapter are worth.

    The same data is evaluated with them, without them, and with wrong ones.

    Each way is one row, with its difference from the right one and the interval that holds that in
    95 of 100 bootstrap samples.

    Example:
        taskembed ablate scifact --task retrieval --model intfloat/e5-small-v2
    """
    from taskembed.evaluation.ablate import ablate as run
    from taskembed.evaluation.ablate import listed
    from taskembed.evaluation.chart import require_chart_name, save_chart
    from taskembed.evaluation.data import Files

    settings = machine.settings(quiet=out.quiet, trust_remote_code=trust_remote_code)
    stated, task = model.stated(), model.required_task()
    files = Files(data, queries, qrels, limit)
    if chart is not None:
        require_chart_name(chart)
        require_output(
            "--chart", chart, [*files.paths(), model.adapter, model.prompts], in_place=True
        )
    judged = _judged(files, task, settings)
    rows = list(
        run(model.model, task, judged, revision=model.revision, stated=stated, settings=settings)
    )
    if out.as_json:
        value = {
            "model": rows[0].space.model,
            "task": task.value,
            "main": rows[0].measured.main,
            "units": len(rows[0].measured.names),
            "ways": listed(rows),
        }
        write(json_text(_without_nan(value)) + "\n")
    else:
        print_table(*_ablation_cells(rows))
        if all(row.difference is None or row.same_as for row in rows):
            message(f"note: {rows[0].space.model} knows no prompts and has no adapters")
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
        adapters = dict.fromkeys((space.query_adapter, space.document_adapter))
        cells.append(
            [
                row.name + (f" (as {row.same_as})" if row.same_as else ""),
                f"{row.measured.value:.4f}",
                *_difference_cells(row.difference),
                repr(space.query_prompt) if space.query_prompt else "",
                repr(space.document_prompt) if space.document_prompt else "",
                ", ".join(filter(None, adapters)),
            ]
        )
    return columns, cells


def compare(
    qrels: Annotated[
        Path, typer.Argument(metavar="QRELS", help="The judgements: TREC qrels, or TSV.")
    ],
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="TREC runs; the others go by the first.")
    ],
    as_json: opt.AsJson = False,
) -> int:
    """Compare runs on the same judgements, with a paired test.

    Each run is tested against the first, query by query.

    Example:
        taskembed compare scifact/qrels/test.tsv base.run tuned.run
    """
    from taskembed.evaluation.compare import compare as test
    from taskembed.reading.trec import read_judgements, read_run

    with doing("comparing"):
        rows = test(read_judgements(qrels), [(str(path), read_run(path)) for path in runs])
    _say_nothing_found([row.measured for row in rows])
    if as_json:
        write(json_text([_without_nan(_compared_json(row)) for row in rows]) + "\n")
        return ExitCode.OK
    names = rows[0].measured.values
    # the first is what the difference is of
    measures = [Column(name, number=True, leave_out=n) for n, name in enumerate(names)]
    others = [Column(name, number=True) for name in ("difference", "95 %", "p")]
    columns = [Column("run"), *measures, *others]
    cells = [
        [
            row.name,
            *(f"{value:.4f}" for value in row.measured.values.values()),
            *_difference_cells(row.difference),
            f"{row.p:.4f}" if row.p is not None else "",
        ]
        for row in rows
    ]
    print_table(columns, cells)
    return ExitCode.OK


def _compared_json(row: Compared) -> Mapping[str, object]:
    return {
        "run": row.name,
        "values": row.measured.values,
        "difference": row.difference.value if row.difference else None,
        "interval": [row.difference.low, row.difference.high] if row.difference else None,
        "p": row.p,
    }


def _say_nothing_found(measured: Sequence[Measured]) -> None:
    """Say what it means when no relevant document is a hit: other ids, more often than not."""
    if not any(value for item in measured for value in item.values.values()):
        message("note: no relevant document is among the hits: are the ids the same?")


def _without_nan(value: object) -> object:
    """Return what JSON can hold: a number that does not exist is null."""
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _difference_cells(difference: Difference | None) -> list[str]:
    if difference is None:
        return ["", ""]
    ends = f"{difference.low:+.4f} .. {difference.high:+.4f}"
    return [f"{difference.value:+.4f}", "" if math.isnan(difference.low) else ends]
