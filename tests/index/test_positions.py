"""Documents by position: the order in which they were indexed, over segments and deletions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from taskembed.errors import IndexDamagedError
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.space import PromptType
from taskembed.verbs.delete import delete_documents
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions
from tests.fakes import HashEncoder

NAMES = ["z", "a", "m", "b", "y", "c", "x"]
ORDER = ["z", "m", "b", "c", "x", "y"]  # "a" is deleted, "y" updated later


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    options = IndexOptions(commit_every=3)
    documents = [Document(name, f"text {name}", {"name": name}) for name in NAMES]
    index_corpus(documents, HashEncoder(), tmp_path / "i", options=options)
    index_corpus([Document("y", "another text", {"name": "y"})], HashEncoder(), tmp_path / "i")
    delete_documents(tmp_path / "i", ["a"])
    with Index.open(tmp_path / "i") as index:
        yield index


def encoded(*texts: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return HashEncoder().encode(list(texts), PromptType.QUERY).vectors


def test_documents_come_in_the_order_in_which_they_were_indexed(index: Index) -> None:
    assert len(index.contents.live.segments) > 1
    positions = index.by_position()
    assert len(positions) == 6
    assert [document.doc_id for document in positions.documents()] == ORDER
    some = positions.documents_at(np.array([5, 0, 5, 2]))
    assert [document.doc_id for document in some] == ["y", "z", "y", "b"]
    assert some[0] == Document("y", "another text", {"name": "y"})


def test_a_vector_is_that_of_the_document_at_its_position(index: Index) -> None:
    positions = index.by_position()
    texts = [document.text for document in positions.documents()]
    assert np.allclose(positions.vectors_at(np.array([4, 1])), encoded(texts[4], texts[1]))
    blocks = list(positions.blocks(size=4))
    assert [numbers.tolist() for numbers, _ in blocks] == [[0, 1, 2, 3], [4, 5]]
    assert np.allclose(np.concatenate([vectors for _, vectors in blocks]), encoded(*texts))


def test_the_nearest_are_those_of_a_search(index: Index) -> None:
    positions = index.by_position()
    queries = encoded("text m", "another")
    scores, found = positions.nearest(queries, 3)
    hits = index.nearest(queries, 3)
    assert [[ORDER[place] for place in row] for row in found.tolist()] == [
        [hit.doc_id for hit in some] for some in hits
    ]
    assert np.allclose(scores, [[hit.score for hit in some] for some in hits])
    assert positions.nearest(queries, 99)[1].shape == (2, 6)


def test_equal_scores_come_by_position(tmp_path: Path) -> None:
    documents = [Document(name, "same") for name in NAMES]
    index_corpus(documents, HashEncoder(), tmp_path / "i", options=IndexOptions(commit_every=3))
    with Index.open(tmp_path / "i") as index:
        assert index.by_position().nearest(encoded("same"), 4)[1].tolist() == [[0, 1, 2, 3]]


def test_an_empty_index_has_no_positions(tmp_path: Path) -> None:
    index_corpus([], HashEncoder(), tmp_path / "i")
    with Index.open(tmp_path / "i") as index:
        positions = index.by_position()
        assert len(positions) == 0
        assert not list(positions.documents())
        assert not list(positions.blocks())
        assert positions.nearest(encoded("a"), 3)[1].shape == (1, 0)


def test_a_vector_without_a_document_is_damage(index: Index) -> None:
    positions = index.by_position()
    positions._rows[0] = np.append(positions._rows[0], 2**40)
    with pytest.raises(IndexDamagedError, match="a document of a vector is missing"):
        list(positions.documents())


def test_some_of_the_documents_have_positions_of_their_own(index: Index) -> None:
    keep = np.array([name in {"m", "c", "y"} for name in ORDER])
    some = index.by_position().only(keep)
    assert [document.doc_id for document in some.documents()] == ["m", "c", "y"]
    assert [document.doc_id for document in some.documents_at(np.array([2, 0]))] == ["y", "m"]
    scores, found = some.nearest(encoded("text z"), 9)
    assert sorted(found[0].tolist()) == [0, 1, 2]
    assert np.allclose(scores, some.vectors_at(found[0]) @ encoded("text z")[0])
    assert len(some.only(np.array([False, True, False]))) == 1
