"""Plans how many rows of a Parquet file are decoded at once: as many as fit in memory.

The plan is computed from the page headers, before anything is decoded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, BinaryIO, cast

from taskembed.errors import BadInputError
from taskembed.reading._parsers.parquet_pages import (
    DELTA,
    DELTA_LENGTH,
    Page,
    longest_entry,
    longest_row,
    pages,
)
from taskembed.reading.bounds import BATCH_BYTES

ROWS = 1024  # largest number of rows at once
CELLS = 100_000  # cells decoded at once
PAGES_BYTES = (
    320 * 2**20
)  # bytes of the largest pages of all columns; they take three times as much memory
LARGE_PAGES_BYTES = 128 * 2**20  # bytes of pages; beyond it, rows are decoded one by one
NESTED_VALUES = 16_000_000  # values of a column of lists; beyond it, each row is measured first
NESTED_BYTES = 256 * 2**20
DICTIONARY_BYTES = 4 * 2**20  # bytes; a larger dictionary is not searched for its longest text
FEW_ROWS = 256  # if fewer rows are decoded at once, texts stay dictionary-encoded
_VALUE_BYTES = 12  # bytes of a number and its levels
WAY_OUT = (
    "rewrite it with smaller row groups and pages, for example with pyarrow: "
    "pyarrow.parquet.write_table(TABLE, 'corpus.parquet', row_group_size=10_000)"
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a row group is read.

    Attributes:
        rows: number of rows decoded at once.
        keeps_dictionaries: whether dictionary-encoded texts stay encoded until they are measured.
    """

    rows: int
    keeps_dictionaries: bool


@dataclass(frozen=True, slots=True)
class _Column:
    """Sizes of a column in one row group, from its pages.

    Attributes:
        largest_page: uncompressed bytes of the largest page.
        row_bytes: bytes of a row in memory: the maximum, or the average if rows have similar sizes.
        entry_bytes: bytes of a row if all its texts are the longest text of the dictionary.
        most_rows: number of rows of this column that may be decoded together.
    """

    largest_page: int
    row_bytes: int
    entry_bytes: int = 0
    most_rows: int = ROWS


def plan_of(file: Any, group: int, stream: BinaryIO, name: str) -> Plan:  # noqa: ANN401
    """Return how to read a row group in little memory.

    Raises:
        BadInputError: a single row does not fit in memory.
    """
    metadata = file.metadata.row_group(group)
    columns = [
        _measured(_Chunk(metadata.column(number), file.schema.column(number), stream), metadata)
        for number in range(metadata.num_columns)
    ]
    together = sum(column.largest_page for column in columns)
    if together > PAGES_BYTES:
        raise BadInputError(
            f"the pages of row group {group} take {together:,} bytes at once, "
            f"and {PAGES_BYTES:,} are read",
            what=name,
            hint=WAY_OUT,
        )
    most = min([ROWS, *(column.most_rows for column in columns)])
    most = 1 if together > LARGE_PAGES_BYTES else min(most, CELLS // max(1, len(columns)))
    size = sum(column.row_bytes for column in columns)
    entries = sum(column.entry_bytes for column in columns)
    keeps = (size + entries) * min(most, FEW_ROWS) > BATCH_BYTES
    fitting = BATCH_BYTES // max(1, size if keeps else size + entries)
    return Plan(max(1, min(most, fitting)), keeps)


class _Chunk:
    """The pages of a column in a row group."""

    def __init__(self, chunk: Any, column: Any, stream: BinaryIO) -> None:  # noqa: ANN401
        start = chunk.data_page_offset
        if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < start:
            start = chunk.dictionary_page_offset
        self.column = column
        self.pages = list(pages(stream, start, start + chunk.total_compressed_size))
        self.data = [page for page in self.pages if not page.is_dictionary]
        self.values = sum(page.values for page in self.data)
        self.is_text = column.physical_type == "BYTE_ARRAY"
        self.is_delta = any(page.encoding == DELTA for page in self.data)
        self._codec = chunk.compression.lower()
        self._stream = stream

    @property
    def value_bytes(self) -> int:
        """Bytes of memory for a value of a data page: the average, or the maximum."""
        if self.column.physical_type == "FIXED_LEN_BYTE_ARRAY":
            return int(self.column.length) + 1
        if not self.is_text:
            return _VALUE_BYTES
        if self.is_delta:  # each value can repeat the whole previous value
            return max(page.size for page in self.data)
        average = max((page.size // max(1, page.values) for page in self.data), default=0)
        return _VALUE_BYTES + average

    @property
    def entry_bytes(self) -> int:
        """Bytes of the longest text in the dictionary, or an upper bound."""
        found = [page for page in self.pages if page.is_dictionary]
        if not self.is_text or not found:
            return 0
        if max(page.size for page in found) > DICTIONARY_BYTES:
            return max(page.size for page in found)
        return max(longest_entry(self.unpack(self.read(page), page.size)) for page in found)

    def read(self, page: Page) -> bytes:
        """Return the compressed bytes of a page."""
        self._stream.seek(page.packed_at)
        return self._stream.read(page.packed_size)

    def unpack(self, packed: bytes, size: int) -> bytes:
        """Return decompressed bytes.

        Raises:
            ArrowException: the bytes cannot be decompressed.
        """
        import pyarrow as pa

        if self._codec == "uncompressed":
            return packed
        codec = pa.Codec("lz4_raw" if self._codec == "lz4" else self._codec)
        return cast("bytes", codec.decompress(packed, size, asbytes=True))


def _measured(chunk: _Chunk, metadata: Any) -> _Column:  # noqa: ANN401
    has_lengths = any(page.encoding in {DELTA, DELTA_LENGTH} for page in chunk.data)
    if has_lengths and max(page.values for page in chunk.data) > NESTED_VALUES:
        raise ValueError("a page has too many texts")  # their lengths are decoded at once
    # a dictionary is held compressed, uncompressed and decoded, together with the page that uses it
    largest = max((page.size for page in chunk.data), default=0)
    largest += 2 * max((page.size for page in chunk.pages if page.is_dictionary), default=0)
    each, entry = chunk.value_bytes, chunk.entry_bytes
    if chunk.column.max_repetition_level == 0:
        return _Column(largest, each, entry)
    # a few bytes can encode millions of values of one row
    in_row = -(-chunk.values // max(1, metadata.num_rows))
    usual = _Column(largest, each * in_row, entry * min(chunk.values, FEW_ROWS * in_row))
    size = sum(page.size for page in chunk.data)
    is_delta_large = chunk.is_delta and chunk.values * each > NESTED_BYTES
    if chunk.values <= NESTED_VALUES and size <= NESTED_BYTES and not is_delta_large:
        return usual
    found = ((page, chunk.read(page)) for page in chunk.data)
    values, size = longest_row(found, chunk.column.max_repetition_level, chunk.unpack)
    most = max(values * _VALUE_BYTES, values * each if chunk.is_delta else size)
    if values > NESTED_VALUES or most > 2 * NESTED_BYTES:
        raise ValueError(
            f"a row of {chunk.column.path} has {values:,} values in pages of {size:,} bytes: "
            "too many to hold"
        )
    return replace(usual, most_rows=NESTED_BYTES // max(1, most))
