"""What a reranker thinks of a query's documents, as ratings that an encoder can be trained on.

    pairs (anchor, positive) -> each query's candidates: its positive, and the nearest others
    candidates -> the judges' scores -> preferences -> ratings (see ratings.py)
    -> JSONL: {"query": ..., "documents": [...], "ratings": [...], "relevant": 0}

`taskembed train` takes that file: cosines are trained to give each query's documents the shares
that the ratings give them (softmax of both; Luce 1959), by KL divergence.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from taskembed.errors import BadInputError, UsageError, from_os_error
from taskembed.examples import Form, read_examples
from taskembed.flat import from_vectors
from taskembed.pipeline import Encoder, Scorer
from taskembed.space import PromptType
from taskembed.training.ratings import fit_ratings, preferences

FEWEST = 2  # documents that can be compared
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
    judges: Sequence[Scorer],
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
        judges: rerankers; their preferences are averaged.
        output: JSONL; a run that was stopped goes on where it ends.
        candidates: documents of a query, its positive among them.
        limit: the first so many queries; 0 for all.
        on_progress: told how many queries are done.

    Raises:
        BadInputError: an example cannot be used, or there are too few.
        UsageError: the file is of other pairs.
    """
    examples = read_examples(pairs, Form.PAIRS)[1]
    examples = examples[:limit] if limit else examples
    documents = list(dict.fromkeys(example.texts[1] for example in examples))
    if candidates < FEWEST or len(documents) < candidates:
        raise BadInputError(
            f"{pairs}: {candidates} candidates of {len(documents):,} documents cannot be compared"
        )
    queries = [example.texts[0] for example in examples]
    before = _done(output, queries)
    vectors = encoder.encode(documents, PromptType.DOCUMENT).vectors
    asked = encoder.encode(queries, PromptType.QUERY).vectors
    _, nearest = from_vectors(vectors).search(asked, candidates)
    best = 0
    rows = {document: row for row, document in enumerate(documents)}
    with _appended(output) as stream:
        for number in range(before, len(examples)):
            positive = rows[examples[number].texts[1]]
            others = [int(row) for row in nearest[number] if row != positive]
            texts = [documents[row] for row in (positive, *others[: candidates - 1])]
            scores = np.asarray([judge.scores(queries[number], texts) for judge in judges])
            ratings = fit_ratings(preferences(scores.astype(np.float64)))
            best += int(ratings.argmax() == 0)
            _write(stream, output, queries[number], texts, ratings.tolist())
            on_progress(number + 1)
    rated = len(examples) - before
    return Distilled(len(examples), before, best / rated if rated else 1.0)


def _done(output: Path, queries: Sequence[str]) -> int:
    """Return how many queries the file has, and cut off a line that was not finished."""
    if not output.exists():
        return 0
    try:
        content = output.read_bytes()
    except OSError as error:
        raise from_os_error(error, str(output)) from error
    whole = content[: content.rfind(b"\n") + 1]
    cut = content[len(whole) :]
    if not _LINE_START.startswith(cut[: len(_LINE_START)]):
        raise _not_ours(output)
    for number, line in enumerate(_lines(whole)):
        if number >= len(queries) or line != queries[number]:
            raise _not_ours(output)
    if cut:
        try:
            with output.open("r+b") as stream:
                stream.truncate(len(whole))
        except OSError as error:
            raise from_os_error(error, str(output)) from error
    return whole.count(b"\n")


def _not_ours(output: Path) -> UsageError:
    return UsageError(
        f"{output} has ratings of other pairs", hint="remove it, or give another --output"
    )


def _lines(content: bytes) -> Iterator[str | None]:
    for line in content.splitlines():
        try:
            yield json.loads(line).get("query")
        except (ValueError, AttributeError):
            yield None


def _appended(output: Path) -> BinaryIO:
    try:
        return output.open("ab")
    except OSError as error:
        raise from_os_error(error, str(output)) from error


def _write(
    stream: BinaryIO, output: Path, query: str, texts: Sequence[str], ratings: Sequence[float]
) -> None:
    value = {
        "query": query,
        "documents": list(texts),
        "ratings": [round(rating, 6) for rating in ratings],
        "relevant": 0,
    }
    try:
        stream.write(json.dumps(value, ensure_ascii=False).encode() + b"\n")
        stream.flush()
    except OSError as error:
        raise from_os_error(error, str(output)) from error
