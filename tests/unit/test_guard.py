"""Vectors and spaces that are not to be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from taskembed.corpus import Document
from taskembed.errors import BadVectorError, NotFoundError, SpaceMismatchError
from taskembed.guard import require_good_vectors, require_same_space
from taskembed.index import Index
from taskembed.pipeline import index_corpus, search_index
from taskembed.space import PromptType, Task
from taskembed.vectors import Encoded
from tests.fakes import SPACE, HashEncoder


def test_the_same_space_passes() -> None:
    require_same_space(SPACE, replace(SPACE, model="another name"), hint="")


def test_the_refusal_lists_every_field_that_differs() -> None:
    other = replace(SPACE, task=Task.CODE, query_prompt="query:", weights_digest="f" * 64)
    with pytest.raises(SpaceMismatchError) as caught:
        require_same_space(SPACE, other, hint="do this")
    assert caught.value.message == (
        "this is another embedding space than that of the index\n"
        "  weights: they differ from those that built this index "
        "(sha256 000000000000, now ffffffffffff)\n"
        "  task: the index has 'retrieval', not 'code'\n"
        "  query_prompt: the index has 'query: ', not 'query:'\n"
        "  vectors of different spaces cannot be compared: their scores would mean nothing"
    )
    assert caught.value.hint == "do this"


def unit_rows(count: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.eye(16, dtype=np.float32)[:count]


def test_unit_vectors_pass() -> None:
    require_good_vectors(unit_rows(2), SPACE, ["a", "b"])


@pytest.mark.parametrize(
    ("number", "length"), [(np.nan, "nan"), (np.inf, "inf"), (0.0, "0"), (2.0, "2")]
)
def test_a_bad_vector_is_refused_by_the_name_of_its_document(number: float, length: str) -> None:
    vectors = unit_rows(2)
    vectors[1, 1] = number
    with pytest.raises(BadVectorError) as caught:
        require_good_vectors(vectors, SPACE, ["a.jsonl:1", "a.jsonl:2"])
    assert caught.value.message == f"a.jsonl:2: the model gave a vector of length {length}, not 1"


def test_a_wrong_shape_or_type_is_refused() -> None:
    with pytest.raises(BadVectorError, match=r"gave float32\[2, 16\] for a, not float32\[1, 16\]"):
        require_good_vectors(unit_rows(2), SPACE, ["a"])
    with pytest.raises(BadVectorError, match=r"gave float64\[1, 16\] for a, not float32\[1, 16\]"):
        require_good_vectors(unit_rows(1).astype(np.float64), SPACE, ["a"])


class BrokenEncoder(HashEncoder):
    """Overflows, as fp16 does, on the text "boom"."""

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        vectors, truncated = super().encode(texts, prompt_type)
        vectors[[row for row, text in enumerate(texts) if "boom" in text]] = np.nan
        return Encoded(vectors, truncated)


def test_nothing_of_a_batch_with_a_bad_vector_is_indexed(tmp_path: Path) -> None:
    documents = [Document("a", "fine", {}, "f:1"), Document("b", "boom", {}, "f:2")]
    with pytest.raises(BadVectorError, match=r"^f:2: document 'b': the model gave a vector of"):
        index_corpus(documents, BrokenEncoder(), tmp_path / "index")
    with pytest.raises(NotFoundError):
        Index.open(tmp_path / "index")


def test_a_bad_query_vector_gives_no_hits_but_an_error(tmp_path: Path) -> None:
    index_corpus([Document("a", "fine", {})], HashEncoder(), tmp_path / "index")
    with (
        Index.open(tmp_path / "index") as index,
        pytest.raises(BadVectorError, match=r"^the query 'boom': the model gave a vector of"),
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
