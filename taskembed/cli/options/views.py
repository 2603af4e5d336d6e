"""The options of `taskembed index` that add or remove a view, and their implementation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from taskembed.cli._process.stopping import Stopper
from taskembed.cli.options import common as opt
from taskembed.cli.options.groups import OutputOptions, ViewsModelOptions
from taskembed.cli.printing.output import write
from taskembed.english import counted
from taskembed.errors import ExitCode, UsageError
from taskembed.escaping import json_text
from taskembed.space import Task

if TYPE_CHECKING:
    from taskembed.encoding.settings import EngineSettings
    from taskembed.verbs.options import SpaceRequest


@dataclass(frozen=True, slots=True)
class ViewOptions:
    """The view to add or to remove."""

    add_view: Annotated[
        Task | None,
        opt.task_option(
            "Encode the documents of the index for one more task; used without INPUT.",
            name="--add-view",
            panel=opt.Panel.INDEX,
        ),
    ] = None
    drop_view: Annotated[
        Task | None,
        opt.task_option(
            "Remove the vectors for one of several tasks; used without INPUT.",
            name="--drop-view",
            panel=opt.Panel.INDEX,
        ),
    ] = None

    def check(
        self, inputs: list[str], model: ViewsModelOptions, *, recreate: bool, dry_run: bool
    ) -> bool:
        """Return whether a view is to be added or removed, rather than documents indexed.

        Raises:
            UsageError: there is neither a view nor an input, or both; or other options conflict.
        """
        asked = {"--add-view": self.add_view, "--drop-view": self.drop_view}
        given = [name for name, task in asked.items() if task is not None]
        if not given and not inputs:
            raise UsageError("missing argument 'INPUT...'", hint="see --help")
        if not given:
            return False
        name, *others = given
        if others:
            raise UsageError("--add-view and --drop-view cannot be combined")
        if inputs:
            raise UsageError(
                f"{name} cannot be combined with INPUT: it applies to the documents in the index",
                hint=f"index the input first; then run taskembed index {name} without INPUT",
            )
        if model.tasks:
            raise UsageError(f"{name} already names the task, so --task cannot be used")
        if recreate or dry_run:
            raise UsageError(f"{name} cannot be combined with --recreate or --dry-run")
        return True

    def run(
        self,
        folder: Path,
        request: SpaceRequest,
        settings: EngineSettings,
        out: OutputOptions,
        *,
        wait: float,
    ) -> int:
        """Add or remove the view, and print the result.

        Raises:
            TaskembedError: the command failed; the index is unchanged.
        """
        from taskembed.verbs import views
        from taskembed.verbs.options import Watch

        if self.drop_view is not None:
            left = views.drop_view(folder, self.drop_view, wait_seconds=wait)
            value: dict[str, object] = {"dropped": self.drop_view.value}
            line = f"removed the view {self.drop_view.value}; left: {_listed(left)}"
        else:
            request = replace(request, task=self.add_view, further=())
            encoder = views.encoder_for_view(folder, request, settings)
            stopper = Stopper()
            count = views.add_view(
                folder, encoder, wait_seconds=wait, watch=Watch(stoppable=lambda: stopper)
            )
            value = {"added": encoder.space.task.value, "documents": count}
            line = f"added the view {encoder.space.task.value}: {counted(count, 'document')}"
        if out.as_json:
            write(json_text({"index": str(folder), **value}) + "\n")
        elif not out.quiet:
            write(line + "\n")
        return ExitCode.OK


def _listed(tasks: list[Task]) -> str:
    return ", ".join(task.value for task in tasks)
