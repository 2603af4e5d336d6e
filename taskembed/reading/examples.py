"""Examples: pairs that belong together, scored pairs, labelled texts; read, and checked.

What a file holds is told by its fields:

    anchor, positive, negative?    pairs: what belongs together, for ranking
    sentence1, sentence2, score    scored pairs
    text, label                    labelled texts
    query, documents, ratings      what a reranker thinks of a query's documents: see distill.py

Every bad one is named by file and line.
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

FEWEST_RATED = 2  # documents that can be compared


class Form(Enum):
    """What examples are: the value is the fields."""

    PAIRS = ("anchor", "positive")
    SCORED = ("sentence1", "sentence2", "score")
    LABELLED = ("text", "label")
    RATED = ("query", "documents", "ratings")


@dataclass(frozen=True, slots=True)
class Example:
    """One of them.

    Attributes:
        texts: anchor, positive and perhaps a negative; two sentences; one text; or a query and its
            documents.
        score: of a scored pair; 0.0 otherwise.
        label: of a labelled text; "" otherwise.
        ratings: of a rated query's documents; none otherwise.
    """

    texts: tuple[str, ...]
    score: float = 0.0
    label: str = ""
    ratings: tuple[float, ...] = ()


def read_examples(path: Path, only: Form | None = None) -> tuple[Form, Sequence[Example]]:
    """Return what a file of examples holds.

    Args:
        path: of the file.
        only: what it must hold; None for anything.

    Raises:
        NotFoundError: it does not exist.
        BadRecordError: an example cannot be used.
        BadInputError: it has none, or is damaged.
    """
    form: Form | None = None
    examples: list[Example] = []
    for position, record in _records(path):
        form = form or _form(record, position, only)
        try:
            example = _READERS[form](record)
        except ValueError as error:
            raise BadRecordError(position, str(error)) from error
        if examples and len(example.texts) != len(examples[0].texts):
            ours, theirs = len(example.texts), len(examples[0].texts)
            reason = f"it has {ours} texts, and those before have {theirs}"
            raise BadRecordError(position, reason)
        examples.append(example)
    if form is None:
        raise BadInputError("it has no examples", what=str(path))
    return form, examples


def _records(path: Path) -> Iterator[tuple[str, Record]]:
    for item in find_inputs([str(path)]):
        for position, record, _ in read_records(item, stop_at_first, DEFAULT_MAX_RECORD_BYTES):
            yield position, record


def _form(record: Record, position: str, only: Form | None) -> Form:
    forms = (only,) if only else tuple(Form)
    for form in forms:
        if all(name in record for name in form.value):
            return form
    known = "; or ".join(", ".join(form.value) for form in forms)
    raise BadRecordError(position, f"it has not the fields of an example: {known}")


def _text(record: Record, name: str) -> str:
    text = record.get(name)
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f'the field "{name}" is not a text, or empty')
    return text


def _pair(record: Record) -> Example:
    texts = [_text(record, name) for name in Form.PAIRS.value]
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
        raise ValueError(f'the field "label" is not a text, or empty: {label!r}')
    return Example((_text(record, "text"),), label=str(label))


def rated_example(record: Record) -> Example:
    """Return a query, its documents and their ratings.

    Raises:
        ValueError: the record has not all of them, or they cannot be used.
    """
    documents, ratings = record.get("documents"), record.get("ratings")
    if not isinstance(documents, list) or not isinstance(ratings, list):
        raise ValueError('the fields "documents" and "ratings" are not lists')
    if len(documents) != len(ratings) or len(documents) < FEWEST_RATED:
        raise ValueError(f"it has {len(documents)} documents and {len(ratings)} ratings")
    if not all(type(rating) in {int, float} and math.isfinite(rating) for rating in ratings):
        raise ValueError('the field "ratings" has what is no number')
    if not all(isinstance(document, str) and document.strip() for document in documents):
        raise ValueError('the field "documents" has what is no text, or empty')
    return Example((_text(record, "query"), *documents), ratings=tuple(map(float, ratings)))


_READERS: Mapping[Form, Callable[[Record], Example]] = {
    Form.PAIRS: _pair,
    Form.SCORED: _scored,
    Form.LABELLED: _labelled,
    Form.RATED: rated_example,
}
