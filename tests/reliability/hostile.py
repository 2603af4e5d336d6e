"""Inputs that are small, and become large: each writes itself to a path."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests import zstd

MIB = 2**20


def _zstd(path: Path, pieces: Iterable[bytes]) -> None:
    with zstd.open(path, "wb", level=3) as stream:
        for piece in pieces:
            stream.write(piece)


def _gzip(path: Path, pieces: Sequence[bytes]) -> None:
    members = {piece: gzip.compress(piece, 1) for piece in set(pieces)}  # each is packed once
    with path.open("wb") as stream:
        stream.writelines(members[piece] for piece in pieces)


def csv_of_one_line(path: Path) -> None:
    _zstd(path, [b"id,text\n1,", *[b"x" * MIB] * 3_000, b"\n2,b\n"])


def csv_of_one_open_quote(path: Path) -> None:
    _zstd(path, [b'id,text\n1,"', *[b"x\n" * (MIB // 2)] * 3_000])


def csv_of_cells(path: Path) -> None:
    _zstd(path, [b"id,text\n", *[b"," * MIB] * 60, b"\n2,b\n"])


def csv_of_two_letters(path: Path) -> None:
    _zstd(path, [b"id,text\n", *[b"ab," * (MIB // 3)] * 60, b"\n2,b\n"])


def csv_of_wide_letters(path: Path) -> None:
    _zstd(path, [b"id,text\n", *[b'1,"\xf0\x9f\x98\x80' + b"x" * (63 * MIB) + b'"\n'] * 4])


def csv_of_control_characters(path: Path) -> None:
    _zstd(path, [b"id,text,more\n", *[b"1,a," + b"\x01" * (60 * MIB) + b"\n"] * 4, b"2,b,c\n"])


def csv_of_lesser_control_characters(path: Path) -> None:
    line = b",a," + b"\x01" * (21 * MIB) + b"\n"
    _zstd(path, [b"id,text,more\n", *[b"%d" % number + line for number in range(6)]])


def tsv_of_tabs(path: Path) -> None:
    _zstd(path, [b"id\ttext\n", *[b"\t" * MIB] * 60, b"\n2\tb\n"])


def jsonl_of_one_line(path: Path) -> None:
    _gzip(path, [b'{"id": 1, "text": "', *[b"x" * MIB] * 3_000])


def jsonl_of_large_texts(path: Path) -> None:
    line = b'"text": "' + b"x" * (60 * MIB) + b'"}\n'
    _zstd(path, [b'{"id": %d, ' % number + line for number in range(8)])


def jsonl_of_large_metadata(path: Path) -> None:
    line = b'"text": "a", "more": "' + b"x" * (4 * MIB) + b'"}\n'
    _zstd(path, [b'{"id": %d, ' % number + line for number in range(150)])


def jsonl_of_wide_letters(path: Path) -> None:
    line = b'"text": "\xf0\x9f\x98\x80' + b"x" * (60 * MIB) + b'"}\n'
    _zstd(path, [b'{"id": %d, ' % number + line for number in range(5)])


def jsonl_of_small_objects(path: Path) -> None:
    _zstd(path, [b'{"id": 1, "text": "a", "n": [', b'{"a":1},' * (7 * MIB), b"1]}\n"])


def jsonl_of_as_many_objects_as_may_be(path: Path) -> None:
    line = b'"text": "a", "n": [' + b'{"a":1},' * 1_990_000 + b"1]}\n"
    _zstd(path, [b'{"id": %d, ' % number + line for number in range(10)])


def jsonl_of_depth(path: Path) -> None:
    line = b'"text": "a", "n": ' + b"[" * (4 * MIB) + b"]" * (4 * MIB) + b"}\n"
    _zstd(path, [b'{"id": %d, ' % number + line for number in range(10)])


def jsonl_of_long_numbers(path: Path) -> None:
    line = b'"text": "a", "n": [' + b"1234567890123456789012," * 2_500_000 + b"1]}\n"
    _zstd(path, [b'{"id": %d, ' % number + line for number in range(3)])


def jsonl_of_blank_lines(path: Path) -> None:
    _zstd(path, [b"\n" * MIB] * 500)


def jsonl_of_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _table(**columns: object) -> pa.Table:
    rows = len(next(iter(columns.values())))  # type: ignore[arg-type]  # each has a length
    ids = pa.array(map(str, range(rows)))
    return pa.table({"id": ids, "text": pa.array(["a"] * rows), **columns})


def parquet_of_repeated_texts(path: Path) -> None:
    numbers = pa.array([0] * 1_000, pa.int32())
    texts = pa.DictionaryArray.from_arrays(numbers, pa.array(["x" * MIB]))
    pq.write_table(_table(more=texts), path)


def parquet_of_a_long_list(path: Path) -> None:
    items = pa.array(np.full(20_000_000, 7, np.int64))
    lists = pa.ListArray.from_arrays(pa.array([0, len(items)], pa.int32()), items)
    pq.write_table(_table(n=lists), path)


def parquet_of_many_long_lists(path: Path) -> None:
    items = pa.array(np.full(60_000_000, 7, np.int8))
    ends = pa.array(range(0, 60_000_001, 3_000_000), pa.int32())
    pq.write_table(_table(n=pa.ListArray.from_arrays(ends, items)), path)


def parquet_of_nothing_in_a_list(path: Path) -> None:
    lists = pa.ListArray.from_arrays(pa.array([0, 15_000_000], pa.int32()), pa.nulls(15_000_000))
    pq.write_table(_table(n=lists), path)


def parquet_of_large_rows(path: Path) -> None:
    texts = pa.array(["x" * (64 * MIB - 100)])
    schema = pa.schema([("id", pa.string()), ("text", pa.string())])
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False) as file:
        batch = pa.table({"id": ["1"], "text": texts})
        batch = pa.concat_tables([batch] * 16).combine_chunks()
        for _ in range(2):  # 2 GB
            file.write_table(batch)


def parquet_of_columns(path: Path) -> None:
    columns = {f"c{number}": pa.array(["x"] * 100) for number in range(10_000)}
    pq.write_table(_table(**columns), path)


def parquet_of_nested_lists(path: Path) -> None:
    value = [[{"a": [{"b": 1, "c": "x"}] * 10}] * 100] * 100
    pq.write_table(_table(n=pa.array([value] * 20)), path)


def parquet_of_a_large_dictionary(path: Path) -> None:
    entries = pa.array([bytes([number]) * (30 * MIB) for number in range(5)], pa.binary())
    numbers = pa.array([number % 5 for number in range(12)], pa.int32())
    blobs = pa.DictionaryArray.from_arrays(numbers, entries)
    table = _table(more=blobs)
    pq.write_table(table, path, compression="zstd", dictionary_pagesize_limit=2**30)


def parquet_of_wide_columns(path: Path) -> None:
    columns = {f"c{number}": pa.array(["x" * (6 * MIB)]) for number in range(50)}
    table = _table(**columns)
    pq.write_table(table, path, compression="zstd", use_dictionary=False)


def parquet_of_shared_beginnings(path: Path) -> None:
    texts = pa.array(["x" * MIB] * 1_000)
    encoding = {"more": "DELTA_BYTE_ARRAY"}
    table = _table(more=texts)
    pq.write_table(
        table, path, use_dictionary=False, column_encoding=encoding, data_page_size=2**30
    )


def parquet_of_one_large_page(path: Path) -> None:
    texts = pa.array(["x" * 5_000] * 200_000)
    table = _table(more=texts)
    pq.write_table(
        table,
        path,
        compression="zstd",
        use_dictionary=False,
        data_page_size=2**31 - 1,
        max_rows_per_page=200_000,
    )


HOSTILE: dict[str, Callable[[Path], None]] = {
    "one_line.csv.zst": csv_of_one_line,
    "open_quote.csv.zst": csv_of_one_open_quote,
    "cells.csv.zst": csv_of_cells,
    "two_letters.csv.zst": csv_of_two_letters,
    "wide_letters.csv.zst": csv_of_wide_letters,
    "control.csv.zst": csv_of_control_characters,
    "lesser_control.csv.zst": csv_of_lesser_control_characters,
    "tabs.tsv.zst": tsv_of_tabs,
    "one_line.jsonl.gz": jsonl_of_one_line,
    "large_texts.jsonl.zst": jsonl_of_large_texts,
    "large_metadata.jsonl.zst": jsonl_of_large_metadata,
    "wide_letters.jsonl.zst": jsonl_of_wide_letters,
    "small_objects.jsonl.zst": jsonl_of_small_objects,
    "many_objects.jsonl.zst": jsonl_of_as_many_objects_as_may_be,
    "depth.jsonl.zst": jsonl_of_depth,
    "long_numbers.jsonl.zst": jsonl_of_long_numbers,
    "blank_lines.jsonl.zst": jsonl_of_blank_lines,
    "zeros.jsonl": jsonl_of_zeros,
    "repeated_texts.parquet": parquet_of_repeated_texts,
    "long_list.parquet": parquet_of_a_long_list,
    "long_lists.parquet": parquet_of_many_long_lists,
    "nothing.parquet": parquet_of_nothing_in_a_list,
    "large_rows.parquet": parquet_of_large_rows,
    "columns.parquet": parquet_of_columns,
    "nested.parquet": parquet_of_nested_lists,
    "large_dictionary.parquet": parquet_of_a_large_dictionary,
    "wide_columns.parquet": parquet_of_wide_columns,
    "shared_beginnings.parquet": parquet_of_shared_beginnings,
    "large_page.parquet": parquet_of_one_large_page,
}
