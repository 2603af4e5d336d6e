"""Rerankers: models for the second stage of a search, which read query and document together.

    reranker = load_reranker("BAAI/bge-reranker-v2-m3")
    reranker.scores("what is a comet?", texts)    # float32[n], 0 to 1

A reranker is slower than comparing vectors by orders of magnitude, but more accurate; it scores the
few dozen documents that were found by vectors. The score is the probability of relevance as defined
by the model's authors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from taskembed.activity import doing
from taskembed.encoding._batches import pair_batches
from taskembed.encoding._runtime import Runtime
from taskembed.encoding._source import ModelSource
from taskembed.encoding.facts import Kind
from taskembed.encoding.settings import INT8, EngineSettings
from taskembed.encoding.tokens import PairTokenizer, PromptTokenizer, Tokens
from taskembed.errors import UsageError
from taskembed.models.catalogue import RerankerFamily, find_reranker
from taskembed.vectors import Floats


class Reranker:
    """A reranker; its engine starts at the first query."""

    def __init__(
        self, name: str, runtime: Runtime, family: RerankerFamily, instruction: str
    ) -> None:
        self.name = name
        self._runtime = runtime
        self._family = family
        facts = runtime.compiled.reranker_facts
        self._pair = family.parts(instruction) or facts.pair
        self._takes_types = facts.takes_types
        self._limit = min(facts.max_length, family.max_length or facts.max_length)

    def scores(self, query: str, texts: Sequence[str]) -> Floats:
        """Return the relevance of each text to the query, float32[n], from 0 to 1.

        Raises:
            BadInputError: a text would take too much memory to be tokenised.
            ModelUnavailableError: the model cannot be run.
        """
        tokens = self._tokenize(query, texts)
        order = sorted(range(len(texts)), key=lambda row: len(tokens[row].ids), reverse=True)
        engine = self._runtime.engine
        logits = np.empty(len(texts), np.float64)
        items = ((row, tokens[row]) for row in order)
        made = pair_batches(items, engine.token_budget, with_types=self._takes_types)
        with doing("reranking", unit="documents", total=len(texts)) as step:
            for batch, rows in engine.run(made):
                logits[batch.rows] = rows[:, 0]
                step.done += len(rows)
        # sigmoid(logit / temperature), computed by tanh, which does not overflow
        scaled = np.tanh(logits / self._family.temperature / 2)
        return (0.5 * (scaled + 1)).astype(np.float32)

    def _tokenize(self, query: str, texts: Sequence[str]) -> list[Tokens]:
        with self._runtime.failing():
            if not self._pair:
                return self._pairs.tokenize(query, texts)
            before, between, after = self._pair
            prompted = PromptTokenizer(
                self._runtime.tokenizer,
                prompt=f"{before}{query}{between}",
                suffix=after,
                max_length=self._limit,
                special_tokens=False,
            )
            return prompted.tokenize(texts)

    @cached_property
    def _pairs(self) -> PairTokenizer:
        return PairTokenizer(self._runtime.tokenizer, max_length=self._limit)


def load_reranker(
    model: str,
    *,
    revision: str | None = None,
    instruction: str | None = None,
    settings: EngineSettings | None = None,
) -> Reranker:
    """Return a reranker.

    Args:
        model: a folder, or a Hugging Face id.
        revision: a branch, tag or commit of a Hugging Face repository.
        instruction: the relation of relevant documents to a query, if the model takes one.
        settings: where and how the model runs.

    Raises:
        ModelUnavailableError: the model cannot be loaded, or is not a reranker.
        UsageError: the model takes no instruction.
    """
    settings = settings or EngineSettings()
    if settings.precision == INT8:
        settings.notify(f"note: int8 is for embedding models; the reranker {model} runs as by auto")
        settings = replace(settings, precision="auto")
    family = find_reranker(model)
    if instruction is not None and not family.instruction:
        raise UsageError(f"the reranker {model} takes no instruction")
    with_code = settings.trust_remote_code
    files = settings.hub.locate(model, revision=revision, with_code=with_code)
    source = ModelSource(
        files,
        Kind.RERANKER,
        remote_code=with_code,
        answers=family.answers,
    )
    chosen = instruction if instruction is not None else family.instruction
    return Reranker(files.name, Runtime(source, settings), family, chosen)
