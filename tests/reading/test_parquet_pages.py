"""Headers of pages and levels, byte by byte; and those that pyarrow writes."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taskembed.reading._parsers.parquet_pages import Page, longest_entry, longest_row, pages

STOP = b"\x00"
I32, BINARY, STRUCT = 5, 8, 12


def varint(value: int) -> bytes:
    """Return a number as Thrift's compact protocol has it: seven bits a byte, the lowest first."""
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def number(delta: int, value: int) -> bytes:
    """Return a field that holds a number: `delta` after the field before."""
    zigzag = value * 2 if value >= 0 else -value * 2 - 1
    return bytes([delta << 4 | I32]) + varint(zigzag)


def header(kind: int = 0, *, unpacked: int = 10, packed: int = 4, more: bytes = b"") -> bytes:
    """Return the header of a data page with three values, whose encoding is 6."""
    own = bytes([2 << 4 | STRUCT]) + number(1, 3) + number(1, 6) + number(2, 3) + STOP
    return number(1, kind) + number(1, unpacked) + number(1, packed) + more + own + STOP


def read(data: bytes, *, content: bytes = b"\xff" * 4) -> list[Page]:
    whole = data + content
    return list(pages(io.BytesIO(whole), 0, len(whole)))


def test_a_page_is_as_its_header_says() -> None:
    one = header()
    (page,) = read(one)
    assert page == Page(
        is_dictionary=False,
        encoding=6,
        values=3,
        size=10,
        packed_at=len(one),
        packed_size=4,
        levels=None,
    )


def test_a_header_of_version_2_says_how_long_its_levels_are() -> None:
    # the fields of its struct: values, nulls, rows, encoding, and bytes of levels, twice
    inner = b"".join(number(1, value) for value in (3, 0, 2, 5, 1, 2))
    head = number(1, 3) + number(1, 10) + number(1, 4)
    (page,) = read(head + bytes([5 << 4 | STRUCT]) + inner + STOP + STOP)
    assert (page.values, page.encoding, page.levels) == (3, 5, 2)


def test_what_a_header_has_beside_is_passed_over() -> None:
    every = (
        bytes([1 << 4 | 1])  # field 4: true
        + bytes([0 << 4 | 2, 18])  # false, with its number written out: 9
        + bytes([1 << 4 | 3, 77])  # a byte
        + bytes([1 << 4 | 7])
        + b"\x01" * 8  # a float
        + bytes([1 << 4 | BINARY])
        + varint(600)
        + b"x" * 600  # so that more of the file must be read
    )
    own = bytes([0, 10]) + number(1, 3) + number(1, 6) + STOP
    own = bytes([STRUCT]) + own[1:]  # field 5, with its number written out
    head = number(1, 0) + number(1, 10) + number(1, 4)
    (page,) = read(head + every + own + STOP)
    assert (page.values, page.encoding, page.packed_size) == (3, 6, 4)


def test_a_page_of_another_kind_is_passed_over() -> None:
    index = number(1, 1) + number(1, 10) + number(1, 4) + STOP
    assert [page.values for page in read(index + b"\xff" * 4 + header())] == [3]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (header()[:-3], "the header of a page is not whole"),
        (header(packed=5), "a page is longer than its column"),
        (header(packed=-1), "the header of a page is not whole"),
        (number(1, 0) + number(1, 10) + number(1, 4) + STOP, "the header of a page is not whole"),
        (number(2, 10) + STOP, "the header of a page is not whole"),
        (header(more=bytes([1 << 4 | 13])), "the header of a page has a field of an unknown kind"),
        (bytes([1 << 4 | STRUCT]) * 10, "the header of a page is nested too deep"),
        (bytes([1 << 4 | I32]) + b"\xff" * 10, "a number in the header of a page is too long"),
        (bytes([1 << 4 | BINARY]) + varint(10**6), "the header of a page is not whole"),
    ],
    ids=[
        *("cut", "too long", "a negative size", "without its own part", "without a kind"),
        *("an unknown field", "deep", "a long number", "bytes that are missing"),
    ],
)
def test_a_damaged_header_is_refused(data: bytes, said: str) -> None:
    content = b"" if data == header()[:-3] else b"\xff" * 4
    with pytest.raises(ValueError, match=f"^{said}$"):
        read(data, content=content)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_the_pages_that_pyarrow_writes_have_all_values(tmp_path: Path, version: str) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"a": pa.array([f"text {number % 50}" for number in range(20_000)])})
    pq.write_table(table, path, data_page_size=2_000, data_page_version=version)
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    start = column.dictionary_page_offset
    end = start + column.total_compressed_size
    with path.open("rb") as stream:
        first, *others = pages(stream, start, end)
    assert (first.is_dictionary, first.values) == (True, 50)
    assert len(others) > 3
    assert sum(page.values for page in others) == 20_000
    assert [page.levels is None for page in others] == [version == "1.0"] * len(others)
    assert others[-1].packed_at + others[-1].packed_size == end


