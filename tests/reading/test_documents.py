from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taskembed.errors import BadInputError, BadRecordError, NotFoundError, UsageError
from taskembed.reading.document import Document
from taskembed.reading.documents import check_id, read_corpus
from taskembed.reading.fields import RecordFields
from taskembed.reading.inputs import find_inputs
from taskembed.reading.queries import Query, read_queries
from taskembed.reading.rejects import RejectFile
from taskembed.reading.template import Template
from tests import zstd


def read(path: Path, fields: RecordFields | None = None, **options: str) -> list[Document]:
    inputs = find_inputs([str(path)], format_name=options.get("format_name"))
    return list(read_corpus(inputs, fields or RecordFields(), on_bad=RejectFile()))


def write(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@contextmanager
def pipe(path: Path, content: bytes) -> Iterator[Path]:
    """Make a named pipe that someone writes to."""
    os.mkfifo(path)
    # if nobody reads it, the thread ends with the process
    writer = Thread(target=path.write_bytes, args=[content], daemon=True)
    writer.start()
    yield path
    writer.join()


def stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    class Stdin:
        buffer = io.BytesIO(content)

    monkeypatch.setattr("sys.stdin", Stdin)


def refusal(path: Path, fields: RecordFields | None = None) -> str:
    with pytest.raises(BadInputError) as caught:
        read(path, fields)
    return caught.value.message


def test_a_record_becomes_a_document(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", {"_id": "a", "title": "T", "text": "x", "year": 1})
    (document,) = read(path)
    assert document == Document("a", "T x", {"title": "T", "text": "x", "year": 1})
    assert document.source == f"{path}:1"


def test_the_id_is_the_first_of_the_names_that_the_field_has_for_it(tmp_path: Path) -> None:
    records = [{"doc_id": "c", "_id": "b", "id": "a", "text": ""}, {"doc_id": "c", "text": ""}]
    assert [d.doc_id for d in read(write(tmp_path / "c.jsonl", *records))] == ["a", "c"]
    chosen = RecordFields(id_field="doc_id")
    assert [d.doc_id for d in read(tmp_path / "c.jsonl", chosen)] == ["c", "c"]


@pytest.mark.parametrize("record", [{"text": "x"}, {"id": None, "text": "x"}])
def test_without_an_id_the_hash_of_the_text_is_it(tmp_path: Path, record: object) -> None:
    (document,) = read(write(tmp_path / "c.jsonl", record))
    assert document.doc_id == hashlib.sha256(b"x").hexdigest()
    assert document.id_is_made


def test_fields_and_template_are_chosen(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", {"id": "a", "head": "H", "body": "B", "n": 3})
    fields = RecordFields(template=Template.parse("{head}: {body} ({n}) {gone?}"))
    assert read(path, fields)[0].text == "H: B (3)"
    missing = RecordFields(template=Template.parse("{head} {gone}"))
    assert refusal(path, missing) == (
        f'{path}:1: there is no field "gone"; the fields are: id, head, body, n'
    )


def test_a_number_is_no_text_in_whatever_field_the_text_is(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", {"id": "a", "body": 5, "text": 6})
    body = RecordFields(template=Template("{body}"), text_field="body")
    assert refusal(path, body) == f'{path}:1: the field "body" is not a text but a number'
    assert read(path, RecordFields(template=Template("{body}")))[0].text == "5"


def test_the_metadata_has_every_field_but_the_id_and_what_the_text_is(tmp_path: Path) -> None:
    path = write(
        tmp_path / "c.jsonl",
        {"id": "a", "_id": "b", "text": "x", "title": "T"},
        {"id": "c", "text": " x\n", "title": ""},
        {"id": "d", "text": "x"},
    )
    assert [(document.text, document.metadata) for document in read(path)] == [
        ("T x", {"_id": "b", "title": "T", "text": "x"}),
        ("x", {"title": ""}),
        ("x", {}),
    ]
    write(path, {"id": "a", "_id": "b", "text": "x", "title": "T"})
    (document,) = read(path, RecordFields(id_field="_id"))
    assert document.metadata == {"id": "a", "title": "T", "text": "x"}


def test_the_text_can_be_the_id_too(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", {"text": "fox", "n": 1})
    (document,) = read(path, RecordFields(id_field="text"))
    assert (document.doc_id, document.text, document.metadata) == ("fox", "fox", {"n": 1})


@pytest.mark.parametrize("bad", ["a\x7f", "a\n", "", "x" * 4_097, "\u00e9" * 2_049, "\ud800"])
def test_whatever_its_alphabet_an_id_is_checked(bad: str) -> None:
    check_id("x" * 4_096, "the id")
    check_id("\u00e9" * 2_048, "the id")
    with pytest.raises(ValueError, match=r"^the id "):
        check_id(bad, "the id")


def test_fields_within_fields_have_dotted_names(tmp_path: Path) -> None:
    record = {"spec": {"id": 7, "color": "red", "size": None}, "a.b": "c", "a": {"b": "d"}}
    path = write(tmp_path / "c.jsonl", record)
    fields = RecordFields(
        id_field="spec.id", template=Template.parse("{spec.color} {spec.size?}{x.y?} {a.b}")
    )
    (document,) = read(path, fields)
    assert (document.doc_id, document.text) == ("7", "red  c")
    assert document.metadata == record
    assert refusal(path, RecordFields(template=Template.parse("{spec.size}"))) == (
        f'{path}:1: the field "spec.size" is null'
    )
    assert refusal(path, RecordFields(template=Template.parse("{spec.shape}"))) == (
        f'{path}:1: there is no field "spec.shape"; the fields are: spec, a.b, a'
    )


def test_a_wide_whole_number_is_an_id_and_a_float_is_none(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", {"id": 10**29 + 1, "text": "x"})
    assert read(path)[0].doc_id == "100000000000000000000000000001"
    write(path, {"id": 1.0, "text": "x"})
    with pytest.raises(BadRecordError) as caught:
        read(path)
    assert caught.value.reason == 'the id in "id" is 1.0, neither a text nor a whole number'
    assert caught.value.hint == (
        "pandas turns whole numbers into floats if some are missing: ids.astype('Int64')"
    )


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("c.jsonl", lambda data: data),
        ("c.ndjson", lambda data: data),
        ("c.jsonl.gz", gzip.compress),
        ("c.jsonl.zst", zstd.compress),
    ],
)
def test_the_name_says_what_a_file_is(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    (tmp_path / name).write_bytes(pack(b'{"id": "a", "text": "x"}\n'))
    assert [document.doc_id for document in read(tmp_path / name)] == ["a"]


def test_the_sample_corpus_is_the_same_as_parquet() -> None:
    sample = Path(__file__).parents[2] / "sample_data"
    documents = [read(sample / name) for name in ("corpus.jsonl", "corpus.parquet")]
    assert len(documents[0]) == 207
    assert documents[0] == documents[1]


def test_another_name_needs_the_format(tmp_path: Path) -> None:
    path = write(tmp_path / "corpus.txt", {"id": "a", "text": "x"})
    with pytest.raises(UsageError) as caught:
        find_inputs([str(path)])
    assert caught.value.message == f"{path}: the name does not tell the format"
    assert len(read(path, format_name="jsonl")) == 1


def test_a_folder_is_its_corpus_files_or_all_that_are_known(tmp_path: Path) -> None:
    write(tmp_path / "queries.jsonl", {"id": "q", "text": "x"})
    write(tmp_path / "b.jsonl", {"id": "b", "text": "x"})
    (tmp_path / "notes.txt").write_text("no corpus")
    assert [d.doc_id for d in read(tmp_path)] == ["b", "q"]
    write(tmp_path / "corpus.jsonl", {"id": "c", "text": "x"})
    assert [d.doc_id for d in read(tmp_path)] == ["c"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError) as caught:
        read(tmp_path / "empty")
    assert caught.value.message == f"no corpus in the folder {tmp_path / 'empty'}"


def test_a_folder_is_read_to_its_depth_sorted_and_without_what_is_hidden(tmp_path: Path) -> None:
    for name in ("b/2.jsonl", "a/9.csv", "b/1.ndjson", ".git/x.jsonl", "b/.hidden.jsonl", "z.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    found = [
        str(item.path and item.path.relative_to(tmp_path)) for item in find_inputs([str(tmp_path)])
    ]
    assert found == ["a/9.csv", "b/1.ndjson", "b/2.jsonl"]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        find_inputs([str(tmp_path / "nowhere.jsonl")])
    assert caught.value.message == f"no such file or folder: {tmp_path / 'nowhere.jsonl'}"
    with pytest.raises(UsageError) as twice:
        find_inputs(["-", "-"])
    assert twice.value.message == "stdin can be read only once"


def test_parquet_is_not_compressed_twice(tmp_path: Path) -> None:
    path = tmp_path / "c.parquet.gz"
    path.write_bytes(b"")
    with pytest.raises(UsageError) as caught:
        find_inputs([str(path)])
    assert caught.value.message == f"{path}: Parquet has its own compression"


def test_a_pipe_is_an_input_when_its_format_is_said(tmp_path: Path) -> None:
    with pipe(tmp_path / "pipe", b'{"id": "a", "text": "x"}\n') as path:
        assert [document.doc_id for document in read(path, format_name="jsonl")] == ["a"]


def test_parquet_is_read_in_batches_and_rows_are_counted_through(tmp_path: Path) -> None:
    rows = [{"id": number, "text": f"t{number}"} for number in range(2_500)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "c.parquet", row_group_size=1_100)
    documents = read(tmp_path / "c.parquet")
    assert [document.doc_id for document in documents] == [str(n) for n in range(2_500)]
    assert documents[-1].source == f"{tmp_path / 'c.parquet'}:row 2500"


def test_parquet_gives_what_json_can_hold(tmp_path: Path) -> None:
    rows = [
        {
            "id": 7,
            "text": "x",
            "day": date(2026, 1, 2),
            "price": Decimal("1.50"),
            "ratio": float("nan"),
            "tags": ["a", "b"],
        }
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "c.parquet")
    (document,) = read(tmp_path / "c.parquet")
    assert document == Document(
        "7", "x", {"day": "2026-01-02", "price": "1.50", "ratio": None, "tags": ["a", "b"]}
    )
    assert document.source == f"{tmp_path / 'c.parquet'}:row 1"


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([{"id": "a", "text": "x"}]), tmp_path / "c.parquet")
    path = tmp_path / "c.parquet"
    path.write_bytes(path.read_bytes()[:-5])
    assert refusal(path).startswith(f"{path}: it cannot be read after record 0: ")
    path.write_bytes(b"")
    assert refusal(path) == (
        f"{path}: it cannot be read after record 0: Parquet file size is 0 bytes"
    )


def test_csv_values_stay_text(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text('\ufeffid,text,code\n1,"two\nlines",007\n')
    assert read(tmp_path / "c.csv") == [Document("1", "two\nlines", {"code": "007"})]
    (tmp_path / "c.tsv").write_text("id\ttext\na\tb c\n")
    assert read(tmp_path / "c.tsv") == [Document("a", "b c", {})]


def test_a_row_of_another_width_is_a_bad_record(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("id,text\na,b\nc\n")
    assert refusal(tmp_path / "c.csv") == (
        f"{tmp_path / 'c.csv'}:3: it has 1 cell, and the header has 2"
    )
    (tmp_path / "c.csv").write_text('id,text\na,"b\nc"\nd,e,f\n')
    assert refusal(tmp_path / "c.csv") == (
        f"{tmp_path / 'c.csv'}:4: it has 3 cells, and the header has 2"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,id\na,b\n", ":1: duplicate column in the header"),
        (b'id,text\n"a"x,b\n', ":2: ',' expected after '\"'"),
        (b'id,text\na,"b\n', ":2: unexpected end of data"),
        (b"id,text\na,\xff\n", ":2: not UTF-8 at byte 3"),
    ],
)
def test_csv_that_is_none_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "c.csv").write_bytes(content)
    assert refusal(tmp_path / "c.csv") == f"{tmp_path / 'c.csv'}{message}"


def test_a_cut_gzip_file_is_refused_with_the_last_record_that_was_whole(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl.gz"
    # flushed after each line, so that it is known how many the first half holds
    ends = []
    with path.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb") as stream:
        for number in range(10):
            stream.write(b'{"id": "%d", "text": "x"}\n' % number)
            stream.flush()
            ends.append(raw.tell())
    path.write_bytes(path.read_bytes()[: ends[3]])
    assert refusal(path) == (
        f"{path}: it cannot be read after record 4: "
        "Compressed file ended before the end-of-stream marker was reached"
    )


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_compressed_file_that_ends_too_early_is_refused(tmp_path: Path, ending: str) -> None:
    lines = b"".join(b'{"id": "%d", "text": "%s"}\n' % (n, b"x" * (n % 97)) for n in range(5000))
    packed = gzip.compress(lines) if ending == ".gz" else zstd.compress(lines)
    path = tmp_path / f"c.jsonl{ending}"
    path.write_bytes(packed[: len(packed) // 2])
    assert "c.jsonl" in refusal(path)
    path.write_bytes(b"not compressed at all")
    assert refusal(path).startswith(f"{path}: it cannot be read after record 0: ")


def test_rejects_are_written_with_place_reason_and_record(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text('{"id": "a", "text": "x"}\n[1]\n{"id": "b"}\n')
    with RejectFile(tmp_path / "bad.jsonl", stop=False) as bad:
        documents = list(read_corpus(find_inputs([str(path)]), RecordFields(), on_bad=bad))
    assert (len(documents), bad.count) == (1, 2)
    rejected = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert rejected == [
        {"source": f"{path}:2", "reason": "it is not a JSON object", "record": "[1]"},
        {
            "source": f"{path}:3",
            "reason": 'there is no field "text"; the fields are: id',
            "record": '{"id": "b"}',
        },
    ]


def test_a_file_of_rejects_is_there_and_empty_when_nothing_was_rejected(tmp_path: Path) -> None:
    with RejectFile(tmp_path / "bad.jsonl", stop=False) as bad:
        assert (tmp_path / "bad.jsonl").read_bytes() == b""
    assert bad.count == 0


def test_a_file_of_rejects_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "bad.jsonl"
    with pytest.raises(NotFoundError) as caught, RejectFile(path, stop=False):
        pass
    assert caught.value.message == f"{path}: No such file or directory"


def test_a_rejected_record_is_whole_in_the_file_and_absent_from_the_message(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text(f'["{"x" * 5_000}"]\n')
    with RejectFile(tmp_path / "bad.jsonl", stop=False) as bad:
        assert list(read_corpus(find_inputs([str(path)]), RecordFields(), on_bad=bad)) == []
    assert len(json.loads((tmp_path / "bad.jsonl").read_text())["record"]) == 5_004
    assert refusal(path) == f"{path}:1: it is not a JSON object"


def test_a_rejected_row_of_csv_is_written_by_its_fields(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("id,text\n,x\n")
    with RejectFile(tmp_path / "bad.jsonl", stop=False) as bad:
        inputs = find_inputs([str(tmp_path / "c.csv")])
        assert list(read_corpus(inputs, RecordFields(), on_bad=bad)) == []
    rejected = json.loads((tmp_path / "bad.jsonl").read_text())
    assert rejected["reason"] == 'the id in "id" is empty'
    assert json.loads(rejected["record"]) == {"id": "", "text": "x"}


def test_more_than_so_many_bad_records_stop_the_run() -> None:
    with RejectFile(None, stop=False, max_bad=1) as bad:
        bad(BadRecordError("f:1", "bad"))
        with pytest.raises(BadInputError) as caught:
            bad(BadRecordError("f:2", "worse"))
    assert caught.value.message == "more than 1 bad records; the last is f:2: worse"


def test_queries_come_from_jsonl_or_tsv(tmp_path: Path) -> None:
    write(tmp_path / "q.jsonl", {"_id": 1, "text": "one"}, {"id": "b", "text": "two"})
    expected = [Query("1", "one"), Query("b", "two")]
    assert list(read_queries(str(tmp_path / "q.jsonl"))) == expected
    for name in ("q.tsv", "q.TSV"):
        (tmp_path / name).write_text("\ufeff1\tone\n\nb\ttwo\r\n")
        assert list(read_queries(str(tmp_path / name))) == expected


@pytest.mark.parametrize("name", ["q.tsv.gz", "q.jsonl.gz"])
def test_queries_may_be_compressed(tmp_path: Path, name: str) -> None:
    lines = b"1\tone\nb\ttwo\n" if "tsv" in name else b'{"id": 1, "text": "one"}\n'
    (tmp_path / name).write_bytes(gzip.compress(lines))
    assert next(read_queries(str(tmp_path / name))) == Query("1", "one")


@pytest.mark.parametrize("name", ["id", "_id", "query_id"])
def test_a_query_has_its_id_in_one_of_three_fields(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "q.jsonl", {"doc_id": "d", name: "q", "text": "x"})
    assert list(read_queries(str(path))) == [Query("q", "x")]


def test_the_title_of_a_query_is_not_searched(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", {"id": "q", "title": "T", "text": "x"})
    assert list(read_queries(str(path))) == [Query("q", "x")]


def test_queries_come_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, b'{"id": "a", "text": "x"}\n')
    assert list(read_queries("-")) == [Query("a", "x")]


def test_queries_come_from_a_pipe_without_a_known_name(tmp_path: Path) -> None:
    with pipe(tmp_path / "63", b'{"id": "a", "text": "x"}\n') as path:
        assert list(read_queries(str(path))) == [Query("a", "x")]


def test_queries_come_from_one_file_whose_name_says_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as folder:
        list(read_queries(str(tmp_path)))
    assert folder.value.message == f"{tmp_path} is a folder"
    assert folder.value.hint == "name a file of queries"
    path = write(tmp_path / "q.txt", {"id": "a", "text": "x"})
    with pytest.raises(UsageError) as unknown:
        list(read_queries(str(path)))
    assert unknown.value.message == f"{path}: the name does not tell the format"
    assert unknown.value.hint == "the name must end in .jsonl or .tsv"


@pytest.mark.parametrize("name", ["q.tsv", "q.jsonl"])
def test_queries_that_are_not_there_are_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        list(read_queries(str(tmp_path / name)))
    assert caught.value.message == f"no such file or folder: {tmp_path / name}"


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("q.tsv", "no tab here\n", "expected an id, a tab and a text"),
        ("q.tsv", "\ttext\n", "expected an id, a tab and a text"),
        ("q.tsv", "1\t \n", "the query is empty"),
        ("q.tsv", "a\0b\ttext\n", "the id has a control character"),
        ("q.tsv", "x" * 4097 + "\ttext\n", "the id is longer than 4,096 bytes"),
        ("q.tsv", "\udcff\ttext\n", "not UTF-8 at byte 1"),
        ("q.jsonl", "[]\n", "it is not a JSON object"),
        ("q.jsonl", '{"id": "1"}\n', 'there is no field "text"; the fields are: id'),
        (
            "q.jsonl",
            '{"id": 1.5, "text": "x"}\n',
            'the id in "id" is 1.5, neither a text nor a whole number',
        ),
        ("q.jsonl", '{"id": "1", "text": ""}\n', "the query is empty"),
    ],
)
def test_a_bad_query_is_named(tmp_path: Path, name: str, text: str, reason: str) -> None:
    (tmp_path / name).write_text(text, errors="surrogateescape")
    with pytest.raises(BadRecordError) as caught:
        list(read_queries(str(tmp_path / name)))
    assert caught.value.message == f"{tmp_path / name}:1: {reason}"


@pytest.mark.parametrize(
    "text",
    [
        "id\ttext\n1\tone\n",
        "query-id\tquery\n1\tone\n",
        "_id\tlang\ttext\n1\ten\tone\n",
        "Text\tID\none\t1\n",
    ],
)
def test_a_header_of_tsv_is_no_query(tmp_path: Path, text: str) -> None:
    path = tmp_path / "q.tsv"
    path.write_text(text)
    assert list(read_queries(str(path))) == [Query("1", "one")]


def test_a_first_query_is_no_header(tmp_path: Path) -> None:
    path = tmp_path / "q.tsv"
    path.write_text("id\twhat is an id\n1\tid\ttext\n")
    assert list(read_queries(str(path))) == [Query("id", "what is an id"), Query("1", "id\ttext")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("q.tsv", "1\tone\n2\t \n1\tagain\n\tno id\n3\t\udcff\n4\tfour\n"),
        (
            "q.jsonl",
            '{"id": 1, "text": "one"}\n{"id": 2, "text": " "}\n{"id": 1, "text": "again"}\n'
            '{"id": "", "text": "no id"}\n[]\n{"id": 4, "text": "four"}\n',
        ),
    ],
)
def test_queries_that_cannot_be_used_can_be_passed_over(
    tmp_path: Path, name: str, text: str
) -> None:
    path = tmp_path / name
    path.write_text(text, errors="surrogateescape")
    bad: list[BadRecordError] = []
    assert list(read_queries(str(path), bad.append)) == [Query("1", "one"), Query("4", "four")]
    assert [error.source for error in bad] == [f"{path}:{number}" for number in (2, 3, 4, 5)]
    assert [error.reason for error in bad][:2] == ["the query is empty", "duplicate id '1'"]


def test_stdin_is_read_as_jsonl(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, b'{"id": "a", "text": "x"}\n')
    (document,) = read_corpus(find_inputs(["-"]), RecordFields(), on_bad=RejectFile())
    assert (document.doc_id, document.source) == ("a", "stdin:1")


def test_a_file_is_not_read_whole_before_its_first_document(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(b'{"id": "a", "text": "x"}\n' + b'{"id": "b", "text": "x"}\n' * 100_000)
    bad = RejectFile(stop=False)  # the line that the truncation cuts in two
    documents = read_corpus(find_inputs([str(path)]), RecordFields(), on_bad=bad)
    assert next(documents).doc_id == "a"
    with path.open("r+b") as stream:
        stream.truncate(0)
    assert sum(1 for _ in documents) < 100_000
