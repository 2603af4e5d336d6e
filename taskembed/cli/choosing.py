"""Which encoder a command takes: what was said, and for the rest what the index says.

What words alone can settle comes first: no model is downloaded or compiled for a refusal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from taskembed.errors import ModelUnavailableError, SpaceMismatchError, UsageError
from taskembed.space import SYMMETRIC_TASKS, Task

if TYPE_CHECKING:
    from pathlib import Path

    from taskembed.encoding.settings import EngineSettings
    from taskembed.index.reader import Index
    from taskembed.models.resolve import PromptOverrides
    from taskembed.space import EmbeddingSpace
    from taskembed.verbs.protocols import Encoder

NOT_HERE = ""  # in the place of the digest of weights that are not on this machine


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user said of the space; None is what was not said."""

    model: str | None
    revision: str | None
    task: Task | None
    stated: PromptOverrides
    dim: int | None
    force_dim: bool
    template: str


def choose_encoder(
    space: EmbeddingSpace | None, wanted: Wanted, settings: EngineSettings, *, keep_prompts: bool
) -> Encoder:
    """Return the encoder that was asked for: what was not said is as in the index's space.

    Args:
        space: of the index that there is.
        wanted: what was said.
        settings: where and how the model runs.
        keep_prompts: take the index's own prompts rather than those known today.

    Raises:
        UsageError: there is no index yet, and no task was named.
        SpaceMismatchError: the model that was named is another than the index's.
    """
    from taskembed.encoding.load import load_encoder

    task = wanted.task or (space.task if space else None)
    if task is None:
        raise task_needed()
    if space and keep_prompts and _says_only_where(space, wanted):
        known = replace(space, template=wanted.template)
        return moved_encoder(known, wanted.model, wanted.stated.adapter, settings)
    same_model = space and is_same_model(space, wanted.model) and not wanted.revision
    shortened = space.dim if space and same_model and space.truncation != "none" else None
    return load_encoder(
        wanted.model or (space.model if space else None),
        task,
        revision=wanted.revision or (space.revision if space and same_model else None) or None,
        stated=wanted.stated,
        dim=wanted.dim or shortened,
        force_dim=wanted.force_dim or (wanted.dim is None and shortened is not None),
        template=wanted.template,
        settings=settings,
    )


def task_needed() -> UsageError:
    """Return what a new index is refused with, when no task was named."""
    return UsageError(
        "a new index needs its task", hint=f"--task {'|'.join(task.value for task in Task)}"
    )


def require_asserted(
    index: Index,
    task: Task | None,
    model: str | None,
    settings: EngineSettings,
    adapter: str | None = None,
) -> None:
    """Refuse what words alone show not to be of the index's space; before `moved_encoder`.

    Args:
        index: to be searched.
        task: that it is said to be for.
        model: that it is said to be of, or where that is now.
        settings: where and how the model runs.
        adapter: where its adapter is now.

    Raises:
        SpaceMismatchError: it is another.
    """
    require_task(index.folder, index.space, task)
    _require_names(index.space, model, settings, adapter)


def _require_names(
    space: EmbeddingSpace, model: str | None, settings: EngineSettings, adapter: str | None = None
) -> None:
    """Refuse the names of another model or adapter than those of the index."""
    from taskembed.models.resolve import PromptOverrides
    from taskembed.verbs.search import SEARCH_HINT

    wanted = Wanted(
        model, None, None, PromptOverrides(adapter=adapter), None, False, space.template
    )
    require_words(space, wanted, settings, hint=SEARCH_HINT)


def require_there(model: str | None, settings: EngineSettings) -> None:
    """Refuse the name of a model that is nowhere; what it says of itself may be downloaded.

    None is no model, and refused by nobody.

    Raises:
        ModelUnavailableError: there is no such model.
    """
    from taskembed.models.files import find_description

    if model is not None:
        find_description(model, offline=settings.offline)


def require_task(folder: Path, space: EmbeddingSpace, task: Task | None) -> None:
    """Return when an index is for the task that was named, or none was.

    Raises:
        SpaceMismatchError: it is for another one.
    """
    from taskembed.verbs.search import SEARCH_HINT

    if task is not None and task is not space.task:
        raise SpaceMismatchError(
            f"{folder} is for the task {space.task.value!r}, not {task.value!r}: vectors of "
            "different tasks live in different spaces, so their scores would mean nothing",
            hint=SEARCH_HINT,
        )


def find_moved(space: EmbeddingSpace, model: str) -> Path:
    """Return the folder of a model on this machine that is the one of a space.

    Raises:
        ModelUnavailableError: there is no such model here.
        SpaceMismatchError: it is another.
    """
    from taskembed.encoding.load import require_weights
    from taskembed.encoding.settings import EngineSettings
    from taskembed.models.files import find_model

    settings = EngineSettings()
    _require_names(space, model, settings)
    files = find_model(model, cache=settings.cache_folder, offline=True)
    require_weights(space, files)
    return files.folder


