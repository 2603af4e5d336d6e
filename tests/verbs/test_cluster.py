"""Clusters of an index: what is found, how new texts are assigned, and what is kept beside it."""

from __future__ import annotations

from collections.abc import Iterator
from math import cos, radians
from pathlib import Path

import numpy as np
import pytest

from taskembed.errors import (
    BadInputError,
    IndexDamagedError,
    NotFoundError,
    SpaceMismatchError,
    UsageError,
)
from taskembed.index.reader import Index
from taskembed.index.verify import verify_index
from taskembed.reading.document import Document
from taskembed.space import Task
from taskembed.verbs.cluster import (
    assign_documents,
    assignments,
    cluster_index,
)
from taskembed.verbs.clustering.clusters import Assignment
from taskembed.verbs.clustering.clusters_file import NAME, load_clusters, save_clusters
from taskembed.verbs.clustering.silhouette import (
    best_number,
    candidates,
    silhouette,
    silhouettes,
    smoothed,
)
from taskembed.verbs.clustering.terms import terms_of
from taskembed.verbs.delete import delete_documents
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions
from tests.angles import AngleEncoder
from tests.fakes import HashEncoder

ENCODER = AngleEncoder(Task.CLUSTERING)
# three clusters, the largest around 0 degrees; "odd" is 40 degrees from the next centre
ANGLES = {
    **{f"east{n}": float(n) for n in range(-3, 4)},
    **{f"north{n}": 120.0 + n for n in range(-2, 3)},
    **{f"west{n}": 240.0 + n for n in range(-1, 2)},
}
ODD = {"odd": 80.0}


def made(folder: Path, angles: dict[str, float] = ANGLES) -> Path:
    documents = [
        Document(name, f"{name.rstrip('-0123456789')} is at {angle}")
        for name, angle in angles.items()
    ]
    index_corpus(documents, ENCODER, folder, options=IndexOptions(commit_every=4))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return made(tmp_path / "i")


@pytest.fixture
def index(folder: Path) -> Iterator[Index]:
    with Index.open(folder) as index:
        yield index


def clusters_of(found: Iterator[Assignment]) -> dict[str, int]:
    return {item.doc_id: item.cluster for item in found}


def test_the_largest_cluster_comes_first(index: Index) -> None:
    found = cluster_index(index, k=3)
    assert [(item.number, item.size) for item in found.clusters] == [(0, 7), (1, 5), (2, 3)]
    assert [item.terms[0] for item in found.clusters] == ["east", "north", "west"]
    assert [item.nearest[0].doc_id for item in found.clusters] == ["east0", "north0", "west0"]
    by_id = clusters_of(assignments(index, found))
    assert by_id == {name: "enw".index(name[0]) for name in ANGLES}
    assert (found.outliers, found.silhouettes, found.runner_up) == (0, {}, None)


def test_the_number_of_clusters_is_found_with_its_runner_up(index: Index) -> None:
    found = cluster_index(index)
    assert len(found.clusters) == 3
    assert set(found.silhouettes) == {2, 3, 4, 5}
    assert found.silhouettes[3] == max(found.silhouettes.values())
    assert found.runner_up in {2, 4, 5}


def test_documents_that_are_near_no_centre_are_outliers(tmp_path: Path) -> None:
    with Index.open(made(tmp_path / "i", ANGLES | ODD)) as index:
        found = cluster_index(index, k=3, min_similarity=0.95)
        assert found.outliers == 1
        assert clusters_of(assignments(index, found))["odd"] == -1
        assert sum(item.size for item in found.clusters) == 15


def test_new_texts_are_assigned(index: Index) -> None:
    found = cluster_index(index, k=3)
    new = [Document("a", "new at 100"), Document("b", "new at 10")]
    first, second = assign_documents(new, ENCODER, index, found)
    assert (first.cluster, second.cluster) == (1, 0)
    assert first.score == pytest.approx(cos(radians(20)), abs=1e-3)


def test_clusters_are_kept_beside_the_index_and_disturb_nothing(folder: Path) -> None:
    with Index.open(folder) as index:
        found = cluster_index(index, min_similarity=0.5)
        assert save_clusters(folder, found) == folder / NAME
        save_clusters(folder, found)  # instead of the first
        kept = load_clusters(folder, index.space)
        assert np.array_equal(kept.centres, found.centres)
        assert kept.silhouettes == found.silhouettes
        assert kept.min_similarity == 0.5
        assert [(item.size, item.terms) for item in kept.clusters] == [
            (item.size, item.terms) for item in found.clusters
        ]
        before = clusters_of(assignments(index, found))
    assert verify_index(folder)[1] == []
    index_corpus([Document("new", "at 100")], ENCODER, folder)
    delete_documents(folder, ["east0"])
    assert verify_index(folder)[1] == []
    assert [path.name for path in folder.glob("*clusters*")] == [NAME]
    with Index.open(folder) as index:
        # tonight's clusters are yesterday's
        after = clusters_of(assignments(index, load_clusters(folder, index.space)))
    assert after.pop("new") == 1
    del before["east0"]
    assert after == before


