"""Texts to vectors of one space: the model's files, its prompts, an engine.

    encoder = load_encoder("minilm", Task.RETRIEVAL)
    vectors, truncated = encoder.encode(["what is a comet?"], PromptType.QUERY)

A model is loaded by sentence-transformers once; from then on its compiled form is used, which needs
no torch. The space is written from what was loaded, never from the words of a command line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from taskembed.activity import counted_texts
from taskembed.arguments import require_kind, require_positive, require_texts
from taskembed.encoding._shortening import choose_truncation, require_offered, shorten
from taskembed.encoding.cache import Facts
from taskembed.encoding.runtime import Engine, EngineSettings, ModelSource, Runtime
from taskembed.encoding.tokens import PromptTokenizer, Tokens, batches
from taskembed.errors import ModelUnavailableError, UsageError
from taskembed.guard import require_same_space
from taskembed.models.adapters import AdapterFiles, find_adapter, other_purposes
from taskembed.models.files import (
    BUNDLED,
    ModelFiles,
    find_description,
    find_model,
    saved_prompts,
    saved_suffix,
)
from taskembed.models.metric import metric_of, require_metric
from taskembed.models.resolve import ModelSpec, Stated, find_family, resolve
from taskembed.models.stock_views import (
    brings_own_model,
    has_sides,
    is_understood,
    refuse_other_kinds,
)
from taskembed.reading.template import DEFAULT_TEMPLATE, Template
from taskembed.space import COSINE, EmbeddingSpace, PromptType, Task
from taskembed.vectors import Encoded, Flags, FloatRows, Rows, gathered
from taskembed.version import __version__

if TYPE_CHECKING:
    from taskembed.encoding._hosted import HostedEncoder
    from taskembed.encoding.compile.encoders import Loaded

PROMPT_EXCLUDED = ", prompt excluded"  # the end of `EmbeddingSpace.pooling` of such a model
OTHER_MODEL_HINT = (
    "leave out --model to take that of the index; or make another index with --index OTHER"
)
TOKENIZED_AT_ONCE = 256  # texts: while the engine runs on some, a thread tokenises the next


class TextEncoder:
    """The encoder of one space. Its engine starts at the first text."""

    def __init__(self, space: EmbeddingSpace, parts: _Parts) -> None:
        self._space = space
        self._parts = parts
        self._tokenizers: dict[PromptType, PromptTokenizer] = {}
        self._checked: set[PromptType] = set()

    @property
    def space(self) -> EmbeddingSpace:
        """Where the vectors live."""
        return self._space

    @property
    def made_by(self) -> Mapping[str, str]:
        """The engine and its precision; nothing when no text was encoded."""
        engine = self._parts.started
        if engine is None:
            return {}
        return {"engine": engine.name, "precision": engine.precision, "taskembed": __version__}

    def encode(self, texts: Sequence[str], prompt_type: PromptType | str) -> Encoded:
        """Return float32[n, dim], and which texts were cut; row i is of texts[i].

        The vectors have unit length, unless the space's metric is the inner product; or none at
        all, of a text without a token that static embeddings know.

        Args:
            texts: without prompts: that of their side is put before them.
            prompt_type: the side: "query" or "document".

        Raises:
            TypeError: texts is one text, or one of them is none.
            ValueError: a text is not UTF-8, or there is no such side.
        """
        texts = require_texts(texts, "texts")
        slices = counted_texts(self.encode_slices(texts, prompt_type), len(texts))
        return gathered(slices, len(texts), self._space.dim)

    def encode_slices(
        self, texts: Sequence[str], prompt_type: PromptType | str
    ) -> Iterator[tuple[Rows, Encoded]]:
        """Yield each batch of the engine as it is done: its texts' numbers, and what they became.

        The longest texts come first. A batch is a few texts, so that little is lost between two.
        """
        texts, prompt_type = require_texts(texts, "texts"), PromptType(prompt_type)
        self.check(prompt_type)
        return self._encode_on(self._parts.runtime(prompt_type).engine, texts, prompt_type)

    def _encode_on(
        self, engine: Engine, texts: Sequence[str], prompt_type: PromptType
    ) -> Iterator[tuple[Rows, Encoded]]:
        truncated = np.zeros(len(texts), dtype=np.bool_)
        items = _tokenized_ahead(texts, self.tokenizer(prompt_type), truncated)
        for batch, vectors in engine.run(batches(items, engine.token_budget)):
            yield batch.rows, Encoded(self._finished(vectors), truncated[batch.rows])

    def _finished(self, vectors: FloatRows) -> FloatRows:
        """Return the model's own vectors as the space has them: their size, their length."""
        space = self._space
        if space.truncation != "none":
            vectors = shorten(vectors, space.dim, space.truncation, self._parts.files.folder)
        if not space.normalize:
            return np.ascontiguousarray(vectors, dtype=np.float32)
        # The reference computes in fp32: a model's own normalisation may have been in bf16.
        lengths: FloatRows = np.linalg.norm(vectors, axis=1, keepdims=True)
        lengths[lengths == 0] = 1
        with np.errstate(invalid="ignore"):  # what is infinite becomes NaN: see guard.py
            unit: FloatRows = vectors / lengths
        return unit

    def tokenizer(self, prompt_type: PromptType | str) -> PromptTokenizer:
        """Return the tokenizer of a side, with its prompt."""
        prompt_type = PromptType(prompt_type)
        if prompt_type not in self._tokenizers:
            runtime = self._parts.runtime(prompt_type)
            facts, prompt = runtime.compiled.facts, self._space.prompt(prompt_type)
            chat = facts.chat(prompt_type)
            if chat and (self._space.suffix or chat.around(prompt) is None):
                what = "suffix" if self._space.suffix else "prompt"
                raise ModelUnavailableError(
                    f"{self._space.model} puts its texts into a chat template, and that has no "
                    f"place for the {what} of a {prompt_type}",
                    hint=f"--{prompt_type}-prompt '' if it was trained without one",
                )
            with runtime.failing():
                self._tokenizers[prompt_type] = PromptTokenizer(
                    runtime.tokenizer,
                    prompt=prompt,
                    suffix=self._space.suffix,
                    max_length=facts.length(prompt_type),
                    prompt_in_pooling=PROMPT_EXCLUDED not in self._space.pooling,
                    special_tokens=facts.special_tokens,
                    cut_left=facts.cut_left,
                    chat=chat,
                )
        return self._tokenizers[prompt_type]

    def check(self, prompt_type: PromptType) -> None:
        """Compare what becomes of a side's texts with sentence-transformers, once for a cache.

        The other side is compared too when the same compiled model runs it.

        Raises:
            ModelUnavailableError: they differ.
        """
        runtime = self._parts.runtime(prompt_type)
        for side in self._parts.sides_of(runtime):
            if side not in self._checked:
                space, length = self._space, runtime.compiled.facts.length(side)
                path = (side.value, space.prompt(side), space.suffix, space.pooling, space.dim)
                cut = (length, space.truncation, space.normalize)
                runtime.check(repr((*path, *cut)), partial(self._compare, side, long=False))
                runtime.check(repr(("long", *cut)), partial(self._compare, side, long=True))
                self._checked.add(side)
        runtime.forget()

    def _compare(self, side: PromptType, loaded: Loaded, engine: Engine, *, long: bool) -> None:
        from taskembed.encoding.compile.reference import Way, compare, compare_long  # seconds

        if loaded.reference is None:
            return

        def vectors(texts: Sequence[str]) -> FloatRows:
            return gathered(
                self._encode_on(engine, texts, side), len(texts), self._space.dim
            ).vectors

        way = Way(
            name=self._space.model,
            side=side,
            prompt=self._space.prompt(side),
            suffix=self._space.suffix,
            leaves_prompt=loaded.facts.prompt_in_pooling and PROMPT_EXCLUDED in self._space.pooling,
            limit=loaded.facts.length(side),
            tokens=lambda text: self.tokenizer(side).tokenize([text])[0].ids,
            vectors=vectors,
            finish=self._finished,
        )
        (compare_long if long else compare)(loaded.reference, way)


