"""What readers hold in memory, and what they never change in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskembed.errors import BadInputError, BadRecordError
from taskembed.reading.inputs import find_inputs, read_records
from taskembed.reading.rows import Record


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


@pytest.mark.parametrize(
    "record",
    [
        "1," + "x" * 500,
        '1,"' + "x\n" * 250 + '"',
        '1,"' + 'x,""y"",\n' * 90 + '"',
        "1," * 90 + '"b\n",c',
        '1,"' + 'x""' * 90 + '",c',
        "1," + "x" * 5_000_000,
        '1,"' + '""' * 3_000_000 + '"',
        '1,"' + '""' * 3_000_000 + '",x\r',
        '"a","",' * 1_000_000 + '"x\r\ny"',
        '1,x"y' + 'é"' * 3_000_000 + ",",
        '"' + "x" * 200 + '"\r1,"' + "y" * 300 + '"',
    ],
)
def test_a_csv_record_over_the_limit_is_bad_and_the_rest_goes_on(
    tmp_path: Path, record: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"id,text\n{record}\n2,b\n", newline="")
    records, bad = _read(path, 100)
    assert records == [{"id": "2", "text": "b"}]
    assert {error.reason for error in bad} == {
        "the record is larger than 100 bytes (--max-record-bytes)"
    }
    assert bad[0].source == f"{path}:2"
    assert bad[0].raw == record.partition("\r")[0].rstrip("\n")[: len(bad[0].raw)] or "\n" in record
    assert len(bad[0].raw) > 50


@pytest.mark.parametrize("text", ['1,"' + "x\n" * 250, '1,"' + "x\n" * 250 + '2,"y"\n'])
def test_a_quote_that_is_never_closed_stops_the_run(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"id,text\n{text}")
    with pytest.raises(BadInputError) as caught:
        _read(path, 100)
    assert caught.value.message.startswith(f"{path}:2: ")
    assert caught.value.hint == "look for a quote that is never closed"


@pytest.mark.parametrize(("name", "header"), [("a.csv", "id,text,"), ("a.tsv", "id\ttext\t")])
@pytest.mark.parametrize("rest", ["x" * 200, "\udcff"], ids=["too large", "not UTF-8"])
def test_a_header_that_cannot_be_read_stops_the_run(
    tmp_path: Path, name: str, header: str, rest: str
) -> None:
    path = tmp_path / name
    path.write_text(f"{header}{rest}\n1,a,b\n2,c,d\n", errors="surrogateescape")
    with pytest.raises(BadInputError, match=", in the header"):
        _read(path, 100)


def test_a_tsv_row_of_tabs_is_a_row_of_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("id\ttext\n\t\n\n1\ta\n")
    assert _read(path) == ([{"id": "", "text": ""}, {"id": "1", "text": "a"}], [])


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_a_row_that_is_not_utf_8_is_bad_and_the_rest_goes_on(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    tab = "," if name == "a.csv" else "\t"
    path.write_bytes(f"id{tab}text\n1{tab}\xe9\n2{tab}b\n".encode("latin-1"))
    records, bad = _read(path)
    assert records == [{"id": "2", "text": "b"}]
    assert [(error.source, error.reason) for error in bad] == [(f"{path}:2", "not UTF-8 at byte 3")]
    assert bad[0].hint == "--encoding cp1252 (of Windows) or latin-1"


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.tsv"])
@pytest.mark.parametrize("line", [b"\n", b"\r\n"])
def test_blank_lines_without_end_stop_the_run(
    tmp_path: Path, name: str, line: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskembed.reading.streams.BLANK_BYTES", 10_000)
    path = tmp_path / name
    path.write_bytes(b"id,text\n" * (name != "a.jsonl") + line * 10_001)
    with pytest.raises(BadInputError, match="10,000 bytes of blank lines"):
        _read(path)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.tsv"])
def test_a_record_without_end_stops_the_run(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("streams", "_parsers.tables"):
        monkeypatch.setattr(f"taskembed.reading.{module}.SKIP_BYTES", 2**22)
    path = tmp_path / name
    path.write_bytes(b"id,text\n" * (name != "a.jsonl") + bytes(2**23))
    with pytest.raises(BadInputError, match=r":[12]: the record has no end"):
        _read(path, 1000)


@pytest.mark.slow
@pytest.mark.parametrize("value", ["{},", '{"k":1},'])
def test_a_line_of_millions_of_values_is_bad_before_they_are_made(
    tmp_path: Path, value: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"n": [' + value * 2_000_000 + "1]}\n" + '{"t": "' + "{," * 2_500_000 + '"}\n')
    records, bad = _read(path, 2**26)
    assert [list(record) for record in records] == [["t"]]
    assert [error.reason for error in bad] == ["it has more than 2,000,000 values"]


def test_a_quote_that_is_never_closed_is_found_before_millions_of_lines_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskembed.reading._parsers.tables.MAX_VALUES", 1_000)
    path = tmp_path / "a.csv"
    path.write_text('id,text\n1,"' + "x\n" * 2_000 + '"\n2,b\n')
    records, bad = _read(path)
    assert records == [{"id": "2", "text": "b"}]
    assert [error.reason for error in bad] == ["the record has more than 1,000 lines"]
    assert bad[0].hint == "look for a quote that is never closed"


def test_an_open_quote_in_the_header_is_bad_input(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('id,"text\n1,a\n')
    with pytest.raises(BadInputError, match="unexpected end of data"):
        _read(path)


def test_any_limit_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": 1}\n')
    assert _read(path, 99999999999999999999) == ([{"id": 1}], [])


@pytest.mark.parametrize("number", [2**64 - 1, 2**64, -(2**63) - 1, 10**40])
def test_a_whole_number_is_exact_however_wide(tmp_path: Path, number: int) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"n": {number}, "t": "{number}"}}\n')
    assert _read(path) == ([{"n": number, "t": str(number)}], [])


def test_a_parquet_row_over_the_limit_is_bad_and_the_rest_goes_on(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    table = pa.table({"id": ["1", "2"], "n": pa.array([[7] * 100_000, [7]], pa.list_(pa.int64()))})
    pq.write_table(table, path)
    records, bad = _read(path, 1000)
    assert records == [{"id": "2", "n": [7]}]
    assert [error.source for error in bad] == [f"{path}:row 1"]


def test_folders_that_are_named_as_hive_names_them_are_fields(tmp_path: Path) -> None:
    folder = tmp_path / "year=2024" / "place=S%C3%A3o%20Paulo" / "x=__HIVE_DEFAULT_PARTITION__"
    folder.mkdir(parents=True)
    (folder / "a.jsonl").write_text('{"id": "a"}\n{"id": "b", "year": 2024}\n{"year": 2023}\n')
    bad: list[BadRecordError] = []
    (item,) = find_inputs([str(tmp_path)])
    records = [record for _, record, _ in read_records(item, bad.append, 1000)]
    assert records == [
        {"id": "a", "year": "2024", "place": "São Paulo", "x": None},
        {"id": "b", "year": 2024, "place": "São Paulo", "x": None},
    ]
    assert [error.reason for error in bad] == [
        'the field "year" is 2023, and the folder says year=2024'
    ]


def test_a_walk_leaves_indexes_out_and_an_index_is_no_corpus(tmp_path: Path) -> None:
    index = tmp_path / "z" / "taskembed-index"
    index.mkdir(parents=True)
    (index / "manifest-00000001.json").write_text("{}")
    (index / "LOCK").write_text("")
    (tmp_path / "a.jsonl").write_text("")
    assert [item.path for item in find_inputs([str(tmp_path)])] == [tmp_path / "a.jsonl"]
    with pytest.raises(BadInputError) as caught:
        find_inputs([str(index)])
    assert caught.value.message == f"{index} is an index, not a corpus"


def test_a_saved_dataset_is_named_with_the_way_out(tmp_path: Path) -> None:
    folder = tmp_path / "train"
    folder.mkdir()
    for name in ("dataset_info.json", "state.json", "data-00000-of-00001.arrow"):
        (folder / name).write_text("{}")
    for path in (folder, tmp_path):
        with pytest.raises(BadInputError) as caught:
            find_inputs([str(path)])
        assert caught.value.message.startswith(f"{folder} was written by `save_to_disk`")
        loaded = f"datasets.load_from_disk({str(folder)!r})"
        assert caught.value.hint == f"write Parquet: {loaded}.to_parquet('corpus.parquet')"
    (tmp_path / "dataset_dict.json").write_text("{}")
    with pytest.raises(BadInputError) as caught:
        find_inputs([str(tmp_path)])
    assert f"load_from_disk({str(tmp_path)!r})['train'].to_parquet" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('[{"id": 1}]\n', "jq -c '.[]'"),
        ('[\n{"id": 1},\n{"id": 2}\n]\n', "jq -c '.[]'"),
        ('{\n"id": 1\n}\n', "jq -c '.'"),
        ("[" + " " * 2000 + "]", "jq -c '.[]'"),
        ('{"id": 1}\n[1]\n', None),
    ],
)
def test_json_that_is_not_one_record_a_line_has_the_way_out(
    tmp_path: Path, text: str, hint: str | None
) -> None:
    path = tmp_path / "a b.json"
    path.write_text(text)
    said = f"one record a line: {hint} '{path}' > corpus.jsonl" if hint else None
    assert _read(path, 1000)[1][0].hint == said


@pytest.mark.parametrize("codec", ["none", "snappy", "zstd", "gzip", "lz4", "brotli"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_a_row_of_too_many_values_is_found_in_the_levels(
    tmp_path: Path, codec: str, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("taskembed.reading._parsers.parquet_plan.NESTED_VALUES", 5_000)
    path = tmp_path / "a.parquet"

    def written(lengths: list[int]) -> Path:
        rows = [[list(range(length % 7))] * (length // 7) for length in lengths]
        pq.write_table(
            pa.table({"id": list(map(str, lengths)), "n": rows}),
            path,
            compression=codec,
            data_page_version=version,
            data_page_size=2_000,
        )
        return path

    records, bad = _read(written([349] * 40 + [1] * 20))
    assert (len(records), bad) == (60, [])
    assert records[0]["n"] == [[0, 1, 2, 3, 4, 5]] * 49
    with pytest.raises(BadInputError, match=r"a row of n\.list\.element.* has 6,000 values"):
        _read(written([349] * 40 + [7_006]))


def test_a_large_text_in_a_dictionary_is_measured_before_it_is_repeated(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"id": list(map(str, range(300))), "text": ["x" * 90_000] * 298 + ["a", "b"]}),
        path,
        dictionary_pagesize_limit=2**21,
    )
    records, bad = _read(path, 2**16)
    assert records == [{"id": "298", "text": "a"}, {"id": "299", "text": "b"}]
    assert len(bad) == 298
    assert bad[0].raw == '{"id":"0"}'


def test_a_text_in_parquet_that_is_not_utf_8_is_a_bad_record(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    raw = pa.array([b"a", b"\xff", b"c"], pa.binary())
    text = pa.StringArray.from_buffers(3, raw.buffers()[1], raw.buffers()[2])
    pq.write_table(pa.table({"id": ["1", "2", "3"], "text": text}), path)
    records, bad = _read(path)
    assert records == [{"id": "1", "text": "a"}, {"id": "3", "text": "c"}]
    assert [(error.source, error.reason) for error in bad] == [
        (f"{path}:row 2", "a text is not UTF-8")
    ]


def test_bytes_in_parquet_are_measured_as_the_text_that_they_become(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": ["1", "2"], "b": [b"\xff" * 24, b"\xff" * 26]}), path)
    records, bad = _read(path, 100)
    assert records == [{"id": "1", "b": "\\xff" * 24}]
    assert [error.source for error in bad] == [f"{path}:row 2"]


def test_parquet_comes_from_a_pipe_and_nothing_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"id": ["1"]}), tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()

    def read(data: bytes) -> list[Record]:
        with (tmp_path / "stdin").open("wb+") as file:
            file.write(data)
            file.seek(0)
            stdin = type("Stdin", (), {"buffer": file, "fileno": file.fileno})
            monkeypatch.setattr("sys.stdin", stdin)
            (item,) = find_inputs(["-"], format_name="parquet")
            return [record for _, record, _ in read_records(item, lambda _: None, 1000)]

    assert read(content) == [{"id": "1"}]
    with pytest.raises(BadInputError):
        read(b"{}" * 1000)
    monkeypatch.setattr("taskembed.reading._parsers.parquet.SPOOL_BYTES", 100)
    with pytest.raises(BadInputError, match="more than 100 bytes of Parquet from a pipe"):
        read(content)
