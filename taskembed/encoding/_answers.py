"""The answers of servers, which are used only if they fit the request.

An answer is JSON of a bounded size with one list of numbers a text. The bounds follow from
the number of texts and numbers: see `limit_bytes` and `_limit_marks`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson

from taskembed.english import counted
from taskembed.vectors import FloatRows

LARGEST_DIM = 16_384  # numbers in a vector, where it is not known how many they will be
NUMBER_BYTES = 40  # of one number: 25, and its indentation on a line of its own
CHARACTER_BYTES = 12  # of one character of a text that is repeated: \ud83d\ude00
ROW_BYTES = 1_024  # bytes of an answer around each vector
REST_BYTES = 2**16
TITLE_WITHIN_BYTES = 2**14
_HTML = re.compile(rb"(\xef\xbb\xbf)?\s*(<!--|<!doctype\s+html|<html|<head|<body)", re.IGNORECASE)
_TITLE = re.compile(rb"<title[^>]*>([^<]*)<", re.IGNORECASE)
ROW_MARKS, REST_MARKS = 64, 1_024  # commas and opening brackets beside those of the vector


class AnswerError(Exception):
    """An answer does not fit the request; the message completes "the server answered"."""


def limit_bytes(texts: Sequence[str], dim: int | None) -> int:
    """Return how many bytes an answer to these texts has at most; `dim` None is not known."""
    row = (dim or LARGEST_DIM) * NUMBER_BYTES + ROW_BYTES
    return REST_BYTES + len(texts) * row + CHARACTER_BYTES * sum(map(len, texts))


def vectors_of(
    body: bytes, shape: Callable[[Any], list[Any]], texts: Sequence[str], dim: int | None
) -> FloatRows:
    """Return float32[n, any] of an answer; row i is of texts[i]. A number may be infinite.

    Args:
        body: the bytes of the answer.
        shape: finds the vectors in its JSON.
        texts: that were asked for.
        dim: numbers in a vector; None when that is not known.

    Raises:
        AnswerError: it is anything else.
    """
    if sum(map(body.count, (b",", b"[", b"{"))) > _limit_marks(texts, dim):
        # parsed, this many values would take many times the memory of the bytes
        raise AnswerError("with more values than the vectors that were asked for")
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if page := web_page(body):
            raise AnswerError(f"with {page}") from None
        begins = body[:40].decode(errors="replace").strip()
        raise AnswerError(f"with something that is no JSON ({error.msg}): {begins!r}") from None
    try:
        rows = shape(answer)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise AnswerError("with something that is no list of vectors") from None
    if len(rows) != len(texts):
        raise AnswerError(f"{counted(len(texts), 'text')} with {counted(len(rows), 'vector')}")
    if not all(_is_vector(row) for row in rows):
        raise AnswerError("with something that is no list of vectors: a row is no list of numbers")
    if len({len(row) for row in rows}) != 1:
        raise AnswerError("with vectors of several sizes")
    with np.errstate(over="ignore"):  # 1e39 has no float32: it becomes infinite, and is refused
        return np.array(rows, dtype=np.float64).astype(np.float32)


def web_page(body: bytes) -> str:
    """Return what a web page is called in a message, by its title; "" for what is none."""
    if not _HTML.match(body):
        return ""
    found = _TITLE.search(body[:TITLE_WITHIN_BYTES])
    title = " ".join(found[1].decode(errors="replace").split())[:60] if found else ""
    return f"a web page, {title!r}" if title else "a web page"


def indexed(rows: list[dict[str, Any]], key: str) -> list[Any]:
    """Return what each row has under a key, in the order that the rows' "index" says.

    The indices are 0, 1, 2, ..., each once, in any order; or no row has one, and the order is that
    of the rows.

    Raises:
        ValueError: they are anything else.
    """
    numbers = [row["index"] for row in rows if "index" in row]
    if not numbers:
        return [row[key] for row in rows]
    if any(type(number) is not int for number in numbers):
        raise ValueError("an index is no whole number")
    if sorted(numbers) != list(range(len(rows))):
        raise ValueError("the indices are not 0, 1, 2, ...")
    by_number = {row["index"]: row[key] for row in rows}
    return [by_number[number] for number in range(len(rows))]


def _limit_marks(texts: Sequence[str], dim: int | None) -> int:
    """Return how many commas and opening brackets an answer has at most: each begins a value."""
    repeated = sum(map(text.count, ",[{")) if (text := "".join(texts)) else 0
    return REST_MARKS + len(texts) * ((dim or LARGEST_DIM) + ROW_MARKS) + repeated


def _is_vector(row: object) -> bool:
    return isinstance(row, list) and bool(row) and {*map(type, row)} <= {int, float}
