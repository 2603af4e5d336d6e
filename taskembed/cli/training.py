"""`taskembed train` and `taskembed distill`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.activity import Step, doing
from taskembed.cli import options as opt
from taskembed.cli._groups import with_groups
from taskembed.cli.output import message, write
from taskembed.cli.stopping import Stopper
from taskembed.english import counted
from taskembed.errors import ExitCode
from taskembed.escaping import json_text
from taskembed.space import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskembed.training.trainer import Progress


@with_groups
def train(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="A TOML file: task, base, data, settings.")
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="DIR",
            rich_help_panel=opt.Panel.INPUT,
            help="The folder that the recipe's files are in.",
        ),
    ] = Path(),
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            rich_help_panel=opt.Panel.OUTPUT,
            help="The adapter gets a folder of its name in it.",
        ),
    ] = Path("adapters"),
    device: opt.DeviceOption = opt.Device.AUTO,
    trust_remote_code: opt.TrustRemoteCode = False,
    offline: opt.Offline = False,
    cache: opt.Cache = None,
    *,
    out: opt.OutputOptions,
) -> int:
    """Train a LoRA adapter of a model for a task.

    It learns from pairs, scored pairs or labelled texts.

    A training that was stopped goes on from its last checkpoint when the same command is run again.

    Example:
        taskembed train recipe.toml --data pairs
    """
    from taskembed.training.job import train as run

    machine = opt.MachineOptions(device=device, offline=offline, cache=cache)
    settings = machine.settings(quiet=out.quiet, trust_remote_code=trust_remote_code)
    with Stopper(), doing("preparing the training") as step:
        job = run(
            recipe,
            data=data,
            output=output,
            settings=settings,
            on_progress=(lambda _: None) if out.quiet else shown_in(step),
        )
    done = job.trained
    if out.as_json:
        value: dict[str, object] = {
            "task": job.recipe.task.value,
            "adapter": str(job.folder),
            "trained": done is not None,
        }
        if done:
            value |= {
                "base_score": round(done.base_score, 6),
                "score": round(done.score, 6),
                "step": done.step,
                "steps": done.steps,
                "seconds": round(done.seconds, 1),
            }
        write(json_text(value) + "\n")
    elif done is None:
        write(f"{job.folder} is there already, made from the same recipe, data and base\n")
    else:
        write(
            f"{job.folder}: dev score {done.base_score:.4f} -> {done.score:.4f} at step "
            f"{done.step:,} of {done.steps:,}, {done.seconds:,.0f} s\n"
        )
    if done and not done.score > done.base_score:
        message("note: on what was held back, the adapter is no better than the base")
    return ExitCode.OK


def shown_in(step: Step) -> Callable[[Progress], None]:
    """Return what shows where a training is: each dev score is a line, the rest is the step."""

    def update(progress: Progress) -> None:
        step.done, step.total, step.unit = progress.step, progress.steps, "steps"
        if progress.loss is not None:
            step.what = f"training, loss {progress.loss:.4f}:"
        if progress.dev is not None:
            where = f"step {progress.step:,} of {progress.steps:,}"
            message(f"{time.strftime('%H:%M:%S')} {where}: dev score {progress.dev:.4f}")

    return update


@with_groups
def distill(
    pairs: Annotated[
        Path, typer.Argument(metavar="PAIRS", help="A file of queries and what answers them.")
    ],
    teacher: Annotated[
        list[str],
        typer.Option(
            "--teacher",
            metavar="MODEL",
            rich_help_panel=opt.Panel.RERANKER,
            help="A reranker: a Hugging Face id, or a folder. Several: their preferences' mean.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            rich_help_panel=opt.Panel.OUTPUT,
            help="The ratings, as JSONL; what it has already is kept.",
        ),
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
            help="Documents of a query that are rated: its own, and the nearest others.",
        ),
    ] = 8,
    limit: Annotated[
        int,
        typer.Option(
            "--limit",
            min=0,
            metavar="N",
            rich_help_panel=opt.Panel.INPUT,
            help="Only the first N queries; 0 for all.",
        ),
    ] = 0,
    *,
    machine: opt.MachineOptions,
    out: opt.OutputOptions,
) -> int:
    """Have rerankers rate documents, for `train` to learn from.

    Scores become preferences between two documents, and those become one rating a document, by
    Bradley and Terry's model (Elo). A run that was stopped goes on when it is started again.

    Example:
        taskembed distill pairs.jsonl --teacher BAAI/bge-reranker-v2-m3
    """
    from taskembed.encoding.load import load_encoder
    from taskembed.encoding.reranker import load_reranker
    from taskembed.training.distill import distill as run

    settings = machine.settings(quiet=out.quiet)

    def update(count: int) -> None:
        step.done = count

    with Stopper(), doing("", unit="queries") as step:
        done = run(
            pairs,
            load_encoder(model, task or Task.RETRIEVAL, settings=settings),
            {name: load_reranker(name, settings=settings) for name in teacher},
            output,
            candidates=candidates,
            limit=limit,
            on_progress=update,
        )
    if out.as_json:
        value = {"output": str(output), "queries": done.queries, "before": done.before}
        write(json_text({**value, "agreed": round(done.agreed, 6)}) + "\n")
    else:
        write(
            f"{output}: {counted(done.queries, 'query', 'queries')}, "
            f"{done.before:,} of them from before; "
            f"the given document is rated best in {done.agreed:.1%}\n"
        )
    return ExitCode.OK
