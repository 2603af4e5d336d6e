"""Converts documents, hits and labels to results of a bounded size."""

from __future__ import annotations

from collections.abc import Sequence

from taskembed.errors import TaskembedError
from taskembed.index.ranking.hits import Hit
from taskembed.index.ranking.modes import Mode
from taskembed.reading.document import Document
from taskembed.server._answers import (
    DEFAULT_BYTES,
    METADATA_BYTES,
    MOST_BYTES,
    NAME_CHARACTERS,
    DocumentAnswer,
    ExampleAnswer,
    FieldAnswer,
    HitAnswer,
    HitsAnswer,
    IndexAnswer,
    LabelAnswer,
    bounded_metadata,
    cut_text,
    raw_part,
    shown_id,
    shown_text,
    size_of,
)
from taskembed.server._limits import HIT_CHARACTERS, PAGE_CHARACTERS
from taskembed.server.indexes import Held
from taskembed.verbs.classify import Prediction
from taskembed.verbs.snippets import add_snippets

SHOWN_FIELDS = 30  # of an index
_AROUND_A_HIT = 600  # bytes of names, numbers and an id
_FIELD_EXAMPLES, _EXAMPLE_CHARACTERS = 2, 40
_LABEL_CHARACTERS = 200
_SHOWN_LABELS = 5  # of an example


def hits_answer(
    held: Held, query: str, hits: Sequence[Hit], max_chars: int, offset: int
) -> HitsAnswer:
    """Return as many of the hits as fit; the first one always fits."""
    answer = HitsAnswer(
        index=held.name, task=held.index.space.task.value, hits=[], truncated=True, next_offset=9999
    )
    left = room = _room(max_chars, HIT_CHARACTERS)
    left -= size_of(answer)
    for hit in _with_places(query, hits, max_chars, room // max_chars + 1, held.index.words):
        shown = _hit_answer(hit, max_chars, left)
        size = size_of(shown) + 1
        if size > left and answer.hits:
            break
        left -= size
        answer.hits.append(shown)
    more = len(answer.hits) < len(hits)
    following = offset + len(answer.hits) if more else None
    return answer.model_copy(update={"truncated": more, "next_offset": following})


def document_answer(name: str, document: Document, offset: int, max_chars: int) -> DocumentAnswer:
    """Return a part of a document; the first part includes the metadata."""
    room = _room(max_chars, PAGE_CHARACTERS)
    of_fields = room // 4
    part = raw_part(document.text, offset, max_chars, room - of_fields - _AROUND_A_HIT)
    fields = bounded_metadata(document.metadata, of_fields, text=document.text, part=part)
    end = offset + len(part)
    more = end < len(document.text)
    return DocumentAnswer(
        index=name,
        doc_id=shown_id(document.doc_id),
        text=shown_text(part),
        offset=offset,
        total_chars=len(document.text),
        metadata=fields if offset == 0 else {},
        truncated=more,
        next_offset=end if more else None,
    )


def label_answer(name: str, found: Prediction) -> LabelAnswer:
    """Return a prediction as a result.

    Args:
        name: the name of the index.
        found: the predicted label of a text.
    """
    return LabelAnswer(
        index=name,
        label=cut_text(found.best, _LABEL_CHARACTERS),
        confidence=_rounded(found.confidence),
        runner_up=found.runner_up and cut_text(found.runner_up, _LABEL_CHARACTERS),
        runner_up_confidence=_rounded(found.runner_up_confidence),
        nearest=[
            ExampleAnswer(
                doc_id=shown_id(near.doc_id),
                score=_rounded(near.score),
                labels=[cut_text(item, _LABEL_CHARACTERS) for item in near.labels[:_SHOWN_LABELS]],
            )
            for near in found.nearest
        ],
    )


def index_answer(held: Held) -> IndexAnswer:
    """Return the description of an index for an agent."""
    index = held.index
    fields = index.describe_fields()
    named = [item for item in fields if len(item.name) <= NAME_CHARACTERS][:SHOWN_FIELDS]
    return IndexAnswer(
        name=held.name,
        task=index.space.task.value,
        model=index.space.model,
        documents=len(index),
        modes=[mode.value for mode in Mode] if index.words else [Mode.DENSE.value],
        updated=index.contents.committed_at,
        fields=[
            FieldAnswer(
                name=shown_text(item.name),
                type=item.type,
                examples=[
                    cut_text(value, _EXAMPLE_CHARACTERS)
                    for value in item.examples[:_FIELD_EXAMPLES]
                ],
            )
            for item in named
        ],
        more_fields=len(fields) - len(named),
    )


def absent_answer(name: str, error: TaskembedError) -> IndexAnswer:
    """Return the description of an index that cannot be opened at the moment, with the reason."""
    return IndexAnswer(
        name=name,
        task="",
        model="",
        documents=0,
        modes=[],
        updated="",
        fields=[],
        more_fields=0,
        error=shown_text(error.message),
    )


def _with_places(
    query: str, hits: Sequence[Hit], max_chars: int, most: int, words: str
) -> list[Hit]:
    """Return hits; the first long ones get their best sentence by words, which will be shown.

    Args:
        query: the text of the query.
        hits: the hits of the query.
        max_chars: hits with more characters are long.
        most: the most long hits that fit into a result.
        words: the name of the word tokenizer.
    """
    long = [hit for hit in hits if len(hit.passage) > max_chars][:most]
    found = iter(add_snippets([query], [long], tokenizer=words)[0] if long else [])
    return [next(found, hit) if len(hit.passage) > max_chars else hit for hit in hits]


def _hit_answer(hit: Hit, max_chars: int, room: int) -> HitAnswer:
    begin = _beginning(hit, max_chars)
    left = room - METADATA_BYTES - _AROUND_A_HIT
    part = raw_part(hit.text, begin, max_chars, max(left, max_chars))
    return HitAnswer(
        doc_id=shown_id(hit.doc_id),
        score=_rounded(hit.score),
        text=shown_text(part),
        start=begin,
        total_chars=len(hit.text),
        metadata=bounded_metadata(hit.metadata, METADATA_BYTES, text=hit.text, part=part),
    )


def _beginning(hit: Hit, max_chars: int) -> int:
    """Return where the shown part of a hit begins: at its start, its chunk, or its best sentence.

    A quarter of the characters is reserved for the text before the sentence.
    """
    if len(hit.text) <= max_chars:
        return 0
    first = hit.chunk.start if hit.chunk else 0
    if hit.snippet is None:
        return first
    last = max(first, first + len(hit.passage) - max_chars)
    begin = min(max(first, hit.snippet.start - max_chars // 4), last)
    if begin == first:
        return first
    space = hit.text.find(" ", begin, hit.snippet.start)
    return begin if space < 0 else space + 1


def _room(max_chars: int, usual: int) -> int:
    """Return the most bytes of a result: more than the default if the caller raises `max_chars`."""
    return min(MOST_BYTES, DEFAULT_BYTES * max(max_chars, usual) // usual)


def _rounded(score: float) -> float:
    return round(score, 4)
