"""Adds a view to an index (the vectors for one more task), or removes one.

    encoder = encoder_for_view("notes-index", SpaceRequest(task=Task.SIMILARITY))
    add_view("notes-index", encoder)

A new view is encoded from the stored texts. `index_corpus` updates all views together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from taskembed.activity import doing
from taskembed.encoding.settings import EngineSettings
from taskembed.errors import StoppedError, UsageError
from taskembed.guard import each_once, require_good_vectors
from taskembed.index import views
from taskembed.index.contents import Part, read_index
from taskembed.space import EmbeddingSpace, PromptType, Task
from taskembed.vectors import FloatRows, Rows
from taskembed.verbs._indexing.cutting import Cutter
from taskembed.verbs.opening.encoders import as_made, encoder_for_update, no_view
from taskembed.verbs.options import SpaceRequest, Watch
from taskembed.verbs.protocols import Encoder, require_encoder


@dataclass(frozen=True, slots=True)
class ViewRequest:
    """The requirements for one view.

    Attributes:
        request: the requirements of the caller, for the task of the view.
        space: the space of the view; for a new view, that of the index's first view; None if
            there is no index.
        made_by: the engine and precision of the view's vectors.
    """

    request: SpaceRequest
    space: EmbeddingSpace | None = None
    made_by: dict[str, str] = field(default_factory=dict)


def requested_views(
    folder: Path, part: Part | None, request: SpaceRequest, *, recreate: bool = False
) -> list[ViewRequest]:
    """Return the requirements of a run for each view; a run always includes all views.

    Args:
        folder: the folder of the index.
        part: the contents of the index; None if there is no index.
        request: the requirements of the caller.
        recreate: whether the index is to be replaced, so that its views may change.

    Raises:
        SpaceMismatchError: the index has several views, but none for a task of the request.
        UsageError: prompts or an adapter are given for several views.
    """
    tasks = list(dict.fromkeys(filter(None, (request.task, *request.further))))
    request = replace(request, further=())
    if part is None or recreate:
        wanted = tasks or list(part.tasks if part else ())
        known = {view.space.task: view for view in part.views} if part else {}
        first = part.views[0] if part else None
        asked = []
        for task in wanted:
            view = known.get(task, first)
            space, made_by = (view.space, dict(view.made_by)) if view else (None, {})
            asked.append(ViewRequest(replace(request, task=task), space, made_by))
    else:
        for task in tasks if part.further or len(tasks) > 1 else ():
            if task not in part.tasks:
                raise no_view(folder, task, part.tasks)
        alone = request if not part.further else replace(request, task=None)
        asked = [ViewRequest(alone, view.space, dict(view.made_by)) for view in part.views]
    if len(asked) > 1:
        _require_for_all(request)
    return asked or [ViewRequest(request)]


def _require_for_all(request: SpaceRequest) -> None:
    """Refuse options that apply to one task if there are several tasks.

    Raises:
        UsageError: a prompt, an instruction or an adapter is given.
    """
    stated = request.stated
    one = (stated.query_prompt, stated.document_prompt, stated.instruction, stated.adapter)
    if any(one):
        raise UsageError(
            "a prompt, an instruction or an adapter applies to one task, but there are several "
            "views",
            hint="use --prompts FILE, which can contain those of each task",
        )


def encoder_for_view(
    folder: str | Path, request: SpaceRequest, settings: EngineSettings | None = None
) -> Encoder:
    """Return the encoder of a new view; other settings are those of the first view.

    Args:
        folder: the folder of the index.
        request: the requirements, including the task of the view.
        settings: where and how the model runs.

    Raises:
        NotFoundError: there is no index.
        UsageError: the index already has such a view, or the request has no task.
        ModelUnavailableError: the model cannot be loaded, or has no prompts for the task.
    """
    part = read_index(folder)[1].live
    if request.task is None:
        raise UsageError("a view needs a task")
    if request.task in part.tasks:
        raise UsageError(f"{folder} already has a view for the task {request.task.value!r}")
    settings = as_made(settings or EngineSettings(), part.made_by)
    return encoder_for_update(part.space, request, settings, recreate=True)


def add_view(
    folder: str | Path, encoder: Encoder, *, wait_seconds: float = 0, watch: Watch | None = None
) -> int:
    """Encode every document of an index for one more task; return the number of documents.

    Nothing changes for readers until all documents are encoded; then one commit adds the view. If
    the call is stopped, the index does not change, and the next call continues the work.

    Args:
        folder: the folder of the index.
        encoder: an encoder for the task of the view.
        wait_seconds: how long to wait for another process that writes to the index.
        watch: its `stoppable` and `fs` are used.

    Raises:
        NotFoundError: there is no index.
        UsageError: the index already has such a view; or its chunks are longer than the model
            reads.
        BadVectorError: a text has no vector that can be compared; nothing was changed.
        IndexBusyError: another process is writing.
        TypeError: `encoder` is not an encoder.
    """
    require_encoder(encoder)
    watch = watch or Watch()
    part = read_index(folder)[1].live
    Cutter.of(part.storage.chunks, encoder)  # refuses a model that reads less than a chunk

    def encoded(texts: Sequence[str], doc_ids: Sequence[str]) -> Iterator[tuple[Rows, FloatRows]]:
        sources = [f"document {doc_id!r}" for doc_id in doc_ids]
        slices = encoder.encode_slices(texts, PromptType.DOCUMENT)
        for rows, some in each_once(slices, sources):
            names = [sources[row] for row in rows.tolist()]
            require_good_vectors(some.vectors, encoder.space, names)
            yield rows, some.vectors

    what = f"adding the view {encoder.space.task.value}"
    try:
        with watch.stoppable(), doing(what, unit="documents", total=part.documents) as step:
            return views.add_view(
                Path(folder),
                encoder.space,
                encoded,
                lambda: encoder.made_by,
                step=step,
                wait_seconds=wait_seconds,
                fs=watch.fs,
            )
    except StoppedError as error:
        error.hint = "run the same command again to continue: until it ends, the index is as it was"
        raise


def drop_view(folder: str | Path, task: Task | str, *, wait_seconds: float = 0) -> list[Task]:
    """Remove the vectors of one task from an index; return the remaining tasks.

    Open readers keep the view. The next run that writes frees the space.

    Args:
        folder: the folder of the index.
        task: the task of the view.
        wait_seconds: how long to wait for another process that writes to the index.

    Raises:
        NotFoundError: there is no index.
        UsageError: the index has no such view, or only this one.
        IndexBusyError: another process is writing.
        ValueError: there is no such task.
    """
    return list(views.drop_view(Path(folder), Task(task), wait_seconds=wait_seconds))
