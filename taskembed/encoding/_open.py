"""Opens a model that runs on this machine for a task: finds its files, and writes its space."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from taskembed.encoding._local import LocalEncoder
from taskembed.encoding._parts import ModelParts
from taskembed.encoding._request import EncoderRequest
from taskembed.encoding._shortening import choose_truncation, require_offered
from taskembed.encoding._spaces import space_of
from taskembed.encoding.settings import EngineSettings
from taskembed.errors import ModelUnavailableError
from taskembed.models.adapters import other_purposes
from taskembed.models.catalogue import Identified
from taskembed.models.files import Located, place_of
from taskembed.models.folder import saved_prompts
from taskembed.models.metric import metric_of, require_metric
from taskembed.models.resolve import ModelSpec, resolve
from taskembed.models.stock_views import brings_own_model, is_understood, refuse_other_kinds
from taskembed.space import PromptType


def open_local(model: Identified, request: EncoderRequest) -> LocalEncoder:
    """Return the encoder of a model that runs on this machine.

    Raises:
        ModelUnavailableError: the model cannot be loaded, or has no known prompts for the task.
        UsageError: an option of the request does not fit the model.
    """
    settings = request.settings
    files, spec = _located(model, request)
    metric = partial(metric_of, files.folder, known=spec.metric)
    require_metric(files.name, metric(cut=False))  # before anything is compiled
    adapters = {side: spec.adapter(side) for side in PromptType}
    parts = ModelParts(
        files, adapters, model.family, settings, remote_code=settings.trust_remote_code
    )
    _require_end_token(spec, parts)
    dim, method = choose_truncation(
        spec, files.folder, parts.facts.dim, request.dim, force=request.force_dim
    )
    compared = metric(cut=method != "none")
    require_metric(files.name, compared)
    space = space_of(spec, parts, dim=dim, truncation=method, metric=compared)
    for adapter in parts.adapters:
        for purpose in other_purposes(adapter, space):
            settings.notify(f"note: {purpose}")
    encoder = LocalEncoder(space, parts)
    encoder.check(parts.first)
    return encoder


def _located(model: Identified, request: EncoderRequest) -> tuple[Located, ModelSpec]:
    """Return a model's files and its specification; check its name before any download."""
    settings, hub = request.settings, request.settings.hub
    if model.family:
        spec = resolve(model, request.task, request.stated)
        _require_loadable(spec, request)  # a refusal comes before a download
        with_code = settings.trust_remote_code
        files = hub.locate(place_of(model), revision=request.revision, with_code=with_code)
        return files, spec
    # download the configuration first: a refusal then saves the download of the weights
    described = hub.description(model.name, revision=request.revision)
    refuse_other_kinds(model.name, described.folder)
    saved = saved_prompts(described.folder)
    spec = resolve(model, request.task, request.stated, saved=saved)
    _require_loadable(spec, request)
    _require_known_code(spec, described.folder, settings)
    with_code = settings.trust_remote_code  # code needs a commit that the user names
    at = request.revision if with_code else described.revision or None
    files = hub.locate(model.name, revision=at, with_code=with_code, described=described)
    return files, spec


def _require_known_code(spec: ModelSpec, folder: Path, settings: EngineSettings) -> None:
    """Refuse a model of an unknown family that has its own code, unless that code is trusted.

    Raises:
        ModelUnavailableError: the model has code of its own, and may compute other vectors without
            that code.
    """
    known = spec.family or is_understood(folder)
    if not known and not settings.trust_remote_code and brings_own_model(folder):
        raise ModelUnavailableError(
            f"{spec.model} has its own Python code, and belongs to no known family that runs "
            "without it",
            hint="--family NAME if it is of a known one; or read that code, then give "
            "--trust-remote-code and --revision COMMIT",
        )


def _require_loadable(spec: ModelSpec, request: EncoderRequest) -> None:
    """Refuse a model that would load but compute wrong vectors, and an unsupported dimension.

    Raises:
        ModelUnavailableError: the model needs a missing library or file, or its own code, which
            may not run.
        UsageError: the model was not trained for that size.
    """
    hint = "`taskembed models` lists the models and what they need"
    if spec.remote_code and spec.adapter(PromptType.QUERY):
        why = "selects its adapters in its own code, where their use cannot be checked"
        hint = spec.note or hint
    elif spec.remote_code and not request.settings.trust_remote_code:
        why = "needs Python code of its own to be loaded, which is not run unasked"
        hint = "read that code, then give --trust-remote-code and --revision COMMIT"
    else:
        require_offered(spec, request.dim, force=request.force_dim)
        return
    raise ModelUnavailableError(f"{spec.model} {why}", hint=hint)


def _require_end_token(spec: ModelSpec, parts: ModelParts) -> None:
    """Refuse a tokenizer that omits the end token, if the model pools the vector of that token."""
    if not spec.end_token:
        return
    tokenizer = parts.runtime(PromptType.DOCUMENT).tokenizer
    last = tokenizer.id_to_token(tokenizer.encode("a").ids[-1])
    if last != spec.end_token:
        raise ModelUnavailableError(
            f"the tokenizer of {spec.model} does not put {spec.end_token} at the end of a text, "
            "where the model's vector is taken from: every vector would be silently wrong",
            hint="download the model again: its tokenizer.json is not as published",
        )