# levels: in a column of lists, 0 begins a row


def row(*contents: tuple[int, bytes], size: int = 100) -> tuple[int, int]:
    """Return the longest row of pages, each of which has so many values, and these levels."""
    found = [
        (Page(False, 0, count, size, 0, 0, len(levels)), levels)  # noqa: FBT003  # a field
        for count, levels in contents
    ]
    return longest_row(iter(found), 1, lambda packed, _: packed)


def repeated(level: int, count: int) -> bytes:
    return varint(count << 1) + bytes([level])


def test_the_longest_row_of_repeated_levels() -> None:
    levels = repeated(0, 1) + repeated(1, 4) + repeated(0, 3) + repeated(1, 2)
    assert row((10, levels)) == (5, 100)


def test_a_row_goes_on_in_the_next_page() -> None:
    first = repeated(0, 1) + repeated(1, 1)
    second = repeated(1, 2) + repeated(0, 1)
    assert row((2, first), (3, second)) == (4, 200)


def test_the_longest_row_of_packed_levels() -> None:
    one_group = bytes([1 << 1 | 1])
    eight = bytes([0b11110110])  # the lowest bit first: 0 1 1 0 1 1 1 1
    assert row((8, one_group + eight)) == (5, 100)
    assert row((7, one_group + eight)) == (4, 100)  # of the last, there is no value
    # no row begins in the second page
    assert row((1, repeated(0, 1)), (8, one_group + b"\xff")) == (9, 200)


def test_levels_of_version_1_are_packed_with_their_length_before_them() -> None:
    levels = repeated(0, 1) + repeated(1, 2)
    content = len(levels).to_bytes(4, "little") + levels + b"values"
    page = Page(False, 0, 3, len(content), 0, 0, None)  # noqa: FBT003  # a field
    seen: list[tuple[bytes, int]] = []

    def unpack(packed: bytes, size: int) -> bytes:
        seen.append((packed, size))
        return content

    assert longest_row(iter([(page, b"packed")]), 1, unpack) == (3, len(content))
    assert seen == [(b"packed", len(content))]


def test_damaged_levels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^its levels are cut short$"):
        row((8, bytes([2 << 1 | 1, 0])))


def test_levels_that_are_packed_the_old_way_are_refused() -> None:
    # encoding of repetition levels: 4, after the values, their encoding and the other levels'
    own = number(1, 3) + number(1, 0) + number(1, 3) + number(1, 4) + STOP
    head = number(1, 0) + number(1, 10) + number(1, 4)
    found = read(head + bytes([2 << 4 | STRUCT]) + own + STOP)
    with pytest.raises(ValueError, match=r"^its repetition levels are of a kind that is not read$"):
        longest_row(((page, b"") for page in found), 1, lambda packed, _: packed)


def test_the_longest_entry_of_a_dictionary() -> None:
    entries = [b"one", b"seven", b""]
    data = b"".join(len(entry).to_bytes(4, "little") + entry for entry in entries)
    assert longest_entry(data) == 5
    assert longest_entry(b"") == 0
    with pytest.raises(ValueError, match=r"^a dictionary is not whole$"):
        longest_entry(data + b"\x09\x00\x00\x00cut")
