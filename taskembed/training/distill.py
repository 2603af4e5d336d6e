"""What a reranker thinks of a query's documents, as ratings that an encoder can be trained on.

    pairs (anchor, positive) -> each query's candidates: its positive, and the nearest others
    candidates -> the judges' scores -> preferences -> ratings (see ratings.py)
    -> JSONL: {"query": ..., "documents": [...], "ratings": [...], "relevant": 0,
       "teachers": [...]}

`taskembed train` takes that file: cosines are trained to give each query's documents the shares
that the ratings give them (softmax of both; Luce 1959), by KL divergence.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from taskembed.errors import BadInputError, BadVectorError, UsageError, os_errors
from taskembed.index.kinds.flat import Flat
from taskembed.reading.examples import Form, rated_example, read_examples
from taskembed.space import PromptType
from taskembed.training._ratings import fit_ratings, preferences
from taskembed.verbs.protocols import Encoder, Scorer

FEWEST = 2  # documents that can be compared
_OTHER = "remove it, or give another --output"
_LINE_START = b'{"query": '  # of every line of ours


@dataclass(frozen=True, slots=True)
class Distilled:
    """What was written.

    Attributes:
        queries: in the file now.
        before: of these, those that were in it already.
        agreed: share of the queries whose positive is rated best.
    """

    queries: int
    before: int
    agreed: float


def distill(  # noqa: PLR0913  # each is one thing that it needs
    pairs: Path,
    encoder: Encoder,
    judges: Mapping[str, Scorer],
    output: Path,
    *,
    candidates: int,
    limit: int = 0,
    on_progress: Callable[[int], None] = lambda _: None,
) -> Distilled:
    """Rate the candidates of each query, and write them; what the file has already is kept.

    Args:
        pairs: a file of anchors and positives.
        encoder: finds the candidates, among all positives.
        judges: rerankers by their names; their preferences are averaged.
        output: JSONL; a run that was stopped goes on where it ends.
        candidates: documents of a query, its positive among them.
        limit: the first so many queries; 0 for all.
        on_progress: told how many queries are done.

    Raises:
        BadInputError: an example cannot be used, or there are too few.
        UsageError: the file is of other pairs, candidates or judges.
        BadVectorError: a judge gives no number.
    """
    everything = read_examples(pairs, Form.PAIRS)[1]
    examples = everything[:limit] if limit else everything
    documents = list(dict.fromkeys(example.texts[1] for example in examples))
    if candidates < FEWEST or len(documents) < candidates:
        raise BadInputError(
            f"{pairs}: {candidates} candidates of {len(documents):,} documents cannot be compared"
        )
    queries = [example.texts[0] for example in examples]
    known = _done(output, [example.texts[0] for example in everything], candidates, list(judges))
    before, best = len(known), sum(line["ratings"][0] == max(line["ratings"]) for line in known)
    if before >= len(queries):
        return Distilled(before, before, best / before)
    vectors = encoder.encode(documents, PromptType.DOCUMENT).vectors
    asked = encoder.encode(queries, PromptType.QUERY).vectors
    _, nearest = Flat(vectors).search(asked, candidates)
    rows = {document: row for row, document in enumerate(documents)}
    with _appended(output) as stream:
        for number in range(before, len(examples)):
            positive = rows[examples[number].texts[1]]
            others = [int(row) for row in nearest[number] if row != positive]
            texts = [documents[row] for row in (positive, *others[: candidates - 1])]
            scores = np.asarray([judge.scores(queries[number], texts) for judge in judges.values()])
            if not np.isfinite(scores).all():
                raise BadVectorError(f"a teacher gave no number for {queries[number]!r}")
            ratings = fit_ratings(preferences(scores.astype(np.float64)))
            best += int(ratings.argmax() == 0)
            value = {
                "query": queries[number],
                "documents": texts,
                "ratings": [round(rating, 6) for rating in ratings.tolist()],
                "relevant": 0,
                "teachers": list(judges),
            }
            _write(stream, output, value)
            on_progress(number + 1)
    return Distilled(len(examples), before, best / len(examples))


def _done(
    output: Path, queries: Sequence[str], candidates: int, judges: Sequence[str]
) -> list[Any]:
    """Return the lines of the file, and cut off one that was not finished."""
    with os_errors(output):
        content = output.read_bytes() if output.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    cut = content[len(whole) :]
    lines = [_line(text) for text in whole.splitlines()]
    asked = [line.get("query") for line in lines]
    if asked != queries[: len(lines)] or not _LINE_START.startswith(cut[: len(_LINE_START)]):
        raise UsageError(f"{output} has ratings of other pairs", hint=_OTHER)
    for line in lines:
        count, others = len(line["documents"]), line.get("teachers")
        if (count, others) != (candidates, judges):
            by = ", ".join(map(str, others)) if isinstance(others, list) else "nobody knows whom"
            raise UsageError(f"{output} has ratings of {count} candidates by {by}", hint=_OTHER)
    if cut:
        with os_errors(output), output.open("r+b") as stream:
            stream.truncate(len(whole))
    return lines


def _line(text: bytes) -> dict[str, Any]:
    try:
        line = json.loads(text)
        rated_example(line)
    except (ValueError, AttributeError):  # no JSON, no object, or no ratings
        return {}
    return dict(line)


def _appended(output: Path) -> BinaryIO:
    with os_errors(output):
        return output.open("ab")


def _write(stream: BinaryIO, output: Path, value: Mapping[str, object]) -> None:
    with os_errors(output):
        stream.write(json.dumps(value, ensure_ascii=False).encode() + b"\n")
        stream.flush()
