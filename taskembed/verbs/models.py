"""Describes the known models, for people and as JSON; nothing is loaded or downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from taskembed.encoding.vendors import SERVERS
from taskembed.models.catalogue import (
    Family,
    RerankerFamily,
    families,
    find_reranker,
    identify,
    rerankers,
)
from taskembed.space import COSINE, PromptType, Task


@dataclass(frozen=True, slots=True)
class KnownModels:
    """The known models that match a request.

    Attributes:
        families: families of encoders.
        rerankers: families of rerankers.
        is_exact: whether the request named exactly one model.
    """

    families: Sequence[Family]
    rerankers: Sequence[RerankerFamily]
    is_exact: bool = False

    def to_json(self) -> list[dict[str, object]]:
        """Return a description of each family."""
        return [*map(describe_family, self.families), *map(describe_reranker, self.rerankers)]


def find_known(name: str | None = None, task: Task | None = None) -> KnownModels:
    """Return the known models that have a name, or whose names contain it.

    Args:
        name: the name of a model, or part of it; None for all models.
        task: only models with known prompts or adapters for this task, and no rerankers.
    """
    family = identify(name).family if name else None
    reranker = find_reranker(name) if name else None
    if family or (reranker and reranker.name):
        judges = [reranker] if reranker and reranker.name else []
        return KnownModels([family] if family else [], judges, is_exact=True)
    part = name or ""
    return KnownModels(
        [
            item
            for item in families()
            if (task is None or task in item.tasks) and _is_like(part, item)
        ],
        [item for item in rerankers() if task is None and _is_like(part, item)],
    )


def describe_family(family: Family) -> dict[str, object]:
    """Return the facts about a family of models as a JSON object."""
    tasks = {}
    for task, sides in family.tasks.items():
        prompts = {f"{side}_prompt": sides[side].prompt for side in PromptType}
        others = {f"{side}_adapter": sides[side].adapter for side in PromptType}
        others |= {f"{side}_value": sides[side].value for side in PromptType}
        tasks[task.value] = prompts | {name: text for name, text in others.items() if text}
    return {
        "family": family.name,
        "models": dict(family.models),
        "aliases": dict(family.aliases),
        "licence": family.licence,
        "commercial_use": family.commercial,
        "needs": needs_of(family),
        "max_length": family.max_length,
        "metric": family.metric or COSINE,
        "truncation": family.truncation,
        "truncated_dims": list(family.truncated_dims),
        "suffix": family.suffix,
        "takes_instruction": bool(family.template),
        "source": family.source,
        "note": family.note,
        "tasks": tasks,
    }


def describe_reranker(family: RerankerFamily) -> dict[str, object]:
    """Return the facts about a family of rerankers as a JSON object."""
    return {
        "reranker": family.name,
        "models": list(family.models),
        "licence": family.licence,
        "commercial_use": family.commercial,
        "instruction": family.instruction,
        "source": family.source,
        "note": family.note,
    }


def needs_of(family: Family) -> str:
    """Return what a family's models need: the variable of an API key, or an option."""
    if family.hosted:
        return SERVERS[family.server].key
    if family.remote_code and family.has_adapters:
        return "(refused)"  # its adapters are inside its code: see encoding/load.py
    return "--trust-remote-code" if family.remote_code else ""


def _is_like(part: str, family: Family | RerankerFamily) -> bool:
    """Return whether the name of the family, or of one of its models, contains a text."""
    return any(part.lower() in name.lower() for name in (family.name, *family.models))
