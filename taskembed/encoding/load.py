"""Texts to vectors of one space: the model's files, its prompts, an engine.

    encoder = load_encoder("minilm", Task.RETRIEVAL)
    vectors, truncated = encoder.encode(["what is a comet?"], PromptType.QUERY)

A model is loaded by sentence-transformers once; from then on its compiled form is used, which needs
no torch. The space is written from what was loaded, never from the words of a command line.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskembed.arguments import require_kind, require_positive
from taskembed.encoding._local import PROMPT_EXCLUDED, ModelParts, TextEncoder
from taskembed.encoding._shortening import choose_truncation, require_offered
from taskembed.encoding.settings import EngineSettings
from taskembed.errors import ModelUnavailableError, UsageError
from taskembed.guard import require_same_space
from taskembed.models.adapters import find_adapter, other_purposes
from taskembed.models.catalogue import find_family
from taskembed.models.files import BUNDLED, ModelFiles, find_description, find_model
from taskembed.models.folder import saved_prompts, saved_suffix
from taskembed.models.metric import metric_of, require_metric
from taskembed.models.resolve import ModelSpec, PromptOverrides, resolve
from taskembed.models.stock_views import (
    brings_own_model,
    is_understood,
    refuse_other_kinds,
)
from taskembed.reading.template import DEFAULT_TEMPLATE, Template
from taskembed.space import COSINE, EmbeddingSpace, PromptType, Task

if TYPE_CHECKING:
    from taskembed.encoding._hosted import HostedEncoder

OTHER_MODEL_HINT = (
    "leave out --model to take that of the index; or make another index with --index OTHER"
)


def load_encoder(  # noqa: PLR0913  # all but the first two are optional and named
    model: str | Path | None = None,
    task: Task | str = Task.RETRIEVAL,
    *,
    revision: str | None = None,
    stated: PromptOverrides | None = None,
    dim: int | None = None,
    force_dim: bool = False,
    template: str = str(DEFAULT_TEMPLATE),
    settings: EngineSettings | None = None,
) -> TextEncoder | HostedEncoder:
    """Return the encoder of a model for a task, with the right prompt for either side.

    Args:
        model: "minilm", a folder, a Hugging Face id, or a hosted model's; None for the base of the
            stated adapter, or "minilm".
        task: what the vectors are for; a name will do: "retrieval".
        revision: a branch, tag or commit of a Hugging Face repository.
        stated: prompts, an instruction, an adapter, a family, instead of the known ones.
        dim: numbers in a vector, when they are to be fewer than the model's own.
        force_dim: also a size that the model was not trained for.
        template: how documents' fields become their texts: a part of the space.
        settings: where and how the model runs.

    Raises:
        ModelUnavailableError: the model cannot be loaded, or knows no prompts for the task.
        UsageError: what is stated does not fit the model, or the template has no field.
        ValueError: there is no such task, or `dim` is below 1.
    """
    task = Task(task)
    model = str(model) if model is not None else None
    dim = require_positive(dim, "dim") if dim is not None else None
    template = str(Template.parse(template))
    settings = settings or EngineSettings()
    family = find_family(model) if model else None
    if settings.api_base is not None or (family and family.hosted):
        from taskembed.encoding._hosted import load_hosted

        return load_hosted(
            model,
            task,
            revision=revision,
            stated=stated,
            dim=dim,
            force_dim=force_dim,
            template=template,
            settings=settings,
        )
    model = model or _base(stated, settings)
    offered = partial(require_offered, wanted=dim, force=force_dim)
    files, spec = _files_and_spec(model, task, revision, stated, settings, offered)
    metric = partial(metric_of, files.folder, known=spec.metric)
    require_metric(files.name, metric(cut=False))  # before anything is compiled
    parts = ModelParts(files, spec, settings, remote_code=settings.trust_remote_code)
    _require_end_token(spec, parts)
    facts = parts.facts
    shortened, method = choose_truncation(spec, files.folder, facts.dim, dim, force=force_dim)
    compared = metric(cut=method != "none")
    require_metric(files.name, compared)
    pooled = facts.prompt_in_pooling and spec.prompt_in_pooling
    space = EmbeddingSpace(
        model=files.name,
        revision=files.revision,
        weights_digest=files.digest,
        query_adapter=parts.adapter_name(PromptType.QUERY),
        document_adapter=parts.adapter_name(PromptType.DOCUMENT),
        adapter_digest=parts.adapter_digest,
        task=task,
        query_prompt=spec.query_prompt,
        document_prompt=spec.document_prompt,
        suffix=spec.suffix,
        pooling=facts.pooling if pooled else facts.pooling + PROMPT_EXCLUDED,
        max_length=facts.max_length,
        dim=shortened,
        truncation=method,
        normalize=compared == COSINE,
        metric=compared,
        template=template,
    )
    for adapter in parts.adapters:
        for purpose in other_purposes(adapter, space):
            settings.notify(f"note: {purpose}")
    encoder = TextEncoder(space, parts)
    encoder.check(parts.first)
    return encoder


def load_encoder_of(
    space: EmbeddingSpace,
    settings: EngineSettings | None = None,
    *,
    model: str | None = None,
    adapter: str | None = None,
) -> TextEncoder | HostedEncoder:
    """Return the encoder of an index's space: its model and its prompts, whatever is known today.

    The space of the encoder is that of the model as it is now: when its weights have changed, it
    differs, and the guard refuses it.

    Args:
        space: `Index.space`.
        settings: where and how the model runs.
        model: where the model is now, when it has moved or has another name.
        adapter: where its adapter is now.

    Raises:
        ModelUnavailableError: the model cannot be loaded.
        SpaceMismatchError: `model` has other weights than the index's.
        UsageError: a server is named for a model that ran on this machine.
        TypeError: `space` is no embedding space.
    """
    require_kind(space, EmbeddingSpace, "index.space")
    settings = settings or EngineSettings()
    if space.hosted:
        from taskembed.encoding._hosted import load_hosted_of

        return load_hosted_of(space, settings)
    if settings.api_base is not None:
        raise UsageError(
            f"--api-base: the vectors of this index were made on this machine, by {space.model}",
            hint="leave it out, or unset TASKEMBED_API_BASE",
        )
    named = replace(
        space,
        model=model or space.model,
        revision="" if model else space.revision,
        query_adapter=adapter or space.query_adapter,
        document_adapter=adapter or space.document_adapter,
    )
    _require_folders(named)
    files, with_code = _files_of(named, settings)
    if model:
        require_weights(space, files)
    parts = ModelParts(files, named, settings, remote_code=with_code)
    now = replace(
        named,
        model=files.name,
        revision=files.revision,
        weights_digest=files.digest,
        query_adapter=parts.adapter_name(PromptType.QUERY),
        document_adapter=parts.adapter_name(PromptType.DOCUMENT),
        adapter_digest=parts.adapter_digest,
        **_metric_now(space, files),
    )
    if not space.differences(now):  # otherwise the guard refuses it, and nothing need be compiled
        facts = parts.facts
        excluded = PROMPT_EXCLUDED if space.pooling.endswith(PROMPT_EXCLUDED) else ""
        now = replace(
            now,
            pooling=facts.pooling + excluded,
            max_length=facts.max_length,
            dim=facts.dim if space.truncation == "none" else space.dim,
        )
    encoder = TextEncoder(now, parts)
    if now == space:
        encoder.check(parts.first)
    return encoder


def _metric_now(space: EmbeddingSpace, files: ModelFiles) -> dict[str, Any]:
    """Return the fields of the metric that a model has: an index may have been made without it.

    That an index has the inner product may be its user's word, which the model cannot contradict.
    """
    family = find_family(space.model)
    known = family.metric if family else ""
    metric = metric_of(files.folder, known=known, cut=space.truncation != "none")
    if metric == COSINE or space.metric != COSINE:
        return {}
    return {"normalize": False, "metric": metric}


def _base(stated: PromptOverrides | None, settings: EngineSettings) -> str:
    """Return the model to take when none is named: the stated adapter's base, or the bundled one.

    Raises:
        ModelUnavailableError: the adapter names no base.
    """
    if stated is None or not stated.adapter:
        return BUNDLED
    adapter = find_adapter(
        stated.adapter,
        None,
        cache=settings.cache_folder,
        offline=settings.offline,
        notify=settings.notify,
    )
    if not adapter.base:
        raise ModelUnavailableError(
            f"the adapter {adapter.name!r} does not say which model it was trained on",
            hint="name its base with --model",
        )
    settings.notify(f"the base of the adapter {adapter.name} is {adapter.base}")
    return adapter.base


def _require_end_token(spec: ModelSpec, parts: ModelParts) -> None:
    """Refuse a tokenizer without the end token whose vector the model's is."""
    if not spec.end_token:
        return
    tokenizer = parts.runtime(PromptType.DOCUMENT).tokenizer
    last = tokenizer.id_to_token(tokenizer.encode("a").ids[-1])
    if last != spec.end_token:
        raise ModelUnavailableError(
            f"the tokenizer of {spec.model} no longer puts {spec.end_token} at the end of a text, "
            "where the model's vector is taken from: every vector would be silently wrong",
            hint="download the model again: its tokenizer.json is not as published",
        )


