"""The options of `taskembed index` that say which processes encode."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from taskembed.cli.options import common as opt
from taskembed.errors import UsageError

if TYPE_CHECKING:
    from taskembed.verbs.workers.engine import RayEngine


class Engine(Enum):
    """Who encodes."""

    LOCAL = "local"
    RAY = "ray"


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """Who encodes: this process, or workers."""

    engine: Annotated[
        Engine,
        typer.Option(
            "--engine",
            rich_help_panel=opt.Panel.MACHINE,
            help="Who encodes: this process, or workers of a Ray cluster.",
        ),
    ] = Engine.LOCAL
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="auto|HOST:PORT",
            rich_help_panel=opt.Panel.MACHINE,
            help="The Ray cluster; auto is the one that this machine is part of.  "
            "[default: one is started here]",
        ),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            metavar="N",
            rich_help_panel=opt.Panel.MACHINE,
            help="How many workers encode, each with its own model and --threads.  "
            "[default: one for every 4 CPUs]",
        ),
    ] = None

    def ray(self, *, is_of_view: bool) -> RayEngine | None:
        """Return the workers that were asked for; None for this process.

        Args:
            is_of_view: a view is added or removed, which this process does.

        Raises:
            UsageError: the options contradict each other.
            MissingLibraryError: Ray is not installed.
        """
        if self.engine is Engine.LOCAL:
            for option, value in (("--address", self.address), ("--workers", self.workers)):
                if value is not None:
                    raise UsageError(f"{option} goes with --engine ray")
            return None
        if is_of_view:
            raise UsageError("--engine ray goes neither with --add-view nor with --drop-view")
        from taskembed.verbs.workers.engine import RayEngine

        return RayEngine(self.address, self.workers)
