from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from taskembed.errors import BadVectorError, IndexDamagedError, StorageError
from taskembed.index._segments.building import SegmentBuilder
from taskembed.index._segments.deletions import deletions_bytes
from taskembed.index._segments.info import SegmentInfo, segment_infos
from taskembed.index._segments.segment import Segment
from taskembed.index.disk.files import StoredFile, open_file
from taskembed.index.disk.manifests import Snapshot
from taskembed.index.documents import StoredDocument, insert
from taskembed.index.kinds import flat
from taskembed.index.storage import Kind, Storage, VectorType
from taskembed.index.stored_metadata import metadata_json
from taskembed.vectors import Flags, FloatRows

NAME = "seg-00000001"
DELETIONS = "del-00000002-00000001.bin"


def document(row: int, text: str = "", *, truncated: bool = False) -> StoredDocument:
    return StoredDocument(row, f"d{row}", text or f"text {row}", '{"n":1}', truncated)


def axes(*numbers: int) -> FloatRows:
    """Return unit vectors along those axes of four."""
    return np.eye(4, dtype=np.float32)[list(numbers)]


def put(folder: Path, files: dict[str, bytes]) -> Snapshot:
    stored = {}
    for name, data in files.items():
        (folder / name).write_bytes(data)
        stored[name] = StoredFile(name, len(data), zlib.crc32(data))
    return Snapshot(2, stored, {})


def built(dead: Sequence[int] = ()) -> dict[str, bytes]:
    """Return the files of a segment of four documents, along the four axes."""
    builder = SegmentBuilder(4)
    builder.add([document(0), document(1, truncated=True)], axes(0, 1))
    builder.add([document(2), document(3)], axes(2, 3))
    files = {f"{NAME}.{kind}": b"".join(parts) for kind, parts in builder.files(flags(4, dead))}
    if dead:
        files[DELETIONS] = deletions_bytes(flags(4, dead))
    return files


def flags(count: int, set_rows: Sequence[int]) -> Flags:
    result = np.zeros(count, dtype=np.bool_)
    result[list(set_rows)] = True
    return result


def opened(folder: Path, files: dict[str, bytes] | None = None, dead: int = 0) -> Segment:
    info = SegmentInfo(NAME, 4, DELETIONS if dead else "", dead)
    return checked(folder, put(folder, files or built()), info, 4)


def checked(folder: Path, snapshot: Snapshot, info: SegmentInfo, dim: int) -> Segment:
    segment = Segment(folder, snapshot, info, dim)
    segment.check()
    return segment


def database(*statements: str) -> bytes:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    data = connection.serialize()
    connection.close()
    return data


