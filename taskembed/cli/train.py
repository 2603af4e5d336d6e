"""`taskembed train`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.activity import Step, doing
from taskembed.cli._process.stopping import Stopper
from taskembed.cli.options import common as opt
from taskembed.cli.options.grouping import with_groups
from taskembed.cli.options.groups import LongOutputOptions, MachineOptions
from taskembed.cli.printing.output import message, write
from taskembed.errors import ExitCode
from taskembed.escaping import json_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskembed.training.job import Job
    from taskembed.training.trainer import Progress


@with_groups
def train_command(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="A TOML file: task, base, data, settings.")
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="DIR",
            rich_help_panel=opt.Panel.INPUT,
            help="The folder of the recipe's files.",
        ),
    ] = Path(),
    output: Annotated[
        Path,
        opt.output_option("The parent folder of the adapter's folder.", metavar="DIR"),
    ] = Path("adapters"),
    device: opt.DeviceOption = opt.Device.AUTO,
    trust_remote_code: opt.TrustRemoteCode = False,
    offline: opt.Offline = False,
    cache: opt.Cache = None,
    *,
    out: LongOutputOptions,
) -> int:
    """Train a LoRA adapter of a model for a task.

    The training data are pairs, scored pairs, labelled texts or rated documents.
    A stopped training continues from its last checkpoint when the same command is run again.

    Example:
        taskembed train recipe.toml --data pairs
    """
    from taskembed.training.job import train

    machine = MachineOptions(device=device, offline=offline, cache=cache)
    settings = machine.settings(quiet=out.quiet, trust_remote_code=trust_remote_code)
    with Stopper(), doing("preparing the training") as step:
        job = train(
            recipe,
            data=data,
            output=output,
            settings=settings,
            on_progress=(lambda _: None) if out.quiet else shown_in(step),
        )
    write(_job_json(job) if out.as_json else _job_text(job))
    done = job.trained
    if done and not done.score > done.base_score:
        message("note: on the held-back examples, the adapter is no better than the base")
    return ExitCode.OK


def _job_json(job: Job) -> str:
    value: dict[str, object] = {
        "task": job.recipe.task.value,
        "adapter": str(job.folder),
        "trained": job.trained is not None,
    }
    if done := job.trained:
        value |= {
            "base_score": round(done.base_score, 6),
            "score": round(done.score, 6),
            "step": done.step,
            "steps": done.steps,
            "seconds": round(done.seconds, 1),
        }
    return json_text(value) + "\n"


def _job_text(job: Job) -> str:
    done = job.trained
    if done is None:
        return f"{job.folder} already exists, from the same recipe, data and base\n"
    return (
        f"{job.folder}: dev score {done.base_score:.4f} -> {done.score:.4f} at step "
        f"{done.step:,} of {done.steps:,}, {done.seconds:,.0f} s\n"
    )


def shown_in(step: Step) -> Callable[[Progress], None]:
    """Return a callback that shows the progress of a training, with a line for each dev score."""

    def update(progress: Progress) -> None:
        step.done, step.total, step.unit = progress.step, progress.steps, "steps"
        if progress.loss is not None:
            step.what = f"training, loss {progress.loss:.4f}:"
        if progress.dev is not None:
            where = f"step {progress.step:,} of {progress.steps:,}"
            message(f"{time.strftime('%H:%M:%S')} {where}: dev score {progress.dev:.4f}")

    return update
