"""Parquet: rows, decoded a few at a time: as many as fit in memory, whatever they become."""

from __future__ import annotations

import math
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
import orjson

from taskembed.errors import (
    BadInputError,
    BadRecordError,
    TaskembedError,
    first_line,
    from_os_error,
)
from taskembed.reading._parquet_pages import (
    DELTA,
    DELTA_LENGTH,
    Page,
    longest_entry,
    longest_row,
    pages,
)
from taskembed.reading.bounds import BATCH_BYTES, MAX_VALUES, SHOWN_BYTES, SPOOL_BYTES

ROWS = 1024  # at once, at most
CELLS = 100_000  # at once
MAX_FOOTER_BYTES = 32 * 2**20  # in memory it takes 30 times as much
PAGES_BYTES = 320 * 2**20  # of the largest pages of all columns: they take three times as much
LARGE_PAGES_BYTES = 128 * 2**20  # from here on, one row at once
NESTED_VALUES = 16_000_000  # of a column with lists: from here on, each row is measured first
NESTED_BYTES = 256 * 2**20
DICTIONARY_BYTES = 4 * 2**20  # a longer one is not looked through for its longest text
FEW_ROWS = 256  # at once are too few, if dictionaries that stay as they are could help
CONVERTED_BYTES = 16 * 2**20  # become Python's objects at once
CONVERTED_VALUES = 500_000
_MAGIC = b"PAR1"
_ESCAPED_BYTES = 4  # that a byte of no text becomes: "\\xff"
_VALUE_BYTES = 12  # of a number and its levels
_WAY_OUT = (
    "write it anew in smaller row groups and pages, for example with pyarrow: "
    "pyarrow.parquet.write_table(TABLE, 'corpus.parquet', row_group_size=10_000)"
)

OnBad = Callable[[BadRecordError], None]
Numbers = npt.NDArray[np.int64]


def parquet_records(
    path: Path | None,
    name: str,
    on_bad: OnBad,
    max_record_bytes: int,
    on_begin: Callable[[Callable[[], float]], None] = lambda _: None,
) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield the number and the fields of each row, as what JSON can hold.

    Args:
        path: of the file; None for stdin.
        name: what messages call it.
        on_bad: called with a row that cannot be used; raises to stop, returns to go on.
        max_record_bytes: of a row, as its values take in a file that is not compressed.
        on_begin: called with what tells how much of the rows was read, 0 to 1.

    Raises:
        BadInputError: the file is no Parquet, is damaged, or cannot be decoded in little memory.
        StorageError: it cannot be read.
    """
    import pyarrow as pa  # 0.1 s

    rows = _Rows(name, on_bad, max_record_bytes)
    try:
        with _as_file(path, name) as stream:
            _require_footer(stream, name)
            with _Handles(stream) as handles:
                count = max(1, handles.plain.metadata.num_rows)
                on_begin(lambda: rows.number / count)
                for group in range(handles.plain.num_row_groups):
                    plan = _plan(handles.plain, group, stream, name)
                    file = handles.keeping if plan.keeps_dictionaries else handles.plain
                    for batch in file.iter_batches(plan.rows, row_groups=[group]):
                        yield from rows.of(_in_microseconds(batch))
    except OSError as error:
        if error.errno:
            raise from_os_error(error, name) from error
        raise _unreadable(name, rows.number, error) from error
    except TaskembedError:
        raise
    except (pa.ArrowException, ValueError, OverflowError) as error:
        # the last two: a moment that datetime cannot hold (nanoseconds, the year 30000)
        raise _unreadable(name, rows.number, error) from error


def _unreadable(name: str, position: int, error: Exception) -> BadInputError:
    reason = first_line(error)
    return BadInputError(
        f"{name}: it cannot be read after record {position:,}: {reason}",
        hint="the file is damaged, cut short, or not what its name says",
    )


@contextmanager
def _as_file(path: Path | None, name: str) -> Iterator[BinaryIO]:
    """Open a file; what is none, such as stdin, is copied into one first."""
    with sys.stdin.buffer if path is None else path.open("rb") as stream:
        if path is not None and stat.S_ISREG(path.stat().st_mode):
            yield stream
            return
        with tempfile.TemporaryFile(prefix="taskembed-") as copy:
            start = stream.read(len(_MAGIC))
            if start == _MAGIC:
                copy.write(start)
                _copy(stream, cast("BinaryIO", copy), name)
            yield cast("BinaryIO", copy)


def _copy(stream: BinaryIO, copy: BinaryIO, name: str) -> None:
    while piece := stream.read(2**20):
        if copy.tell() + len(piece) > SPOOL_BYTES:
            raise BadInputError(
                f"{name}: more than {SPOOL_BYTES:,} bytes of Parquet from a pipe",
                hint="name the file",
            )
        copy.write(piece)


def _require_footer(stream: BinaryIO, name: str) -> None:
    size = stream.seek(0, 2)
    if size >= 2 * len(_MAGIC) + 4:
        stream.seek(-2 * len(_MAGIC), 2)
        footer = int.from_bytes(stream.read(4), "little")
        if stream.read() == _MAGIC and MAX_FOOTER_BYTES < footer < size:
            raise BadInputError(
                f"{name}: its footer has {footer:,} bytes, and {MAX_FOOTER_BYTES:,} are read",
                hint=_WAY_OUT,
            )
    stream.seek(0)


class _Handles:
    """A file, opened in one way or the other."""

    def __init__(self, stream: BinaryIO) -> None:
        import pyarrow.parquet as pq

        self._stream = stream
        self._open = pq.ParquetFile
        self.plain = self._open(stream, pre_buffer=False)
        # each column has a buffer of its own
        size = max(4096, min(2**20, BATCH_BYTES // max(1, len(self.plain.schema.names))))
        self._options = {"pre_buffer": False, "buffer_size": size}
        self.plain = self._open(stream, **self._options)
        self._keeping: Any = None

    @property
    def keeping(self) -> Any:  # noqa: ANN401  # pyarrow publishes no types
        """Texts that a dictionary holds stay numbers until they are measured."""
        if self._keeping is None:
            names = [self.plain.schema.column(number).path for number in _texts(self.plain.schema)]
            self._keeping = self._open(self._stream, read_dictionary=names, **self._options)
        return self._keeping

    def __enter__(self) -> _Handles:
        return self

    def __exit__(self, *_: object) -> None:
        self.plain.close()


def _texts(schema: Any) -> list[int]:  # noqa: ANN401
    return [
        number
        for number in range(len(schema.names))
        if schema.column(number).physical_type == "BYTE_ARRAY"
    ]


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a row group is read: so many rows at once."""

    rows: int
    keeps_dictionaries: bool


