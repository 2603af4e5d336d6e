"""Compares a request with an index's space by names and options, before any model is opened.

A model's name, its known prompts and the caller's options determine most fields of a space. If
these contradict the space of the index, the request is refused without a download.
"""

from __future__ import annotations

from dataclasses import replace

from taskembed.encoding.settings import EngineSettings
from taskembed.encoding.vendors import OWN
from taskembed.errors import ModelUnavailableError
from taskembed.guard import require_same_space
from taskembed.models.catalogue import identify
from taskembed.models.files import is_here, is_missing_folder, stored_name
from taskembed.models.resolve import PromptOverrides, resolve
from taskembed.space import SYMMETRIC_TASKS, EmbeddingSpace, HostedModel, PromptType, Task
from taskembed.verbs.options import SpaceRequest

NOT_HERE = ""  # stands for the digest of weights that are not on this machine
SEARCH_HINT = (
    "leave out --task and --model to search with those of the index; "
    "or make another index: taskembed index CORPUS --task TASK --index OTHER"
)
ADD_VIEW = "taskembed index --add-view {task} --index {folder}"


def require_claimed(
    space: EmbeddingSpace, request: SpaceRequest, settings: EngineSettings, *, hint: str
) -> None:
    """Refuse a request whose names and options contradict the space of the index.

    Args:
        space: the space of the index.
        request: the requirements of the caller.
        settings: where and how the model runs.
        hint: the hint of the error.

    Raises:
        SpaceMismatchError: the space differs; the message lists every field known to differ.
        UsageError: the stated prompts, adapter and family contradict each other.
    """
    claimed = replace(
        _claimed_of_model(space, request, settings),
        task=request.task or space.task,
        template=request.template or space.template,
    )
    require_same_space(space, replace(claimed, dim=request.dim or claimed.dim), hint=hint)


def _claimed_of_model(
    space: EmbeddingSpace, request: SpaceRequest, settings: EngineSettings
) -> EmbeddingSpace:
    """Return the index's space with the fields that follow from the request's model and prompts."""
    claimed = _named(space, request, settings)
    other = not claimed.has_weights_of(space) or request.task not in {None, space.task}
    if not other and (names_only_places(space, request) or request.stated == PromptOverrides()):
        return claimed
    return _with_prompts(claimed, request.task or space.task, request.stated)


def _named(
    space: EmbeddingSpace, request: SpaceRequest, settings: EngineSettings
) -> EmbeddingSpace:
    """Return the index's space with the fields that follow from the name of another model."""
    if is_same_model(space, request.model):
        return space
    known = identify(request.model or space.model)
    model, family = known.name, known.family
    if settings.api_base is not None or known.hosted:
        server = (family.server if family else "") or OWN
        hosted = HostedModel(server, model if server != OWN else known.asked)
        return replace(space, model=model, weights_digest=NOT_HERE, hosted=hosted)
    if space.hosted:
        return replace(space, model=model, weights_digest=NOT_HERE, hosted=None)
    if is_missing_folder(model) or is_here(model, request.revision):
        return space  # only the weights tell whether the model is the same
    size = known.dim if space.truncation == "none" else None
    return replace(space, model=model, weights_digest=NOT_HERE, dim=size or space.dim)


def _with_prompts(space: EmbeddingSpace, task: Task, stated: PromptOverrides) -> EmbeddingSpace:
    """Return the space with the given prompts, or with those known for its model."""
    try:
        spec = resolve(identify(space.model), task, stated)
    except ModelUnavailableError:  # the model's files may have prompts, which are not known yet
        query, document = stated.query_prompt, stated.document_prompt
        if task in SYMMETRIC_TASKS:
            query = document = query if query is not None else document
        return replace(
            space,
            query_prompt=space.query_prompt if query is None else query,
            document_prompt=space.document_prompt if document is None else document,
        )
    claimed = replace(
        space,
        query_prompt=spec.prompt(PromptType.QUERY),
        document_prompt=spec.prompt(PromptType.DOCUMENT),
        suffix=spec.suffix,
        hosted=space.hosted and spec.hosted_model(space.hosted.server, space.hosted.server_model),
    )
    given, has = stated.adapter_for(task), bool(space.document_adapter)
    if given is not None and bool(given) == has:
        return claimed  # only the files tell whether the two adapters are the same
    adapters = (spec.adapter(PromptType.QUERY), spec.adapter(PromptType.DOCUMENT))
    if adapters == (space.query_adapter, space.document_adapter):
        return claimed
    query_adapter, document_adapter = adapters
    return replace(
        claimed,
        query_adapter=query_adapter,
        document_adapter=document_adapter,
        adapter_digest="",  # unknown; the index's digest belongs to other adapters
    )


def names_only_places(space: EmbeddingSpace, request: SpaceRequest) -> bool:
    """Return whether a request only says where the index's model or adapter was moved to."""
    adapter = request.stated.adapter
    moved = bool(adapter and space.adapter_digest and space.query_adapter == space.document_adapter)
    return (
        request.stated == (PromptOverrides(adapter=adapter) if moved else PromptOverrides())
        and not request.revision
        and request.task in {None, space.task}
        and request.dim in {None, space.dim}
    )


def is_same_model(space: EmbeddingSpace, model: str | None) -> bool:
    """Return whether a name is that of the index's model, at its original path; True for None."""
    return (
        model is None
        or model == space.model
        or identify(stored_name(model)).name == identify(space.model).name
    )
