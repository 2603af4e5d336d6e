"""Converts decoded rows of a Parquet file to records, with values that JSON can represent."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import orjson

from taskembed.errors import BadRecordError
from taskembed.reading.bounds import MAX_VALUES, SHOWN_BYTES
from taskembed.reading.streams import OnBad

CONVERTED_BYTES = 16 * 2**20  # bytes that become Python objects at once
CONVERTED_VALUES = 500_000
_ESCAPED_BYTES = 4  # characters of an escaped byte: "\\xff"

Numbers = npt.NDArray[np.int64]


class ParquetRows:
    """Converts decoded rows to records; `number` is the number of the last row, from 1."""

    def __init__(self, name: str, on_bad: OnBad, limit: int) -> None:
        self.number = 0
        self._name = name
        self._on_bad = on_bad
        self._limit = limit

    def of(self, batch: Any) -> Iterator[tuple[int, dict[str, object]]]:  # noqa: ANN401
        """Yield the numbers and fields of the good rows of a batch."""
        for start, count in self._groups(batch):
            yield from self._converted(batch.slice(start, count))

    def _groups(self, batch: Any) -> Iterator[tuple[int, int]]:  # noqa: ANN401
        """Yield (first row, number of rows) to convert together; reject rows over a limit."""
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
    """Return the short fields of a rejected row, as JSON."""
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
    """Return rows with JSON values: dates and decimals become text, NaN becomes null."""
    records = rows.to_pylist()
    if not all(map(_is_json, rows.schema)):
        records = orjson.loads(orjson.dumps(records, default=_as_text))
    return cast("Sequence[dict[str, object]]", records)


def _as_text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return str(value)


def _most_values(array: Any) -> float:  # noqa: ANN401
    """Return an upper bound for the values in a column; infinity if no bound is known."""
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
    """Return int64[rows] bytes and int64[rows] values of each row, before rows are created."""
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
    # for rare types the average is enough, since only the sum matters
    return np.full(len(array), -(-array.nbytes // max(1, len(array))), np.int64)


def _summed(items: Any, ends: Numbers) -> tuple[Numbers, Numbers]:  # noqa: ANN401
    """Return the bytes and values of each list, from those of its items and the lists' ends."""
    totals = [np.concatenate([[0], np.cumsum(of_items)]) for of_items in _sizes_of(items)]
    sizes, values = (np.diff(total[ends]) for total in totals)
    return sizes, values + 1
