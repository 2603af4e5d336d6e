"""JSONL: one JSON object on each line."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from itertools import count

import orjson

from taskembed.errors import BadRecordError
from taskembed.reading.bounds import MAX_VALUES
from taskembed.reading.rows import Row, WideRecord

_LONG_NUMBER = re.compile(rb"[-0-9][0-9]{18}[0-9]")  # may be more than 64 bits
_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"')
_TEXTS = re.compile(rb'(?:[^"]*+"(?:[^"\\]|\\.)*+"){0,50000}+')
_FIRST = re.compile(rb"\s*(\[|\{\s*$)")
_BOMS_16 = (b"\xff\xfe", b"\xfe\xff")


def json_records(
    name: str, lines: Iterable[tuple[str, bytes]], on_bad: Callable[[BadRecordError], None]
) -> Iterator[Row]:
    """Return an iterator over the records; whole numbers are exact.

    Args:
        name: the name of the file, for messages.
        lines: the position and the bytes of each line.
        on_bad: called with each bad record; raises to stop, returns to continue.
    """

    def row(number: int, positioned: tuple[str, bytes]) -> Row | None:
        source, line = positioned
        try:
            return Row(source, _parsed(line), line)
        except ValueError as error:
            raw = line.decode(errors="backslashreplace")
            hint = first_line_hint(name, line) if number == 0 else None
            on_bad(BadRecordError(source, str(error), raw=raw, hint=hint))
            return None

    # not a generator, which would keep a record in memory while the next one is read
    return filter(None, map(row, count(), lines))


def _parsed(line: bytes) -> dict[str, object]:
    if len(line) > MAX_VALUES and _count_values(line) > MAX_VALUES:
        raise ValueError(f"it has more than {MAX_VALUES:,} values")
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(_reason(error, line)) from error
    if not isinstance(record, dict):
        raise ValueError("it is not a JSON object")
    return _exact(line) if _has_long_number(line) else record


def _has_long_number(line: bytes) -> bool:
    # the first test is quick; the second alone would take 20 % of an `index` run without changes
    return b"0" * 19 in line.translate(_DIGITS) and bool(_LONG_NUMBER.search(line))


def _count_values(line: bytes) -> int:
    """Return an upper bound for the number of values in a line, without decoding it."""
    values = _count_marks(line)
    if values <= MAX_VALUES:
        return values
    # commas and brackets outside strings; strings are removed in parts, to bound memory
    values = at = 0
    while at < len(line) and values <= MAX_VALUES:
        found = _TEXTS.match(line, at)
        end = found.end() if found and found.end() > at else len(line)
        values += _count_marks(_TEXT.sub(b"", line[at:end]))
        at = end
    return values


def _count_marks(line: bytes) -> int:
    return sum(map(line.count, (b",", b"[", b"{")))


def _exact(line: bytes) -> WideRecord:
    """Return a record with exact whole numbers, which orjson would turn into floats."""
    try:
        return WideRecord(json.loads(line))
    except RecursionError:
        raise ValueError(
            "it has a number of more than 64 bits, and is nested too deep to read it exactly"
        ) from None


def _reason(error: orjson.JSONDecodeError, line: bytes) -> str:
    if line[:2] in _BOMS_16 or b"\0" in line[:4]:
        return "it looks like UTF-16, not UTF-8; convert it: iconv -f UTF-16 -t UTF-8"
    try:
        line.decode()
    except UnicodeDecodeError as failure:
        return f"not UTF-8 at byte {failure.start + 1}"
    return f"not JSON at column {error.colno}: {error.msg}"


def first_line_hint(name: str, line: bytes) -> str | None:
    """Return a command that converts a file to JSONL, if its first line is other JSON."""
    found = _FIRST.match(line)
    if not found:
        return None
    file = "" if name == "stdin" else f" {shlex.quote(name)}"
    every = ".[]" if found[1] == b"[" else "."
    return f"one record a line: jq -c '{every}'{file} > corpus.jsonl"
