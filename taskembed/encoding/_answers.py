"""Checks the answers of servers: an answer is used only if it fits the request.

An answer is JSON of a bounded size, with one list of numbers for each text. `limit_bytes` and
`_limit_marks` compute the bounds from the number of texts and the dimension.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson

from taskembed.english import counted
from taskembed.vectors import FloatRows

LARGEST_DIM = 16_384  # upper bound of the dimension while it is unknown
NUMBER_BYTES = 40  # bytes of a number: up to 25, and indentation if it has its own line
CHARACTER_BYTES = 12  # bytes of a character if the answer repeats a text: \ud83d\ude00
ROW_BYTES = 1_024  # bytes of an answer around each vector
REST_BYTES = 2**16
TITLE_WITHIN_BYTES = 2**14
_HTML = re.compile(rb"(\xef\xbb\xbf)?\s*(<!--|<!doctype\s+html|<html|<head|<body)", re.IGNORECASE)
_TITLE = re.compile(rb"<title[^>]*>([^<]*)<", re.IGNORECASE)
# commas and opening brackets in a row outside its vector, and outside all rows
ROW_MARKS, REST_MARKS = 64, 1_024


class AnswerError(Exception):
    """An answer does not fit the request; the message completes "the server answered"."""


def limit_bytes(texts: Sequence[str], dim: int | None) -> int:
    """Return the largest size in bytes of an answer to these texts; `dim` is None if unknown."""
    row = (dim or LARGEST_DIM) * NUMBER_BYTES + ROW_BYTES
    return REST_BYTES + len(texts) * row + CHARACTER_BYTES * sum(map(len, texts))


def vectors_of(
    body: bytes, shape: Callable[[Any], list[Any]], texts: Sequence[str], dim: int | None
) -> FloatRows:
    """Return the vectors in an answer, float32[n, dim]; row i belongs to texts[i].

    Numbers may be infinite; the caller checks them.

    Args:
        body: the bytes of the answer.
        shape: returns the list of vectors in the parsed JSON of the answer.
        texts: the n texts of the request.
        dim: the expected dimension; None if it is unknown.

    Raises:
        AnswerError: the answer is not JSON, or does not contain one vector for each text.
    """
    if sum(map(body.count, (b",", b"[", b"{"))) > _limit_marks(texts, dim):
        # parsed JSON would take many times the memory of its bytes
        raise AnswerError("with more values than the requested vectors have")
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if page := web_page(body):
            raise AnswerError(f"with {page}") from None
        begins = body[:40].decode(errors="replace").strip()
        raise AnswerError(f"with something other than JSON ({error.msg}): {begins!r}") from None
    try:
        rows = shape(answer)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise AnswerError("with something other than a list of vectors") from None
    if len(rows) != len(texts):
        raise AnswerError(f"{counted(len(texts), 'text')} with {counted(len(rows), 'vector')}")
    if not all(_is_vector(row) for row in rows):
        raise AnswerError(
            "with something other than a list of vectors: a row is not a list of numbers"
        )
    if len({len(row) for row in rows}) != 1:
        raise AnswerError("with vectors of several sizes")
    with np.errstate(over="ignore"):  # 1e39 exceeds float32, becomes infinite, and is refused later
        return np.array(rows, dtype=np.float64).astype(np.float32)


def web_page(body: bytes) -> str:
    """Return a description of a web page for messages, with its title; "" if it is not HTML."""
    if not _HTML.match(body):
        return ""
    found = _TITLE.search(body[:TITLE_WITHIN_BYTES])
    title = " ".join(found[1].decode(errors="replace").split())[:60] if found else ""
    return f"a web page, {title!r}" if title else "a web page"


def indexed(rows: list[dict[str, Any]], key: str) -> list[Any]:
    """Return the value of a key of each row, in the order of the rows' "index".

    The indices are 0, 1, 2, ..., each once, in any order. Without any index, the order is that of
    the rows.

    Raises:
        ValueError: the indices are anything else.
    """
    numbers = [row["index"] for row in rows if "index" in row]
    if not numbers:
        return [row[key] for row in rows]
    if any(type(number) is not int for number in numbers):
        raise ValueError("an index is not a whole number")
    if sorted(numbers) != list(range(len(rows))):
        raise ValueError("the indices are not 0, 1, 2, ...")
    by_number = {row["index"]: row[key] for row in rows}
    return [by_number[number] for number in range(len(rows))]


def _limit_marks(texts: Sequence[str], dim: int | None) -> int:
    """Return an upper bound of the values in an answer: of its commas and opening brackets."""
    repeated = sum(map(text.count, ",[{")) if (text := "".join(texts)) else 0
    return REST_MARKS + len(texts) * ((dim or LARGEST_DIM) + ROW_MARKS) + repeated


def _is_vector(row: object) -> bool:
    return isinstance(row, list) and bool(row) and {*map(type, row)} <= {int, float}
