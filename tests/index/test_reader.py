from __future__ import annotations

import json
import os
import shutil
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskembed.errors import IndexDamagedError, NotFoundError
from taskembed.index._segments.info import SegmentInfo
from taskembed.index.contents import Contents, Part, read_index
from taskembed.index.disk.files import StoredFile
from taskembed.index.disk.generations import read_newest
from taskembed.index.disk.manifests import Snapshot, manifest_name
from taskembed.index.documents import StoredDocument, checksum_of
from taskembed.index.outcomes import Outcome
from taskembed.index.ranking.hits import Hit
from taskembed.index.reader import Index
from taskembed.index.update import open_index_writer
from taskembed.index.verify import verify_index
from taskembed.index.writer import IndexWriter
from taskembed.reading.document import Document
from taskembed.space import PromptType
from taskembed.vectors import FloatRows
from taskembed.verbs.delete import delete_documents
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions
from tests.fakes import SPACE, HashEncoder

MADE_BY = {"engine": "test"}


def documents(texts: Iterable[str], first: int = 0) -> list[Document]:
    return [
        Document(f"d{number}", text, {"n": number})
        for number, text in enumerate(texts, start=first)
    ]


def some_texts(count: int) -> list[str]:
    words = ["red", "green", "blue", "apple", "pear", "plum", "sea", "sky"]
    return [f"{words[n % 8]} {words[n // 8 % 8]} {words[n % 5]}" for n in range(count)]


def encoded(*texts: str, side: PromptType = PromptType.QUERY) -> FloatRows:
    return HashEncoder().encode(texts, side).vectors


def put(writer: IndexWriter, doc_ids: Sequence[str], vectors: FloatRows) -> None:
    """Put documents, in the place of those that are there, and commit them."""
    found = writer.find(doc_ids)
    writer.put(
        [StoredDocument(0, doc_id, f"text of {doc_id}", "{}", False) for doc_id in doc_ids],  # noqa: FBT003  # a field
        vectors,
        replaced=[found.get(doc_id) for doc_id in doc_ids],
        outcomes=[Outcome.ADDED] * len(doc_ids),
    )
    writer.commit(MADE_BY)