def test_documents_come_back_as_they_were_put(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as segment:
        expected = [document(0), document(1, truncated=True), document(2), document(3)]
        assert list(segment.live_documents()) == expected
        assert segment.documents([3, 1, 3]) == {1: expected[1], 3: expected[3]}
        assert list(segment.find(["d2", "absent"])) == [expected[2]]


@pytest.mark.parametrize(
    "text", ["", "\0", "é\N{SNOWMAN}", "\N{GRINNING FACE}" * 3, "a\u2028b\r\n"]
)
def test_any_text_comes_back(tmp_path: Path, text: str) -> None:
    builder = SegmentBuilder(4)
    builder.add([StoredDocument(0, f"id {text}", text, metadata_json({"t": text}), False)], axes(0))  # noqa: FBT003  # a field
    files = {f"{NAME}.{kind}": b"".join(parts) for kind, parts in builder.files(flags(1, []))}
    with closing(checked(tmp_path, put(tmp_path, files), SegmentInfo(NAME, 1), 4)) as segment:
        (found,) = segment.find([f"id {text}"])
        assert (found.text, found.metadata) == (text, metadata_json({"t": text}))


def test_vectors_come_back_bit_for_bit(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).standard_normal((5, 4)).astype(np.float32)
    builder = SegmentBuilder(4)
    builder.add([document(row) for row in range(5)], rows)
    assert builder.vectors(3)[0].tobytes() == rows[3:4].tobytes()
    files = {f"{NAME}.{kind}": b"".join(parts) for kind, parts in builder.files(flags(5, []))}
    with closing(checked(tmp_path, put(tmp_path, files), SegmentInfo(NAME, 5), 4)) as segment:
        got = segment.vectors(np.array([4, 0], dtype=np.int64))
        assert got.tobytes() == rows[[4, 0]].tobytes()


def test_a_builder_knows_what_it_holds() -> None:
    builder = SegmentBuilder(4)
    assert (builder.rows, builder.size_bytes) == (0, 0)
    builder.add([document(0, "abc")], axes(0))
    builder.add([document(1, "de")], axes(1))
    # four numbers of four bytes, the text, and the seven characters of {"n":1}
    assert (builder.rows, builder.size_bytes) == (2, 16 + 3 + 7 + 16 + 2 + 7)
    assert builder.document(1) == document(1, "de")
    with pytest.raises(IndexError):
        builder.vectors(2)


def test_a_dead_row_keeps_its_place_but_neither_id_nor_text(tmp_path: Path) -> None:
    files = built(dead=[1])
    assert b"text 0" in files[f"{NAME}.db"]
    assert b"text 1" not in files[f"{NAME}.db"]
    with closing(opened(tmp_path, files, dead=1)) as segment:
        assert [item.row for item in segment.live_documents()] == [0, 2, 3]
        assert segment.search(axes(3), 4)[1].tolist()[0][0] == 3


def test_an_id_may_be_buried_and_put_again_in_one_segment(tmp_path: Path) -> None:
    builder = SegmentBuilder(4)
    builder.add([document(0), document(0, "again")], axes(0, 1))
    files = {f"{NAME}.{kind}": b"".join(parts) for kind, parts in builder.files(flags(2, [0]))}
    files[DELETIONS] = deletions_bytes(flags(2, [0]))
    info = SegmentInfo(NAME, 2, DELETIONS, 1)
    with closing(checked(tmp_path, put(tmp_path, files), info, 4)) as segment:
        assert [(item.row, item.text) for item in segment.find(["d0"])] == [(1, "again")]


def test_an_id_twice_alive_is_a_bug_that_never_reaches_the_disk() -> None:
    builder = SegmentBuilder(4)
    builder.add([document(0), document(0)], axes(0, 1))
    with pytest.raises(sqlite3.IntegrityError):
        dict(builder.files(flags(2, [])))


def test_deletions_are_one_bit_a_row_little_endian() -> None:
    assert deletions_bytes(flags(10, [0, 3, 9])) == bytes([0b00001001, 0b00000010])


def test_the_deleted_are_neither_found_nor_searched(tmp_path: Path) -> None:
    files = built() | {DELETIONS: deletions_bytes(flags(4, [0, 2]))}
    with closing(opened(tmp_path, files, dead=2)) as segment:
        assert segment.info.live_rows == 2
        assert [item.doc_id for item in segment.live_documents()] == ["d1", "d3"]
        assert list(segment.find(["d0", "d2"])) == []
        scores, rows = segment.search(axes(0, 1), 10)
        assert (sorted(rows[0]), rows[1][0], scores[1][0]) == ([1, 3], 1, 1.0)


def test_more_ids_than_sql_has_variables_are_found(tmp_path: Path) -> None:
    count = 2000
    builder = SegmentBuilder(4)
    builder.add([document(row) for row in range(count)], np.repeat(axes(0), count, axis=0))
    files = {f"{NAME}.{kind}": b"".join(parts) for kind, parts in builder.files(flags(count, []))}
    with closing(checked(tmp_path, put(tmp_path, files), SegmentInfo(NAME, count), 4)) as segment:
        found = segment.find([f"d{row}" for row in range(count + 50)])
        assert sorted(item.row for item in found) == list(range(count))
        assert sorted(segment.documents(range(count))) == list(range(count))


def test_an_open_segment_does_not_notice_that_its_files_go(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as segment:
        for path in tmp_path.iterdir():
            path.unlink()
        assert len(list(segment.live_documents())) == 4
        assert segment.search(axes(2), 1)[1].tolist() == [[2]]


@pytest.mark.parametrize("name", [f"{NAME}.faiss", f"{NAME}.db", DELETIONS])
def test_a_file_that_is_gone_is_for_the_caller_to_judge(tmp_path: Path, name: str) -> None:
    snapshot = put(tmp_path, built(dead=[1]))
    (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError) as caught:
        Segment(tmp_path, snapshot, SegmentInfo(NAME, 4, DELETIONS, 1), 4)
    assert str(caught.value.filename) == str(tmp_path / name)


def test_a_file_that_goes_while_it_is_opened_is_for_the_caller_to_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = put(tmp_path, built())
    database = tmp_path / f"{NAME}.db"

    def open_and_remove(folder: Path, file: StoredFile) -> BinaryIO:
        stream = open_file(folder, file)
        if folder / file.name == database:
            database.unlink()
        return stream

    monkeypatch.setattr("taskembed.index._segments.files.open_file", open_and_remove)
    with pytest.raises(FileNotFoundError) as caught:
        Segment(tmp_path, snapshot, SegmentInfo(NAME, 4), 4)
    assert str(caught.value.filename) == str(database)


@pytest.mark.parametrize("name", [f"{NAME}.faiss", f"{NAME}.db", DELETIONS])
def test_a_folder_in_the_place_of_a_file_is_damage(tmp_path: Path, name: str) -> None:
    snapshot = put(tmp_path, built(dead=[1]))
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(IndexDamagedError, match=f"the index is damaged: {tmp_path / name}: "):
        Segment(tmp_path, snapshot, SegmentInfo(NAME, 4, DELETIONS, 1), 4)


@pytest.mark.parametrize("name", [f"{NAME}.faiss", f"{NAME}.db", DELETIONS])
def test_a_file_that_the_manifest_does_not_list_is_damage(tmp_path: Path, name: str) -> None:
    files = built(dead=[1])
    del files[name]
    with pytest.raises(IndexDamagedError) as caught:
        opened(tmp_path, files, dead=1)
    assert caught.value.message == (
        f"the index is damaged: {tmp_path / name}: the manifest does not list it"
    )


# --- files whose checksum is right, and whose contents are not ------------------------------------


def hostile_vectors(tmp_path: Path, data: bytes) -> str:
    """Return what is said of a vectors file of those bytes, whose checksum is right."""
    with pytest.raises(IndexDamagedError) as caught:
        opened(tmp_path, built() | {f"{NAME}.faiss": data})
    return caught.value.message.removeprefix(f"the index is damaged: {tmp_path / NAME}.faiss: ")


def faiss_bytes(kind: str, *, rows: int = 4, dim: int = 4) -> bytes:
    import faiss

    index = faiss.index_factory(dim, kind, faiss.METRIC_INNER_PRODUCT)
    vectors = np.ones((rows, dim), np.float32)
    index.train(vectors)
    if "IDMap" in kind:
        index.add_with_ids(vectors, np.arange(rows))
    else:
        index.add(vectors)
    return bytes(faiss.serialize_index(index))


@pytest.mark.parametrize("data", [b"", b"x", b"IxFI", b"\0" * 4096, b"\xff" * 4096])
def test_bytes_that_faiss_cannot_read_are_damage(tmp_path: Path, data: bytes) -> None:
    said = hostile_vectors(tmp_path, data)
    assert said in {
        "it is not a flat index of 4 vectors of 4 numbers",
        f"{len(data)} bytes cannot hold 4 vectors of 4 numbers",
    }


@pytest.mark.parametrize("kind", ["HNSW4", "SQ8", "IDMap,Flat", "IDMap2,Flat"])
def test_another_kind_of_index_is_damage(tmp_path: Path, kind: str) -> None:
    said = hostile_vectors(tmp_path, faiss_bytes(kind))
    assert said == "it is not a flat index of 4 vectors of 4 numbers"


@pytest.mark.parametrize(("rows", "dim"), [(3, 4), (5, 4), (4, 8), (0, 4)])
def test_vectors_of_another_shape_are_damage(tmp_path: Path, rows: int, dim: int) -> None:
    said = hostile_vectors(tmp_path, faiss_bytes("Flat", rows=rows, dim=dim))
    assert said == "it is not a flat index of 4 vectors of 4 numbers"


def test_vectors_of_another_metric_are_damage(tmp_path: Path) -> None:
    import faiss

    index = faiss.IndexFlatL2(4)
    index.add(axes(0, 1, 2, 3))
    said = hostile_vectors(tmp_path, bytes(faiss.serialize_index(index)))
    assert said == "it is not a flat index of 4 vectors of 4 numbers"


@pytest.mark.parametrize("bits", [1, pytest.param(8, marks=pytest.mark.crash)])
def test_a_flipped_bit_of_any_byte_behind_a_right_checksum_is_survived(
    tmp_path: Path, bits: int
) -> None:
    files = built()
    whole = files[f"{NAME}.faiss"]
    outcomes = {"damaged": 0, "read": 0}
    for position in range(len(whole)):
        for bit in range(position, position + bits):
            data = bytearray(whole)
            data[position] ^= 1 << bit % 8
            try:
                with closing(opened(tmp_path, files | {f"{NAME}.faiss": bytes(data)})) as segment:
                    segment.search(axes(0), 4)
                outcomes["read"] += 1
            except IndexDamagedError:
                outcomes["damaged"] += 1
    assert outcomes["damaged"] >= 45 * bits  # the bytes of the header
    assert sum(outcomes.values()) == bits * len(whole)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_no_number_is_damage_to_a_search_that_meets_it(
    tmp_path: Path, number: float
) -> None:
    vectors = axes(0, 1, 2, 3)
    vectors[2, 0] = number
    data = bytes(flat.to_bytes(vectors))
    with (
        closing(opened(tmp_path, built() | {f"{NAME}.faiss": data})) as segment,
        pytest.raises(IndexDamagedError) as caught,
    ):
        segment.search(axes(0), 4)
    assert caught.value.message == (
        f"the index is damaged: {tmp_path / NAME}.faiss: a vector has a number that is not finite"
    )


@pytest.mark.parametrize(("rows", "dim"), [(1, 1), (4, 4), (1000, 3), (0, 7)])
def test_a_header_is_as_faiss_writes_it(rows: int, dim: int) -> None:
    data = bytes(flat.to_bytes(np.ones((rows, dim), np.float32)))
    assert len(data) == flat.HEADER_BYTES + rows * dim * 4
    flat.require_header(data, size=len(data), rows=rows, dim=dim)
    for other in ((rows + 1, dim), (rows, dim + 1)):
        with pytest.raises(ValueError, match="it is not a flat index of"):
            flat.require_header(data, size=len(data), rows=other[0], dim=other[1])


def flat_l2_bytes() -> bytes:
    import faiss

    index = faiss.IndexFlatL2(4)
    index.add(axes(0, 1, 2, 3))
    return bytes(faiss.serialize_index(index))


@pytest.mark.parametrize(
    "data",
    [
        flat_l2_bytes(),
        *(faiss_bytes(kind) for kind in ("HNSW4", "SQ8", "IDMap,Flat")),
        *(faiss_bytes("Flat", rows=rows, dim=dim) for rows, dim in ((3, 4), (4, 8), (0, 4))),
        b"",
        b"\0" * 4096,
    ],
    ids=range(9),
)
def test_a_writer_refuses_the_vectors_that_a_search_refuses(tmp_path: Path, data: bytes) -> None:
    said = hostile_vectors(tmp_path, data)
    files = built() | {f"{NAME}.faiss": data}
    segment = Segment(tmp_path, put(tmp_path, files), SegmentInfo(NAME, 4), 4)
    with pytest.raises(IndexDamagedError) as caught:
        segment.check(whole=True)
    assert caught.value.reason == said


TABLE = "CREATE TABLE documents (row, doc_id, text, metadata, truncated)"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x" * 4096,
        b"SQLite format 3\0" + b"\xff" * 4080,
        database("CREATE TABLE other (row)"),
        database("CREATE TABLE documents (row)", "INSERT INTO documents VALUES (0)"),
        database(TABLE),
        database(TABLE, "INSERT INTO documents VALUES (99, 'd0', 't', '{}', 0)"),
        database(TABLE, "INSERT INTO documents VALUES (0, 'd0', CAST(x'ff' AS TEXT), '{}', 0)"),
        database(TABLE, "INSERT INTO documents VALUES (0, 'd0', x'ff', '{}', 0)"),
        database(TABLE, "INSERT INTO documents VALUES (0, 'd0', NULL, '{}', 0)"),
        database(TABLE, "INSERT INTO documents VALUES (0, 7, 't', '{}', 0)"),
        database(TABLE, "INSERT INTO documents VALUES (0, 'd0', 't', NULL, 0)"),
    ],
    ids=[
        "empty",
        "noise",
        "only the magic",
        "another table",
        "too few columns",
        "no rows",
        "a row too many",
        "not UTF-8",
        "a text of bytes",
        "no text",
        "a number as id",
        "no metadata",
    ],
)
def test_documents_that_cannot_be_are_damage_behind_a_right_checksum(
    tmp_path: Path, data: bytes
) -> None:
    with (
        pytest.raises(IndexDamagedError, match=f"the index is damaged: {tmp_path / NAME}.db: "),
        closing(opened(tmp_path, built() | {f"{NAME}.db": data})) as segment,
    ):
        segment.documents([0])


