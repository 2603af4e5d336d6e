"""The task that a verb needs an index for: any other index is refused."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from taskembed.arguments import require_kind
from taskembed.errors import SpaceMismatchError, UsageError
from taskembed.guard import require_same_space
from taskembed.index.reader import Index
from taskembed.models.files import BUNDLED
from taskembed.space import COSINE, EmbeddingSpace, Task
from taskembed.verbs._claims import SEARCH_HINT
from taskembed.verbs.protocols import Encoder, require_encoder


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


def require_index_of(verb: str, task: Task, index: Index) -> None:
    """Return when a verb that compares cosines can use an index.

    Args:
        verb: the name of the command: "dedup".
        task: what it needs an index for.
        index: an open one.

    Raises:
        SpaceMismatchError: the index is for another task.
        UsageError: its metric is "dot": inner products have no scale.
        TypeError: it is no `Index`.
    """
    require_kind(index, Index, "Index.open(FOLDER)")
    require_task_of(verb, task, index.folder, index.space)
    if index.space.metric != COSINE:
        raise UsageError(
            f"{index.folder} has `metric: dot`: inner products have no scale that `taskembed "
            f"{verb}` could use",
            hint="index the corpus with another model",
        )


def require_encoder_of(index: Index, encoder: Encoder) -> None:
    """Return when an encoder is one of an index's space.

    Raises:
        SpaceMismatchError: it is of another space.
        TypeError: it is no encoder.
    """
    require_encoder(encoder)
    # new texts have no fields that a template could put together
    space = replace(encoder.space, template=index.space.template)
    require_same_space(index.space, space, hint=SEARCH_HINT)
