"""Chooses the encoder of an index: by the caller's request, and otherwise by the index's space.

    encoder = encoder_for_update(index.space, SpaceRequest(), EngineSettings())
    encoder = encoder_for_search(index, model="new/folder/of/the/model")

A request that contradicts an index is refused before a model is downloaded or compiled.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from taskembed.encoding.load import load_encoder, load_encoder_of, require_weights
from taskembed.encoding.settings import INT8, EngineSettings, device_of
from taskembed.errors import SpaceMismatchError, UsageError
from taskembed.models.catalogue import families, identify
from taskembed.models.files import Hub
from taskembed.models.resolve import PromptOverrides
from taskembed.space import TITLE_AND_TEXT, EmbeddingSpace, PromptType, Task
from taskembed.vectors import Encoded, Rows
from taskembed.verbs.opening.claims import (
    ADD_VIEW,
    SEARCH_HINT,
    is_same_model,
    names_only_places,
    require_claimed,
)
from taskembed.verbs.options import SpaceRequest
from taskembed.verbs.protocols import DocumentTokens, Encoder, Searchable, document_tokens


def check_request(
    space: EmbeddingSpace | None,
    request: SpaceRequest,
    settings: EngineSettings | None = None,
    *,
    recreate: bool = False,
) -> None:
    """Check, before a model is opened, that a request does not contradict the index.

    Only names and options are compared; the model's files are compared later.

    Args:
        space: the space of the existing index; None if there is none.
        request: the requirements of the caller.
        settings: where and how the model runs.
        recreate: whether the index is to be replaced, so that its space does not matter.

    Raises:
        UsageError: there is no index yet, and no task was named.
        SpaceMismatchError: the index is of another space; the message lists every field that is
            known to differ.
    """
    if space is None and request.task is None:
        raise UsageError(
            "a new index needs a task", hint=f"use --task {'|'.join(task.value for task in Task)}"
        )
    if space is not None and not recreate:
        from taskembed.index.update import OTHER_SPACE_HINT  # 0.03 s that a search does without

        hint = OTHER_SPACE_HINT
        if request.task is not None and request.task is not space.task:
            add = f"for this task too, add a view: --add-view {request.task.value}"
            hint = f"{add}; or {hint}"
        require_claimed(space, request, settings or EngineSettings(), hint=hint)


def encoder_for_update(
    space: EmbeddingSpace | None,
    request: SpaceRequest,
    settings: EngineSettings | None = None,
    *,
    recreate: bool = False,
    made_by: Mapping[str, str] | None = None,
) -> Encoder:
    """Return the encoder to index with; what the request leaves open is taken from the index.

    `settings.notify` is called if the model of a new index is not for commercial use.

    Args:
        space: the space of the existing index; None if there is none.
        request: the requirements of the caller.
        settings: where and how the model runs.
        recreate: whether the index is to be replaced; then current known prompts are used.
        made_by: the engine and precision of the index's vectors: an int8 index is updated in int8,
            unless the settings name a precision.

    Raises:
        UsageError: there is no index yet, and no task was named.
        SpaceMismatchError: the index is of another space.
        ModelUnavailableError: the model cannot be loaded, or has no prompts for the task.
    """
    settings = settings or EngineSettings()
    check_request(space, request, settings, recreate=recreate)
    if space is not None and not recreate:
        settings = as_made(settings, made_by or {})
    if space is not None and not recreate and names_only_places(space, request):
        return _load_moved(space, request.model, request.stated.adapter, settings)
    encoder = _load(space, request, settings)
    if space is None:
        _warn_of_licence(encoder.space.model, request.stated.family, settings)
    template = request.template or (space.template if space else TITLE_AND_TEXT)
    return encoder if encoder.space.template == template else _Completed(encoder, template)


def encoder_for_search(
    index: Searchable,
    settings: EngineSettings | None = None,
    *,
    task: Task | None = None,
    model: str | None = None,
    adapter: str | None = None,
) -> Encoder:
    """Return the encoder of an index, whose model or adapter may have been moved.

    Args:
        index: the open index, or an open collection.
        settings: where and how the model runs.
        task: the task that the index is expected to be for; None for any.
        model: the expected model of the index, or the folder to which that model was moved.
        adapter: the folder to which the index's adapter was moved.

    Raises:
        SpaceMismatchError: the index is for another task, or of another model or adapter.
        ModelUnavailableError: the model cannot be loaded.
    """
    settings = settings or EngineSettings()
    require_expected(index, settings, task=task, model=model, adapter=adapter)
    if declared := index.declared:
        compared = declared.get("compared") or "none"
        settings.notify(
            f"note: the vectors of this index were imported and declared to be those of "
            f"{index.space.model}; {compared} of them were compared with the model"
        )
    return _load_moved(index.space, model, adapter, as_made(settings, index.made_by))


def as_made(settings: EngineSettings, made_by: Mapping[str, str]) -> EngineSettings:
    """Return the settings with int8 if the index was made in int8 and no precision is given.

    On an accelerator, int8 is not available and the precision is not changed; see docs/adr/0019.
    """
    is_int8 = settings.precision == "auto" and made_by.get("precision") == INT8
    if is_int8 and device_of(settings) == "cpu":
        return replace(settings, precision=INT8)
    return settings


def require_expected(
    index: Searchable,
    settings: EngineSettings,
    *,
    task: Task | None = None,
    model: str | None = None,
    adapter: str | None = None,
) -> None:
    """Check, before a model is opened, that an index has the expected task, model and adapter.

    The arguments are those of `encoder_for_search`, which calls this function too. A caller that
    has more to check before a model is loaded calls it first.

    Raises:
        SpaceMismatchError: the index is for another task, or of another model or adapter.
    """
    require_task(index.folder, index.space, task, views=index.tasks)
    _require_names(index.space, settings, model=model, adapter=adapter)


def require_task(
    folder: Path | str, space: EmbeddingSpace, task: Task | None, *, views: Sequence[Task] = ()
) -> None:
    """Check that an index is for the task that was named; None names no task.

    Args:
        folder: where the index is.
        space: the space of the index, or of its view that is open.
        task: the task that was named.
        views: the tasks of all views of the index.

    Raises:
        SpaceMismatchError: the index is for another task, or has no view for this one.
    """
    if task is not None and task is not space.task:
        if len(views) > 1:
            raise no_view(folder, task, views)
        raise SpaceMismatchError(
            f"{folder} is for the task {space.task.value!r}, not {task.value!r}: vectors of "
            "different tasks are in different spaces, so their scores would be meaningless",
            hint=SEARCH_HINT,
        )


def no_view(folder: Path | str, task: Task, views: Sequence[Task]) -> SpaceMismatchError:
    """Return the error for an index with several views, none of which is for a task.

    Args:
        folder: the folder of the index.
        task: the requested task.
        views: the tasks of the views that the index has.
    """
    listed = ", ".join(view.value for view in views)
    return SpaceMismatchError(
        f"{folder} has no view for the task {task.value!r}: it has {listed}",
        hint=f"--task {views[0].value}; or add a view: "
        + ADD_VIEW.format(task=task.value, folder=shlex.quote(str(folder))),
    )


def find_moved(space: EmbeddingSpace, model: str | None) -> Path | None:
    """Return the folder to which the model of a space was moved; None if it was not moved.

    Args:
        space: the space of an index.
        model: the present name or folder of its model; None if that is unchanged.

    Raises:
        ModelUnavailableError: there is no such model on this machine.
        SpaceMismatchError: the folder has another model.
    """
    if model is None or is_same_model(space, model):
        return None
    settings = EngineSettings()
    _require_names(space, settings, model=model)
    files = Hub(settings.cache_folder, offline=True).locate(model)
    require_weights(space, files)
    return files.folder


@dataclass(frozen=True, slots=True)
class _Completed:
    """An encoder whose space has the template of an index; a model alone has no template."""

    encoder: Encoder
    template: str

    @property
    def space(self) -> EmbeddingSpace:
        return replace(self.encoder.space, template=self.template)

    @property
    def made_by(self) -> Mapping[str, str]:
        return self.encoder.made_by

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        return self.encoder.encode(texts, prompt_type)

    def encode_slices(
        self, texts: Sequence[str], prompt_type: PromptType
    ) -> Iterator[tuple[Rows, Encoded]]:
        return self.encoder.encode_slices(texts, prompt_type)

    def document_tokens(self) -> DocumentTokens:
        return document_tokens(self.encoder)


def _load(space: EmbeddingSpace | None, request: SpaceRequest, settings: EngineSettings) -> Encoder:
    """Return the encoder of a request, with the current known prompts."""
    same = space if space and is_same_model(space, request.model) and not request.revision else None
    shortened = same.dim if same and same.truncation != "none" else None
    task = request.task or (space.task if space else None)
    assert task is not None  # noqa: S101  # check_request was called
    return load_encoder(
        request.model or (space.model if space else None),
        task,
        revision=request.revision or (same.revision if same else None) or None,
        stated=request.stated,
        dim=request.dim or shortened,
        force_dim=request.force_dim or (request.dim is None and shortened is not None),
        settings=settings,
    )


def _load_moved(
    space: EmbeddingSpace, model: str | None, adapter: str | None, settings: EngineSettings
) -> Encoder:
    """Return the encoder of a space whose model or adapter may have been moved."""
    place = None if is_same_model(space, model) else model
    return load_encoder_of(space, settings, model=place, adapter=adapter)


def _require_names(
    space: EmbeddingSpace,
    settings: EngineSettings,
    *,
    model: str | None = None,
    adapter: str | None = None,
) -> None:
    """Refuse names of a model or adapter other than the index's."""
    request = SpaceRequest(model, stated=PromptOverrides(adapter=adapter))
    require_claimed(space, request, settings, hint=SEARCH_HINT)


def _warn_of_licence(model: str, family: str | None, settings: EngineSettings) -> None:
    """Report that a model is not for commercial use, before the first document is encoded."""
    named = (item for item in families() if item.name == family)
    known = identify(model).family or next(named, None)
    if known and not known.commercial:
        settings.notify(f"note: {model} is not for commercial use: its licence is {known.licence}")
