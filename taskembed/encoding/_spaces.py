"""The embedding space of a model of this machine, written from the files that were opened.

`space_of` writes that of a new index, `space_now` that of an index whose model is opened again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypedDict

from taskembed.encoding._local import PROMPT_EXCLUDED
from taskembed.encoding._parts import ModelParts
from taskembed.models.metric import metric_of
from taskembed.models.resolve import ModelSpec
from taskembed.space import COSINE, EmbeddingSpace, PromptType


def space_of(
    spec: ModelSpec, parts: ModelParts, *, dim: int, truncation: str, metric: str
) -> EmbeddingSpace:
    """Return the space of a model for a new index.

    Args:
        spec: the prompts and the suffix.
        parts: the opened files; the model is loaded to see its pooling and its length.
        dim: numbers in a vector, after it was shortened.
        truncation: how a vector is shortened to `dim`: "none", "slice", ...
        metric: "cosine" or "dot".
    """
    facts = parts.facts
    is_prompt_pooled = facts.prompt_in_pooling and spec.prompt_in_pooling
    return EmbeddingSpace(
        **_identity(parts),
        task=spec.task,
        query_prompt=spec.prompt(PromptType.QUERY),
        document_prompt=spec.prompt(PromptType.DOCUMENT),
        suffix=spec.suffix,
        pooling=facts.pooling if is_prompt_pooled else facts.pooling + PROMPT_EXCLUDED,
        max_length=facts.max_length,
        dim=dim,
        truncation=truncation,
        normalize=metric == COSINE,
        metric=metric,
    )


def space_now(space: EmbeddingSpace, parts: ModelParts, *, known_metric: str) -> EmbeddingSpace:
    """Return the space of an index with what its model and adapters are now.

    Where the result differs from `space`, the guard refuses the model. The model is loaded only if
    its files do not differ already.

    Args:
        space: of the index.
        parts: the opened files.
        known_metric: the metric that models.toml has for the model; "" for none.
    """
    now = replace(space, **_identity(parts))
    # An index may be older than what is known of the metric. That it has the inner product may be
    # its user's word, which the model cannot contradict.
    metric = metric_of(parts.files.folder, known=known_metric, cut=space.truncation != "none")
    if space.metric == COSINE and metric != COSINE:
        now = replace(now, normalize=False, metric=metric)
    if space.differences(now):
        return now
    facts = parts.facts
    excluded = PROMPT_EXCLUDED if space.pooling.endswith(PROMPT_EXCLUDED) else ""
    return replace(
        now,
        pooling=facts.pooling + excluded,
        max_length=facts.max_length,
        dim=facts.dim if space.truncation == "none" else space.dim,
    )


class _Identity(TypedDict):
    """The fields of a space that say which files it is made with."""

    model: str
    revision: str
    weights_digest: str
    query_adapter: str
    document_adapter: str
    adapter_digest: str


def _identity(parts: ModelParts) -> _Identity:
    return {
        "model": parts.files.name,
        "revision": parts.files.revision,
        "weights_digest": parts.files.digest,
        "query_adapter": parts.adapter_name(PromptType.QUERY),
        "document_adapter": parts.adapter_name(PromptType.DOCUMENT),
        "adapter_digest": parts.adapter_digest,
    }