def unit_rows(count: int, seed: int = 0) -> FloatRows:
    rows = np.random.default_rng(seed).standard_normal((count, SPACE.dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)  # type: ignore[no-any-return]  # numpy's type of a quotient


def brute_force(vectors: dict[str, FloatRows], query: FloatRows, k: int) -> list[str]:
    scores = {doc_id: float(vector @ query) for doc_id, vector in vectors.items()}
    return sorted(scores, key=lambda doc_id: (-scores[doc_id], doc_id))[:k]


def hits_of(folder: Path, queries: FloatRows, k: int) -> list[list[Hit]]:
    with Index.open(folder) as index:
        return index.nearest(queries, k)


def ids_of(folder: Path, queries: FloatRows, k: int) -> list[list[str]]:
    return [[hit.doc_id for hit in hits] for hits in hits_of(folder, queries, k)]


def resign(folder: Path, name: str, data: bytes) -> None:
    """Put other bytes in the place of a file, and make the manifest say that they were written."""
    (folder / name).write_bytes(data)
    path = folder / manifest_name(read_newest(folder).generation)
    manifest = json.loads(path.read_bytes()[:-16])
    for file in manifest["files"]:
        if file["name"] == name:
            file |= {"size": len(data), "crc32": zlib.crc32(data)}
    sign(path, manifest)


def sign_documents(connection: sqlite3.Connection) -> None:
    """Make the checksums of documents those of what they are now."""
    for row, *values in connection.execute("SELECT * FROM documents").fetchall():
        document = StoredDocument(row, *values[:4])
        connection.execute(
            "UPDATE documents SET checksum = ? WHERE row = ?", (checksum_of(document, row), row)
        )


def sign(path: Path, manifest: object) -> None:
    text = json.dumps(manifest).encode()
    path.write_bytes(text + b"#crc32 %08x\n" % zlib.crc32(text))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of five documents in one segment, of which one is deleted: copy it to damage it."""
    folder = tmp_path_factory.mktemp("small") / "index"
    index_corpus(documents(["one", "two", "three", "four", "five"]), HashEncoder(), folder)
    delete_documents(folder, ["d3"])
    return folder


@pytest.fixture
def copied(small: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small, tmp_path / "index"))


# --- what is answered ----------------------------------------------------------------------------


def test_an_index_answers_with_what_was_put(tmp_path: Path) -> None:
    corpus = [Document("a", "red apple", {"year": 1999}), Document("b", "blue sea", {})]
    index_corpus(corpus, HashEncoder(), tmp_path / "i")
    with Index.open(tmp_path / "i") as index:
        assert (len(index), index.space, index.generation) == (2, SPACE, 1)
        assert index.contents.live.made_by == HashEncoder().made_by
        ((best, second),) = index.nearest(encoded("red apple"), 2)
    assert (best.rank, best.doc_id, best.text, best.metadata) == (
        1,
        "a",
        "red apple",
        {"year": 1999},
    )
    assert best.score == pytest.approx(1, abs=1e-6)
    assert (second.rank, second.doc_id, second.metadata) == (2, "b", {})


def test_more_than_there_is_gives_all_there_is(tmp_path: Path) -> None:
    index_corpus(documents(some_texts(7)), HashEncoder(), tmp_path / "i")
    for k in (7, 8, 10_000):
        assert len(hits_of(tmp_path / "i", encoded("red"), k)[0]) == 7
    assert hits_of(tmp_path / "i", encoded("red"), 0) == [[]]


def test_an_empty_index_answers_nothing(tmp_path: Path) -> None:
    index_corpus([], HashEncoder(), tmp_path / "i")
    with Index.open(tmp_path / "i") as index:
        assert len(index) == 0
        assert index.nearest(encoded("a", "b"), 3) == [[], []]


def test_the_deleted_are_not_answered(copied: Path) -> None:
    assert sorted(ids_of(copied, encoded("four"), 10)[0]) == ["d0", "d1", "d2", "d4"]
    with Index.open(copied) as index:
        assert len(index) == 4


def test_an_index_whose_documents_were_all_deleted_is_empty(copied: Path) -> None:
    delete_documents(copied, ["d0", "d1", "d2", "d4"])
    assert ids_of(copied, encoded("one"), 5) == [[]]
    assert not list(read_newest(copied).files)


@pytest.mark.parametrize("queries", [1, 2, 19, 20, 25, 64])
def test_search_is_brute_force_over_many_segments_and_deletions(
    tmp_path: Path, queries: int
) -> None:
    vectors = dict(zip([f"d{n:03d}" for n in range(150)], unit_rows(150), strict=True))
    names = list(vectors)
    with open_index_writer(tmp_path / "i", SPACE) as writer:
        for start in range(0, 150, 30):
            some = names[start : start + 30]
            put(writer, some, np.stack([vectors[name] for name in some]))
        writer.delete(names[::7])
        writer.commit(MADE_BY)
    for name in names[::7]:
        del vectors[name]
    wanted = unit_rows(queries, seed=9)
    for k in (1, 10, 200):
        expected = [brute_force(vectors, query, k) for query in wanted]
        assert ids_of(tmp_path / "i", wanted, k) == expected


@settings(max_examples=15, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["put", "delete"]),
            st.lists(st.integers(0, 30), min_size=1, max_size=12, unique=True),
        ),
        min_size=1,
        max_size=9,
    ),
    k=st.integers(1, 40),
)
def test_search_is_brute_force_after_any_changes(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, list[int]]], k: int
) -> None:
    folder = tmp_path_factory.mktemp("any") / "i"
    pool = unit_rows(8, seed=3)  # so few that scores are equal often
    vectors: dict[str, FloatRows] = {}
    with open_index_writer(folder, SPACE) as writer:
        for number, (what, numbers) in enumerate(steps):
            doc_ids = [f"d{n}" for n in numbers]
            if what == "put":
                some = pool[[(n * 5 + number) % 8 for n in numbers]]
                put(writer, doc_ids, some)
                vectors |= dict(zip(doc_ids, some, strict=True))
            else:
                writer.delete(doc_ids)
                writer.commit(MADE_BY)
                for doc_id in doc_ids:
                    vectors.pop(doc_id, None)
        assert len(writer) == len(vectors)
        writer.finish(MADE_BY)
    for query, ids in zip(pool[:3], ids_of(folder, pool[:3], k), strict=True):
        assert ids == brute_force(vectors, query, k)
    shutil.rmtree(folder)


@pytest.mark.parametrize("queries", [1, 25])
def test_equal_scores_stand_in_the_order_of_their_ids_whatever_k_is(
    tmp_path: Path, queries: int
) -> None:
    same, other = unit_rows(2)
    doc_ids = [f"d{n * 37 % 100:02d}" for n in range(100)]  # in no order
    with open_index_writer(tmp_path / "i", SPACE) as writer:
        for start in range(0, 100, 20):
            put(writer, doc_ids[start : start + 20], np.repeat(same[None], 20, axis=0))
        put(writer, ["best"], same[None])
        put(writer, ["worst"], other[None])
    expected = ["best", *sorted(doc_ids), "worst"]
    wanted = np.repeat(same[None], queries, axis=0)
    for k in (1, 2, 3, 19, 20, 21, 50, 101, 102, 200):
        assert ids_of(tmp_path / "i", wanted, k) == [expected[:k]] * queries


def test_a_query_has_the_same_hits_alone_and_among_many(tmp_path: Path) -> None:
    index_corpus(documents(some_texts(60)), HashEncoder(), tmp_path / "i", options=IndexOptions(7))
    queries = unit_rows(40, seed=5)
    together = ids_of(tmp_path / "i", queries, 10)
    assert together == [ids_of(tmp_path / "i", queries[[n]], 10)[0] for n in range(40)]


# --- one generation ------------------------------------------------------------------------------


def test_an_open_index_stays_at_its_generation(tmp_path: Path) -> None:
    folder = tmp_path / "i"
    options = IndexOptions(commit_every=3)
    index_corpus(documents(some_texts(3)), HashEncoder(), folder, options=options)
    with Index.open(folder) as old:
        index_corpus(documents(some_texts(30)), HashEncoder(), folder, options=options)
        assert not (folder / manifest_name(old.generation)).exists()
        assert len(old.nearest(encoded("red"), 100)[0]) == len(old) == 3
        with Index.open(folder) as new:
            assert new.generation > old.generation
            assert len(new.nearest(encoded("red"), 100)[0]) == len(new) == 30


def test_an_open_index_is_searched_by_other_threads(copied: Path) -> None:
    expected = hits_of(copied, encoded("one"), 5)
    with Index.open(copied) as index, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: index.nearest(encoded("one"), 5), range(40)))
    assert found == [expected] * 40


def test_reading_writes_nothing(copied: Path) -> None:
    def state() -> dict[str, tuple[int, int]]:
        return {
            path.name: (path.stat().st_mtime_ns, path.stat().st_size) for path in copied.iterdir()
        }

    before = state()
    hits_of(copied, encoded("one"), 3)
    assert state() == before


def test_an_index_without_its_lock_file_is_read(copied: Path) -> None:
    (copied / "LOCK").unlink()
    assert len(hits_of(copied, encoded("one"), 10)[0]) == 4


def test_there_is_no_index_where_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        Index.open(tmp_path / "i")
    assert caught.value.message == f"no index at {tmp_path / 'i'}"


# --- damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["faiss", "db", "bin"])
def test_a_missing_file_is_named(copied: Path, kind: str) -> None:
    (path,) = copied.glob(f"*.{kind}")
    path.unlink()
    with pytest.raises(IndexDamagedError) as caught:
        Index.open(copied)
    assert caught.value.message == f"the index is damaged: {path}: it is missing"


@pytest.mark.parametrize("kind", ["faiss", "db", "bin"])
def test_an_index_that_cannot_be_opened_leaves_nothing_open(copied: Path, kind: str) -> None:
    (path,) = copied.glob(f"*.{kind}")
    path.write_bytes(b"damaged")
    with pytest.raises(IndexDamagedError) as caught:
        Index.open(copied)
    links = [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    assert caught.value.exit_code == 76
    assert [path for path in links if copied in path.parents] == []


@pytest.mark.parametrize("kind", ["faiss", "db", "bin"])
def test_a_flipped_byte_is_found_before_anything_is_answered(copied: Path, kind: str) -> None:
    (path,) = copied.glob(f"*.{kind}")
    data = bytearray(path.read_bytes())
    data[data.index(b"five") if kind == "db" else len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(IndexDamagedError) as caught:
        hits_of(copied, encoded("five"), 3)
    row = "the document of row 4: " if kind == "db" else ""
    assert caught.value.message == (
        f"the index is damaged: {path}: {row}its checksum does not match"
    )


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("UPDATE documents SET metadata = 'x' WHERE row = 0", "the metadata of document 'd0'"),
        ("UPDATE documents SET metadata = '[]' WHERE row = 0", "the metadata of document 'd0'"),
        ("UPDATE documents SET metadata = '7' WHERE row = 0", "the metadata of document 'd0'"),
        (
            "UPDATE documents SET metadata = printf('%.*c', 100000, '[') WHERE row = 0",
            "the metadata of document 'd0'",
        ),
        (
            "UPDATE documents SET metadata = '{\"a\":' || printf('%.*c', 900, '[') || "
            "printf('%.*c', 900, ']') || '}' WHERE row = 0",
            "the metadata of document 'd0'",
        ),
        *(
            (f"UPDATE documents SET metadata = '{{\"a\":{value}}}'", "document 'd0'")  # noqa: S608
            for value in ("1e999", "NaN", '"\\ud800"')
        ),
        ("DELETE FROM documents WHERE row = 0", "a document of a vector is missing"),
        ("DROP TABLE documents", "its tables are not those of an index"),
        (
            "ALTER TABLE documents RENAME COLUMN row TO column",
            "its tables are not those of an index",
        ),
    ],
    ids=[
        *("no JSON", "a list", "a number", "deep", "too deep to print", "infinite", "NaN"),
        *("half a character", "no row", "no table", "no column"),
    ],
)
def test_hostile_documents_behind_a_right_checksum_are_damage(
    copied: Path, sql: str, said: str
) -> None:
    (path,) = copied.glob("*.db")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(sql)
    if sql.startswith("UPDATE"):
        sign_documents(connection)
    connection.close()
    resign(copied, path.name, path.read_bytes())
    with pytest.raises(IndexDamagedError, match=said):
        hits_of(copied, encoded("one"), 5)
    assert [damage.name for damage in verify_index(copied)[1]] == [path.name]


def test_verify_looks_into_vectors_behind_a_right_checksum(copied: Path) -> None:
    (path,) = copied.glob("*.faiss")
    data = path.read_bytes()
    for hostile in (data[:-4] + b"\0\0\xc0\x7f", b"junk" + data[4:], b"\0" * len(data)):
        resign(copied, path.name, hostile)
        assert [damage.name for damage in verify_index(copied)[1]] == [path.name]
    resign(copied, path.name, data)
    assert verify_index(copied)[1] == []


@pytest.mark.parametrize("hostile", [{"live": 7}, {"committed_at": "x"}, {}], ids=str)
def test_verify_reads_the_body_of_a_manifest(copied: Path, hostile: dict[str, object]) -> None:
    path = copied / manifest_name(read_newest(copied).generation)
    manifest = json.loads(path.read_bytes()[:-16])
    sign(path, manifest | {"body": hostile})
    assert [damage.name for damage in verify_index(copied)[1]] == [path.name]


def test_verify_says_which_file_a_manifest_cannot_have(copied: Path) -> None:
    (path,) = copied.glob("*.faiss")
    resign(copied, path.name, b"")
    damages = verify_index(copied)[1]
    assert [damage.name for damage in damages][:1] == ["manifest-00000002.json"]
    assert damages[0].reason.startswith(f"{path.name}: 0 bytes cannot hold ")


@pytest.mark.parametrize("kind", ["faiss", "db", "bin"])
def test_a_missing_file_is_damage_to_a_writer_and_to_info(copied: Path, kind: str) -> None:
    (path,) = copied.glob(f"*.{kind}")
    path.unlink()
    for use in (
        lambda: read_index(copied),
        lambda: delete_documents(copied, ["d0"]),
        lambda: index_corpus(documents(["one"]), HashEncoder(), copied),
    ):
        with pytest.raises(IndexDamagedError) as caught:
            use()
        assert caught.value.message == f"the index is damaged: {path}: it is missing"


@pytest.mark.parametrize("kind", ["faiss", "db", "bin"])
def test_a_writer_does_not_go_on_over_a_flipped_bit(copied: Path, kind: str) -> None:
    (path,) = copied.glob(f"*.{kind}")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    for use in (
        lambda: delete_documents(copied, ["absent"]),
        lambda: index_corpus(documents(["one"]), HashEncoder(), copied),
    ):
        with pytest.raises(IndexDamagedError, match="its checksum does not match"):
            use()


def test_an_index_is_opened_with_few_file_handles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_index_writer(tmp_path / "i", SPACE) as writer:
        for number in range(5):
            put(writer, [f"d{number}"], unit_rows(1, number))
    monkeypatch.setattr("taskembed.index._opening.allow_handles", lambda _: False)
    with Index.open(tmp_path / "i") as index:
        links = [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
        mine = [path for path in links if tmp_path / "i" in path.parents]
        assert len(mine) == len(index.contents.live.segments)
        assert len(index.nearest(unit_rows(1), 10)[0]) == 5


def test_a_folder_whose_name_is_no_utf8_is_an_index(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"i%\xff?#")
    index_corpus(documents(["one"]), HashEncoder(), folder)
    assert ids_of(folder, encoded("one"), 1) == [["d0"]]
    assert verify_index(folder)[1] == []


def test_a_hostile_view_cannot_give_what_is_no_text(copied: Path) -> None:
    (path,) = copied.glob("*.db")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("ALTER TABLE documents RENAME TO old")
    connection.execute(
        "CREATE VIEW documents AS SELECT row, row AS doc_id, NULL AS text, NULL AS metadata, "
        "truncated FROM old"
    )
    connection.close()
    resign(copied, path.name, path.read_bytes())
    with pytest.raises(IndexDamagedError):
        hits_of(copied, encoded("one"), 5)


def test_hostile_vectors_behind_a_right_checksum_are_damage(copied: Path) -> None:
    (path,) = copied.glob("*.faiss")
    whole = path.read_bytes()
    for data in (
        b"",
        whole[:-1],
        whole[:45],
        b"IxMp" + whole,
        whole[:33] + b"\xff" * 8 + whole[41:],
    ):
        resign(copied, path.name, data)
        with pytest.raises(IndexDamagedError, match=f"{path.name}: "):
            hits_of(copied, encoded("one"), 5)


BODIES = [
    {},
    {"live": None, "building": None, "committed_at": ""},
    {"live": {}, "building": None, "committed_at": ""},
    {"live": Part(SPACE).to_json(), "committed_at": ""},
    {"live": Part(SPACE).to_json() | {"segments": {}}, "building": None, "committed_at": ""},
    {"live": Part(SPACE).to_json() | {"segments": [{}]}, "building": None, "committed_at": ""},
    {"live": Part(SPACE).to_json() | {"space": {}}, "building": None, "committed_at": ""},
    {"live": Part(SPACE).to_json(), "building": 7, "committed_at": ""},
]


@pytest.mark.parametrize("body", BODIES, ids=[str(number) for number in range(len(BODIES))])
def test_a_signed_body_that_is_none_of_ours_is_damage(
    tmp_path: Path, body: dict[str, object]
) -> None:
    manifest = {"format": 1, "features": [], "generation": 0, "files": [], "body": body}
    sign(tmp_path / manifest_name(0), manifest)
    with pytest.raises(IndexDamagedError, match=r"manifest-00000000\.json: "):
        Index.open(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"rows": "5"},
        {"rows": -1},
        {"rows": 1.5},
        {"rows": 10**30},
        {"rows": 6},
        {"deletions": 7},
        {"deleted_rows": None},
        {"deleted_rows": -1},
        {"deleted_rows": 10**9},
        {"deletions": "", "deleted_rows": 10**9},
        {"deletions": "", "deleted_rows": None},
        {"name": 7},
        {"name": "../index/seg-00000001"},
    ],
    ids=str,
)
def test_a_signed_segment_that_cannot_be_is_damage(copied: Path, change: dict[str, object]) -> None:
    path = copied / manifest_name(read_newest(copied).generation)
    manifest = json.loads(path.read_bytes()[:-16])
    manifest["body"]["live"]["segments"][0] |= change
    sign(path, manifest)
    with pytest.raises(IndexDamagedError):
        hits_of(copied, encoded("one"), 5)


def test_contents_survive_the_way_through_json(tmp_path: Path) -> None:
    segments = (SegmentInfo("seg-00000001", 5, "del-00000002-00000001.bin", 1),)
    live = Part(SPACE, segments, {"engine": "test"})
    contents = Contents(live, replace(live, segments=()), "2026-01-01T00:00:00+00:00")
    body = json.loads(json.dumps(contents.to_json()))
    files = {name: StoredFile(name, 10_000, 0) for name in live.files}
    assert Contents.of(tmp_path, Snapshot(1, files, body)) == contents
