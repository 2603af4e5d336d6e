from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from taskembed.corpus import Document, Query, RecordFields, RejectFile, read_corpus, read_queries
from taskembed.errors import BadInputError, BadRecordError, NotFoundError, UsageError
from taskembed.records import find_inputs
from taskembed.template import Template


def read(path: Path, fields: RecordFields | None = None, **options: str) -> list[Document]:
    inputs = find_inputs([str(path)], format_name=options.get("format_name"))
    return list(read_corpus(inputs, fields or RecordFields(), on_bad=RejectFile()))


def write(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def refusal(path: Path, fields: RecordFields | None = None) -> str:
    with pytest.raises(BadInputError) as caught:
        read(path, fields)
    return caught.value.message


def test_a_record_becomes_a_document(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", {"_id": "a", "title": "T", "text": "x", "year": 1})
    (document,) = read(path)
    assert document == Document("a", "T x", {"title": "T", "year": 1})
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
    with pytest.raises(UsageError, match="the template 'no field' has no field"):
        Template.parse("no field")


def test_a_template_reaches_nothing_but_fields() -> None:
    template = Template.parse("{text} {text.__class__?} {0?} {")
    assert template.render({"text": "x"}) == "x   {"


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("c.jsonl", lambda data: data),
        ("c.ndjson", lambda data: data),
        ("c.jsonl.gz", gzip.compress),
        ("c.jsonl.zst", lambda data: zstandard.ZstdCompressor().compress(data)),
    ],
)
def test_the_name_says_what_a_file_is(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    (tmp_path / name).write_bytes(pack(b'{"id": "a", "text": "x"}\n'))
    assert [document.doc_id for document in read(tmp_path / name)] == ["a"]


def test_another_name_needs_the_format(tmp_path: Path) -> None:
    path = write(tmp_path / "corpus.txt", {"id": "a", "text": "x"})
    with pytest.raises(UsageError) as caught:
        find_inputs([str(path)])
    assert caught.value.message == f"{path}: the name does not say what it is"
    assert len(read(path, format_name="jsonl")) == 1


def test_a_folder_is_its_corpus_files_or_all_that_are_known(tmp_path: Path) -> None:
    write(tmp_path / "queries.jsonl", {"id": "q", "text": "x"})
    write(tmp_path / "b.jsonl", {"id": "b", "text": "x"})
    (tmp_path / "notes.txt").write_text("no corpus")
    assert [d.doc_id for d in read(tmp_path)] == ["b", "q"]
    write(tmp_path / "corpus.jsonl", {"id": "c", "text": "x"})
    assert [d.doc_id for d in read(tmp_path)] == ["c"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match="no corpus in the folder"):
        read(tmp_path / "empty")


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        find_inputs([str(tmp_path / "nowhere.jsonl")])
    assert caught.value.message == f"no such file or folder: {tmp_path / 'nowhere.jsonl'}"
    with pytest.raises(UsageError, match="stdin can be read only once"):
        find_inputs(["-", "-"])


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


def test_csv_values_stay_text(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text('\ufeffid,text,code\n1,"two\nlines",007\n')
    assert read(tmp_path / "c.csv") == [Document("1", "two\nlines", {"code": "007"})]
    (tmp_path / "c.tsv").write_text("id\ttext\na\tb c\n")
    assert read(tmp_path / "c.tsv") == [Document("a", "b c", {})]


def test_a_row_of_another_width_is_a_bad_record(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("id,text\na,b\nc\n")
    assert refusal(tmp_path / "c.csv") == (
        f"{tmp_path / 'c.csv'}:3: it has 1 cells, and the header has 2"
    )


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_compressed_file_that_ends_too_early_is_refused(tmp_path: Path, ending: str) -> None:
    lines = b"".join(b'{"id": "%d", "text": "%s"}\n' % (n, b"x" * (n % 97)) for n in range(5000))
    packed = gzip.compress(lines) if ending == ".gz" else zstandard.compress(lines)
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
    (tmp_path / "q.tsv").write_text("1\tone\nb\ttwo\n")
    assert list(read_queries(str(tmp_path / "q.tsv"))) == expected


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("q.tsv", "no tab here\n", "it is not an id, a tab and a text"),
        ("q.tsv", "1\t \n", "the query is empty"),
        ("q.jsonl", '{"id": "1", "text": ""}\n', "the query is empty"),
    ],
)
def test_a_bad_query_is_named(tmp_path: Path, name: str, text: str, reason: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BadRecordError) as caught:
        list(read_queries(str(tmp_path / name)))
    assert caught.value.message == f"{tmp_path / name}:1: {reason}"


def test_stdin_is_read_as_jsonl(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(b'{"id": "a", "text": "x"}\n')

    monkeypatch.setattr("sys.stdin", Stdin)
    (document,) = read_corpus(find_inputs(["-"]), RecordFields(), on_bad=RejectFile())
    assert (document.doc_id, document.source) == ("a", "stdin:1")
