"""`taskembed evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.activity import doing
from taskembed.cli import _options as opt
from taskembed.cli._data_options import DataOptions
from taskembed.cli._figures import note_if_nothing_found, without_nan
from taskembed.cli._groups import with_groups
from taskembed.cli._output import is_one_of, message, require_output, results, write
from taskembed.cli._words import truncation_notes
from taskembed.errors import ExitCode, UsageError
from taskembed.escaping import json_text, tsv_cell
from taskembed.index.modes import Mode
from taskembed.space import SYMMETRIC_TASKS

if TYPE_CHECKING:
    from taskembed.encoding.settings import EngineSettings
    from taskembed.evaluation.data import DataFiles
    from taskembed.evaluation.evaluate import Evaluation
    from taskembed.evaluation.measured import Measured
    from taskembed.models.resolve import PromptOverrides
    from taskembed.reading.trec import Run


@dataclass(frozen=True, slots=True)
class ModeOptions:
    """What a ranking goes by."""

    mode: Annotated[
        Mode | None,
        typer.Option(
            "--mode",
            rich_help_panel=opt.Panel.RANKING,
            help="Rank by the vectors, by the words, or by both.  "
            "[default: dense; of an index as search does]",
        ),
    ] = None
    alpha: Annotated[
        float | None,
        typer.Option(
            "--alpha",
            min=0,
            max=1,
            metavar="WEIGHT",
            rich_help_panel=opt.Panel.RANKING,
            help="The weight of the vectors in a hybrid ranking.  [default: as in search]",
        ),
    ] = None

    def check(self) -> None:
        """Refuse a weight for a ranking that is not hybrid.

        Raises:
            UsageError: there is one.
        """
        if self.alpha is not None and self.mode in {Mode.DENSE, Mode.WORDS}:
            raise UsageError("--alpha goes with --mode hybrid")

    @property
    def of_data(self) -> Mode:
        """What a ranking of data goes by, which has no index."""
        return self.mode or (Mode.DENSE if self.alpha is None else Mode.HYBRID)


@with_groups
def evaluate_command(
    *,
    data: DataOptions,
    model: opt.ModelOptions,
    index_folder: Annotated[
        Path | None,
        typer.Option(
            "--index",
            metavar="DIR",
            rich_help_panel=opt.Panel.INDEX,
            help="Evaluate this index instead of a corpus.",
        ),
    ] = None,
    ranking: ModeOptions,
    no_adapter: opt.NoAdapter = False,
    trust_remote_code: opt.TrustRemoteCode = False,
    run: Annotated[
        Path | None,
        typer.Option(
            "--run",
            metavar="FILE",
            rich_help_panel=opt.Panel.OUTPUT,
            help="Write the hits to this file, as a TREC run.",
        ),
    ] = None,
    per_unit: Annotated[
        Path | None,
        typer.Option(
            "--per-query",
            metavar="FILE",
            rich_help_panel=opt.Panel.OUTPUT,
            help="Write the figures of each query (pair, draw) to this file, as TSV.",
        ),
    ] = None,
    machine: opt.MachineOptions,
    out: opt.LongOutputOptions,
) -> int:
    """Measure how good a model or an index is on data with judgements.

    retrieval, code: nDCG@10, Recall@100, MRR@10, MAP. similarity: Spearman, Pearson.
    classification: accuracy and F1 of logistic regression and kNN. clustering: V-measure.

    Example:
        taskembed evaluate scifact --task retrieval
    """
    settings = machine.settings(quiet=out.quiet, trust_remote_code=trust_remote_code)
    stated, files = model.stated(no_adapter=no_adapter), data.files()
    read = [*files.paths(), index_folder, model.adapter, model.prompts]
    require_output("--run", run, read)
    require_output("--per-query", per_unit, read)
    ranking.check()
    if run is not None and per_unit is not None and is_one_of(per_unit, [run]):
        raise UsageError("--run and --per-query name one file")
    if index_folder is not None:
        evaluation = _of_index(index_folder, files, model, stated, settings, ranking)
    else:
        has_run = run is not None
        evaluation = _of_model(files, model, stated, settings, ranking, has_run=has_run)
    if not out.quiet:
        for note in truncation_notes(evaluation.encoder):
            message(f"note: {note}")
    _print_measured(evaluation.measured, as_json=out.as_json)
    if run is not None and evaluation.run is not None:
        _write_run(evaluation.run, run)
    if per_unit is not None:
        _write_units(evaluation.measured, per_unit)
    return ExitCode.OK


def _of_model(
    files: DataFiles,
    model: opt.ModelOptions,
    stated: PromptOverrides,
    settings: EngineSettings,
    ranking: ModeOptions,
    *,
    has_run: bool,
) -> Evaluation:
    task = model.required_task()
    if has_run and task in SYMMETRIC_TASKS:
        raise UsageError("--run is for retrieval and code")
    if ranking.of_data is not Mode.DENSE and task in SYMMETRIC_TASKS:
        raise UsageError("--mode and --alpha are for retrieval and code")
    from taskembed.evaluation.evaluate import evaluate_model

    with doing("evaluating"):
        return evaluate_model(
            model.model,
            task,
            files,
            revision=model.revision,
            stated=stated,
            mode=ranking.of_data,
            alpha=ranking.alpha,
            settings=settings,
        )


def _of_index(
    folder: Path,
    files: DataFiles,
    model: opt.ModelOptions,
    stated: PromptOverrides,
    settings: EngineSettings,
    ranking: ModeOptions,
) -> Evaluation:
    if model.revision is not None:
        raise UsageError("an index has its own --revision", hint="leave it out")
    from taskembed.evaluation.evaluate import evaluate_index
    from taskembed.models.resolve import PromptOverrides

    adapter = stated.adapter or None  # where the index's adapter is now
    if stated != PromptOverrides(adapter=adapter):
        raise UsageError("an index has its own prompts and adapter", hint="leave them out")
    with doing("evaluating"):
        return evaluate_index(
            folder,
            files,
            task=model.task,
            model=model.model,
            adapter=adapter,
            mode=ranking.mode,
            alpha=ranking.alpha,
            settings=settings,
        )


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
        note_if_nothing_found([measured])
    if as_json:
        value = {
            "main": measured.main,
            "values": {name: round(value, 6) for name, value in measured.values.items()},
            "units": len(measured.names),
        }
        write(json_text(without_nan(value)) + "\n")
        return
    width = max(map(len, measured.values))
    for name, number in measured.values.items():
        write(f"{name:{width}}  {number:.4f}\n")
