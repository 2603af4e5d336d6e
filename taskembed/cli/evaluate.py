"""`taskembed evaluate`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.activity import doing
from taskembed.cli.options import common as opt
from taskembed.cli.options.grouping import with_groups
from taskembed.cli.options.groups import LongOutputOptions, MachineOptions, ModelOptions
from taskembed.cli.options.judged_data import DataOptions
from taskembed.cli.printing.figures import note_if_nothing_found, without_nan
from taskembed.cli.printing.output import is_one_of, message, require_output, results, write
from taskembed.cli.printing.sentences import truncation_notes
from taskembed.cli.printing.table import Column, print_table
from taskembed.errors import ExitCode, UsageError
from taskembed.escaping import json_text, tsv_cell
from taskembed.index.ranking.modes import Mode
from taskembed.space import SYMMETRIC_TASKS

if TYPE_CHECKING:
    from taskembed.encoding.settings import EngineSettings
    from taskembed.evaluation.data import DataFiles
    from taskembed.evaluation.evaluate import Evaluation
    from taskembed.evaluation.measured import Measured
    from taskembed.models.resolve import PromptOverrides
    from taskembed.reading.trec import Run


LEAST_STEP = 0.01  # between two weights; each weight needs a ranking of all queries


@dataclass(frozen=True, slots=True)
class ModeOptions:
    """Whether to rank by vectors, by words, or by both."""

    mode: Annotated[
        Mode | None,
        typer.Option(
            "--mode",
            rich_help_panel=opt.Panel.RANKING,
            help="Rank by vectors, by words, or by both.  "
            "[default: dense; for an index as in search]",
        ),
    ] = None
    alpha: Annotated[
        str | None,
        typer.Option(
            "--alpha",
            metavar="WEIGHT",
            rich_help_panel=opt.Panel.RANKING,
            help="The weight of the vectors in a hybrid ranking, 0 to 1; FROM:TO:STEP tries "
            "several.  [default: as in search]",
        ),
    ] = None

    def check(self, files: Mapping[str, Path | None]) -> None:
        """Check that the weights are valid and do not conflict with other options.

        Args:
            files: the files that are written, by the name of their option.

        Raises:
            UsageError: a weight is invalid, or options conflict.
        """
        if self.alpha is not None and self.mode in {Mode.DENSE, Mode.WORDS}:
            raise UsageError("--alpha requires --mode hybrid")
        if len(self.alphas) > 1 and (given := [name for name, path in files.items() if path]):
            raise UsageError(f"{given[0]} cannot be used with several weights of --alpha")

    @property
    def alphas(self) -> list[float]:
        """The weights to try, ascending; empty if none is given.

        Raises:
            UsageError: the option is neither a weight nor FROM:TO:STEP.
        """
        return [] if self.alpha is None else _weights(self.alpha)

    @property
    def of_data(self) -> Mode:
        """The mode of a ranking of data without an index."""
        return self.mode or (Mode.DENSE if self.alpha is None else Mode.HYBRID)


def _weights(text: str) -> list[float]:
    parts = text.split(":")
    with suppress(ValueError):
        first, last, step = map(float, parts if len(parts) == 3 else (text, text, "1"))  # noqa: PLR2004
        if 0 <= first <= last <= 1 and step >= LEAST_STEP:
            count = int((last - first) / step + 1e-9) + 1
            return [round(first + number * step, 6) for number in range(count)]
    raise UsageError(
        f"--alpha {text}: neither a weight from 0 to 1, nor FROM:TO:STEP with a step of at least "
        f"{LEAST_STEP}",
        hint="--alpha 0:1:0.1",
    )


@with_groups
def evaluate_command(
    *,
    data: DataOptions,
    model: ModelOptions,
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
            help="Write the figures of each query (or pair, or sample) to this file, as TSV.",
        ),
    ] = None,
    machine: MachineOptions,
    out: LongOutputOptions,
) -> int:
    """Measure the quality of a model or an index on judged data.

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
    ranking.check({"--run": run, "--per-query": per_unit})
    if run is not None and per_unit is not None and is_one_of(per_unit, [run]):
        raise UsageError("--run and --per-query must be different files")
    if index_folder is not None:
        evaluation = _of_index(index_folder, files, model, stated, settings, ranking)
    else:
        has_run = run is not None
        evaluation = _of_model(files, model, stated, settings, ranking, has_run=has_run)
    if not out.quiet:
        for note in truncation_notes(evaluation.encoder):
            message(f"note: {note}")
    if evaluation.by_alpha:
        _print_weights(evaluation, out)
    else:
        _print_measured(evaluation.measured, as_json=out.as_json)
    if run is not None and evaluation.run is not None:
        _write_run(evaluation.run, run)
    if per_unit is not None:
        _write_units(evaluation.measured, per_unit)
    return ExitCode.OK


