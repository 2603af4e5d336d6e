"""What readers hold in memory, and what they never change in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskembed.errors import BadInputError, BadRecordError
from taskembed.evaluation.judged import read_cells
from taskembed.records import Record, find_inputs, read_records


def _read(path: Path, limit: int = 2**20) -> tuple[list[Record], list[BadRecordError]]:
    bad: list[BadRecordError] = []
    (item,) = find_inputs([str(path)])
    return [record for _, record, _ in read_records(item, bad.append, limit)], bad


def test_a_quote_in_tsv_is_a_character(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('id\ttext\n1\t"Hello\n2\tworld"\n')
    assert _read(path) == ([{"id": "1", "text": '"Hello'}, {"id": "2", "text": 'world"'}], [])


def test_a_tsv_row_over_the_limit_is_bad_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text(f"id\ttext\n1\t{'x' * 500}\n2\tb\n")
    records, bad = _read(path, 100)
    assert records == [{"id": "2", "text": "b"}]
    assert [error.source for error in bad] == [f"{path}:2"]


@pytest.mark.parametrize("text", ["id,text\n1," + "x" * 500, 'id,text\n1,"' + "x\n" * 250])
def test_a_csv_record_over_the_limit_stops_the_run(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(BadInputError, match="larger than 100 bytes"):
        _read(path, 100)


def test_an_open_quote_in_the_header_is_bad_input(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('id,"text\n1,a\n')
    with pytest.raises(BadInputError, match="unexpected end of data"):
        _read(path)


def test_any_limit_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": 1}\n')
    assert _read(path, 99999999999999999999) == ([{"id": 1}], [])


def test_a_wide_number_is_a_bad_record_and_64_bits_are_exact(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"n": 18446744073709551615}\n{"n": 18446744073709551616}\n{"n": "18446744073709551616"}\n'
    )
    records, bad = _read(path)
    assert records == [{"n": 2**64 - 1}, {"n": "18446744073709551616"}]
    assert [error.source for error in bad] == [f"{path}:2"]


def test_a_parquet_row_over_the_limit_is_bad_and_the_rest_goes_on(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    table = pa.table({"id": ["1", "2"], "n": pa.array([[7] * 100_000, [7]], pa.list_(pa.int64()))})
    pq.write_table(table, path)
    records, bad = _read(path, 1000)
    assert records == [{"id": "2", "n": [7]}]
    assert [error.source for error in bad] == [f"{path}:row 1"]


def test_ratings_packed_by_zstd_are_read(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    path = tmp_path / "qrels.tsv.zst"
    path.write_bytes(zstandard.ZstdCompressor().compress(b"q1\td1\t1\n"))
    assert list(read_cells(path)) == [(f"{path}:1", ["q1", "d1", "1"])]
