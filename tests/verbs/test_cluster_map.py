"""Maps of clusters: which documents are on them, their colours, and the page itself."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

from taskembed.index.knn_graph import knn_graph
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.space import Task
from taskembed.verbs.cluster import cluster_index
from taskembed.verbs.clustering import cluster_map
from taskembed.verbs.clustering.cluster_map import ClusterMap, map_of
from taskembed.verbs.clustering.map_page import write_map
from taskembed.verbs.clustering.projection import projected
from taskembed.verbs.index import index_corpus
from tests.angles import AngleEncoder

HOSTILE = "</script><script>alert(1)</script> \u2028 & <b>"


def made(folder: Path, documents: list[Document]) -> Path:
    index_corpus(documents, AngleEncoder(Task.CLUSTERING), folder)
    return folder


def at(angle: float, name: str = "", **metadata: object) -> Document:
    return Document(name or f"d{angle:g}", f"text at {angle}", metadata)


def page_of(found: ClusterMap, title: str = "a map") -> str:
    stream = io.StringIO()
    write_map(found, stream, title=title)
    return stream.getvalue()


def data_of(page: str) -> dict[str, object]:
    [text] = re.findall(
        r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL
    )
    data = json.loads(text)
    assert isinstance(data, dict)
    return data


def test_a_map_has_the_documents_with_their_clusters_and_the_beginnings_of_their_texts(
    tmp_path: Path,
) -> None:
    documents = [at(0), at(2), Document("long", "text at 180 \n" + "word " * 100 + "180")]
    with Index.open(made(tmp_path / "i", documents)) as index:
        found = map_of(index, cluster_index(index, k=2))
    assert found.points.shape == (3, 2)
    assert found.clusters == (0, 0, 1)
    assert [name for name, _ in found.documents] == ["d0", "d2", "long"]
    text = found.documents[2][1]
    assert text.startswith("text at 180 word word")
    assert (len(text), text[-1]) == (200, "…")
    assert set(found.names) == {0, 1}
    assert found.left_out == 0


def test_documents_of_a_large_index_are_drawn_and_that_is_said(tmp_path: Path) -> None:
    with Index.open(made(tmp_path / "i", [at(angle) for angle in range(20)])) as index:
        found = map_of(index, cluster_index(index, k=2), most=3)
    assert (len(found.documents), len(found.clusters), len(found.points)) == (3, 3, 3)
    assert found.left_out == 17
    assert data_of(page_of(found))["count"] == "3 documents, a random sample of 20"


def test_documents_in_no_cluster_have_a_name_of_their_own(tmp_path: Path) -> None:
    documents = [at(0), at(1), at(90, "odd")]
    with Index.open(made(tmp_path / "i", documents)) as index:
        found = map_of(index, cluster_index(index, k=1, min_similarity=0.8))
    assert found.clusters == (0, 0, -1)
    assert found.names[-1] == "in no cluster"


def test_fields_of_numbers_and_of_a_few_values_are_for_colours(tmp_path: Path) -> None:
    documents = [
        at(0, year=2020, lang="en", url="a", tags=["x"], same=1, rated=True),
        at(1, year=2021.5, lang="de", url="b", tags=["y"], same=1, rated=False),
        at(2, lang="en", url="c", same=1),
    ]
    with Index.open(made(tmp_path / "i", documents)) as index:
        found = map_of(index, cluster_index(index, k=1))
    assert found.fields == {
        "year": (2020, 2021.5, None),
        "lang": ("en", "de", "en"),
        "url": ("a", "b", "c"),
        "rated": (True, False, None),
    }
    assert data_of(page_of(found))["fields"] == {
        "year": {"numbers": [2020, 2021.5, None]},
        "lang": {"at": [1, 0, 1], "names": [[0, "de"], [1, "en"]]},
        "url": {"at": [0, 1, 2], "names": [[0, "a"], [1, "b"], [2, "c"]]},
        "rated": {"at": [1, 0, -1], "names": [[0, "false"], [1, "true"], [-1, "none"]]},
    }


def test_of_many_values_the_common_ones_have_colours_if_they_are_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_map, "projected", lambda vectors: vectors[:, :2])  # takes seconds
    mostly = ["a"] * 30 + [f"rare{n}" for n in range(40)]
    documents = [
        at(angle, kind=kind, unique=f"u{angle}")
        for angle, kind in enumerate([*mostly, *"aaaaaaaa"])
    ]
    with Index.open(made(tmp_path / "i", documents)) as index:
        found = map_of(index, cluster_index(index, k=1), most=78)
    assert set(found.fields) == {"kind"}
    values = found.fields["kind"]
    assert (len(set(values)), values.count("a"), values.count("(other)")) == (30, 38, 12)
    field = data_of(page_of(found))["fields"]["kind"]  # type: ignore[index]  # of JSON
    assert field["names"][-1] == [-2, "(other)"]
    assert field["at"].count(-2) == 12


def test_no_text_can_leave_its_place_on_the_page() -> None:
    found = ClusterMap(
        np.zeros((1, 2), np.float32),
        ((HOSTILE, HOSTILE),),
        (0,),
        {0: HOSTILE},
        {"cluster": (HOSTILE,), "__proto__": ("p",), "@DATA@": ("q",)},
    )
    page = page_of(found, title="<i>@DATA@</i>")
    data = data_of(page)
    assert data["id"] == data["text"] == [HOSTILE]
    assert data["names"] == [[0, HOSTILE]]
    assert set(data["fields"]) == {"cluster (field)", "__proto__", "@DATA@"}  # type: ignore[call-overload]  # of JSON
    assert page.count("alert(1)") == 4  # all in the data
    assert "<script>alert" not in page
    assert "<title>&lt;i&gt;@DATA@&lt;/i&gt;</title>" in page


def test_the_page_may_ask_nothing_of_another_place() -> None:
    page = page_of(ClusterMap(np.zeros((0, 2), np.float32), (), (), {}))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; ")
    assert "http" not in policy[1]
    own = page.replace(re.findall(r"<script>(.*?)</script>", page, re.DOTALL)[0], "")  # plotly's
    assert "://" not in own
    assert not re.search(r"<(link|img|iframe)|src=", own)


def test_neighbours_are_the_nearest_others_also_of_equal_vectors() -> None:
    vectors = np.array([[0, 0], [0, 0], [0, 0], [0, 3], [4, 0]], np.float32)
    distances, rows = knn_graph(vectors, 2)
    assert distances.tolist() == [[0, 0], [0, 0], [0, 0], [3, 3], [4, 4]]
    assert all(row not in others for row, others in enumerate(rows.tolist()))
    assert rows.shape == (5, 2)


@pytest.mark.slow  # openTSNE and what it imports: 1.3 s
@pytest.mark.parametrize("count", [1, 2, 3, 5, 60])
def test_near_vectors_are_near_points(count: int) -> None:
    generator = np.random.default_rng(3)
    centres = np.eye(8, dtype=np.float32)[:2]
    group = np.arange(count) % 2
    vectors = centres[group] + generator.normal(0, 0.05, (count, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    points = projected(vectors)
    assert points.shape == (count, 2)
    assert np.isfinite(points).all()
    if count > 3:
        distances = np.linalg.norm(points[:, None] - points[None], axis=2)
        np.fill_diagonal(distances, np.inf)
        assert (group[distances.argmin(axis=1)] == group).all()
    assert np.isfinite(projected(np.repeat(centres[:1], count, axis=0))).all()
