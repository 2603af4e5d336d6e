"""Reads the page headers of a Parquet file, which give the size of values before decoding.

A page of a few hundred bytes can decode to gigabytes without a hint in the file's footer. Page
headers use Thrift's compact protocol: https://parquet.apache.org/docs/file-format/data-pages/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

MAX_HEADER_BYTES = 2**20
_FIRST_READ_BYTES = 512  # longer than nearly every header
_MAX_DEPTH = 8
_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3  # types of pages
_BIT_PACKED = 4  # a deprecated encoding of levels
DELTA_LENGTH, DELTA = 6, 7  # DELTA_LENGTH_BYTE_ARRAY and DELTA_BYTE_ARRAY, encodings of texts
_VARINT_BITS = 64
_PACKED_AT_ONCE = 2**17  # groups of eight levels

Fields = dict[int, object]


@dataclass(frozen=True, slots=True)
class Page:
    """The header of a page.

    Attributes:
        is_dictionary: whether the page is the dictionary that data pages refer to.
        encoding: number of the values' encoding in Parquet's format.
        values: number of values, nulls included.
        size: uncompressed size in bytes.
        packed_at: position of the page's bytes in the file.
        packed_size: number of bytes in the file.
        levels: bytes of repetition levels, which pages of version 2 do not compress; None for
            version 1; -1 for an encoding that cannot be read.
    """

    is_dictionary: bool
    encoding: int
    values: int
    size: int
    packed_at: int
    packed_size: int
    levels: int | None


def pages(stream: BinaryIO, start: int, end: int) -> Iterator[Page]:
    """Yield the pages between two positions of a file.

    Raises:
        ValueError: a page is incomplete, or its header is damaged.
    """
    while start < end:
        fields, size = _header(stream, start, end)
        kind, unpacked, packed = (_number(fields, key) for key in (1, 2, 3))
        at = start + size
        start = at + packed
        if start > end:
            raise ValueError("a page is longer than its column")
        inner = {_DATA: 5, _DICTIONARY: 7, _DATA_V2: 8}.get(kind)
        if inner is None:
            continue
        of_kind = fields.get(inner)
        if not isinstance(of_kind, dict):
            raise ValueError("the header of a page is not whole")
        encoding = _number(of_kind, 4 if kind == _DATA_V2 else 2)
        levels = _number(of_kind, 6) if kind == _DATA_V2 else None
        if kind == _DATA and of_kind.get(4) == _BIT_PACKED:
            levels = -1
        values = _number(of_kind, 1)
        yield Page(kind == _DICTIONARY, encoding, values, unpacked, at, packed, levels)


def longest_row(
    found: Iterator[tuple[Page, bytes]], max_level: int, unpack: Callable[[bytes, int], bytes]
) -> tuple[int, int]:
    """Return the largest number of values in one row of a nested column, and of bytes of its pages.

    Args:
        found: the data pages, with their compressed bytes.
        max_level: the deepest repetition level.
        unpack: decompresses bytes to a given size.

    Raises:
        ValueError: the levels are damaged.
    """
    most_values = values = most_bytes = row_bytes = 0
    for page, packed in found:
        row_bytes += page.size
        most_bytes = max(most_bytes, row_bytes)
        for run, length in _runs(_level_bytes(page, packed, unpack), max_level, page.values):
            # a row begins where the level is 0
            starts = np.flatnonzero(run == 0) if isinstance(run, np.ndarray) else None
            if starts is None and run:
                values += length
            elif starts is None:
                most_values, values, row_bytes = max(most_values, values), 1, page.size
            elif len(starts):
                gaps = np.diff(starts)
                inner = int(gaps.max()) if len(gaps) else 0
                most_values = max(most_values, values + int(starts[0]), inner)
                values = length - int(starts[-1])
                row_bytes = page.size
            else:
                values += length
    return max(most_values, values), most_bytes


def longest_entry(data: bytes) -> int:
    """Return the size in bytes of the longest text in an uncompressed dictionary page.

    Raises:
        ValueError: the page is cut short.
    """
    longest = at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        at += 4 + size
        longest = max(longest, size)
    if at > len(data):
        raise ValueError("a dictionary is not whole")
    return longest


def _level_bytes(page: Page, packed: bytes, unpack: Callable[[bytes, int], bytes]) -> bytes:
    if page.levels is None:
        content = unpack(packed, page.size)
        return content[4 : 4 + int.from_bytes(content[:4], "little")]
    if page.levels < 0:
        raise ValueError("its repetition levels are of a kind that is not read")
    return packed[: page.levels]


def _runs(
    data: bytes, max_level: int, count: int
) -> Iterator[tuple[int | npt.NDArray[np.uint8], int]]:
    """Yield runs of levels: one level and its number of repetitions, or an array and its length."""
    width = max_level.bit_length()
    at = 0
    while count > 0 and at < len(data):
        header, at = _varint(data, at)
        if header & 1:
            size = (header >> 1) * width
            if at + size > len(data):
                raise ValueError("its levels are cut short")
            for start in range(at, at + size, _PACKED_AT_ONCE * width):
                packed = data[start : min(start + _PACKED_AT_ONCE * width, at + size)]
                bits = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little")
                length = min(count, len(bits) // width)
                # level 0 is all that matters, so the maximum of the bits is enough
                yield bits[: length * width].reshape(length, width).max(axis=1), length
                count -= length
            at += size
        else:
            length = min(count, header >> 1)
            level = int.from_bytes(data[at : at + (width + 7) // 8], "little")
            at += (width + 7) // 8
            yield level, length
            count -= length


def _header(stream: BinaryIO, start: int, end: int) -> tuple[Fields, int]:
    size = _FIRST_READ_BYTES
    while True:
        stream.seek(start)
        data = stream.read(min(size, end - start))
        try:
            return _struct(data, 0, 0)
        except IndexError:
            if size >= min(MAX_HEADER_BYTES, end - start):
                raise ValueError("the header of a page is not whole") from None
            size *= 16


def _number(fields: Fields, key: int) -> int:
    value = fields.get(key)
    if not isinstance(value, int) or value < 0:
        raise ValueError("the header of a page is not whole")
    return value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < _VARINT_BITS:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:  # noqa: PLR2004  # the last byte of a number has no continuation bit
            return value, at
        shift += 7
    raise ValueError("a number in the header of a page is too long")


def _struct(data: bytes, at: int, depth: int) -> tuple[Fields, int]:
    if depth > _MAX_DEPTH:
        raise ValueError("the header of a page is nested too deep")
    fields: Fields = {}
    key = 0
    while head := data[at]:
        at += 1
        delta, kind = head >> 4, head & 0x0F
        if delta:
            key += delta
        else:
            zigzag, at = _varint(data, at)
            key = (zigzag >> 1) ^ -(zigzag & 1)
        fields[key], at = _value(data, at, kind, depth)
    return fields, at + 1


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[object, int]:
    match kind:
        case 1 | 2:  # true, false
            return kind == 1, at
        case 3:  # a byte
            return data[at], at + 1
        case 4 | 5 | 6:  # whole numbers
            zigzag, at = _varint(data, at)
            return (zigzag >> 1) ^ -(zigzag & 1), at
        case 7:  # a float
            return None, at + 8
        case 8:  # bytes
            size, at = _varint(data, at)
            if at + size > len(data):
                raise IndexError
            return None, at + size
        case 12:
            return _struct(data, at, depth + 1)
        case _:
            raise ValueError("the header of a page has a field of an unknown kind")
