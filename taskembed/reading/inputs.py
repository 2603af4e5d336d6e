"""Reads records from files of JSONL, Parquet, CSV and TSV, each with its position.

Inputs are files, folders or stdin, and may be compressed with gzip or zstd. At most one record is
in memory; for Parquet, one small batch. docs/input.md describes valid input.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from urllib.parse import unquote

from taskembed.errors import (
    BadRecordError,
    NotFoundError,
    UsageError,
)
from taskembed.reading._folders import is_of_records, records_below
from taskembed.reading._parsers.jsonl import first_line_hint, json_records
from taskembed.reading._parsers.parquet import parquet_records
from taskembed.reading._parsers.tables import TABLES, Columns, CsvRows, tsv_record
from taskembed.reading._parsers.text_files import text_records
from taskembed.reading.formats import ENDINGS, InputFormat, split_name
from taskembed.reading.places import Place, place_of
from taskembed.reading.rows import Record, Row
from taskembed.reading.streams import Input, OnBad, Shape, opened, read_lines, translated

_NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"  # how Hive writes null


def find_inputs(
    arguments: Sequence[str], *, format_name: str | None = None, shape: Shape | None = None
) -> list[Input]:
    """Return the inputs that arguments name: files, the corpus files of folders, "-" for stdin.

    In a folder, the files named corpus.* are read; if there are none, every file below it with a
    known ending, sorted, without hidden files and indexes.

    Args:
        arguments: paths, or "-".
        format_name: format of all inputs; None to take it from their names.
        shape: delimiter, encoding and columns of CSV and TSV.

    Raises:
        NotFoundError: a file or folder does not exist, or a folder has nothing to read.
        BadInputError: a folder is an index, or a dataset in a format that is not read.
        UsageError: the format of a file is not known from its name.
    """
    if arguments.count("-") > 1:
        raise UsageError("stdin can be read only once")
    shape = shape or Shape()
    inputs: list[Input] = []
    for argument in arguments:
        path = place_of(argument)
        if argument == "-":
            inputs.append(Input(None, format_name or "jsonl", None, shape))
        elif path.is_dir():
            inputs += [file_input(found, format_name, shape) for found in _in_folder(path)]
        elif not path.exists():
            raise NotFoundError(f"no such file or folder: {path}", hint="check the path")
        else:
            inputs.append(file_input(path, format_name, shape))
    return inputs


def _in_folder(folder: Place) -> list[Place]:
    found = corpus_of(folder.glob("corpus.*")) or records_below(folder)
    if not found:
        raise NotFoundError(
            f"no corpus in the folder {folder}", hint=f"known names end in {' '.join(ENDINGS)}"
        )
    return found


def corpus_of(paths: Iterable[Place]) -> list[Place]:
    """Return the paths that are files of records, sorted."""
    return sorted(filter(is_of_records, paths))


def file_input(path: Place, format_name: str | None, shape: Shape) -> Input:
    """Return a file as an input.

    Raises:
        UsageError: the format of the file is not known from its name.
    """
    known, compression = split_name(path)
    chosen = format_name or known
    if chosen is None:
        raise UsageError(
            "the name does not tell the format",
            what=str(path),
            hint="--format jsonl|parquet|csv|tsv",
        )
    if chosen == "parquet" and compression:
        raise UsageError(
            "Parquet has its own compression", what=str(path), hint="decompress the file"
        )
    return Input(path, chosen, compression, shape, tuple(_partitions(path)))


def _partitions(path: Place) -> Iterator[tuple[str, str | None]]:
    """Yield the columns in the names of a path's folders, as Hive names them: year=2024."""
    for part in path.parent.parts:
        name, equals, value = part.partition("=")
        if name and equals:
            yield unquote(name), None if value == _NO_PARTITION else unquote(value)