def _files_and_spec(
    model: str,
    task: Task,
    revision: str | None,
    stated: PromptOverrides | None,
    settings: EngineSettings,
    require: Callable[[ModelSpec], None],
) -> tuple[ModelFiles, ModelSpec]:
    """Return what a model's vectors need; `require` refuses what its name and prompts show."""
    if find_family(model):
        spec = resolve(model, task, stated)
        _require_loadable(spec, settings)  # a refusal comes before a download
        require(spec)
        there = model if Path(model).is_dir() else spec.model  # an alias, or in other letters
        return _files(there, revision, settings, settings.trust_remote_code), spec
    # what it says of itself comes first: weights that are then refused need not be downloaded
    folder, commit = find_description(model, revision=revision, offline=settings.offline)
    refuse_other_kinds(model, folder)
    spec = resolve(
        model,
        task,
        stated,
        saved_prompts=saved_prompts(folder),
        saved_suffix=saved_suffix(folder),
    )
    _require_loadable(spec, settings)
    require(spec)
    known = spec.family or is_understood(folder)
    if not known and not settings.trust_remote_code and brings_own_model(folder):
        raise ModelUnavailableError(
            f"{model} brings Python code of its own, and no family says that it can do without",
            hint="--family NAME when it is of a known one; or read that code, then give "
            "--trust-remote-code and --revision COMMIT",
        )
    with_code = settings.trust_remote_code  # at a commit that is stated, never at one found here
    at = revision if with_code else commit or None
    return _files(model, at, settings, with_code), spec


