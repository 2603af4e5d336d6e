"""Documents like one of the index, or like a text: what is found, left out, and refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from taskembed.errors import SpaceMismatchError, UsageError
from taskembed.index.ranking.hits import Hit
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.space import Task
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions
from taskembed.verbs.similar import has_same_sides, similar_documents, similar_texts
from tests.fakes import HashEncoder

TEXTS = {
    "moon": "the moon orbits the earth",
    "moons": "the moon orbits the earth slowly",
    "sea": "sea water is salt water",
    "salt": "salt water",
    "bread": "flour yeast",
}


def similarity_encoder(query_prompt: str = "") -> HashEncoder:
    return HashEncoder(task=Task.SIMILARITY, query_prompt=query_prompt, document_prompt="")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    documents = [Document(name, text, {"size": len(text)}) for name, text in TEXTS.items()]
    options = IndexOptions(commit_every=2)  # several segments
    index_corpus(documents, similarity_encoder(), tmp_path / "index", options=options)
    with Index.open(tmp_path / "index") as index:
        yield index


def ids(hits: list[Hit]) -> list[str]:
    return [hit.doc_id for hit in hits]


def test_the_documents_like_one_come_best_first_without_itself(index: Index) -> None:
    found = similar_documents(["moon", "salt"], index, k=2)
    assert list(found) == ["moon", "salt"]
    assert ids(found["moon"])[0] == "moons"
    assert ids(found["salt"])[0] == "sea"
    assert [hit.rank for hit in found["moon"]] == [1, 2]
    assert "moon" not in ids(found["moon"])


def test_the_scores_are_those_of_a_search_with_the_text(index: Index) -> None:
    by_id = similar_documents(["moon"], index, k=4)["moon"]
    by_text = similar_texts([TEXTS["moon"]], similarity_encoder(), index, k=5)[0]
    assert ids(by_text) == ["moon", *ids(by_id)]
    assert [hit.score for hit in by_text[1:]] == pytest.approx([hit.score for hit in by_id])


def test_k_others_are_found_whenever_there_are_k(tmp_path: Path) -> None:
    # more copies than k: the document itself is not among the best k + 1
    copies = [Document(f"copy{number}", "the same") for number in range(9)]
    index_corpus([*copies, Document("z", "the same")], similarity_encoder(), tmp_path / "i")
    with Index.open(tmp_path / "i") as index:
        hits = similar_documents(["z"], index, k=3)["z"]
        assert ids(hits) == ["copy0", "copy1", "copy2"]
        assert len(similar_documents(["z"], index, k=20)["z"]) == 9
        assert ids(similar_documents(["copy0"], index, k=2)["copy0"]) == ["copy1", "copy2"]


def test_only_documents_that_pass_a_filter_are_found(index: Index) -> None:
    # of the texts, those of "salt" and "bread" have 10 and 11 characters
    hits = similar_documents(["moon"], index, k=3, where="size < 12")["moon"]
    assert sorted(ids(hits)) == ["bread", "salt"]
    with pytest.raises(UsageError, match="colour"):
        similar_documents(["moon"], index, where="colour = 'red'")


def test_a_minimum_score_leaves_out_the_others(index: Index) -> None:
    assert ids(similar_documents(["moon"], index, k=4, min_score=0.8)["moon"]) == ["moons"]


def test_an_unknown_id_has_no_answer(index: Index) -> None:
    assert list(similar_documents(["mars", "moon"], index)) == ["moon"]
    assert similar_documents(["mars"], index) == {}
    assert similar_documents([], index) == {}


def test_an_index_for_another_task_is_refused(tmp_path: Path) -> None:
    index_corpus([Document("a", "one")], HashEncoder(), tmp_path / "notes")
    with Index.open(tmp_path / "notes") as index:
        with pytest.raises(SpaceMismatchError) as refused:
            similar_documents(["a"], index)
        assert refused.value.message == (
            f"{index.folder} is for the task 'retrieval', but `taskembed similar` needs an index "
            "for the task 'similarity'"
        )
        assert refused.value.hint == (
            "taskembed index CORPUS --task similarity --model hash "
            f"--index {tmp_path / 'notes-similarity'}"
        )
        with pytest.raises(SpaceMismatchError):
            similar_texts(["one"], similarity_encoder(), index)


def test_where_the_sides_differ_a_stored_vector_is_no_query(tmp_path: Path) -> None:
    two_sided = similarity_encoder(query_prompt="find: ")
    index_corpus(
        [Document("a", "one two"), Document("b", "one two three")], two_sided, tmp_path / "i"
    )
    with Index.open(tmp_path / "i") as index:
        assert not has_same_sides(index.space)
        with pytest.raises(UsageError, match="an encoder"):
            similar_documents(["a"], index)
        two_sided.prompted.clear()
        assert ids(similar_documents(["a"], index, encoder=two_sided)["a"]) == ["b"]
        assert two_sided.prompted == ["find: one two"]


def test_wrong_arguments_are_refused(index: Index) -> None:
    with pytest.raises(TypeError, match="doc_ids must be a list of texts"):
        similar_documents("moon", index)
    with pytest.raises(ValueError, match="k is 0"):
        similar_documents(["moon"], index, k=0)
