"""Texts to unit vectors of one space: the model's files, its prompts, an engine.

    encoder = load_encoder("minilm", Task.RETRIEVAL)
    vectors, truncated = encoder.encode(["what is a comet?"], PromptType.QUERY)

A model is loaded by sentence-transformers once; from then on its compiled form is used, which needs
no torch. The space is written from what was loaded, never from the words of a command line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from platformdirs import user_cache_path

from taskembed import __version__
from taskembed.compiled import CompiledModel, entry_path, read_entry, write_entry
from taskembed.errors import ModelUnavailableError, UsageError
from taskembed.modelfiles import BUNDLED, ModelFiles, find_model, saved_prompts
from taskembed.models import ModelSpec, find_family, resolve
from taskembed.space import EmbeddingSpace, PromptType, Task
from taskembed.template import DEFAULT_TEMPLATE
from taskembed.tokens import Batch, PromptTokenizer, Tokens, batches, load_tokenizer
from taskembed.vectors import Encoded, Flags, FloatRows

PROMPT_EXCLUDED = ", prompt excluded"  # the end of `EmbeddingSpace.pooling` of such a model
TOKENIZED_AT_ONCE = 256  # texts: while the engine runs on some, a thread tokenises the next


class Engine(Protocol):
    """What runs a model on batches."""

    name: str
    precision: str
    token_budget: int

    def run(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch, FloatRows]]:
        """Yield each batch with float32[n, dim], in any order."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Where and how a model runs; none of it is part of the space.

    Attributes:
        device: "auto", "cpu", "cuda", "mps"; auto is an accelerator when there is one.
        precision: "auto", "fp32", "bf16", "fp16"; auto is bf16 where the device computes with it.
        threads: of the CPU; None for all that the process may use.
        one_query: made ready for one short text, on the CPU unless a device is named: starting
            torch takes longer than a query.
        offline: never use the network.
        cache: the folder for compiled models; None for the user's.
        notify: told, once, what takes long and what is slower than it could be.
    """

    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    one_query: bool = False
    offline: bool = False
    cache: Path | None = None
    notify: Callable[[str], None] = lambda _: None

    @property
    def cache_folder(self) -> Path:
        """The folder for compiled models."""
        return self.cache or user_cache_path("taskembed")


class TextEncoder:
    """The encoder of one space. Its engine starts at the first text."""

    def __init__(
        self,
        space: EmbeddingSpace,
        compiled: CompiledModel,
        start_engine: Callable[[], Engine],
    ) -> None:
        self._space = space
        self._tokenizer_json = compiled.tokenizer_json
        self._start_engine = start_engine
        self._engine: Engine | None = None
        self._tokenizers: dict[PromptType, PromptTokenizer] = {}

    @property
    def space(self) -> EmbeddingSpace:
        """Where the vectors live."""
        return self._space

    @property
    def made_by(self) -> Mapping[str, str]:
        """The engine and its precision; nothing when no text was encoded."""
        if self._engine is None:
            return {}
        return {
            "engine": self._engine.name,
            "precision": self._engine.precision,
            "taskembed": __version__,
        }

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        """Return unit vectors, float32[n, dim], and which texts were cut; row i is of texts[i]."""
        vectors = np.empty((len(texts), self._space.dim), dtype=np.float32)
        truncated = np.zeros(len(texts), dtype=np.bool_)
        for batch, rows in self.engine.run(self._batches(texts, prompt_type, truncated)):
            vectors[batch.rows] = rows
        # The reference computes in fp32: a model's own normalisation may have been in bf16.
        with np.errstate(invalid="ignore"):  # a vector without length becomes NaN: see guard.py
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return Encoded(vectors, truncated)

    @property
    def engine(self) -> Engine:
        """The engine, started at the first use."""
        if self._engine is None:
            self._engine = self._start_engine()
        return self._engine

    def tokenizer(self, prompt_type: PromptType) -> PromptTokenizer:
        """Return the tokenizer of a side, with its prompt."""
        if prompt_type not in self._tokenizers:
            self._tokenizers[prompt_type] = PromptTokenizer(
                load_tokenizer(self._tokenizer_json),
                prompt=self._space.prompt(prompt_type),
                suffix=self._space.suffix,
                max_length=self._space.max_length,
                prompt_in_pooling=PROMPT_EXCLUDED not in self._space.pooling,
            )
        return self._tokenizers[prompt_type]

    def _batches(
        self, texts: Sequence[str], prompt_type: PromptType, truncated: Flags
    ) -> Iterator[Batch]:
        """Yield batches of texts of about one length; note in `truncated` which were cut."""
        items = _tokenized_ahead(texts, self.tokenizer(prompt_type), truncated)
        return batches(items, self.engine.token_budget)


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
    model: str = BUNDLED,
    task: Task = Task.RETRIEVAL,
    *,
    revision: str | None = None,
    query_prompt: str | None = None,
    document_prompt: str | None = None,
    template: str = str(DEFAULT_TEMPLATE),
    settings: EngineSettings | None = None,
) -> TextEncoder:
    """Return the encoder of a model for a task, with the right prompt for either side.

    Args:
        model: "minilm", a folder, or a Hugging Face id.
        task: what the vectors are for.
        revision: a branch, tag or commit of a Hugging Face repository.
        query_prompt: stated instead of the known one; "" for none.
        document_prompt: stated instead of the known one; "" for none.
        template: how documents' fields become their texts: a part of the space.
        settings: where and how the model runs.

    Raises:
        ModelUnavailableError: the model cannot be loaded, or knows no prompts for the task.
    """
    settings = settings or EngineSettings()

    def resolved(saved: Mapping[str, str] | None) -> ModelSpec:
        return resolve(
            model,
            task,
            query_prompt=query_prompt,
            document_prompt=document_prompt,
            saved_prompts=saved,
        )

    if find_family(model):
        spec = resolved(None)
        _require_loadable(spec)  # a refusal comes before a download
        files = _files(model, revision, settings)
    else:
        files = _files(model, revision, settings)
        spec = resolved(saved_prompts(files.folder))
    return _encoder(files, spec, template, settings)


def load_encoder_of(space: EmbeddingSpace, settings: EngineSettings | None = None) -> TextEncoder:
    """Return the encoder of an index's space: its model and its prompts, whatever is known today.

    The space of the encoder is that of the model as it is now: when its weights have changed, it
    differs, and the guard refuses it.

    Raises:
        ModelUnavailableError: the model cannot be loaded.
    """
    settings = settings or EngineSettings()
    spec = resolve(
        space.model,
        space.task,
        query_prompt=space.query_prompt,
        document_prompt=space.document_prompt,
    )
    files = _files(space.model, space.revision or None, settings)
    return _encoder(files, replace(spec, suffix=space.suffix), space.template, settings)


def _files(model: str, revision: str | None, settings: EngineSettings) -> ModelFiles:
    return find_model(
        model,
        cache=settings.cache_folder,
        revision=revision,
        offline=settings.offline,
        notify=settings.notify,
    )


def _encoder(
    files: ModelFiles, spec: ModelSpec, template: str, settings: EngineSettings
) -> TextEncoder:
    device = _device(settings)
    compiled = _compiled(files, device, settings)
    facts = compiled.facts
    pooled = facts.prompt_in_pooling and spec.prompt_in_pooling
    space = EmbeddingSpace(
        model=files.name,
        revision=files.revision,
        weights_digest=files.digest,
        adapter="",
        adapter_digest="",
        task=spec.task,
        query_prompt=spec.query_prompt,
        document_prompt=spec.document_prompt,
        suffix=spec.suffix,
        pooling=facts.pooling if pooled else facts.pooling + PROMPT_EXCLUDED,
        max_length=facts.max_length,
        dim=facts.dim,
        truncation="none",
        normalize=True,
        metric="cosine",
        template=template,
    )
    return TextEncoder(space, compiled, lambda: _start_engine(files, compiled, device, settings))


def _require_loadable(spec: ModelSpec) -> None:
    """Refuse what would load and be wrong.

    Raises:
        ModelUnavailableError: the model needs what is not supported yet.
    """
    if spec.hosted:
        why = "is behind a server's interface, which is not supported yet"
    elif spec.query_adapter or spec.document_adapter:
        why = f"needs its adapter {spec.document_adapter!r} for it, which is not supported yet"
    elif spec.remote_code:
        why = "needs code of its own to be loaded, which is not run"
    else:
        return
    raise ModelUnavailableError(
        f"{spec.model} {why}", hint="`taskembed models` lists the models and what they need"
    )


def _device(settings: EngineSettings) -> str:
    """Return "cpu", "cuda" or "mps"; torch is imported only when there may be an accelerator."""
    wanted = settings.device
    if wanted == "cpu" or (wanted == "auto" and (settings.one_query or not _may_accelerate())):
        return "cpu"
    from taskembed.engines.torch import choose_device  # torch: 2 s

    try:
        return choose_device(wanted)
    except ValueError as error:
        raise UsageError(str(error), hint="--device auto takes the best that there is") from error


def _cores() -> int | None:
    """Return how many cores the process may use; None where the system does not say."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def _may_accelerate() -> bool:
    return sys.platform == "darwin" or Path("/dev/nvidiactl").exists()


