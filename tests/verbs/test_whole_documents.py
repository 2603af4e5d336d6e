"""Documents that were cut into chunks are compared whole: one rule for every verb, by hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import cos, radians
from pathlib import Path

import pytest

from taskembed.errors import BadInputError
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.space import Task
from taskembed.verbs.classify import Classifier
from taskembed.verbs.cluster import assign_documents, cluster_index
from taskembed.verbs.dedup import find_duplicates
from taskembed.verbs.deduplicating.match import match_documents
from taskembed.verbs.deduplicating.pairs import sample_pairs
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions
from taskembed.verbs.search import search_index
from taskembed.verbs.similar import similar_documents, similar_texts
from tests.angles import AngleEncoder, chunks_at

# as wholes, they are at 30, 30, 20, 90 and 180 degrees
ANGLES: Mapping[str, tuple[int, ...]] = {
    "a": (0, 60),
    "b": (30,),
    "c": (10, 30),
    "d": (30, 150),
    "e": (180,),
}
RULE = "16:0"


def at(degrees: float) -> object:
    """Return what equals the cosine of an angle but for the last digits of 32 bits."""
    return pytest.approx(cos(radians(degrees)), abs=1e-6)


def made(folder: Path, task: Task, angles: Mapping[str, tuple[int, ...]] = ANGLES) -> Index:
    documents = [
        Document(name, chunks_at(*degrees), {"label": "x" if name < "d" else "y"})
        for name, degrees in angles.items()
    ]
    options = IndexOptions(commit_every=2, chunk=RULE)  # several segments
    index_corpus(documents, AngleEncoder(task), folder, options=options)
    return Index.open(folder)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with made(tmp_path / "index", Task.SIMILARITY) as index:
        yield index


@pytest.mark.parametrize("exact", [False, True])
def test_similar_documents_are_scored_by_the_means_of_both(index: Index, *, exact: bool) -> None:
    hits = similar_documents(["a"], index, k=4, exact=exact)["a"]
    assert [(hit.doc_id, hit.score) for hit in hits] == [
        ("b", at(0)),
        ("c", at(10)),
        ("d", at(60)),  # its best chunk is at 0 from the mean of a
        ("e", at(150)),
    ]
    (chunk,) = {hit.chunk for hit in hits if hit.doc_id == "d"}
    assert chunk
    assert chunk.text.endswith("30")  # shown, since it is the one that is most like a
    some = similar_documents(["a"], index, k=4, exact=exact, where="label = 'y'", min_score=0)
    assert [hit.doc_id for hit in some["a"]] == ["d"]


def test_a_pair_has_one_score_in_both_directions_and_for_every_verb(index: Index) -> None:
    by_id = similar_documents(["a", "d"], index, k=4)
    forth = {hit.doc_id: hit.score for hit in by_id["a"]}["d"]
    back = {hit.doc_id: hit.score for hit in by_id["d"]}["a"]
    assert forth == pytest.approx(back) == at(60)
    text = similar_texts([chunks_at(0, 60)], AngleEncoder(Task.SIMILARITY), index, k=5)[0]
    assert {hit.doc_id: hit.score for hit in text}["d"] == at(60)
    new = Document("new", chunks_at(0, 60, 30))  # at 30 too
    ((_, match),) = match_documents([new], AngleEncoder(Task.SIMILARITY), index, threshold=0.9)
    assert match
    assert (match.kept, match.score) == ("a", at(0))
    found = find_duplicates(index, threshold=0.95)
    assert [(item.doc_id, item.kept, item.score) for item in found.dropped] == [
        ("b", "a", at(0)),
        ("c", "a", at(10)),
    ]
    # of pairs above 0.7: a and b, a and c, b and c; not a and d, whose chunks at 60 are equal
    scores = [pair.score for band in sample_pairs(index) for pair in band.pairs]
    assert scores == [at(0), at(10), at(10)]


def test_a_search_still_scores_a_document_by_its_best_chunk(index: Index) -> None:
    hits = search_index(["30"], AngleEncoder(Task.SIMILARITY), index, k=5)[0]
    assert [(hit.doc_id, hit.score) for hit in hits] == [
        ("b", at(0)),
        ("c", at(0)),
        ("d", at(0)),
        ("a", at(30)),
        ("e", at(150)),
    ]


def test_of_many_documents_those_with_the_best_chunks_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskembed.index.ranking.nearest.LEAST_CANDIDATES", 8)
    angles = {f"d{number}": (number, number + 20) for number in range(0, 90, 5)}
    with made(tmp_path / "many", Task.SIMILARITY, angles) as index:
        for exact in (False, True):
            hits = similar_documents(["d40"], index, k=2, exact=exact)["d40"]
            assert [(hit.doc_id, hit.score) for hit in hits] == [("d35", at(5)), ("d45", at(5))]


def test_examples_and_new_texts_are_compared_whole_by_classify(tmp_path: Path) -> None:
    new = [Document("new", chunks_at(30, 150))]  # at 90, as d is; its first chunk is where b is
    with made(tmp_path / "i", Task.CLASSIFICATION) as index:
        encoder = AngleEncoder(Task.CLASSIFICATION)
        classifier = Classifier.of(index, encoder, label_field="label", head="knn")
        ((_, prediction),) = classifier.classify(new)
    nearest = prediction.nearest[0]
    assert (nearest.doc_id, nearest.score) == ("d", at(0))


def test_new_texts_are_assigned_whole_to_clusters(tmp_path: Path) -> None:
    new = [Document("new", chunks_at(100, 260))]  # at 180
    with made(tmp_path / "i", Task.CLUSTERING) as index:
        clustering = cluster_index(index, k=2)
        encoder = AngleEncoder(Task.CLUSTERING)
        (assigned,) = assign_documents(new, encoder, index, clustering)
        (cluster,) = (one for one in clustering.clusters if "e" in [d.doc_id for d in one.nearest])
    assert assigned.cluster == cluster.number


def test_a_text_that_cannot_be_cut_is_bad_input(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskembed.verbs._indexing.cutting.MOST_CHUNKS", 1)
    with pytest.raises(BadInputError, match="the text has more than 1 chunks of 16 tokens"):
        similar_texts([chunks_at(0, 60)], AngleEncoder(Task.SIMILARITY), index)
