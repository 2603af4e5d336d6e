"""Builds the embedding space of a model on this machine from the files that were opened.

`space_of` builds the space of a new index, `space_now` that of an existing index whose model is
opened again.
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
        parts: the opened files; the model is loaded to find its pooling and its length.
        dim: the dimension of a vector, after it was shortened.
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
    """Return the space of an index, updated to the present state of its model and adapters.

    If the result differs from `space`, the guard refuses the model. The model is not loaded if its
    files differ already.

    Args:
        space: the space of the index.
        parts: the opened files.
        known_metric: the metric of the model in models.toml; "" if it has none.
    """
    now = replace(space, **_identity(parts))
    # An index may have been built before models.toml had the metric. If the index has the inner
    # product, the user may have chosen that, which the model cannot contradict.
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
    """The fields of a space that identify the files of its model and adapters."""

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