def _compiled(files: ModelFiles, device: str, settings: EngineSettings) -> CompiledModel:
    """Return the compiled model from the cache, or compile it and put it there."""
    if device == "cpu":
        from taskembed.engines.openvino import engine_version  # 0.07 s

        engine = engine_version()
    else:
        engine = "torch"
    path = entry_path(settings.cache_folder, files.digest, engine)
    compiled = read_entry(path)
    if compiled is None:
        settings.notify(f"compiling the model {files.name} for this machine; this happens once")
        compiled = _compile(files, device)
        if not write_entry(path, compiled):
            settings.notify(f"{path.parent} cannot be written: the next command compiles again")
    return compiled


def _compile(files: ModelFiles, device: str) -> CompiledModel:
    from taskembed.loader import load_model, to_openvino  # sentence-transformers: 5 s

    model, facts, tokenizer_json = load_model(files)
    if device != "cpu":
        return CompiledModel(facts, tokenizer_json, memoryview(b""))
    blob, reason = to_openvino(model)
    return CompiledModel(replace(facts, fallback=reason), tokenizer_json, memoryview(blob))


def _start_engine(
    files: ModelFiles, compiled: CompiledModel, device: str, settings: EngineSettings
) -> Engine:
    if device == "cpu" and not compiled.facts.fallback:
        from taskembed.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(
            compiled.blob,
            precision=settings.precision,
            threads=settings.threads or _cores(),
            one_query=settings.one_query,
        )
    from taskembed.engines.torch import DTYPES, TorchEngine, choose_precision
    from taskembed.loader import load_model

    if compiled.facts.fallback:
        settings.notify(f"{files.name} runs on torch, slower: {compiled.facts.fallback}")
    precision = choose_precision(settings.precision, device)
    model, _, _ = load_model(files, device=device, dtype=DTYPES[precision])
    return TorchEngine(model, device=device, precision=precision, threads=settings.threads)
