"""Opens encoders: finds a model's files and prompts, and starts an engine.

    encoder = load_encoder("minilm", Task.RETRIEVAL)
    vectors, truncated = encoder.encode(["what is a comet?"], PromptType.QUERY)

sentence-transformers loads a model once; afterwards its compiled form is used, which does not need
torch. The space describes the files that were loaded, not the options of a command.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from taskembed.arguments import require_kind, require_positive
from taskembed.encoding._local import LocalEncoder
from taskembed.encoding._open import open_local
from taskembed.encoding._parts import ModelParts
from taskembed.encoding._request import EncoderRequest
from taskembed.encoding._spaces import space_now
from taskembed.encoding.settings import INT8, EngineSettings
from taskembed.errors import ModelUnavailableError, UsageError
from taskembed.guard import require_same_space
from taskembed.models.adapters import find_adapter
from taskembed.models.catalogue import identify
from taskembed.models.files import BUNDLED, Located
from taskembed.models.resolve import PromptOverrides, resolve
from taskembed.secrets import without_userinfo
from taskembed.space import EmbeddingSpace, PromptType, Task

if TYPE_CHECKING:
    from taskembed.encoding._hosted import HostedEncoder

OTHER_MODEL_HINT = (
    "leave out --model to use that of the index; or make another index with --index OTHER"
)


def load_encoder(  # noqa: PLR0913  # all but the first two are optional and named
    model: str | Path | None = None,
    task: Task | str = Task.RETRIEVAL,
    *,
    revision: str | None = None,
    stated: PromptOverrides | None = None,
    dim: int | None = None,
    force_dim: bool = False,
    settings: EngineSettings | None = None,
) -> LocalEncoder | HostedEncoder:
    """Return the encoder of a model for a task, with the right prompts for queries and documents.

    Args:
        model: "minilm", a folder, a Hugging Face id, or the name of a hosted model; None for the
            base model of the adapter in `stated`, or else "minilm".
        task: the purpose of the vectors, or its name: "retrieval".
        revision: a branch, tag or commit of a Hugging Face repository.
        stated: prompts, an instruction, an adapter or a family that replace the known ones.
        dim: the dimension of shortened vectors; None for the model's own.
        force_dim: allow a dimension that the model was not trained for.
        settings: where and how the model runs.

    Raises:
        ModelUnavailableError: the model cannot be loaded, or has no known prompts for the task.
        UsageError: an argument does not fit the model.
        ValueError: there is no such task, or `dim` is below 1.
    """
    request = EncoderRequest(
        task=Task(task),
        revision=revision,
        stated=stated or PromptOverrides(),
        dim=require_positive(dim, "dim") if dim is not None else None,
        force_dim=force_dim,
        settings=settings or EngineSettings(),
    )
    api_base = request.settings.api_base
    name = str(model) if model is not None else ""
    # the name is stored in the index
    known = identify(without_userinfo(name) if api_base else name)
    if api_base is not None or known.hosted:
        from taskembed.encoding._hosted import open_hosted

        _refuse_int8(name, request.settings)
        if not name:
            raise UsageError("--api-base needs the name of a model there", hint="--model NAME")
        return open_hosted(known, request)
    if not name:
        known = identify(_base(request))
    return open_local(known, request)


def load_encoder_of(
    space: EmbeddingSpace,
    settings: EngineSettings | None = None,
    *,
    model: str | None = None,
    adapter: str | None = None,
) -> LocalEncoder | HostedEncoder:
    """Return the encoder of the space of an index, with the prompts recorded there.

    The encoder's space describes the model as it is now: if the weights have changed, the space
    differs from that of the index, and the guard refuses the encoder.

    Args:
        space: `Index.space`.
        settings: where and how the model runs.
        model: the model's new folder or name, if it was moved or renamed.
        adapter: the adapter's new folder or name, if it was moved or renamed.

    Raises:
        ModelUnavailableError: the model cannot be loaded.
        SpaceMismatchError: the weights of `model` are not those of the index.
        UsageError: the address of a server is given for a model that runs on this machine.
        TypeError: `space` is not an embedding space.
    """
    require_kind(space, EmbeddingSpace, "index.space")
    settings = settings or EngineSettings()
    if space.hosted:
        from taskembed.encoding._hosted import open_hosted_of

        _refuse_int8(space.model, settings)
        return open_hosted_of(space, settings)
    if settings.api_base is not None:
        raise UsageError(
            f"--api-base: the vectors of this index were made on this machine, by {space.model}",
            hint="leave it out, or unset TASKEMBED_API_BASE",
        )
    return _reopened(space, settings, model, adapter)


def _refuse_int8(model: str, settings: EngineSettings) -> None:
    if settings.precision == INT8:
        raise UsageError(
            f"int8 is only for models on this machine, but {model} is behind a server",
            hint="leave out --precision",
        )


def _reopened(
    space: EmbeddingSpace, settings: EngineSettings, model: str | None, adapter: str | None
) -> LocalEncoder:
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
    family = identify(space.model).family
    adapters = {side: named.adapter(side) for side in PromptType}
    parts = ModelParts(files, adapters, family, settings, remote_code=with_code)
    now = space_now(space, parts, known_metric=family.metric if family else "")
    encoder = LocalEncoder(now, parts)
    if now == space:
        encoder.check(parts.first)
        if settings.one_query:  # while the index is read
            parts.runtime(parts.first).start()
            encoder.tokenizer(parts.first)
    return encoder


def require_weights(space: EmbeddingSpace, files: Located) -> None:
    """Refuse a model other than that of the space; the error lists all known differences."""
    if files.digest == space.weights_digest:
        return
    other = replace(space, model=files.name, revision=files.revision, weights_digest=files.digest)
    with suppress(ModelUnavailableError):
        spec = resolve(identify(files.name), space.task)
        other = replace(
            other,
            query_prompt=spec.prompt(PromptType.QUERY),
            document_prompt=spec.prompt(PromptType.DOCUMENT),
            query_adapter=spec.adapter(PromptType.QUERY),
            document_adapter=spec.adapter(PromptType.DOCUMENT),
            suffix=spec.suffix,
        )
    require_same_space(space, other, hint=OTHER_MODEL_HINT)


def _require_folders(space: EmbeddingSpace) -> None:
    """Refuse an index whose model or adapter was moved; the hint says how to name its new folder.

    Raises:
        ModelUnavailableError: the folder does not exist.
    """
    for kind, name, option in (
        ("model", space.model, "--model"),
        ("adapter", space.document_adapter, "--adapter"),
    ):
        if Path(name).is_absolute() and not Path(name).is_dir():
            raise ModelUnavailableError(
                f"the folder of the index's {kind} does not exist: {name}",
                hint=f"if it was moved, name its new folder: {option} FOLDER; it is compared with "
                "what the index was made with",
            )


def _files_of(space: EmbeddingSpace, settings: EngineSettings) -> tuple[Located, bool]:
    """Return the model's files, with its own code if the space includes it, and whether it does."""
    hub, revision, trusted = settings.hub, space.revision or None, settings.trust_remote_code
    files = hub.locate(space.model, revision=revision, with_code=trusted)
    if files.digest != space.weights_digest and not trusted:
        at = revision or files.revision
        with_code = hub.locate(space.model, revision=at, with_code=True)
        if with_code.digest == space.weights_digest:  # the compiled form may not need the code
            return with_code, True
    return files, trusted


def _base(request: EncoderRequest) -> str:
    """Return the model to use if none is named: the base of the given adapter, or "minilm".

    Raises:
        ModelUnavailableError: the adapter names no base.
    """
    if not request.stated.adapter:
        return BUNDLED
    adapter = find_adapter(request.stated.adapter, None, request.settings.hub)
    if not adapter.base:
        raise ModelUnavailableError(
            f"the adapter {adapter.name!r} does not say which model it was trained on",
            hint="name its base with --model",
        )
    request.settings.notify(f"the base of the adapter {adapter.name} is {adapter.base}")
    return adapter.base