GOOD_TABLE = (
    "CREATE TABLE documents (\n  row INTEGER PRIMARY KEY,\n  doc_id TEXT NOT NULL,\n"
    "  text TEXT NOT NULL,\n  metadata TEXT NOT NULL,\n  truncated INTEGER NOT NULL,\n"
    "  checksum INTEGER NOT NULL\n) STRICT\n"
)
GOOD_INDEX = "CREATE UNIQUE INDEX documents_doc_id ON documents (doc_id)"
VIEW = (
    "CREATE VIEW documents AS WITH RECURSIVE n(row) AS (SELECT 0 UNION ALL SELECT 0 FROM n) "
    "SELECT row, 'd0' AS doc_id, 't' AS text, '{}' AS metadata, 0 AS truncated FROM n"
)
COMPUTED = GOOD_TABLE.replace(
    "text TEXT NOT NULL", "text TEXT AS (printf('%.*c', 1000000000, 'x'))"
)


def test_a_hostile_order_of_ids_is_damage_behind_a_right_checksum(tmp_path: Path) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute(GOOD_TABLE)
        connection.execute(GOOD_INDEX.replace("UNIQUE ", ""))
        same = [StoredDocument(row, "a", "", "{}", False) for row in range(4)]  # noqa: FBT003  # a field
        insert(connection, enumerate(same))
        connection.execute("PRAGMA writable_schema = 1")
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE type = 'index'", [GOOD_INDEX])
        files = built() | {f"{NAME}.db": connection.serialize()}
    with (
        closing(opened(tmp_path, files)) as segment,
        pytest.raises(IndexDamagedError, match="the id 'a' is out of order"),
    ):
        list(segment.documents_by_id())