def require_weights(space: EmbeddingSpace, files: ModelFiles) -> None:
    """Refuse a model that is another than the space's, with all that is known to differ."""
    if files.digest == space.weights_digest:
        return
    other = replace(space, model=files.name, revision=files.revision, weights_digest=files.digest)
    with suppress(ModelUnavailableError):
        spec = resolve(files.name, space.task)
        other = replace(
            other,
            query_prompt=spec.query_prompt,
            document_prompt=spec.document_prompt,
            query_adapter=spec.query_adapter,
            document_adapter=spec.document_adapter,
            suffix=spec.suffix,
        )
    require_same_space(space, other, hint=OTHER_MODEL_HINT)


def _require_folders(space: EmbeddingSpace) -> None:
    """Refuse, with the way on, an index whose model or adapter was moved.

    Raises:
        ModelUnavailableError: its folder is not there.
    """
    for kind, name, option in (
        ("model", space.model, "--model"),
        ("adapter", space.document_adapter, "--adapter"),
    ):
        if Path(name).is_absolute() and not Path(name).is_dir():
            raise ModelUnavailableError(
                f"the folder of the index's {kind} is not there: {name}",
                hint=f"if it was moved, say where it is now: {option} FOLDER; it is compared with "
                "what the index was made with",
            )


def _files_of(space: EmbeddingSpace, settings: EngineSettings) -> tuple[ModelFiles, bool]:
    """Return the model's files, and whether its own code is one of them: as the space has it."""
    revision, trusted = space.revision or None, settings.trust_remote_code
    files = _files(space.model, revision, settings, trusted)
    if files.digest != space.weights_digest and not trusted:
        with_code = _files(space.model, revision or files.revision, settings, with_code=True)
        if with_code.digest == space.weights_digest:  # its compiled form may need no code to run
            return with_code, True
    return files, trusted


def _files(
    model: str,
    revision: str | None,
    settings: EngineSettings,
    with_code: bool,  # noqa: FBT001  # private
) -> ModelFiles:
    return find_model(
        model,
        cache=settings.cache_folder,
        revision=revision,
        offline=settings.offline,
        with_code=with_code,
        notify=settings.notify,
    )


def _require_loadable(spec: ModelSpec, settings: EngineSettings) -> None:
    """Refuse what would load and be wrong.

    Raises:
        ModelUnavailableError: the model needs what is not there, or what was not permitted.
    """
    hint = "`taskembed models` lists the models and what they need"
    if spec.remote_code and spec.query_adapter:
        why = "has its adapters inside its own code, where nothing can tell whether they are used"
        family = find_family(spec.model)
        hint = family.note if family and family.note else hint
    elif spec.remote_code and not settings.trust_remote_code:
        why = "needs Python code of its own to be loaded, which is not run unasked"
        hint = "read that code, then give --trust-remote-code and --revision COMMIT"
    else:
        return
    raise ModelUnavailableError(f"{spec.model} {why}", hint=hint)
