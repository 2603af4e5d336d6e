"""The encoder of a model that runs on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from taskembed.activity import counted_texts
from taskembed.arguments import require_texts
from taskembed.encoding._batches import batches
from taskembed.encoding._engines import Engine
from taskembed.encoding._parts import ModelParts
from taskembed.encoding._shortening import shorten
from taskembed.encoding.tokens import PromptTokenizer, Tokens
from taskembed.errors import ModelUnavailableError, TextTooLongError
from taskembed.space import EmbeddingSpace, PromptType
from taskembed.vectors import Encoded, FloatRows, Rows, gathered
from taskembed.version import __version__

if TYPE_CHECKING:
    from taskembed.encoding.compile.encoders import Loaded

# suffix of `EmbeddingSpace.pooling` if prompts are not pooled
PROMPT_EXCLUDED = ", prompt excluded"
TOKENIZED_AT_ONCE = 256  # texts; a thread tokenises them while the engine encodes others


class LocalEncoder:
    """The encoder of a space; its engine starts at the first text."""

    def __init__(self, space: EmbeddingSpace, parts: ModelParts) -> None:
        self._space = space
        self._parts = parts
        self._tokenizers: dict[PromptType, PromptTokenizer] = {}
        self._checked: set[PromptType] = set()

    @property
    def space(self) -> EmbeddingSpace:
        """The embedding space of the vectors."""
        return self._space

    @property
    def made_by(self) -> Mapping[str, str]:
        """The engine and its precision; empty before a text is encoded."""
        engine = self._parts.started
        if engine is None:
            return {}
        made_by = {"engine": engine.name, "precision": engine.precision, "taskembed": __version__}
        quantized = self._parts.facts.quantized
        return {**made_by, "quantized": quantized} if quantized else made_by

    def encode(self, texts: Sequence[str], prompt_type: PromptType | str) -> Encoded:
        """Return vectors, float32[n, dim], and truncations, bool[n]; row i belongs to texts[i].

        The vectors have unit length, unless the space's metric is the inner product. With
        static embeddings, a text without a known token has a vector of zeros.

        Args:
            texts: the texts, without prompts; the prompt of their side is put before them.
            prompt_type: the side: "query" or "document".

        Raises:
            TypeError: `texts` is a single string, or an item is not a string.
            TextTooLongError: some texts would take too much memory to be tokenised.
            ModelUnavailableError: the model cannot be run, or fails the comparison with
                sentence-transformers.
            ValueError: a text is not UTF-8, or `prompt_type` is not a side.
        """
        texts = require_texts(texts, "texts")
        slices = counted_texts(self.encode_slices(texts, prompt_type), len(texts))
        return gathered(slices, len(texts), self._space.dim)

    def encode_slices(
        self, texts: Sequence[str], prompt_type: PromptType | str
    ) -> Iterator[tuple[Rows, Encoded]]:
        """Yield each batch when it is done: int64[m] positions of texts, and the m encoded texts.

        The longest texts come first. Batches are small, so that an interruption loses few texts.
        It raises the errors of `encode`.
        """
        texts, prompt_type = require_texts(texts, "texts"), PromptType(prompt_type)
        self.check(prompt_type)
        return self._encode_on(self._parts.runtime(prompt_type).engine, texts, prompt_type)

    def _encode_on(
        self, engine: Engine, texts: Sequence[str], prompt_type: PromptType
    ) -> Iterator[tuple[Rows, Encoded]]:
        items = _tokenized_ahead(texts, self.tokenizer(prompt_type))
        for batch, vectors in engine.run(batches(items, engine.token_budget)):
            yield batch.rows, Encoded(self._finished(vectors), batch.truncated)

    def _finished(self, vectors: FloatRows) -> FloatRows:
        """Return the model's vectors, shortened and normalised as the space requires."""
        space = self._space
        if space.truncation != "none":
            vectors = shorten(vectors, space.dim, space.truncation, self._parts.files.folder)
        if not space.normalize:
            return np.ascontiguousarray(vectors, dtype=np.float32)
        # as in the reference, in fp32: the model may have normalised in bf16
        lengths: FloatRows = np.linalg.norm(vectors, axis=1, keepdims=True)
        lengths[lengths == 0] = 1
        with np.errstate(invalid="ignore"):  # infinite numbers become NaN, which guard.py refuses
            unit: FloatRows = vectors / lengths
        return unit

    def tokenizer(self, prompt_type: PromptType | str) -> PromptTokenizer:
        """Return the tokenizer of a side, with its prompt.

        Raises:
            ModelUnavailableError: the model cannot be loaded, or its chat template has no place for
                the prompt or the suffix.
        """
        prompt_type = PromptType(prompt_type)
        if prompt_type not in self._tokenizers:
            runtime = self._parts.runtime(prompt_type)
            facts, prompt = runtime.compiled.encoder_facts, self._space.prompt(prompt_type)
            chat = facts.chat(prompt_type)
            if chat and (self._space.suffix or chat.around(prompt) is None):
                what = "suffix" if self._space.suffix else "prompt"
                raise ModelUnavailableError(
                    f"{self._space.model} puts its texts into a chat template, which has no "
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

    def document_tokens(self) -> PromptTokenizer:
        """Return the tokenizer of documents, whose token positions are used to cut chunks.

        Raises:
            ModelUnavailableError: the token positions that the tokenizer reports are wrong.
        """
        tokenizer = self.tokenizer(PromptType.DOCUMENT)
        if reason := tokenizer.offsets_fault():
            raise ModelUnavailableError(
                f"the tokenizer of {self._space.model} reports wrong positions of tokens, "
                f"so texts cannot be cut into chunks: {reason}",
                hint="index without --chunk, or with another model",
            )
        return tokenizer

    def check(self, prompt_type: PromptType) -> None:
        """Compare the encoding of a side's texts with sentence-transformers, once for each cache.

        The other side is compared too if the same compiled model runs it.

        Raises:
            ModelUnavailableError: tokens or vectors differ.
        """
        runtime = self._parts.runtime(prompt_type)
        for side in self._parts.sides_of(runtime):
            if side not in self._checked:
                space, length = self._space, runtime.compiled.encoder_facts.length(side)
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
        facts = self._parts.runtime(side).compiled.encoder_facts

        def vectors(texts: Sequence[str]) -> FloatRows:
            return gathered(
                self._encode_on(engine, texts, side), len(texts), self._space.dim
            ).vectors

        way = Way(
            name=self._space.model,
            side=side,
            prompt=self._space.prompt(side),
            suffix=self._space.suffix,
            leaves_prompt=facts.prompt_in_pooling and PROMPT_EXCLUDED in self._space.pooling,
            limit=facts.length(side),
            tokens=lambda text: self.tokenizer(side).tokenize([text])[0].ids,
            vectors=vectors,
            finish=self._finished,
        )
        (compare_long if long else compare)(loaded.reference, way)


def _tokenized_ahead(
    texts: Sequence[str], tokenizer: PromptTokenizer
) -> Iterator[tuple[int, Tokens]]:
    """Yield the position and the tokens of each text, longest first; a thread tokenises ahead."""
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]), reverse=True)
    slices = [order[i : i + TOKENIZED_AT_ONCE] for i in range(0, len(order), TOKENIZED_AT_ONCE)]

    def tokenize(rows: list[int]) -> list[Tokens]:
        try:
            return tokenizer.tokenize([texts[row] for row in rows])
        except TextTooLongError as error:
            raise TextTooLongError(texts, [rows[at] for at in error.reasons]) from None

    with ThreadPoolExecutor(1) as thread:
        futures = [thread.submit(tokenize, rows) for rows in slices[:2]]
        for position, rows in enumerate(slices):
            tokens = futures.pop(0).result()
            if position + 2 < len(slices):
                futures.append(thread.submit(tokenize, slices[position + 2]))
            items = zip(rows, tokens, strict=True)
            yield from sorted(items, key=lambda item: len(item[1].ids), reverse=True)
