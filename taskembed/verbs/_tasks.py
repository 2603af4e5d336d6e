"""The task that a verb needs an index for: any other index is refused."""

from __future__ import annotations

import shlex
from pathlib import Path

from taskembed.errors import SpaceMismatchError
from taskembed.models.files import BUNDLED
from taskembed.space import EmbeddingSpace, Task


def require_task_of(verb: str, task: Task, folder: Path, space: EmbeddingSpace) -> None:
    """Return when an index is for the task of a verb.

    Args:
        verb: the name of the command: "similar".
        task: what it needs an index for.
        folder: of the index.
        space: of the index.

    Raises:
        SpaceMismatchError: the index is for another task; the hint is the command that makes one
            for this task.
    """
    if space.task is task:
        return
    other = folder.with_name(f"{folder.name}-{task.value}") if folder.name else Path(task.value)
    model = "" if space.model == BUNDLED else f"--model {shlex.quote(space.model)} "
    raise SpaceMismatchError(
        f"{folder} is for the task {space.task.value!r}, and `taskembed {verb}` needs an index "
        f"for the task {task.value!r}",
        hint=f"taskembed index CORPUS --task {task.value} {model}--index {shlex.quote(str(other))}",
    )