def _tokenized_ahead(
    texts: Sequence[str], tokenizer: PromptTokenizer, truncated: Flags
) -> Iterator[tuple[int, Tokens]]:
    """Yield the number and the tokens of each text, longest first; a thread tokenises ahead."""
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]), reverse=True)
    slices = [order[i : i + TOKENIZED_AT_ONCE] for i in range(0, len(order), TOKENIZED_AT_ONCE)]

    def tokenize(rows: list[int]) -> list[Tokens]:
        return tokenizer.tokenize([texts[row] for row in rows])

    with ThreadPoolExecutor(1) as thread:
        futures = [thread.submit(tokenize, rows) for rows in slices[:2]]
        for position, rows in enumerate(slices):
            tokens = futures.pop(0).result()
            if position + 2 < len(slices):
                futures.append(thread.submit(tokenize, slices[position + 2]))
            truncated[rows] = [item.truncated for item in tokens]
            items = zip(rows, tokens, strict=True)
            yield from sorted(items, key=lambda item: len(item[1].ids), reverse=True)


def load_encoder(  # noqa: PLR0913  # all but the first two are optional and named
    model: str | Path | None = None,
    task: Task | str = Task.RETRIEVAL,
    *,
    revision: str | None = None,
    stated: Stated | None = None,
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
    parts = _Parts(files, spec, settings, remote_code=settings.trust_remote_code)
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
    parts = _Parts(files, named, settings, remote_code=with_code)
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


class _Parts:
    """The files of a space's model and adapters, and the runtime of either side."""

    def __init__(
        self,
        files: ModelFiles,
        spec: ModelSpec | EmbeddingSpace,
        settings: EngineSettings,
        *,
        remote_code: bool,
    ) -> None:
        self.files = files
        self._settings = settings
        self._remote_code = remote_code
        names = {
            PromptType.QUERY: spec.query_adapter,
            PromptType.DOCUMENT: spec.document_adapter,
        }
        found = {name: self._find(name) for name in dict.fromkeys(names.values()) if name}
        self._adapters = {side: found.get(name) for side, name in names.items()}
        self._sided = has_sides(files.folder)
        self._runtimes: dict[tuple[AdapterFiles | None, PromptType | None], Runtime] = {}

    def adapter_name(self, side: PromptType) -> str:
        """Return what is kept of the name of a side's adapter; "" for none."""
        adapter = self._adapters[side]
        return adapter.name if adapter else ""

    def _find(self, name: str) -> AdapterFiles:
        settings = self._settings
        adapter = find_adapter(
            name,
            self.files.folder,
            cache=settings.cache_folder,
            offline=settings.offline,
            notify=settings.notify,
        )
        known = find_family(adapter.base)
        if known is not None and known is not find_family(self.files.name):
            settings.notify(
                f"note: the adapter {name} was trained on {adapter.base}, not {self.files.name}"
            )
        return adapter

    @property
    def adapters(self) -> list[AdapterFiles]:
        """The adapters of the two sides, one of both once."""
        return list(dict.fromkeys(adapter for adapter in self._adapters.values() if adapter))

    @property
    def adapter_digest(self) -> str:
        """Sha256 over the adapters of both sides; "" when there are none."""
        digests = [adapter.digest if adapter else "" for adapter in self._adapters.values()]
        return hashlib.sha256("\0".join(digests).encode()).hexdigest() if any(digests) else ""

    @property
    def first(self) -> PromptType:
        """The side that is needed first."""
        return PromptType.QUERY if self._settings.one_query else PromptType.DOCUMENT

    @property
    def facts(self) -> Facts:
        """What the model says of itself."""
        return self.runtime(self.first).compiled.facts

    def runtime(self, prompt_type: PromptType) -> Runtime:
        """Return what runs a side; both sides' is one, when they are the same model."""
        adapter, side = key = self._key(prompt_type)
        if key not in self._runtimes:
            source = ModelSource(
                self.files, adapter=adapter, remote_code=self._remote_code, side=side
            )
            self._runtimes[key] = Runtime(source, self._settings)
        return self._runtimes[key]

    def sides_of(self, runtime: Runtime) -> list[PromptType]:
        """Return the sides that a runtime runs."""
        return [side for side in PromptType if self._runtimes.get(self._key(side)) is runtime]

    def _key(self, side: PromptType) -> tuple[AdapterFiles | None, PromptType | None]:
        return self._adapters[side], side if self._sided else None

    @property
    def started(self) -> Engine | None:
        """An engine that was started; None when no text was encoded."""
        return next((item.started for item in self._runtimes.values() if item.started), None)


def _base(stated: Stated | None, settings: EngineSettings) -> str:
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


def _require_end_token(spec: ModelSpec, parts: _Parts) -> None:
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
    stated: Stated | None,
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
