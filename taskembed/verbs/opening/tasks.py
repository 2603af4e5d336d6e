"""Shared by verbs that need an index for a certain task: checks, and the vectors of new texts."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from taskembed.arguments import require_kind
from taskembed.errors import SpaceMismatchError, UsageError
from taskembed.guard import require_good_vectors, require_same_space
from taskembed.index.reader import Index
from taskembed.models.files import BUNDLED
from taskembed.reading.document import Document
from taskembed.space import COSINE, PromptType, Task
from taskembed.vectors import FloatRows
from taskembed.verbs.opening.claims import ADD_VIEW, SEARCH_HINT
from taskembed.verbs.protocols import Encoder, require_encoder


def require_task_of(verb: str, task: Task, index: Index) -> None:
    """Check that an index is for the task that a verb needs.

    Args:
        verb: the name of the command, such as "similar".
        task: the task that the command needs.
        index: the open index; if it has several views, one of them is open.

    Raises:
        SpaceMismatchError: the index is for another task; the hint is the command that makes an
            index for this task.
    """
    folder, space = index.folder, index.space
    if space.task is task:
        return
    if task in index.tasks:
        raise SpaceMismatchError(
            f"the view {space.task.value!r} of {folder} is open, but `taskembed {verb}` needs the "
            f"view {task.value!r}",
            hint=f"Index.open({str(folder)!r}, task={task.value!r})",
        )
    if len(index.tasks) > 1:
        views = ", ".join(item.value for item in index.tasks)
        raise SpaceMismatchError(
            f"{folder} has views for the tasks {views}, but `taskembed {verb}` needs a view for "
            f"the task {task.value!r}",
            hint=f"{ADD_VIEW.format(task=task.value, folder=shlex.quote(str(folder)))}",
        )
    other = folder.with_name(f"{folder.name}-{task.value}") if folder.name else Path(task.value)
    model = "" if space.model == BUNDLED else f"--model {shlex.quote(space.model)} "
    raise SpaceMismatchError(
        f"{folder} is for the task {space.task.value!r}, but `taskembed {verb}` needs an index "
        f"for the task {task.value!r}",
        hint=f"taskembed index CORPUS --task {task.value} {model}--index {shlex.quote(str(other))}",
    )


def require_index_of(verb: str, task: Task, index: Index) -> None:
    """Check that a verb which compares cosines can use an index.

    Args:
        verb: the name of the command, such as "dedup".
        task: the task that the command needs.
        index: the open index.

    Raises:
        SpaceMismatchError: the index is for another task.
        UsageError: the metric of the index is "dot"; inner products have no fixed scale.
        TypeError: `index` is not an `Index`.
    """
    require_kind(index, Index, "Index.open(FOLDER)")
    require_task_of(verb, task, index)
    if index.space.metric != COSINE:
        raise UsageError(
            f"{index.folder} has `metric: dot`: `taskembed {verb}` needs cosines, since inner "
            "products have no fixed scale",
            hint="index the corpus with another model, which is compared by the cosine",
        )


def document_vectors(
    documents: Sequence[Document], encoder: Encoder, side: PromptType = PromptType.DOCUMENT
) -> FloatRows:
    """Return float32[n, dim]: the vectors of documents that are not in the index.

    Raises:
        BadVectorError: a vector cannot be compared.
    """
    vectors = encoder.encode([document.text for document in documents], side).vectors
    require_good_vectors(vectors, encoder.space, [document.where for document in documents])
    return vectors


def require_encoder_of(index: Index, encoder: Encoder) -> None:
    """Check that an encoder has the space of an index.

    Raises:
        SpaceMismatchError: the encoder has another space.
        TypeError: `encoder` is not an encoder.
    """
    require_encoder(encoder)
    # new texts have no fields, so the index's template does not apply
    space = replace(encoder.space, template=index.space.template)
    require_same_space(index.space, space, hint=SEARCH_HINT)
