"""The results of the tools: typed values of a bounded size.

The size of a result is that of its JSON in UTF-8. One token is assumed for every three bytes, which
overestimates the tokens of English and is about right for Chinese.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from taskembed.escaping import escaped, id_line

DEFAULT_BYTES = 6_000  # most bytes of a result: about 2,000 tokens
MOST_BYTES = 36_000  # most bytes of a result whose caller raises `max_chars`
SHOWN_ID = 400  # most characters of an id
METADATA_BYTES = 400  # most bytes of the metadata of a hit
VALUE_CHARACTERS = 120  # most characters of a metadata value
NAME_CHARACTERS = 80  # most characters of a field name
_KEPT = "\n\t"  # control characters that are not escaped


class HitAnswer(BaseModel):
    """A document that was found, or a part of it."""

    doc_id: str
    score: float
    text: str
    start: int  # where `text` begins in the document, in characters
    total_chars: int  # the length of the document
    metadata: dict[str, Any]


class HitsAnswer(BaseModel):
    """The hits of a search."""

    index: str
    task: str
    hits: list[HitAnswer]
    truncated: bool  # not all hits fit into the result
    next_offset: int | None  # the offset of the next hits; None if there are no more


class DocumentAnswer(BaseModel):
    """A document, or a part of its text."""

    index: str
    doc_id: str
    text: str
    offset: int
    total_chars: int
    metadata: dict[str, Any]
    truncated: bool  # more text follows
    next_offset: int | None


class ExampleAnswer(BaseModel):
    """A labelled document that is near a text."""

    doc_id: str
    score: float
    labels: list[str]


class LabelAnswer(BaseModel):
    """The label of a text."""

    index: str
    label: str
    confidence: float
    runner_up: str | None
    runner_up_confidence: float
    nearest: list[ExampleAnswer]


class FieldAnswer(BaseModel):
    """A metadata field that can be used in `where`."""

    name: str
    type: str
    examples: list[str]


class IndexAnswer(BaseModel):
    """An index; `error` is the reason if it cannot be used at the moment."""

    name: str
    task: str
    model: str
    documents: int
    modes: list[str]
    updated: str
    fields: list[FieldAnswer]
    more_fields: int
    error: str | None = None


class IndexesAnswer(BaseModel):
    """The indexes that are served."""

    indexes: list[IndexAnswer]
    truncated: bool
    next_offset: int | None


def size_of(answer: BaseModel) -> int:
    """Return the bytes of an answer as JSON."""
    return len(answer.model_dump_json().encode())


def shown_id(doc_id: str) -> str:
    r"""Return an id in the form that `get` accepts: invisible characters are \u and four digits."""
    line = id_line(doc_id)
    return line if len(line) <= SHOWN_ID else line[:SHOWN_ID] + "…"


def shown_text(text: str) -> str:
    """Return text with invisible characters escaped."""
    return escaped(text, keep=_KEPT)


def raw_part(text: str, begin: int, characters: int, room: int) -> str:
    """Return as much of a text as fits; it ends between words if possible.

    Args:
        text: the whole text.
        begin: where the part begins, in characters.
        characters: the most characters of the part.
        room: the most bytes of the part as JSON, when it is shown.
    """
    part = text[begin : begin + characters]
    low, high = 0, len(part)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _json_bytes(part[:middle]) <= room else (low, middle - 1)
    part = part[:low]
    if begin + len(part) < len(text):
        words = part.rstrip().rpartition(" ")[0]
        part = words + " " if len(words) > len(part) * 3 // 4 else part
    return part


def cut_text(text: str, characters: int) -> str:
    """Return at most `characters` characters of a text, with an ellipsis if there are more."""
    shown = shown_text(text[:characters])
    return shown if len(text) <= characters else shown + "…"


def _json_bytes(text: str) -> int:
    return len(json.dumps(shown_text(text), ensure_ascii=False).encode())


def bounded_metadata(
    metadata: Mapping[str, object], room: int, *, text: str, part: str
) -> dict[str, Any]:
    """Return the fields of a document that fit; long values are cut, or left out.

    Values that the shown text repeats are left out, such as a title, or the text itself.

    Args:
        metadata: the metadata of a document.
        room: the most bytes as JSON.
        text: the text of the document.
        part: the part of the text that is shown.
    """
    chosen: dict[str, Any] = {}
    left = room
    for name, value in metadata.items():
        if isinstance(value, str) and _is_repeated(value, text, part):
            continue
        shown = _shown_value(value)
        size = len(json.dumps({name: shown}, ensure_ascii=False).encode())
        if shown is not None and len(name) <= NAME_CHARACTERS and size <= left:
            chosen[shown_text(name)] = shown
            left -= size
    return chosen


def _is_repeated(value: str, text: str, part: str) -> bool:
    """Return whether a value is in the shown text, or so long that it must be the text itself."""
    return value in (part if len(value) <= VALUE_CHARACTERS else text)


def _shown_value(value: object) -> object:
    if isinstance(value, str):
        return cut_text(value, VALUE_CHARACTERS)
    if value is None or isinstance(value, bool | float):
        return value
    text = json.dumps(value, ensure_ascii=False)
    return _visible(value) if len(text) <= VALUE_CHARACTERS else None


def _visible(value: object) -> object:
    """Return a JSON value with invisible characters in its texts escaped."""
    match value:
        case str():
            return shown_text(value)
        case list():
            return [_visible(item) for item in value]
        case dict():
            return {shown_text(name): _visible(item) for name, item in value.items()}
    return value