def test_clusters_of_another_space_are_refused(folder: Path) -> None:
    with Index.open(folder) as index:
        save_clusters(folder, cluster_index(index, k=2))
    other = HashEncoder(task=Task.CLUSTERING, query_prompt="", document_prompt="")
    options = IndexOptions(recreate=True)
    index_corpus([Document("a", "one")], other, folder, options=options)
    with Index.open(folder) as index, pytest.raises(SpaceMismatchError, match="dim"):
        load_clusters(folder, index.space)


def test_without_clusters_there_is_nothing_to_load(index: Index) -> None:
    with pytest.raises(NotFoundError, match="has no clusters yet"):
        load_clusters(index.folder, index.space)


@pytest.mark.parametrize("place", ["start", "middle", "end", "cut", "empty"])
def test_a_damaged_file_is_refused(folder: Path, place: str) -> None:
    with Index.open(folder) as index:
        path = save_clusters(folder, cluster_index(index, k=2))
        data = bytearray(path.read_bytes())
        if place in {"start", "middle", "end"}:
            data[{"start": 0, "middle": len(data) // 2, "end": -1}[place]] ^= 1
        path.write_bytes(data[:-5] if place == "cut" else b"" if place == "empty" else data)
        with pytest.raises(IndexDamagedError, match="the clusters cannot be read"):
            load_clusters(folder, index.space)


def test_too_few_documents_have_no_clusters(tmp_path: Path, index: Index) -> None:
    with pytest.raises(UsageError, match=r"-k 99: .+ has 15 documents"):
        cluster_index(index, k=99)
    with pytest.raises(ValueError, match="k is 0"):
        cluster_index(index, k=0)
    with (
        Index.open(made(tmp_path / "j", {"a": 0.0, "b": 9.0})) as few,
        pytest.raises(BadInputError, match="2 documents are too few"),
    ):
        cluster_index(few)


def test_as_many_clusters_as_documents(index: Index) -> None:
    found = cluster_index(index, k=15)
    assert sum(item.size for item in found.clusters) == 15


def test_an_index_for_another_task_is_refused(tmp_path: Path) -> None:
    index_corpus([Document("a", "at 0")], AngleEncoder(Task.SIMILARITY), tmp_path / "i")
    with (
        Index.open(tmp_path / "i") as index,
        pytest.raises(SpaceMismatchError, match="`taskembed cluster` needs an index for the task"),
    ):
        cluster_index(index)


def test_the_silhouette_is_that_of_a_library() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(1)
    vectors = random.standard_normal((60, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    clusters = random.integers(0, 4, 60)
    clusters[0] = 9  # alone
    distances = np.maximum(1 - vectors @ vectors.T, 0)
    np.fill_diagonal(distances, 0)
    expected = metrics.silhouette_score(distances, clusters, metric="precomputed")
    assert silhouette(distances, clusters) == pytest.approx(expected, abs=1e-5)
    assert silhouette(distances, clusters * 0) == -1


def test_of_equal_silhouettes_the_smallest_number_is_taken() -> None:
    assert best_number({4: 0.08, 8: 0.095, 128: 0.095}) == 8
    assert best_number({2: 0.3, 3: 0.5, 4: 0.4}) == 3
    assert best_number({2: -0.5, 3: -0.1}) == 3


def test_a_silhouette_is_averaged_with_its_neighbours() -> None:
    assert smoothed({2: 0.4, 3: 0.8, 5: 0.0}) == pytest.approx({2: 0.5, 3: 0.5, 5: 0.2})
    assert smoothed({2: 0.4}) == pytest.approx({2: 0.4})


def test_the_number_of_groups_in_many_dimensions_is_found() -> None:
    """Nine groups in 64 dimensions, with so much noise that a vector is 1.6 from its group."""
    random = np.random.default_rng(3)
    centres = random.standard_normal((9, 64)) / 8
    vectors = np.repeat(centres, 60, axis=0) + random.standard_normal((540, 64)) * 0.2
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    assert best_number(silhouettes(unit)) in {8, 10}


def test_equal_vectors_have_a_number_of_clusters() -> None:
    unit = np.zeros((10, 4), np.float32)
    unit[:, 0] = 1
    assert best_number(silhouettes(unit)) == 2


def test_numbers_of_clusters_grow_with_the_corpus() -> None:
    assert candidates(3) == [2]
    assert candidates(50) == [2, 3, 4, 5, 6, 8, 10]
    assert candidates(8_000)[-1] == 100


def test_terms_are_frequent_here_and_rare_elsewhere() -> None:
    texts = [(0, "the cat and the milk"), (0, "cat 42 milk"), (1, "the dog and milk"), (-1, "owl")]
    assert terms_of(texts, 2) == [["cat", "milk"], ["dog", "milk"]]
    assert terms_of([], 1) == [[]]