def read_records(item: Input, on_bad: OnBad, max_record_bytes: int) -> Iterator[Row]:
    """Return an iterator over the records of an input.

    At most one record is in memory: the iterator keeps no reference to the record it returned.

    Args:
        item: the input.
        on_bad: called with each bad record; raises to stop, returns to continue.
        max_record_bytes: size in bytes above which a record is bad.

    Raises:
        BadInputError: the file has a format other than its name says, or is damaged.
        StorageError: the file cannot be read.
    """
    max_record_bytes = min(
        max_record_bytes, sys.maxsize - 8
    )  # the largest size that readline takes
    rows = _READERS[InputFormat(item.format)](item, on_bad, max_record_bytes)
    if not item.partitions:
        return rows

    def with_folders(row: Row) -> Row | None:
        source, record, line = row
        try:
            return Row(source, _with_partitions(record, item.partitions), line)
        except ValueError as error:
            on_bad(BadRecordError(source, str(error), raw=repr(record)))
            return None

    return filter(None, map(with_folders, rows))


def _with_partitions(
    record: dict[str, object], partitions: Sequence[tuple[str, str | None]]
) -> Record:
    whole = copy(record)
    for name, value in partitions:
        if name not in record:
            whole[name] = value
        elif not _is_same(record[name], value):
            raise ValueError(
                f'the field "{name}" is {record[name]!r}, and the folder says {name}={value}'
            )
    return whole


def _is_same(value: object, partition: str | None) -> bool:
    if value is None or partition is None:
        return value is partition
    if isinstance(value, bool):
        return str(value).lower() == partition.lower()
    if isinstance(value, int | float):
        try:
            return float(partition) == value
        except ValueError:
            return False
    return str(value) == partition


def _jsonl_records(item: Input, on_bad: OnBad, max_record_bytes: int) -> Iterator[Row]:
    def with_hint(error: BadRecordError) -> None:
        if error.source == f"{item.name}:1" and error.hint is None:  # a line that is too large
            error.hint = first_line_hint(item.name, error.raw[:1].encode())
        on_bad(error)

    return json_records(item.name, read_lines(item, with_hint, max_record_bytes), on_bad)


def _columns(item: Input, on_bad: OnBad) -> Columns:
    return Columns(on_bad, item.shape.delimiter or TABLES[item.format], item.shape.columns)


def _tsv_records(item: Input, on_bad: OnBad, max_record_bytes: int) -> Iterator[Row]:
    columns = _columns(item, on_bad)
    lines = read_lines(item, columns.reject, max_record_bytes, keep_space=True)

    def row(positioned: tuple[str, bytes]) -> Row | None:
        source, line = positioned
        record = tsv_record(columns, source, line)
        return None if record is None else Row(source, record, line)

    return filter(None, map(row, lines))


def _csv_records(item: Input, on_bad: OnBad, max_record_bytes: int) -> Iterator[Row]:
    columns = _columns(item, on_bad)
    with opened(item) as stream:
        rows = CsvRows(item.name, stream, columns, max_record_bytes)
        with translated(item, lambda: rows.number):
            yield from rows.records()


def _parquet_records(item: Input, on_bad: OnBad, max_record_bytes: int) -> Iterator[Row]:
    def begin(share: Callable[[], float]) -> None:
        size = item.path.stat().st_size if item.path else 0
        item.meter.begin(item.path, lambda: int(share() * size))

    def row(numbered: tuple[int, Record]) -> Row:
        number, record = numbered
        return Row(f"{item.name}:row {number}", record, None)

    return map(row, parquet_records(item.path, item.name, on_bad, max_record_bytes, begin))


_READERS: dict[InputFormat, Callable[[Input, OnBad, int], Iterator[Row]]] = {
    InputFormat.JSONL: _jsonl_records,
    InputFormat.CSV: _csv_records,
    InputFormat.TSV: _tsv_records,
    InputFormat.PARQUET: _parquet_records,
    InputFormat.TEXT: text_records,
    InputFormat.CODE: text_records,
}
