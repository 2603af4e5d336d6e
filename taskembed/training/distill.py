"""Rates documents with rerankers, as examples from which `train` distils an embedding model.

    pairs (anchor, positive) -> candidates of each query: its positive, and the nearest others
    candidates -> scores by each teacher -> preferences -> ratings (see _ratings.py)
    ratings -> JSONL: {"query": ..., "documents": [...], "ratings": [...], "relevant": 0,
       "teachers": [...]}

`taskembed train` reads the file. For each query, it minimises the KL divergence between two
distributions over the documents: the softmax of the ratings (Luce 1959), and that of the cosines.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from taskembed.encoding.load import load_encoder
from taskembed.encoding.reranker import load_reranker
from taskembed.encoding.settings import EngineSettings
from taskembed.errors import BadInputError, BadVectorError, UsageError, os_errors
from taskembed.index.kinds.flat import Flat
from taskembed.reading.examples import (
    FEWEST_RATED,
    Example,
    ExampleKind,
    rated_example,
    read_examples,
)
from taskembed.space import PromptType, Task
from taskembed.training._ratings import fit_ratings, preferences
from taskembed.verbs.protocols import Encoder, Scorer

RATING_DIGITS = 6  # digits after the decimal point, in the file
_OTHER_OUTPUT = "remove it, or give another --output"
_LINE_START = b'{"query": '  # beginning of every line of a file of ratings


@dataclass(frozen=True, slots=True)
class Distilled:
    """The result of `distill`.

    Attributes:
        queries: number of queries in the file.
        before: number of queries that the file had before this run.
        agreed: share of the queries whose positive has the best rating, 0 to 1.
    """

    queries: int
    before: int
    agreed: float


def distill_by_name(  # noqa: PLR0913  # all but the first two are named
    pairs: Path,
    output: Path,
    *,
    teachers: Sequence[str],
    model: str | None = None,
    task: Task = Task.RETRIEVAL,
    settings: EngineSettings | None = None,
    candidates: int,
    limit: int = 0,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Distilled:
    """Open the models by their names, and call `distill`.

    Args:
        pairs: a file of anchors and positives.
        output: a JSONL file; a run that was stopped continues where it ends.
        teachers: the names of rerankers: Hugging Face ids, or folders.
        model: the name of the model that finds the candidates; None for "minilm".
        task: the task of that model's prompts.
        settings: where and how the models run.
        candidates: number of documents for each query, including its positive.
        limit: use only the first `limit` queries; 0 for all.
        on_progress: called with the number of queries that are done.

    Raises:
        ModelUnavailableError: a model cannot be loaded.
        TaskembedError: an error of `distill`.
    """
    return distill(
        pairs,
        load_encoder(model, task, settings=settings),
        {name: load_reranker(name, settings=settings) for name in teachers},
        output,
        candidates=candidates,
        limit=limit,
        on_progress=on_progress,
    )


def distill(  # noqa: PLR0913  # each is one thing that it needs
    pairs: Path,
    encoder: Encoder,
    teachers: Mapping[str, Scorer],
    output: Path,
    *,
    candidates: int,
    limit: int = 0,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Distilled:
    """Rate the candidates of each query and write the ratings; an incomplete file is continued.

    Args:
        pairs: a file of anchors and positives.
        encoder: finds the candidates among all positives.
        teachers: rerankers by name; their preferences are averaged.
        output: a JSONL file; a run that was stopped continues where it ends.
        candidates: number of documents of each query, its positive among them.
        limit: use only the first `limit` queries; 0 for all.
        on_progress: called with the number of queries that are done.

    Raises:
        BadInputError: an example cannot be used, or there are too few documents.
        UsageError: the file has ratings of other pairs, candidates or teachers.
        BadVectorError: a teacher's score is not a number.
        StorageError: the file cannot be written.
    """
    everything = read_examples(pairs, ExampleKind.PAIRS)[1]
    examples = everything[:limit] if limit else everything
    documents = list(dict.fromkeys(example.texts[1] for example in examples))
    if candidates < FEWEST_RATED or len(documents) < candidates:
        raise BadInputError(
            f"{candidates} candidates of {len(documents):,} documents cannot be compared",
            what=str(pairs),
        )
    queries = [example.texts[0] for example in everything]
    begun = _continued(output, queries, candidates, list(teachers))
    before = len(begun)
    best = sum(line["ratings"][0] == max(line["ratings"]) for line in begun)
    if before >= len(examples):
        return Distilled(before, before, best / before)
    chosen = _candidates(examples, documents, encoder, candidates)
    with os_errors(output):
        stream = output.open("ab")
    with stream:
        for number, (example, texts) in enumerate(zip(examples, chosen, strict=True), 1):
            if number <= before:
                continue
            line = _rated(example.texts[0], texts, teachers)
            best += int(np.argmax(line["ratings"]) == 0)
            with os_errors(output):
                stream.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
                stream.flush()
            on_progress(number)
    return Distilled(len(examples), before, best / len(examples))


def _candidates(
    examples: Sequence[Example], documents: Sequence[str], encoder: Encoder, count: int
) -> Iterator[list[str]]:
    """Yield the candidates of each example: its positive, then the nearest other documents."""
    vectors = encoder.encode(documents, PromptType.DOCUMENT).vectors
    queries = encoder.encode([example.texts[0] for example in examples], PromptType.QUERY).vectors
    _, nearest = Flat(vectors).search(queries, count)
    rows = {document: row for row, document in enumerate(documents)}
    for example, its_nearest in zip(examples, nearest, strict=True):
        positive = rows[example.texts[1]]
        others = [int(row) for row in its_nearest if row != positive]
        yield [documents[row] for row in (positive, *others[: count - 1])]


def _rated(query: str, documents: list[str], teachers: Mapping[str, Scorer]) -> dict[str, Any]:
    """Return a line of the file: the documents of a query with one rating each."""
    scores = np.asarray([teacher.scores(query, documents) for teacher in teachers.values()])
    if not np.isfinite(scores).all():
        raise BadVectorError(f"the score of a teacher is not a number, for the query {query!r}")
    ratings = fit_ratings(preferences(scores.astype(np.float64)))
    return {
        "query": query,
        "documents": documents,
        "ratings": [round(rating, RATING_DIGITS) for rating in ratings.tolist()],
        "relevant": 0,
        "teachers": list(teachers),
    }


def _continued(
    output: Path, queries: Sequence[str], candidates: int, teachers: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the lines that the file has already, and remove an unfinished last line."""
    with os_errors(output):
        content = output.read_bytes() if output.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    unfinished = content[len(whole) :]
    lines = [_parsed(text) for text in whole.splitlines()]
    rated = [line.get("query") for line in lines]
    if rated != queries[: len(lines)] or not _LINE_START.startswith(unfinished[: len(_LINE_START)]):
        raise UsageError(f"{output} has ratings of other pairs", hint=_OTHER_OUTPUT)
    for line in lines:
        count, others = len(line["documents"]), line.get("teachers")
        if (count, others) != (candidates, teachers):
            by = ", ".join(map(str, others)) if isinstance(others, list) else "unknown teachers"
            raise UsageError(
                f"{output} has ratings of {count} candidates by {by}", hint=_OTHER_OUTPUT
            )
    if unfinished:
        with os_errors(output), output.open("r+b") as stream:
            stream.truncate(len(whole))
    return lines


def _parsed(text: bytes) -> dict[str, Any]:
    """Return a line of ratings; an empty one if the line is anything else."""
    try:
        line = json.loads(text)
        rated_example(line)
    except (ValueError, AttributeError):  # not JSON, not an object, or without ratings
        return {}
    return dict(line)
