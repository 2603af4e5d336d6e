"""Vectors and spaces that are not to be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from taskembed.errors import BadVectorError, NotFoundError, SpaceMismatchError
from taskembed.guard import require_good_vectors, require_same_space, without_length
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.space import PromptType, Task
from taskembed.vectors import Encoded
from taskembed.verbs.index import index_corpus
from taskembed.verbs.search import search_index
from tests.fakes import SPACE, HashEncoder


def test_the_same_space_is_not_refused() -> None:
    require_same_space(SPACE, replace(SPACE, model="another name"), hint="")


def test_the_refusal_lists_every_field_that_differs() -> None:
    other = replace(SPACE, task=Task.CODE, query_prompt="query:", weights_digest="f" * 64)
    with pytest.raises(SpaceMismatchError) as caught:
        require_same_space(SPACE, other, hint="do this")
    assert caught.value.message == (
        "this is not the embedding space of the index\n"
        "  weights: differ from those that built this index "
        "(sha256 000000000000, now ffffffffffff)\n"
        "  task: the index has 'retrieval', not 'code'\n"
        "  query_prompt: the index has 'query: ', not 'query:'\n"
        "  vectors of different spaces cannot be compared: their scores would mean nothing"
    )
    assert caught.value.hint == "do this"


def unit_rows(count: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.eye(16, dtype=np.float32)[:count]


def test_unit_vectors_are_not_refused() -> None:
    require_good_vectors(unit_rows(2), SPACE, ["a", "b"])


@pytest.mark.parametrize(("number", "length"), [(np.nan, "nan"), (np.inf, "inf"), (2.0, "2")])
def test_a_bad_vector_is_refused_by_the_name_of_its_document(number: float, length: str) -> None:
    vectors = unit_rows(2)
    vectors[1, 1] = number
    with pytest.raises(BadVectorError) as caught:
        require_good_vectors(vectors, SPACE, ["a.jsonl:1", "a.jsonl:2"])
    assert (
        caught.value.message == f"a.jsonl:2: the model returned a vector of length {length}, not 1"
    )


DOT = replace(SPACE, normalize=False, metric="dot")


def test_vectors_of_any_length_pass_where_the_metric_is_the_inner_product() -> None:
    require_good_vectors(unit_rows(2) * 300, DOT, ["a", "b"])
    require_good_vectors(unit_rows(2) * 0, DOT, ["a", "b"])


@pytest.mark.parametrize(("number", "length"), [(np.nan, "nan"), (np.inf, "inf")])
def test_what_is_no_number_is_refused_there_too(number: float, length: str) -> None:
    vectors = unit_rows(2) * 300
    vectors[1, 1] = number
    with pytest.raises(BadVectorError) as caught:
        require_good_vectors(vectors, DOT, ["a.jsonl:1", "a.jsonl:2"])
    assert caught.value.message == (
        f"a.jsonl:2: the model returned a vector of length {length}, which is not a number"
    )


def test_another_metric_is_told_in_one_line() -> None:
    with pytest.raises(SpaceMismatchError) as caught:
        require_same_space(SPACE, DOT, hint="do this")
    assert caught.value.message == (
        "this is not the embedding space of the index\n"
        "  metric: the index was built for 'cosine', and this model uses 'dot': "
        "build the index again with --recreate\n"
        "  vectors of different spaces cannot be compared: their scores would mean nothing"
    )


def test_inner_products_are_searched_as_they_are(tmp_path: Path) -> None:
    encoder = HashEncoder(DOT)
    texts = ["fox", "fox fox fox", "dog", "fox", "fox dog cat bird fish"]
    documents = [Document(f"d{row}", text, {}) for row, text in enumerate(texts)]
    index_corpus(documents[:3], encoder, tmp_path / "ix")
    index_corpus(documents[3:], encoder, tmp_path / "ix")  # another segment
    with Index.open(tmp_path / "ix") as index:
        assert index.space == DOT
        vectors = encoder.encode(texts, PromptType.DOCUMENT).vectors
        query = encoder.encode(["fox"], PromptType.QUERY).vectors[0]
        scores = (vectors @ query).tolist()
        hits = search_index(["fox"], encoder, index, k=5, mode="dense")[0]
        assert [hit.doc_id for hit in hits[:3]] == ["d1", "d0", "d3"]  # equal ones by their ids
        assert [hit.score for hit in hits] == pytest.approx(sorted(scores, reverse=True), rel=1e-5)
        assert hits[0].score > 1
        lowest = scores[0] * 0.99
        few = search_index(["fox"], encoder, index, k=5, min_score=lowest, mode="dense")[0]
        assert {hit.doc_id for hit in few} >= {"d0", "d1", "d3"}
        assert all(hit.score >= lowest for hit in few)


def test_a_vector_without_length_is_none_and_the_reason_is_said() -> None:
    vectors = unit_rows(2)
    vectors[1] = 0
    assert without_length(vectors, SPACE, 2).tolist() == [False, True]
    with pytest.raises(BadVectorError, match=r"^b: the model knows no token of this text, so"):
        require_good_vectors(vectors, SPACE, ["a", "b"])


def test_a_wrong_shape_or_type_is_refused() -> None:
    with pytest.raises(
        BadVectorError, match=r"returned float32\[2, 16\] for a, not float32\[1, 16\]"
    ):
        require_good_vectors(unit_rows(2), SPACE, ["a"])
    with pytest.raises(
        BadVectorError, match=r"returned float64\[1, 16\] for a, not float32\[1, 16\]"
    ):
        require_good_vectors(unit_rows(1).astype(np.float64), SPACE, ["a"])


class BrokenEncoder(HashEncoder):
    """Overflows, as fp16 does, on the text "boom"."""

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        vectors, truncated = super().encode(texts, prompt_type)
        vectors[[row for row, text in enumerate(texts) if "boom" in text]] = np.nan
        return Encoded(vectors, truncated)


def test_nothing_of_a_batch_with_a_bad_vector_is_indexed(tmp_path: Path) -> None:
    documents = [Document("a", "fine", {}, "f:1"), Document("b", "boom", {}, "f:2")]
    with pytest.raises(BadVectorError, match=r"^f:2: document 'b': the model returned a vector of"):
        index_corpus(documents, BrokenEncoder(), tmp_path / "index")
    with pytest.raises(NotFoundError):
        Index.open(tmp_path / "index")


def test_a_bad_query_vector_gives_no_hits_but_an_error(tmp_path: Path) -> None:
    index_corpus([Document("a", "fine", {})], HashEncoder(), tmp_path / "index")
    with (
        Index.open(tmp_path / "index") as index,
        pytest.raises(BadVectorError, match=r"^the query 'boom': the model returned a vector of"),
    ):
        search_index(["boom"], BrokenEncoder(), index)


def test_a_library_caller_cannot_pass_the_guard_by(tmp_path: Path) -> None:
    index_corpus([Document("a", "fine", {})], HashEncoder(), tmp_path / "index")
    other = HashEncoder(query_prompt="")
    with (
        Index.open(tmp_path / "index") as index,
        pytest.raises(SpaceMismatchError, match="query_prompt: the index has 'query: ', not ''"),
    ):
        search_index(["fine"], other, index)
    with pytest.raises(SpaceMismatchError):
        index_corpus([Document("b", "fine", {})], other, tmp_path / "index")
    assert other.prompted == []