def _of_model(
    files: DataFiles,
    model: ModelOptions,
    stated: PromptOverrides,
    settings: EngineSettings,
    ranking: ModeOptions,
    *,
    has_run: bool,
) -> Evaluation:
    task = model.required_task()
    if has_run and task in SYMMETRIC_TASKS:
        raise UsageError("--run can only be used for retrieval and code")
    if ranking.of_data is not Mode.DENSE and task in SYMMETRIC_TASKS:
        raise UsageError("--mode and --alpha can only be used for retrieval and code")
    from taskembed.evaluation.evaluate import evaluate_model

    with doing("evaluating"):
        return evaluate_model(
            model.model,
            task,
            files,
            revision=model.revision,
            stated=stated,
            mode=ranking.of_data,
            alphas=ranking.alphas,
            settings=settings,
        )


def _of_index(
    folder: Path,
    files: DataFiles,
    model: ModelOptions,
    stated: PromptOverrides,
    settings: EngineSettings,
    ranking: ModeOptions,
) -> Evaluation:
    if model.revision is not None:
        raise UsageError("an index has its own --revision", hint="leave it out")
    from taskembed.evaluation.evaluate import evaluate_index
    from taskembed.models.resolve import PromptOverrides

    adapter = stated.adapter or None  # the present folder of the index's adapter
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
            alphas=ranking.alphas,
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


def _print_weights(evaluation: Evaluation, out: LongOutputOptions) -> None:
    """Print the figures for each weight of the vectors, and say which is the best."""
    by_alpha, measured = evaluation.by_alpha, evaluation.measured
    best = next(alpha for alpha, found in by_alpha.items() if found is measured)
    if out.as_json:
        value = {
            "main": measured.main,
            "weights": [
                {"alpha": alpha, "values": _rounded(found)} for alpha, found in by_alpha.items()
            ],
            "best": best,
            "units": len(measured.names),
        }
        write(json_text(without_nan(value)) + "\n")
        return
    columns = [Column(name, number=True) for name in ("alpha", *measured.values)]
    rows = [
        [f"{alpha:g}", *(f"{value:.4f}" for value in found.values.values())]
        for alpha, found in by_alpha.items()
    ]
    print_table(columns, rows)
    if not out.quiet:
        message(f"the best {measured.main} on these queries is with --alpha {best:g}")


def _rounded(measured: Measured) -> dict[str, float]:
    return {name: round(value, 6) for name, value in measured.values.items()}


def _print_measured(measured: Measured, *, as_json: bool) -> None:
    if measured.main == "nDCG@10":
        note_if_nothing_found([measured])
    if as_json:
        value = {
            "main": measured.main,
            "values": _rounded(measured),
            "units": len(measured.names),
        }
        write(json_text(without_nan(value)) + "\n")
        return
    width = max(map(len, measured.values))
    for name, number in measured.values.items():
        write(f"{name:{width}}  {number:.4f}\n")