def require_words(
    space: EmbeddingSpace, wanted: Wanted, settings: EngineSettings, *, hint: str
) -> None:
    """Refuse what words alone show to be of another space than the index's.

    Raises:
        SpaceMismatchError: it is; the message lists every field that is known to differ.
        UsageError: the words do not fit together.
    """
    from taskembed.guard import require_same_space

    said = replace(
        _said_of_model(space, wanted, settings),
        task=wanted.task or space.task,
        template=wanted.template,
    )
    require_same_space(space, replace(said, dim=wanted.dim or said.dim), hint=hint)


def _said_of_model(
    space: EmbeddingSpace, wanted: Wanted, settings: EngineSettings
) -> EmbeddingSpace:
    """Return the space as far as the name of a model and what was stated of it say what it is."""
    from taskembed.models.resolve import PromptOverrides

    said = _named(space, wanted, settings)
    other = said.weights_digest != space.weights_digest or wanted.task not in {None, space.task}
    if not other and (_says_only_where(space, wanted) or wanted.stated == PromptOverrides()):
        return said
    return _with_prompts(said, wanted.task or space.task, wanted.stated)


def _named(space: EmbeddingSpace, wanted: Wanted, settings: EngineSettings) -> EmbeddingSpace:
    """Return the space with what the name of another model says of its weights."""
    from taskembed.encoding.vendors import OWN
    from taskembed.models.catalogue import canonical, find_family
    from taskembed.models.files import is_here, is_missing_folder
    from taskembed.space import HOSTED

    model = canonical(wanted.model or space.model)
    if is_same_model(space, wanted.model):
        return space
    family = find_family(model)
    if settings.api_base is not None or (family and family.hosted):
        server = (family.server if family else "") or OWN
        there = model if server != OWN else wanted.model or space.model
        return replace(space, model=model, weights_digest=f"{HOSTED}{server}/{there}")
    if space.hosted:
        return replace(space, model=model, weights_digest="on this machine")
    if is_missing_folder(model) or is_here(model, wanted.revision):
        return space  # its weights will say whether it is the same
    size = family.models.get(model) if family and space.truncation == "none" else None
    return replace(space, model=model, weights_digest=NOT_HERE, dim=size or space.dim)


def _with_prompts(space: EmbeddingSpace, task: Task, stated: PromptOverrides) -> EmbeddingSpace:
    """Return the space with the prompts that are stated, or known of its model."""
    from taskembed.models.resolve import resolve

    try:
        spec = resolve(space.model, task, stated)
    except ModelUnavailableError:  # what it brings itself is not known yet
        query, document = stated.query_prompt, stated.document_prompt
        if task in SYMMETRIC_TASKS:
            query = document = query if query is not None else document
        return replace(
            space,
            query_prompt=space.query_prompt if query is None else query,
            document_prompt=space.document_prompt if document is None else document,
        )
    said = replace(
        space,
        query_prompt=spec.query_prompt,
        document_prompt=spec.document_prompt,
        suffix=spec.suffix,
    )
    given, has = stated.adapter_for(task), bool(space.document_adapter)
    if given is not None and bool(given) == has:
        return said  # the files of the two say whether they are the same
    adapters = (spec.query_adapter, spec.document_adapter)
    if adapters == (space.query_adapter, space.document_adapter):
        return said
    query_adapter, document_adapter = adapters
    return replace(
        said,
        query_adapter=query_adapter,
        document_adapter=document_adapter,
        adapter_digest="",  # not known, and what the index has counts only with its names
    )


def _says_only_where(space: EmbeddingSpace, wanted: Wanted) -> bool:
    """Tell whether no more is said than where the index's model, or its adapter, is now."""
    from taskembed.models.resolve import PromptOverrides

    adapter = wanted.stated.adapter
    moved = bool(adapter and space.adapter_digest and space.query_adapter == space.document_adapter)
    return (
        wanted.stated == (PromptOverrides(adapter=adapter) if moved else PromptOverrides())
        and not wanted.revision
        and wanted.task in {None, space.task}
        and wanted.dim in {None, space.dim}
    )


def is_same_model(space: EmbeddingSpace, model: str | None) -> bool:
    """Tell whether a name, or no name, is that of the index's model, where that was."""
    from taskembed.models.catalogue import canonical
    from taskembed.models.files import stored_name

    return (
        model is None
        or model == space.model
        or canonical(stored_name(model)) == canonical(space.model)
    )


def moved_encoder(
    space: EmbeddingSpace, model: str | None, adapter: str | None, settings: EngineSettings
) -> Encoder:
    """Return the encoder of a space whose model or adapter may be in another place by now.

    Raises:
        SpaceMismatchError: what is there has other weights.
    """
    from taskembed.encoding.load import load_encoder_of

    there = None if is_same_model(space, model) else model
    return load_encoder_of(space, settings, model=there, adapter=adapter)
