"""Reads examples for training or evaluation: pairs, scored pairs, labelled texts, rated documents.

The fields of a file determine the kind of its examples:

    anchor, positive, negative?    pairs of texts that belong together, for ranking
    sentence1, sentence2, score    scored pairs
    text, label                    labelled texts
    query, documents, ratings      a query's documents, rated by rerankers: see training/distill.py

An error names the file and the line of a bad example.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from taskembed.errors import BadInputError, BadRecordError
from taskembed.reading.bounds import DEFAULT_MAX_RECORD_BYTES
from taskembed.reading.inputs import find_inputs, read_records
from taskembed.reading.rows import Record
from taskembed.reading.streams import stop_at_first

FEWEST_RATED = 2  # documents for each query; a single one has nothing to be compared with


class ExampleKind(Enum):
    """The kinds of examples; the value of each is its fields."""

    PAIRS = ("anchor", "positive")
    SCORED = ("sentence1", "sentence2", "score")
    LABELLED = ("text", "label")
    RATED = ("query", "documents", "ratings")


@dataclass(frozen=True, slots=True)
class Example:
    """One example.

    Attributes:
        texts: anchor, positive and perhaps a negative; two sentences; one text; or a query and its
            documents.
        score: score of a scored pair; otherwise 0.0.
        label: label of a labelled text; otherwise "".
        ratings: ratings of a query's documents; otherwise empty.
    """

    texts: tuple[str, ...]
    score: float = 0.0
    label: str = ""
    ratings: tuple[float, ...] = ()


def read_examples(
    path: Path, only: ExampleKind | None = None
) -> tuple[ExampleKind, Sequence[Example]]:
    """Read a file of examples.

    Args:
        path: the file.
        only: the kind that the examples must have; None for any.

    Returns:
        The kind of the examples, and the examples in their order.

    Raises:
        NotFoundError: the file does not exist.
        BadRecordError: an example cannot be used.
        BadInputError: the file has no examples, or is damaged.
    """
    kind: ExampleKind | None = None
    examples: list[Example] = []
    for position, record in _records(path):
        kind = kind or _kind_of(record, position, only)
        try:
            example = _READERS[kind](record)
        except ValueError as error:
            raise BadRecordError(position, str(error)) from error
        if examples and len(example.texts) != len(examples[0].texts):
            ours, theirs = len(example.texts), len(examples[0].texts)
            reason = f"the example has {ours} texts, and the ones before it have {theirs}"
            raise BadRecordError(position, reason)
        examples.append(example)
    if kind is None:
        raise BadInputError("the file has no examples", what=str(path))
    return kind, examples


def _records(path: Path) -> Iterator[tuple[str, Record]]:
    for item in find_inputs([str(path)]):
        for position, record, _ in read_records(item, stop_at_first, DEFAULT_MAX_RECORD_BYTES):
            yield position, record


def _kind_of(record: Record, position: str, only: ExampleKind | None) -> ExampleKind:
    kinds = (only,) if only else tuple(ExampleKind)
    for kind in kinds:
        if all(name in record for name in kind.value):
            return kind
    known = "; or ".join(", ".join(kind.value) for kind in kinds)
    raise BadRecordError(position, f"expected the fields of an example: {known}")


def _text(record: Record, name: str) -> str:
    text = record.get(name)
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f'the field "{name}" is not a text, or is empty')
    return text


def _pair(record: Record) -> Example:
    texts = [_text(record, name) for name in ExampleKind.PAIRS.value]
    if record.get("negative") is not None:
        texts.append(_text(record, "negative"))
    return Example(tuple(texts))


def _scored(record: Record) -> Example:
    score = record.get("score")
    try:
        number = float(score) if isinstance(score, int | float | str) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or isinstance(score, bool):
        raise ValueError(f'the field "score" is not a number: {score!r}')
    return Example((_text(record, "sentence1"), _text(record, "sentence2")), score=number)


def _labelled(record: Record) -> Example:
    label = record.get("label")
    if isinstance(label, bool) or not isinstance(label, str | int) or not str(label).strip():
        raise ValueError(f'the field "label" is not a text, or is empty: {label!r}')
    return Example((_text(record, "text"),), label=str(label))


def rated_example(record: Record) -> Example:
    """Return the example in a record with a query, its documents and their ratings.

    Raises:
        ValueError: a field is missing, or cannot be used.
    """
    documents, ratings = record.get("documents"), record.get("ratings")
    if not isinstance(documents, list) or not isinstance(ratings, list):
        raise ValueError('the fields "documents" and "ratings" are not lists')
    if len(documents) != len(ratings) or len(documents) < FEWEST_RATED:
        raise ValueError(f"the example has {len(documents)} documents and {len(ratings)} ratings")
    if not all(type(rating) in {int, float} and math.isfinite(rating) for rating in ratings):
        raise ValueError('the field "ratings" has a value that is not a number')
    if not all(isinstance(document, str) and document.strip() for document in documents):
        raise ValueError('the field "documents" has a value that is not a text, or is empty')
    return Example((_text(record, "query"), *documents), ratings=tuple(map(float, ratings)))


_READERS: Mapping[ExampleKind, Callable[[Record], Example]] = {
    ExampleKind.PAIRS: _pair,
    ExampleKind.SCORED: _scored,
    ExampleKind.LABELLED: _labelled,
    ExampleKind.RATED: rated_example,
}
