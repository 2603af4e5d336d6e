"""Filtered searches of an index: against a scan of every vector, whatever the segment is."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from taskembed.errors import IndexDamagedError, UsageError
from taskembed.index.kinds import flat
from taskembed.index.reader import Index
from taskembed.index.verify import verify_index
from taskembed.reading.document import Document
from taskembed.space import PromptType
from taskembed.vectors import FloatRows
from taskembed.verbs.delete import count_where, delete_documents, delete_where
from taskembed.verbs.index import index_corpus
from taskembed.verbs.search import search_index
from taskembed.verbs.searcher import Searcher
from tests.fakes import HashEncoder
from tests.index.test_reader import resign

COUNT = 1_600
GOLDEN = Path(__file__).parent.parent / "data" / "format-1" / "index"
QUERIES = ["word3 word5", "word7"]


def document(number: int) -> Document:
    words = f"word{number % 11} word{number % 13} word{number % 7}"
    return Document(f"d{number:03d}", words, {"n": number, "tags": [f"t{number % 5}", "all"]})


@pytest.fixture(scope="module", params=["flat", "codes"])
def indexed(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    folder = tmp_path_factory.mktemp("filtered") / "index"
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "codes":
            patch.setattr("taskembed.index._segments.building.CODED_ROWS", 100)
        for start in (0, COUNT // 2):  # two segments, and rows that are deleted
            part = map(document, range(start, start + COUNT // 2))
            index_corpus(part, HashEncoder(), folder)
    delete_documents(folder, ["d005", "d500"])
    return folder


def vectors(texts: list[str]) -> FloatRows:
    return HashEncoder().encode(texts, PromptType.QUERY).vectors


def best(query: str, numbers: list[int], k: int) -> list[tuple[str, float]]:
    """Return what scoring each document alone gives."""
    documents = [document(number) for number in numbers if number not in {5, 500}]
    scores = vectors([item.text for item in documents]) @ vectors([query])[0]
    rounded = np.round(scores.astype(np.float64), 5).tolist()
    pairs = [(item.doc_id, score) for item, score in zip(documents, rounded, strict=True)]
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:k]


@pytest.mark.parametrize("read_rows", [0, 4_000])
@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ("n < 3", [0, 1, 2]),
        ("n between 4 and 6 or n = 500", [4, 6]),
        ("n >= 1570", list(range(1_570, COUNT))),
        ("tags contains 't1'", list(range(1, COUNT, 5))),
        ("tags contains 'all' and not n < 20", list(range(20, COUNT))),
        ("n > 9000", []),
    ],
)
def test_as_many_hits_as_exist_pass_the_filter_and_are_the_best(
    indexed: Path,
    where: str,
    numbers: list[int],
    read_rows: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("taskembed.index._segments.vectors.READ_ROWS", read_rows)
    with Index.open(indexed) as index:
        found = index.nearest(vectors(QUERIES), 10, where=where)
        exact = index.nearest(vectors(QUERIES), 10, where=where, exact=True)
    assert found == exact
    for query, hits in zip(QUERIES, found, strict=True):
        shown = [(hit.doc_id, round(hit.score, 5)) for hit in hits]
        expected = best(query, numbers, 10)
        assert [score for _, score in shown] == pytest.approx([score for _, score in expected])
        assert len({name for name, _ in shown} & {document(n).doc_id for n in numbers}) == len(
            shown
        )


def test_many_queries_are_filtered_too(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flat, "MATRIX_NUMBERS", 1_280)
    queries = np.repeat(vectors(QUERIES), 45, axis=0)  # enough numbers for matrices
    assert queries.size > 1_280 > vectors(QUERIES).size
    with Index.open(indexed) as index:
        few = index.nearest(vectors(QUERIES), 3, where="n < 100")
        many = index.nearest(queries, 3, where="n < 100")
    ids = [[hit.doc_id for hit in hits] for hits in (many[0], many[-1])]
    assert ids == [[hit.doc_id for hit in hits] for hits in few]


def test_a_filter_is_refused_before_a_query_is_encoded(indexed: Path) -> None:
    with Index.open(indexed) as index:
        with pytest.raises(UsageError, match="there is no field `m`; the fields are: n"):
            search_index(["word1"], HashEncoder(), index, where="m = 1")
        hits = search_index(["word1"], HashEncoder(), index, where="n = 7")[0]
        assert [hit.doc_id for hit in hits] == ["d007"]
        searcher = Searcher(index, HashEncoder(), k=2, where="n in (7, 8, 5)")
        assert {hit.doc_id for hit in searcher.search(["word1"])[0]} == {"d007", "d008"}


def test_fields_are_listed_with_examples_of_living_documents(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    documents = [
        Document("a", "x", {"n": 1, "o": {"p": "it's"}, "l": [True, "q"], "secret": "gone"}),
        Document("b", "y", {"n": 2.5, "l": [], "none": None, "yes": False}),
    ]
    index_corpus(documents, HashEncoder(), folder)
    with Index.open(folder) as index:
        listed = {item.name: (item.type, item.examples) for item in index.describe_fields()}
    assert listed == {
        "n": ("integer or number", ("1", "2.5")),
        "o": ("object", ()),
        "o.p": ("text", ("'it''s'",)),
        "l": ("list of boolean or list of text", ("true", "'q'")),
        "secret": ("text", ("'gone'",)),
        "yes": ("boolean", ("false",)),
    }
    delete_documents(folder, ["a"])
    with Index.open(folder) as index:
        listed = {item.name: (item.type, item.examples) for item in index.describe_fields()}
    assert listed.get("secret", ("", ()))[1] == ()


def test_examples_of_a_list_are_different_items(indexed: Path) -> None:
    with Index.open(indexed) as index:
        examples = {item.name: item.examples for item in index.describe_fields()}
    assert examples["tags"] == ("'all'", "'t0'", "'t1'")


def test_documents_are_deleted_by_a_filter(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    index_corpus(map(document, range(30)), HashEncoder(), folder)
    assert count_where(folder, "n < 20") == (20, 30)
    assert delete_where(folder, "n < 20") == 20
    with Index.open(folder) as index:
        assert sorted(item.doc_id for item in index) == [f"d{n:03d}" for n in range(20, 30)]
        generation = index.generation
    assert delete_where(folder, "n < 20") == 0
    with Index.open(folder) as index:
        assert index.generation == generation


def test_a_format_1_index_is_filtered_by_its_metadata() -> None:
    with Index.open(GOLDEN) as index:
        hits = index.nearest(vectors(["word5"]), 100, where="n < 6 and even = true")[0]
    assert {hit.doc_id for hit in hits} == {"d00", "d02", "d04"}


def fields_file(folder: Path) -> Path:
    return next(folder.glob("seg-*.fields"))


def test_a_filter_reads_no_damaged_field(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    index_corpus(map(document, range(30)), HashEncoder(), folder)
    data = bytearray(fields_file(folder).read_bytes())
    data[-5] ^= 1
    fields_file(folder).write_bytes(data)
    with Index.open(folder) as index:
        assert len(index.nearest(vectors(["word1"]), 5)[0]) == 5
        with pytest.raises(IndexDamagedError, match=r"\.fields: its checksum does not match"):
            index.nearest(vectors(["word1"]), 5, where="n < 3")


def test_verify_finds_an_item_that_the_metadata_does_not_have(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    index_corpus(map(document, range(3)), HashEncoder(), folder)
    path = fields_file(folder)
    data = path.read_bytes()
    assert data.count(b"t2") == 1
    resign(folder, path.name, data.replace(b"t2", b"t9"))
    damages = verify_index(folder)[1]
    assert [(item.name, item.reason) for item in damages] == [
        (path.name, "the field tags of row 2 differs from the metadata")
    ]


def test_an_open_index_is_filtered_while_a_writer_removes_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    index_corpus(map(document, range(30)), HashEncoder(), folder)
    with Index.open(folder) as index:
        moved = shutil.move(fields_file(folder), tmp_path / "gone")
        assert Path(moved).exists()
        assert index.count("n < 4") == 4
