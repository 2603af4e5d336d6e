"""Corpora on object stores: the same records as from files of this machine."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taskembed import object_reader, objects
from taskembed.errors import (
    AccessDeniedError,
    BadInputError,
    BadRecordError,
    NotFoundError,
    UsageError,
)
from taskembed.object_errors import ChangedError
from taskembed.reading import _object_path
from taskembed.reading.corpus_files import CorpusFiles, find_corpus_files
from taskembed.reading.inputs import read_records
from taskembed.reading.meter import Meter
from taskembed.reading.queries import read_queries
from taskembed.reading.streams import stop_at_first
from tests import zstd
from tests.stores import Bucket
from tests.web import Answer, Web

slow = pytest.mark.slow  # the S3 server takes two seconds to start
LINE = b'{"id": "%d", "text": "x"}\n'


def records(found: CorpusFiles) -> list[tuple[str, dict[str, object]]]:
    return [
        (row.source, dict(row.record))
        for item in found.inputs
        for row in read_records(item, stop_at_first, 2**20)
    ]


def names(*arguments: str, **options: Any) -> list[str]:  # noqa: ANN401
    found = find_corpus_files(arguments, **options)
    return [item.name.partition("://")[2].partition("/")[2] for item in found.inputs]


def parquet(rows: int, **options: Any) -> bytes:  # noqa: ANN401
    table = pa.table({"id": [str(n) for n in range(rows)], "text": ["word " * 20] * rows})
    stream = io.BytesIO()
    pq.write_table(table, stream, **options)
    return stream.getvalue()


@slow
def test_all_formats_are_read_as_from_files(bucket: Bucket, tmp_path: Path) -> None:
    lines = LINE % 1 + LINE % 2
    files = {
        "a.jsonl": lines,
        "b.jsonl.gz": gzip.compress(lines),
        "c.ndjson.zst": zstd.compress(lines),
        "d.csv": b"id,text\n1,x\n",
        "e.tsv.gz": gzip.compress(b"id\ttext\n1\tx\n"),
        "f.parquet": parquet(5000, row_group_size=700),
        "year=2024/lang=__HIVE_DEFAULT_PARTITION__/g%20h.jsonl": lines,
        "zero.jsonl": b"",
    }
    for name, data in files.items():
        bucket.write(f"docs/{name}", data)
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    local = records(find_corpus_files([str(tmp_path / "docs")]))
    remote = records(find_corpus_files([f"{bucket.address}/docs"]))
    assert len(local) == 5010
    assert remote == [
        (where.replace(str(tmp_path), bucket.address), record) for where, record in local
    ]
    assert remote[-1][1] == {"id": "2", "text": "x", "year": "2024", "lang": None}


@slow
def test_folders_patterns_and_single_objects(bucket: Bucket) -> None:
    for key in ["d/", "d/a.jsonl", "d/sub/", "d/sub/b.jsonl", "d/sub/deep/c.csv", "d2/x.jsonl"]:
        bucket.write(key, b"" if key.endswith("/") else LINE % 1)
    for key in ["d/.hidden.jsonl", "d/.git/x.jsonl", "d/index/manifest-00000001.json"]:
        bucket.write(key, b"")
    bucket.write("d/index/x.jsonl", b"")
    address = bucket.address
    everything = ["d/a.jsonl", "d/sub/b.jsonl", "d/sub/deep/c.csv"]
    assert names(f"{address}/d") == everything
    assert names(f"{address}/d/") == everything
    assert names(f"{address}/d/*.jsonl") == ["d/a.jsonl"]
    assert names(f"{address}/d/**/*.jsonl") == ["d/a.jsonl", "d/index/x.jsonl", "d/sub/b.jsonl"]
    assert names(f"{address}/*/[!.]*/?.jsonl") == ["d/index/x.jsonl", "d/sub/b.jsonl"]
    assert names(f"{address}") == [*everything, "d2/x.jsonl"]
    assert names(f"{address}/d/sub/b.jsonl", f"{address}/d2") == ["d/sub/b.jsonl", "d2/x.jsonl"]
    bucket.write("d/corpus.jsonl", b"")
    assert names(f"{address}/d") == ["d/corpus.jsonl"]
    with pytest.raises(BadInputError, match="d/index is an index, not a corpus"):
        names(f"{address}/d/index")


@slow
def test_any_key_can_be_named(bucket: Bucket) -> None:
    keys = ["a b.jsonl", "50%.jsonl", "50%25.jsonl", "h#a?s.jsonl", "ü 𝄞.jsonl", "[x]*.jsonl"]
    for key in keys:
        bucket.write(f"d/{key}", LINE % 1)
        assert names(f"{bucket.address}/d/{key}") == [f"d/{key}"]
    found = find_corpus_files([f"{bucket.address}/d"])
    assert len(records(found)) == len(keys)
    bucket.write("e//f.jsonl", LINE % 1)
    with pytest.raises(BadInputError) as caught:
        names(f"{bucket.address}/e")
    assert caught.value.message == (f"{bucket.address}/e: a key has an empty part, or . or ..")


@slow
def test_text_files_have_their_keys_as_ids_and_the_time_of_the_store(bucket: Bucket) -> None:
    bucket.write("notes/a.md", b"# Title\nbody")
    bucket.write("notes/in/b.txt", b"text")
    (_, first), (_, second) = records(find_corpus_files([f"{bucket.address}/notes"]))
    assert (first["id"], first["title"], second["id"]) == ("a.md", "Title", "in/b.txt")
    assert str(first["modified"]).startswith("20")


@slow
def test_what_is_not_there_is_said(bucket: Bucket) -> None:
    bucket.write("d/a.jsonl", LINE % 1)
    bucket.write("empty/", b"")
    for argument, message in [
        (f"{bucket.address}/none", f"no such file or folder: {bucket.address}/none"),
        (f"{bucket.address}/none.jsonl", f"no such file or folder: {bucket.address}/none.jsonl"),
        (f"{bucket.address}/empty", f"no such file or folder: {bucket.address}/empty"),
        (
            f"{bucket.address}/d/*.csv",
            f"no file that can be read matches '{bucket.address}/d/*.csv'",
        ),
        ("s3://no-such-bucket/x", "s3://no-such-bucket/x: there is no such bucket"),
    ]:
        with pytest.raises(NotFoundError) as caught:
            names(argument)
        assert caught.value.message == message
    bucket.write("d/data", b"")
    with pytest.raises(UsageError, match="the name does not tell the format"):
        names(f"{bucket.address}/d/data")
    assert names(f"{bucket.address}/d/data", format_name="jsonl") == ["d/data"]


@slow
def test_who_may_read_a_folder_need_not_be_permitted_to_ask_for_its_name(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    permitted = objects.Store.about

    def about(store: objects.Store, name: str = "") -> objects.StoredObject:
        if not name.startswith("d/") or "*" in name:
            raise AccessDeniedError("the server does not permit it", what=store.shown(name))
        return permitted(store, name)

    monkeypatch.setattr(objects.Store, "about", about)
    bucket.write("d/a.jsonl", LINE % 1)
    assert names(f"{bucket.address}/d") == ["d/a.jsonl"]
    assert names(f"{bucket.address}/d/*.jsonl") == ["d/a.jsonl"]
    assert names(f"{bucket.address}/d/a.jsonl") == ["d/a.jsonl"]
    with pytest.raises(AccessDeniedError, match="/e: the server does not permit it"):
        names(f"{bucket.address}/e")


@slow
def test_a_listing_is_bounded(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        bucket.write(f"d/{number}.jsonl", b"")
    monkeypatch.setattr(_object_path, "MAX_OBJECTS", 29)
    with pytest.raises(BadInputError) as caught:
        names(f"{bucket.address}/d")
    assert caught.value.message == (f"{bucket.address}/d: there are more than 29 objects below it")
    monkeypatch.setattr(_object_path, "MAX_OBJECTS", 30)
    assert len(names(f"{bucket.address}/d")) == 30


@slow
def test_the_sizes_of_objects_are_the_total_of_the_meter(bucket: Bucket) -> None:
    bucket.write("d/a.jsonl", LINE % 1)
    bucket.write("d/b.jsonl", LINE % 1)
    found = find_corpus_files([f"{bucket.address}/d"])
    meter = Meter.of(item.path for item in found.inputs)
    assert meter.share() == 0
    with found.inputs[0].path.open("rb") as stream:  # type: ignore[union-attr]
        meter.begin(found.inputs[0].path, stream.tell)
        stream.read()
        assert meter.share() == 0.5


@slow
def test_parquet_of_many_columns_and_groups_is_read_by_parts(bucket: Bucket) -> None:
    table = pa.table(
        {"id": [str(n) for n in range(30_000)]}
        | {f"c{n}": [f"{n} {row}" for row in range(30_000)] for n in range(12)}
        | {"text": ["x"] * 30_000}
    )
    stream = io.BytesIO()
    pq.write_table(table, stream, row_group_size=9_000, compression="none", use_dictionary=False)
    bucket.write("wide.parquet", stream.getvalue())
    assert len(stream.getvalue()) > 3 * object_reader.BLOCK_BYTES
    found = find_corpus_files([f"{bucket.address}/wide.parquet"])
    rows = records(found)
    assert len(rows) == 30_000
    assert rows[-1] == (
        f"{bucket.address}/wide.parquet:row 30000",
        {"id": "29999", "text": "x"} | {f"c{n}": f"{n} 29999" for n in range(12)},
    )


def test_an_object_over_http_has_no_folders_and_no_patterns(web: Web) -> None:
    web.files["/d/a b.jsonl.gz"] = web.files["/d/a%20b.jsonl.gz"] = gzip.compress(LINE % 1)
    found = find_corpus_files([f"{web.address}/d/a%20b.jsonl.gz?sig=0123456789abcdef"])
    assert [where for where, _ in records(found)] == [f"{web.address}/d/a%20b.jsonl.gz?***:1"]
    for argument in (f"{web.address}/d/", web.address):
        with pytest.raises(UsageError) as caught:
            names(argument)
        assert caught.value.message == f"{argument}: a server over HTTP does not list its files"
    with pytest.raises(UsageError) as caught:
        names(f"{web.address}/d/*.jsonl")
    assert caught.value.reason == (
        "a server over HTTP does not list its files, so it has no patterns"
    )
    assert caught.value.hint == "name each file"
    with pytest.raises(NotFoundError, match=r"no such file or folder: http://.*/b\.jsonl\?\*\*\*"):
        names(f"{web.address}/b.jsonl?x=1")


@pytest.mark.parametrize("etags", [True, False])
def test_an_object_that_changes_in_the_middle_is_never_half_an_input(
    web: Web, *, etags: bool
) -> None:
    web.etags = etags
    web.files["/a.jsonl"] = b"".join(LINE % n for n in range(50_000))
    rows = iter(
        read_records(find_corpus_files([f"{web.address}/a.jsonl"]).inputs[0], stop_at_first, 2**20)
    )
    next(rows)
    web.files["/a.jsonl"] = web.files["/a.jsonl"][: -len(LINE)].replace(b"x", b"y")
    with pytest.raises(ChangedError, match=r"a\.jsonl: it was changed while it was read"):
        list(rows)


def test_a_parquet_object_is_read_from_a_server_without_parts(web: Web) -> None:
    web.files["/p.parquet"], web.parts = parquet(50), False
    found = find_corpus_files([f"{web.address}/p.parquet"])
    assert len(records(found)) == 50


def test_a_parquet_object_that_fails_in_the_middle_says_so(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "RETRIES", 0)
    monkeypatch.setattr(object_reader, "BLOCK_BYTES", 1024)
    web.files["/p.parquet"] = parquet(
        5000, row_group_size=700, use_dictionary=False, compression="none"
    )
    found = find_corpus_files([f"{web.address}/p.parquet"])
    rows = iter(read_records(found.inputs[0], stop_at_first, 2**20))
    next(rows)
    web.answers.extend([Answer(status=403)] * 9)
    with pytest.raises(Exception, match="the server does not permit it") as caught:
        list(rows)
    assert getattr(caught.value, "exit_code", None) == 77


def test_an_endless_line_is_bounded(web: Web) -> None:
    web.files["/a.jsonl"] = b"x" * (3 * 2**20)
    item = find_corpus_files([f"{web.address}/a.jsonl"]).inputs[0]
    with pytest.raises(BadRecordError, match="the record is larger than 1,000,000 bytes"):
        list(read_records(item, stop_at_first, 1_000_000))


def test_queries_are_read_from_an_address(web: Web) -> None:
    web.files["/q.tsv"] = b"q1\tfox\nq2\tdog\n"
    found = [(one.query_id, one.text) for one in read_queries(f"{web.address}/q.tsv")]
    assert found == [("q1", "fox"), ("q2", "dog")]
