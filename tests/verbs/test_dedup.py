"""Duplicates: which are found, which of them is kept, and what is deleted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from taskembed.errors import IndexBusyError, SpaceMismatchError, UsageError
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.space import Task
from taskembed.verbs.dedup import delete_duplicates, find_duplicates, kept_documents
from taskembed.verbs.deduplicating import leaders
from taskembed.verbs.deduplicating.duplicates import Duplicate, Keep
from taskembed.verbs.deduplicating.match import match_documents
from taskembed.verbs.deduplicating.pairs import sample_pairs
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions
from tests.angles import AngleEncoder
from tests.fakes import HashEncoder

# cos 10 degrees is 0.985, cos 20 degrees 0.940: with 0.95, "a" is near "b" and not near "c"
CHAIN = {"a": "at 0", "b": "at 10", "c": "at 20", "far": "at 90", "copy": "at 0"}
THRESHOLD = 0.95


def made(folder: Path, documents: Iterable[Document], *, commit_every: int = 2) -> Path:
    index_corpus(
        documents,
        AngleEncoder(Task.SIMILARITY),
        folder,
        options=IndexOptions(commit_every),
    )
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return made(tmp_path / "i", [Document(name, text) for name, text in CHAIN.items()])


@pytest.fixture
def index(folder: Path) -> Iterator[Index]:
    with Index.open(folder) as index:
        yield index


def listed(found: Iterable[Duplicate]) -> list[tuple[str, str, float, bool]]:
    return [(item.doc_id, item.kept, round(item.score, 3), item.exact) for item in found]


def test_the_first_is_kept_and_no_chain_is_followed(index: Index) -> None:
    # "c" is near "b", which is dropped, and not near "a": it is kept
    found = find_duplicates(index, threshold=THRESHOLD)
    assert listed(found.dropped) == [("b", "a", 0.985, False), ("copy", "a", 1.0, True)]
    assert (found.documents, found.kept, found.exact, found.near) == (5, 3, 1, 1)
    assert found.groups == ()
    assert [document.doc_id for document in kept_documents(index, found)] == ["a", "c", "far"]


def test_groups_follow_chains(index: Index) -> None:
    found = find_duplicates(index, threshold=THRESHOLD, groups=True)
    (group,) = found.groups
    assert group.doc_ids == ["a", "b", "c", "copy"]
    assert group.kept == ["a", "c"]


def test_of_several_kept_documents_the_most_similar_is_named(tmp_path: Path) -> None:
    # 15 degrees from "a" and 5 from "c", which are 20 degrees apart
    texts = {"a": "at 0", "c": "at 20", "between": "at 15"}
    folder = made(tmp_path / "i", [Document(name, text) for name, text in texts.items()])
    with Index.open(folder) as index:
        found = find_duplicates(index, threshold=THRESHOLD)
    assert listed(found.dropped) == [("between", "c", 0.996, False)]


def test_a_copy_of_a_near_duplicate_is_near_what_is_kept(tmp_path: Path) -> None:
    texts = {"a": "at 0", "b": "at 10", "b2": "at 10"}
    folder = made(tmp_path / "i", [Document(name, text) for name, text in texts.items()])
    with Index.open(folder) as index:
        found = find_duplicates(index, threshold=THRESHOLD)
    assert listed(found.dropped) == [("b", "a", 0.985, False), ("b2", "a", 0.985, False)]


def test_exact_duplicates_are_found_at_any_threshold(index: Index) -> None:
    assert listed(find_duplicates(index, threshold=1.0).dropped) == [("copy", "a", 1.0, True)]


@pytest.mark.parametrize(
    ("keep", "kept"),
    [("first", "a"), ("longest", "long"), ("newest:year", "new"), ("newest:day", "iso")],
)
def test_what_is_kept_can_be_chosen(tmp_path: Path, keep: str, kept: str) -> None:
    documents = [
        Document("a", "at 0", {"year": 2001}),
        Document("long", "a long text at 1", {"year": 1999, "day": "2020-01-01"}),
        Document("new", "at 2", {"year": 2024.5}),
        Document("iso", "at 3", {"day": "2024-05-01"}),
    ]
    with Index.open(made(tmp_path / "i", documents)) as index:
        found = find_duplicates(index, threshold=THRESHOLD, keep=Keep.parse(keep))
        assert [document.doc_id for document in kept_documents(index, found)] == [kept]
        assert {item.kept for item in found.dropped} == {kept}


@pytest.mark.parametrize("words", ["oldest", "newest", "newest:", "first:year"])
def test_an_unknown_choice_is_refused(words: str) -> None:
    with pytest.raises(UsageError, match="first, longest or newest:FIELD"):
        Keep.parse(words)


def test_a_field_without_an_order_is_refused(tmp_path: Path) -> None:
    documents = [Document("a", "at 0", {"n": 1}), Document("b", "at 90", {"n": "one"})]
    with Index.open(made(tmp_path / "i", documents)) as index:
        with pytest.raises(UsageError, match="has numbers and texts"):
            find_duplicates(index, threshold=0.9, keep=Keep.parse("newest:n"))
        with pytest.raises(UsageError, match="no document has the field 'year'"):
            find_duplicates(index, threshold=0.9, keep=Keep.parse("newest:year"))


def test_no_dropped_document_is_further_than_the_threshold_from_a_kept_one(
    tmp_path: Path,
) -> None:
    angles = np.random.default_rng(5).uniform(0, 360, 400)
    documents = [Document(f"d{row}", f"at {angle:.3f}") for row, angle in enumerate(angles)]
    with Index.open(made(tmp_path / "i", documents, commit_every=50)) as index:
        found = find_duplicates(index, threshold=0.999)
    kept = {f"d{row}" for row in range(400)} - {item.doc_id for item in found.dropped}
    assert {item.kept for item in found.dropped} <= kept
    by_id = {document.doc_id: np.radians(float(document.text[3:])) for document in documents}
    for item in found.dropped:
        assert np.cos(by_id[item.doc_id] - by_id[item.kept]) >= 0.999 - 1e-6
    ordered = sorted(by_id[name] for name in kept)
    assert all(np.cos(two - one) < 0.999 + 1e-6 for one, two in pairwise(ordered))


def test_many_pairs_are_compared_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 20 that are alone, and then 100 that are all near each other
    angles = [*range(0, 340, 17), *(345 + number / 100 for number in range(100))]
    documents = [Document(f"d{n}", f"at {angle}") for n, angle in enumerate(angles)]
    with Index.open(made(tmp_path / "i", documents, commit_every=15)) as index:
        at_once = find_duplicates(index, threshold=0.99)
        monkeypatch.setattr(leaders, "PAIRS_AT_ONCE", 150)
        monkeypatch.setattr(leaders, "LEAST_BATCH", 2)
        few = find_duplicates(index, threshold=0.99)
    assert few.dropped == at_once.dropped
    assert (len(few.dropped), few.pairs) == (99, at_once.pairs)


def test_duplicates_are_deleted_in_one_commit(folder: Path) -> None:
    with Index.open(folder) as index:
        before = index.generation
        found = find_duplicates(index, threshold=THRESHOLD)
    assert delete_duplicates(folder, found) == 2
    with Index.open(folder) as index:
        assert index.generation == before + 1
        assert [document.doc_id for document in index] == ["a", "c", "far"]
        assert find_duplicates(index, threshold=THRESHOLD).dropped == []


def test_an_index_that_changed_meanwhile_keeps_its_documents(folder: Path) -> None:
    with Index.open(folder) as index:
        found = find_duplicates(index, threshold=THRESHOLD)
    made(folder, [Document("new", "at 45")])
    with pytest.raises(IndexBusyError, match="has changed since its duplicates were found"):
        delete_duplicates(folder, found)
    with Index.open(folder) as index:
        assert len(index) == 6
        with pytest.raises(ValueError, match="another generation"):
            list(kept_documents(index, found))


def test_new_documents_that_are_there_already_are_matched(index: Index) -> None:
    new = [Document("x", "at 91"), Document("y", "at 0"), Document("z", "at 45")]
    matches = list(match_documents(new, AngleEncoder(Task.SIMILARITY), index, threshold=THRESHOLD))
    assert [document.doc_id for document, _ in matches] == ["x", "y", "z"]
    near, exact, none = [match for _, match in matches]
    assert near
    assert exact
    assert listed([near, exact]) == [("x", "far", 1.0, False), ("y", "a", 1.0, True)]
    assert near.score < 1
    assert none is None


def test_pairs_are_sampled_by_bands_of_similarity(index: Index) -> None:
    bands = sample_pairs(index, per_band=2)
    shown = {band.least: band for band in bands}
    # "a" and "copy" have the same text, and are no example of similar texts
    assert {(pair.one.doc_id, pair.other.doc_id) for pair in shown[0.98].pairs} <= {
        ("a", "b"), ("b", "c"), ("b", "copy"),
    }  # fmt: skip
    assert len(shown[0.98].pairs) == 2
    assert {round(pair.score, 2) for pair in shown[0.9].pairs} == {0.94}
    assert shown[0.7].pairs == []
    assert sample_pairs(index, per_band=2) == bands


def test_an_index_for_another_task_is_refused(tmp_path: Path) -> None:
    index_corpus([Document("a", "one")], HashEncoder(), tmp_path / "i")
    with Index.open(tmp_path / "i") as index:
        for refused in (
            lambda: find_duplicates(index, threshold=0.9),
            lambda: sample_pairs(index),
            lambda: list(match_documents([], AngleEncoder(Task.SIMILARITY), index, threshold=0.9)),
        ):
            with pytest.raises(SpaceMismatchError, match="`taskembed dedup` needs an index"):
                refused()


@pytest.mark.parametrize("threshold", [0, 1.01, -0.5, float("nan")])
def test_a_threshold_is_a_cosine(index: Index, threshold: float) -> None:
    with pytest.raises(ValueError, match="above 0, at most 1"):
        find_duplicates(index, threshold=threshold)


def test_inner_products_of_any_size_are_no_similarity(tmp_path: Path) -> None:
    dot = HashEncoder(
        task=Task.SIMILARITY, query_prompt="", document_prompt="", metric="dot", normalize=False
    )
    index_corpus([Document("a", "one")], dot, tmp_path / "i")
    with (
        Index.open(tmp_path / "i") as index,
        pytest.raises(UsageError, match="metric: dot"),
    ):
        find_duplicates(index, threshold=0.9)


def test_an_empty_index_has_no_duplicates(tmp_path: Path) -> None:
    with Index.open(made(tmp_path / "i", [])) as index:
        found = find_duplicates(index, threshold=0.9, groups=True)
        assert (found.documents, found.dropped, found.groups) == (0, [], ())
        assert all(band.pairs == [] for band in sample_pairs(index))