@dataclass(frozen=True, slots=True)
class _Column:
    """What the pages of a column tell, in one row group.

    Attributes:
        largest_page: bytes, unpacked.
        row_bytes: of a row in memory, the most or the average where no row can surprise.
        entry_bytes: of a row whose texts are all the longest of the dictionary.
        most_rows: that may be decoded together, as far as this column goes.
    """

    largest_page: int
    row_bytes: int
    entry_bytes: int = 0
    most_rows: int = ROWS


def _plan(file: Any, group: int, stream: BinaryIO, name: str) -> _Plan:  # noqa: ANN401
    """Return how a row group can be read in little memory.

    Raises:
        BadInputError: not even one row can.
    """
    metadata = file.metadata.row_group(group)
    columns = [
        _measured(_Chunk(metadata.column(number), file.schema.column(number), stream), metadata)
        for number in range(metadata.num_columns)
    ]
    together = sum(column.largest_page for column in columns)
    if together > PAGES_BYTES:
        raise BadInputError(
            f"{name}: the pages of row group {group} take {together:,} bytes at once, "
            f"and {PAGES_BYTES:,} are read",
            hint=_WAY_OUT,
        )
    most = min([ROWS, *(column.most_rows for column in columns)])
    most = 1 if together > LARGE_PAGES_BYTES else min(most, CELLS // max(1, len(columns)))
    size = sum(column.row_bytes for column in columns)
    entries = sum(column.entry_bytes for column in columns)
    keeps = (size + entries) * min(most, FEW_ROWS) > BATCH_BYTES
    fitting = BATCH_BYTES // max(1, size if keeps else size + entries)
    return _Plan(max(1, min(most, fitting)), keeps)


class _Chunk:
    """A column of a row group: its pages, and what they hold."""

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
        """How much of memory a value of a data page takes: the average, or the most."""
        if self.column.physical_type == "FIXED_LEN_BYTE_ARRAY":
            return int(self.column.length) + 1
        if not self.is_text:
            return _VALUE_BYTES
        if self.is_delta:  # each can repeat the whole one before it
            return max(page.size for page in self.data)
        average = max((page.size // max(1, page.values) for page in self.data), default=0)
        return _VALUE_BYTES + average

    @property
    def entry_bytes(self) -> int:
        """How long the longest text of the dictionary is, or may be."""
        found = [page for page in self.pages if page.is_dictionary]
        if not self.is_text or not found:
            return 0
        if max(page.size for page in found) > DICTIONARY_BYTES:
            return max(page.size for page in found)
        return max(longest_entry(self.unpack(self.read(page), page.size)) for page in found)

    def read(self, page: Page) -> bytes:
        """Return the packed bytes of a page."""
        self._stream.seek(page.packed_at)
        return self._stream.read(page.packed_size)

    def unpack(self, packed: bytes, size: int) -> bytes:
        """Return what was packed.

        Raises:
            ArrowException: it is not that.
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
    # a dictionary is held packed, unpacked and decoded, beside the page that points at it
    largest = max((page.size for page in chunk.data), default=0)
    largest += 2 * max((page.size for page in chunk.pages if page.is_dictionary), default=0)
    each, entry = chunk.value_bytes, chunk.entry_bytes
    if chunk.column.max_repetition_level == 0:
        return _Column(largest, each, entry)
    # a few bytes can be millions of values of one row
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


class _Rows:
    """Rows that are decoded, as records; `number` is the last one."""

    def __init__(self, name: str, on_bad: OnBad, limit: int) -> None:
        self.number = 0
        self._name = name
        self._on_bad = on_bad
        self._limit = limit

    def of(self, batch: Any) -> Iterator[tuple[int, dict[str, object]]]:  # noqa: ANN401
        """Yield the rows of a batch that are good."""
        for start, count in self._groups(batch):
            yield from self._converted(batch.slice(start, count))

    def _groups(self, batch: Any) -> Iterator[tuple[int, int]]:  # noqa: ANN401
        """Yield the first row and the number of rows that are converted together; reject others."""
        is_small = batch.nbytes <= min(self._limit, CONVERTED_BYTES)
        if is_small and sum(map(_most_values, batch.columns)) <= CONVERTED_VALUES:
            yield 0, batch.num_rows
            return
        sizes, values = _sizes(batch.columns, batch.num_rows)
        start, size, count = 0, 0, 0
        for row, (row_size, row_values) in enumerate(zip(sizes, values, strict=True)):
            is_bad = row_size > self._limit or row_values > MAX_VALUES
            is_full = size + row_size > CONVERTED_BYTES or count + row_values > CONVERTED_VALUES
            if (is_bad or is_full) and start < row:
                yield start, row - start
            if is_bad or is_full:
                start, size, count = row, 0, 0
            if is_bad:
                self._reject(batch, row, is_large=bool(row_size > self._limit))
                start = row + 1
            else:
                size, count = size + int(row_size), count + int(row_values)
        if start < batch.num_rows:
            yield start, batch.num_rows - start

    def _converted(self, rows: Any) -> Iterator[tuple[int, dict[str, object]]]:  # noqa: ANN401
        try:
            records = _plain(rows)
        except (UnicodeDecodeError, TypeError, RecursionError) as error:
            if rows.num_rows > 1:
                for row in range(rows.num_rows):
                    yield from self._converted(rows.slice(row, 1))
                return
            is_text = isinstance(error, UnicodeDecodeError)
            self.number += 1
            reason = "a text is not UTF-8" if is_text else "it is nested too deep"
            self._on_bad(BadRecordError(f"{self._name}:row {self.number}", reason, raw=_raw(rows)))
            return
        for record in records:
            self.number += 1
            yield self.number, record

    def _reject(self, batch: Any, row: int, *, is_large: bool) -> None:  # noqa: ANN401
        self.number += 1
        reason = (
            f"the record is larger than {self._limit:,} bytes (--max-record-bytes)"
            if is_large
            else f"it has more than {MAX_VALUES:,} values"
        )
        raw = _raw(batch.slice(row, 1))
        self._on_bad(BadRecordError(f"{self._name}:row {self.number}", reason, raw=raw))


def _raw(row: Any) -> str:  # noqa: ANN401
    """Return what is short of a row that is rejected, as JSON."""
    record: dict[str, object] = {}
    for name, column in zip(row.schema.names, row.columns, strict=True):
        sizes, values = _sizes([column], 1)
        if sizes[0] <= SHOWN_BYTES and values[0] <= SHOWN_BYTES and len(record) < SHOWN_BYTES:
            try:
                record |= _plain(row.select([name]))[0]
            except (UnicodeDecodeError, TypeError, RecursionError, ValueError, OverflowError):
                continue
    return orjson.dumps(record).decode()


def _plain(rows: Any) -> Sequence[dict[str, object]]:  # noqa: ANN401
    """Return rows with what JSON can hold: dates and decimals as text, NaN as null."""
    records = rows.to_pylist()
    if not all(map(_is_json, rows.schema)):
        records = orjson.loads(orjson.dumps(records, default=_as_text))
    return cast("Sequence[dict[str, object]]", records)


def _as_text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return str(value)


def _most_values(array: Any) -> float:  # noqa: ANN401
    """Return how many values a column has at most; infinity when its buffers do not tell."""
    import pyarrow as pa

    kind, types = array.type, pa.types
    if isinstance(array, pa.ExtensionArray):
        return _most_values(array.storage)
    if types.is_dictionary(kind) or types.is_binary(kind) or types.is_large_binary(kind):
        return math.inf
    if types.is_struct(kind):
        return len(array) + sum(map(_most_values, array.flatten()))
    if any(test(kind) for test in (types.is_map, types.is_list, types.is_large_list)):
        return len(array) + _most_values(array.values)
    return len(array) if kind.num_fields == 0 else math.inf


def _is_json(field: Any) -> bool:  # noqa: ANN401
    import pyarrow as pa

    kind, types = field.type, pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    is_text = types.is_string(kind) or types.is_large_string(kind)
    return bool(is_text or types.is_integer(kind) or types.is_boolean(kind))


def _sizes(columns: Sequence[Any], rows: int) -> tuple[Numbers, Numbers]:
    """Return int64[rows] bytes and int64[rows] values of each row, before it is made."""
    sizes, values = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    for column in columns:
        of_column = _sizes_of(column)
        sizes += of_column[0]
        values += of_column[1]
    return sizes, values


def _sizes_of(array: Any) -> tuple[Numbers, Numbers]:  # noqa: ANN401
    import pyarrow as pa

    kind, types, rows = array.type, pa.types, len(array)
    if isinstance(array, pa.ExtensionArray):
        return _sizes_of(array.storage)
    if types.is_dictionary(kind):
        numbers = array.indices.fill_null(0).to_numpy(zero_copy_only=False)
        sizes, values = _sizes_of(array.dictionary)
        return (sizes[numbers], values[numbers]) if len(sizes) else _sizes_of(array.indices)
    if types.is_struct(kind):
        sizes, values = _sizes(array.flatten(), rows)
        return sizes, values + 1
    if types.is_fixed_size_list(kind):
        ends = np.arange(array.offset, array.offset + rows + 1) * kind.list_size
        return _summed(array.values, ends)
    if types.is_map(kind) or types.is_list(kind) or types.is_large_list(kind):
        return _summed(array.values, array.offsets.to_numpy().astype(np.int64))
    return _sizes_of_single(array), np.ones(rows, np.int64)


def _sizes_of_single(array: Any) -> Numbers:  # noqa: ANN401
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, types = array.type, pa.types
    is_text = types.is_string(kind) or types.is_large_string(kind)
    if is_text or types.is_binary(kind) or types.is_large_binary(kind):
        lengths = pc.binary_length(array).fill_null(0)
        sizes = cast("Numbers", lengths.to_numpy(zero_copy_only=False).astype(np.int64))
        return sizes if is_text else sizes * _ESCAPED_BYTES
    # a rare kind is shared out: its whole is what counts
    return np.full(len(array), -(-array.nbytes // max(1, len(array))), np.int64)


def _summed(items: Any, ends: Numbers) -> tuple[Numbers, Numbers]:  # noqa: ANN401
    """Return what lists take that end at those items."""
    totals = [np.concatenate([[0], np.cumsum(of_items)]) for of_items in _sizes_of(items)]
    sizes, values = (np.diff(total[ends]) for total in totals)
    return sizes, values + 1


def _in_microseconds(batch: Any) -> Any:  # noqa: ANN401
    """Return a batch whose moments datetime can hold, whether or not pandas is installed.

    With pandas, pyarrow would make its own moments of nanoseconds; without, an error. A moment
    that is not in whole microseconds is an error here in either case.
    """
    import pyarrow as pa

    fields = [
        field.with_type(pa.timestamp("us", field.type.tz))
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns"
        else field
        for field in batch.schema
    ]
    schema = pa.schema(fields)
    return batch if schema.equals(batch.schema) else batch.cast(schema)
