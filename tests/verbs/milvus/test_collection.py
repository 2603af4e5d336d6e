"""Searching a collection of Milvus Lite: the same hits as an exact search, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from taskembed.encoding.settings import EngineSettings
from taskembed.errors import (
    IndexBusyError,
    NotFoundError,
    SpaceMismatchError,
    UsageError,
)
from taskembed.index.ranking.hits import Hit
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.space import Task
from taskembed.testing import HASH_SPACE, HashEncoder, fake_models
from taskembed.verbs.milvus import collection as collections
from taskembed.verbs.milvus.addresses import CollectionAddress
from taskembed.verbs.milvus.client import Client
from taskembed.verbs.milvus.collection import MilvusCollection
from taskembed.verbs.milvus.header import CollectionHeader
from taskembed.verbs.milvus.rows import key_of
from taskembed.verbs.search import search_index
from taskembed.verbs.searcher import Searcher
from tests.verbs.milvus.conftest import Exported, long, make, numbered

pytestmark = pytest.mark.slow  # the library takes a second to load

QUERIES = ["word3", "word5 and word6", "something else"]


def rounded(found: list[list[Hit]]) -> list[list[Hit]]:
    return [[replace(hit, score=round(hit.score, 5)) for hit in hits] for hits in found]


def found_in(folder: Path, address: str, k: int, **options: object) -> list[list[Hit]]:
    """Return the hits of a collection, which must be those of the exact search of the index."""
    options = {"k": k, "mode": "dense", **options}
    with Index.open(folder) as index, MilvusCollection.open(address) as collection:
        expected = search_index(QUERIES, HashEncoder(), index, exact=True, **options)  # type: ignore[arg-type]
        found = search_index(QUERIES, HashEncoder(), collection, **options)  # type: ignore[arg-type]
    assert rounded(found) == rounded(expected)
    return found


def test_hits_are_those_of_an_exact_search(tmp_path: Path, exported: Exported) -> None:
    folder = make(tmp_path / "index", numbered(40))
    address = exported(folder).address
    hits = found_in(folder, address, 5)[0]
    assert hits[0].doc_id == "0003"
    assert hits[0].metadata == {"n": 3}
    found_in(folder, address, 100)
    found_in(folder, address, 5, min_score=0.3)


def test_documents_in_chunks_have_whole_texts(
    tmp_path: Path, exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collections, "_ROWS_AT_ONCE", 4)
    documents = [*(long(number) for number in range(1, 8)), Document("short", "word3")]
    folder = make(tmp_path / "index", documents, chunk="16:4")
    address = exported(folder).address
    best = found_in(folder, address, 4)[0][1]
    assert best.text == next(item.text for item in documents if item.doc_id == best.doc_id)
    assert best.chunk is not None
    assert best.text[best.chunk.start : best.chunk.end] == best.chunk.text
    found_in(folder, address, 6, chunks=True)


def test_it_has_what_a_search_asks_of_an_index(tmp_path: Path, exported: Exported) -> None:
    folder = make(tmp_path / "index", numbered(3))
    with (
        MilvusCollection.open(exported(folder).address) as collection,
        Index.open(folder) as index,
    ):
        for name in ("space", "tasks", "made_by", "declared", "chunking", "generation"):
            assert getattr(collection, name) == getattr(index, name)
        assert len(collection) == len(index)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exact": True}, "--exact is not available for a Milvus collection"),
        ({"where": "n > 1"}, "--where is not available"),
        ({"group_by": "n"}, "--group-by is not available"),
        ({"mode": "words"}, "stores no words"),
        ({"mode": "hybrid"}, "stores no words"),
        ({"chunks": True}, "are not cut into chunks"),
        ({"k": 20_000}, "at most 16,384 hits"),
    ],
)
def test_what_a_collection_cannot_do_is_refused(
    tmp_path: Path, exported: Exported, options: dict[str, object], message: str
) -> None:
    address = exported(make(tmp_path / "index", numbered(3))).address
    with (
        MilvusCollection.open(address) as collection,
        pytest.raises(UsageError, match=message),
    ):
        search_index(QUERIES, HashEncoder(), collection, **options)  # type: ignore[arg-type]


def test_queries_of_another_space_are_refused(tmp_path: Path, exported: Exported) -> None:
    address = exported(make(tmp_path / "index", numbered(3))).address
    other = HashEncoder(replace(HASH_SPACE, query_prompt="other: "))
    with MilvusCollection.open(address) as collection:
        with pytest.raises(SpaceMismatchError, match="query_prompt"):
            search_index(QUERIES, other, collection)
        with pytest.raises(TypeError, match="expected Index, not str"):
            search_index(QUERIES, other, address)  # type: ignore[arg-type]  # what is tested
    with pytest.raises(SpaceMismatchError, match="is for the task 'retrieval'"):
        Searcher.open(address, task=Task.CLUSTERING)


def test_rows_of_another_space_are_not_found(
    tmp_path: Path, database: str, exported: Exported
) -> None:
    address = exported(make(tmp_path / "index", numbered(3))).address
    client = Client(CollectionAddress(database, "notes"))
    client.load()
    row = client.matching(f'key == "{key_of("0001", 0)}"', ["*"], limit=1)[
        0
    ]  # as another program might add it
    client.upsert([{**row, "space": "0" * 32}])
    client.close()
    with MilvusCollection.open(address) as collection:
        hits = search_index(["word1"], HashEncoder(), collection)[0]
    assert {hit.doc_id for hit in hits} == {"0000", "0002"}


def test_an_unfinished_export_is_said(tmp_path: Path, database: str, exported: Exported) -> None:
    with fake_models():
        from taskembed.encoding.load import load_encoder
        from taskembed.verbs.index import index_corpus

        index_corpus(numbered(3), load_encoder("minilm", Task.RETRIEVAL), tmp_path / "index")
        address = exported(tmp_path / "index").address
        said: list[str] = []
        settings = EngineSettings(notify=said.append)
        with Searcher.open(address, settings) as searcher:
            assert searcher.search(["word1"])[0][0].doc_id == "0001"
        assert not said
        client = Client(CollectionAddress(database, "notes"))
        header = CollectionHeader.from_properties(client.properties(), "")
        client.set_properties(replace(header, is_complete=False).to_properties())
        client.close()
        with Searcher.open(address, settings):
            pass
    assert said == [
        f"note: the last export to {address} has not finished, so documents may be missing or old"
    ]


def test_a_document_that_is_half_replaced_is_not_shown(
    tmp_path: Path, database: str, exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collections, "_TRY_SECONDS", 0)
    address = exported(make(tmp_path / "index", [long(1)], chunk="16:4")).address
    client = Client(CollectionAddress(database, "notes"))
    client.load()
    client.delete([key_of("long1", 1)])
    client.close()
    with (
        MilvusCollection.open(address) as collection,
        pytest.raises(IndexBusyError, match="an export is changing the collection") as caught,
    ):
        search_index(["word1"], HashEncoder(), collection)
    assert "run the last one again" in str(caught.value.hint)


def test_there_is_no_such_collection_or_database(tmp_path: Path, exported: Exported) -> None:
    address = exported(make(tmp_path / "index", numbered(1))).address
    with pytest.raises(NotFoundError, match="there is no such collection"):
        MilvusCollection.open(address + "s")
    with pytest.raises(NotFoundError, match="no such Milvus Lite database"):
        MilvusCollection.open(f"milvus:{tmp_path}/absent.db/notes")
    assert not (tmp_path / "absent.db").exists()


def test_a_database_is_open_in_one_process_at_a_time(tmp_path: Path, exported: Exported) -> None:
    address = exported(make(tmp_path / "index", numbered(1))).address
    code = (
        "import sys\n"
        "from taskembed.verbs.milvus.collection import MilvusCollection\n"
        "try: MilvusCollection.open(sys.argv[1]).close()\n"
        "except Exception as error: print(type(error).__name__)\n"
        "else: print('opened')\n"
    )

    def other() -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, address], capture_output=True, text=True, check=True
        )
        assert not done.stderr
        return done.stdout.strip()

    first, second = MilvusCollection.open(address), MilvusCollection.open(address)
    assert other() == "IndexBusyError"
    first.close()
    assert other() == "IndexBusyError"
    assert search_index(["word0"], HashEncoder(), second)[0]
    second.close()
    assert other() == "opened"
