"""The options of `taskembed index` that choose the processes which encode."""

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
    """Where texts are encoded."""

    LOCAL = "local"
    RAY = "ray"


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """Where texts are encoded: in this process, or by workers."""

    engine: Annotated[
        Engine,
        typer.Option(
            "--engine",
            rich_help_panel=opt.Panel.MACHINE,
            help="Encode in this process, or by the workers of a Ray cluster.",
        ),
    ] = Engine.LOCAL
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="auto|HOST:PORT",
            rich_help_panel=opt.Panel.MACHINE,
            help="The Ray cluster; auto is the cluster of this machine.  "
            "[default: start one on this machine]",
        ),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            metavar="N",
            rich_help_panel=opt.Panel.MACHINE,
            help="The number of workers, each with its own model and --threads.  "
            "[default: one for every 4 CPUs]",
        ),
    ] = None

    def ray(self, *, is_of_view: bool) -> RayEngine | None:
        """Return the requested workers; None for this process.

        Args:
            is_of_view: whether a view is added or removed, which is done without workers.

        Raises:
            UsageError: the options conflict.
            MissingLibraryError: Ray is not installed.
        """
        if self.engine is Engine.LOCAL:
            for option, value in (("--address", self.address), ("--workers", self.workers)):
                if value is not None:
                    raise UsageError(f"{option} requires --engine ray")
            return None
        if is_of_view:
            raise UsageError("--engine ray cannot be combined with --add-view or --drop-view")
        from taskembed.verbs.workers.engine import RayEngine

        return RayEngine(self.address, self.workers)