@pytest.mark.parametrize(
    "statements",
    [
        (VIEW,),
        (COMPUTED, GOOD_INDEX),
        (GOOD_TABLE,),
        (GOOD_TABLE.replace("  ", " "), GOOD_INDEX),
        (GOOD_TABLE, GOOD_INDEX, "CREATE TABLE more (a)"),
        (GOOD_TABLE, GOOD_INDEX, "CREATE VIEW more AS SELECT 1"),
        (GOOD_TABLE, GOOD_INDEX, "CREATE/**/VIRTUAL TABLE more USING fts5(a)"),
        (GOOD_TABLE, "CREATE UNIQUE INDEX documents_doc_id ON documents (doc_id) WHERE row > 0"),
        (
            GOOD_TABLE,
            GOOD_INDEX,
            "CREATE TRIGGER t AFTER DELETE ON documents BEGIN DELETE FROM documents; END",
        ),
    ],
    ids=range(9),
)
def test_a_database_of_any_other_schema_is_not_read(
    tmp_path: Path, statements: tuple[str, ...]
) -> None:
    data = database(*statements)
    with pytest.raises(IndexDamagedError, match=rf"{NAME}\.db: "):
        opened(tmp_path, built() | {f"{NAME}.db": data})


class Failing:
    """A connection whose first statements fail, as when a read of the schema does."""

    def __init__(self, connection: sqlite3.Connection, errors: list[sqlite3.Error]) -> None:
        self._connection = connection
        self._errors = errors

    def execute(self, sql: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        if self._errors:
            raise self._errors.pop(0)
        return self._connection.execute(sql, values)

    def close(self) -> None:
        self._connection.close()


def failing(segment: Segment, *codes: int) -> Segment:
    errors: list[sqlite3.Error] = []
    for code in codes:
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = code
        errors.append(error)
    opened_database = segment._documents.file.database
    segment._documents.file.database = Failing(opened_database, errors)  # type: ignore[assignment]  # a fake
    return segment


def test_a_read_of_the_schema_that_fails_is_no_damage(tmp_path: Path) -> None:
    def new() -> Segment:
        return Segment(tmp_path, put(tmp_path, built()), SegmentInfo(NAME, 4), 4)

    with closing(failing(new(), sqlite3.SQLITE_CORRUPT)) as segment:
        segment.check()
        assert [found.doc_id for found in segment.live_documents()] == ["d0", "d1", "d2", "d3"]
    with pytest.raises(StorageError, match="Input/output error"):
        failing(new(), sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_IOERR).check()
    with pytest.raises(IndexDamagedError, match="malformed"):
        failing(new(), sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_CORRUPT).check()


def test_a_read_of_a_document_that_fails_is_no_damage(tmp_path: Path) -> None:
    with closing(failing(opened(tmp_path), sqlite3.SQLITE_CORRUPT)) as segment:
        with pytest.raises(StorageError) as caught:
            segment.documents([0])
        assert caught.value.message == f"{tmp_path / NAME}.db: Input/output error"
        assert segment.documents([0])[0].doc_id == "d0"


def test_a_file_that_is_malformed_is_damage(tmp_path: Path) -> None:
    data = bytearray(built()[f"{NAME}.db"])
    page = data.index(b"text 0") // 4096 * 4096
    data[page + 3 : page + 5] = b"\xff\xff"  # so many cells
    with pytest.raises(IndexDamagedError, match="malformed"):
        opened(tmp_path, built() | {f"{NAME}.db": bytes(data)})


def test_the_schema_that_is_required_is_that_which_is_written(tmp_path: Path) -> None:
    opened(tmp_path, built() | {f"{NAME}.db": database(GOOD_TABLE, GOOD_INDEX)}).close()


@pytest.mark.parametrize("row", [99, -99, -1])
def test_a_row_that_cannot_be_is_damage(tmp_path: Path, row: int) -> None:
    put_row = f"INSERT INTO documents VALUES ({row}, 'd0', 't', '{{}}', 0, 0)"  # noqa: S608  # of this test
    data = database(GOOD_TABLE, GOOD_INDEX, put_row)
    with pytest.raises(IndexDamagedError) as caught:
        opened(tmp_path, built() | {f"{NAME}.db": data})
    assert caught.value.message == (
        f"the index is damaged: {tmp_path / NAME}.db: there is no row {row}"
    )


def test_a_database_with_a_write_ahead_log_is_not_read(tmp_path: Path) -> None:
    data = bytearray(built()[f"{NAME}.db"])
    data[18:20] = b"\x02\x02"
    with pytest.raises(IndexDamagedError, match="it has a separate journal file"):
        opened(tmp_path, built() | {f"{NAME}.db": bytes(data)})


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (b"", 1),
        (b"\x01\x00", 2),
        (b"\x00", 1),
        (b"\x0f", 1),
        (b"\x03", 1),
        (b"\x01\x00", 1),
        (b"\x11", 1),
    ],
)
def test_deletions_that_do_not_fit_their_segment_are_damage(
    tmp_path: Path, data: bytes, count: int
) -> None:
    with pytest.raises(IndexDamagedError) as caught:
        opened(tmp_path, built() | {DELETIONS: data}, dead=count)
    assert caught.value.message == (
        f"the index is damaged: {tmp_path / DELETIONS}: it does not fit its segment"
    )


