"""Four texts, three queries, the text that each is for, and its rank by a model's vectors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from taskembed.encoding.load import load_encoder
from taskembed.encoding.settings import EngineSettings
from taskembed.space import PromptType, Task

E5 = "intfloat/e5-small-v2"
TEXTS = {
    "fox": "the quick brown fox",
    "dog": "the lazy dog",
    "wizard": "seven wizards brew jinxed potions",
    "code": "def add(left, right): return left + right",
}
QUERIES = {"q1": "quick fox", "q2": "lazy", "q3": "potions"}
RELEVANT = {"q1": "fox", "q2": "dog", "q3": "wizard"}


def write(path: Path, records: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def settings(cache: Path) -> EngineSettings:
    return EngineSettings(device="cpu", precision="fp32", offline=True, cache=cache)


def ranks(cache: Path, *, swapped: bool = False, task: Task = Task.RETRIEVAL) -> list[int]:
    """Return the rank of each query's document, computed here from the vectors."""
    encoder = load_encoder(E5, task, settings=settings(cache))
    sides = [PromptType.QUERY, PromptType.DOCUMENT]
    of_queries, of_documents = reversed(sides) if swapped else sides
    queries = encoder.encode(list(QUERIES.values()), of_queries).vectors
    documents = encoder.encode(list(TEXTS.values()), of_documents).vectors
    names = list(TEXTS)
    order = np.argsort(-(queries @ documents.T), axis=1)
    return [
        [names[row] for row in its_order].index(RELEVANT[query]) + 1
        for query, its_order in zip(QUERIES, order, strict=True)
    ]