def test_what_a_manifest_says_of_a_segment_is_checked() -> None:
    values = [{"name": NAME, "rows": 4, "deletions": DELETIONS, "deleted_rows": 1}]
    of_format_1 = SegmentInfo(NAME, 4, DELETIONS, 1, Kind.FORMAT_1)
    assert segment_infos(values) == [of_format_1]
    assert of_format_1.files == [f"{NAME}.faiss", f"{NAME}.db", DELETIONS]
    assert replace(of_format_1, deletions="").files == [f"{NAME}.faiss", f"{NAME}.db"]
    newer = [values[0] | {"kind": "rabitq", "vectors": "fp16", "words": "words-1:none"}]
    info = SegmentInfo(NAME, 4, DELETIONS, 1, Kind.RABITQ, VectorType.FP16, "words-1:none")
    assert segment_infos(newer) == [info]
    assert info.files == [
        *(f"{NAME}.{suffix}" for suffix in ("faiss", "db", "sum", "fields", "codes", "words")),
        DELETIONS,
    ]
    for unknown in ({"kind": "ivf"}, {"vectors": "int8"}):
        with pytest.raises(ValueError, match="is not a valid"):
            segment_infos([newer[0] | unknown])
    with pytest.raises(ValueError, match="the segments are not a list"):
        segment_infos({})
    for wrong in ({"name": NAME}, values[0] | {"kind": "flat"}, newer[0] | {"more": 1}, 7):
        with pytest.raises(ValueError, match="a segment has missing or unknown fields"):
            segment_infos([wrong])


def test_metadata_is_measured_as_it_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskembed.index.stored_metadata.MAX_METADATA_BYTES", 20)
    assert metadata_json({"a": "\x01\x01"}) == '{"a":"\\u0001\\u0001"}'
    with pytest.raises(ValueError, match="has 26 bytes as JSON, more than 20"):
        metadata_json({"a": "\x01\x01\x01"})


def test_equal_metadata_is_equal_text() -> None:
    assert metadata_json({"b": 1, "a": [1, None, "é"]}) == '{"a":[1,null,"é"],"b":1}'
    assert metadata_json({"a": [1, None, "é"], "b": 1}) == metadata_json(
        {"b": 1, "a": [1, None, "é"]}
    )


def test_a_number_that_fp16_cannot_hold_is_refused_before_it_is_stored() -> None:
    builder = SegmentBuilder(4, Storage(vectors=VectorType.FP16))
    builder.add([document(0)], 65_504 * axes(0))
    with pytest.raises(BadVectorError, match="which fp16 cannot hold") as caught:
        builder.add([document(1)], -65_505 * axes(0))
    assert caught.value.hint == "make the index with --vectors fp32"
    assert builder.rows == 1
