"""Codes choose candidates: made small here by lowering the number of rows that have codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from taskembed.errors import IndexDamagedError
from taskembed.index.contents import Contents
from taskembed.index.disk.generations import read_newest
from taskembed.index.documents import StoredDocument
from taskembed.index.kinds import rows as stored_rows
from taskembed.index.kinds.flat import scores_of
from taskembed.index.kinds.rabitq import MANY_QUERIES, Codes, CodesBuilder
from taskembed.index.outcomes import Outcome
from taskembed.index.ranking.nearest import candidates_for
from taskembed.index.reader import Index
from taskembed.index.storage import Kind, VectorType
from taskembed.index.update import open_index_writer
from taskembed.index.verify import verify_index
from taskembed.vectors import FloatRows, Rows
from tests.fakes import SPACE
from tests.index.test_reader import resign, unit_rows

COUNT = 3_000


@pytest.fixture
def coded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index of 3,000 random vectors in one segment with codes; every fifth is deleted."""
    return indexed(unit_rows(COUNT), tmp_path / "i", monkeypatch)


def indexed(vectors: FloatRows, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("taskembed.index._segments.building.CODED_ROWS", 1_000)
    with open_index_writer(folder, SPACE) as writer:
        writer.put(
            [StoredDocument(0, f"d{n:04d}", f"text {n}", "{}", False) for n in range(COUNT)],  # noqa: FBT003  # a field
            vectors,
            replaced=[None] * COUNT,
            outcomes=[Outcome.ADDED] * COUNT,
        )
        writer.commit({"engine": "test"})
        writer.delete([f"d{n:04d}" for n in range(0, COUNT, 5)])
        writer.commit({})
    (info,) = Contents.of(folder, read_newest(folder)).live.segments
    assert info.kind is Kind.RABITQ
    return folder


def ids(
    folder: Path,
    queries: FloatRows,
    k: int,
    *,
    exact: bool = False,
    candidates: int | None = None,
) -> list[list[str]]:
    with Index.open(folder) as index:
        found = index.nearest(queries, k, exact=exact, candidates=candidates)
        return [[hit.doc_id for hit in hits] for hits in found]


def test_what_codes_find_is_what_a_scan_of_all_finds(coded: Path) -> None:
    queries = unit_rows(50, seed=4)
    exact = ids(coded, queries, 10, exact=True)
    alive = np.array([n % 5 != 0 for n in range(COUNT)])
    scores = queries @ unit_rows(COUNT).T
    scores[:, ~alive] = -2
    best = np.argsort(-scores, axis=1)[:, :10]
    assert exact == [[f"d{row:04d}" for row in rows] for rows in best]
    # random vectors have no neighbours that stand out, so many candidates are needed
    together = ids(coded, queries, 10, candidates=600)
    alone = [ids(coded, queries[[row]], 10, candidates=600)[0] for row in range(len(queries))]
    for found in (together, alone):
        shared = [len(set(a) & set(b)) for a, b in zip(found, exact, strict=True)]
        assert np.mean(shared) / 10 > 0.98
    assert verify_index(coded)[1] == []


def test_scores_are_of_the_vectors_and_not_of_the_codes(coded: Path) -> None:
    query = unit_rows(1, seed=8)
    with Index.open(coded) as index:
        for hit in index.nearest(query, 5)[0]:
            assert hit.score == pytest.approx(
                float(query[0] @ unit_rows(COUNT)[int(hit.doc_id[1:])])
            )


def test_plain_faiss_opens_the_vectors_and_the_codes(coded: Path) -> None:
    import faiss

    vectors = faiss.read_index(str(next(coded.glob("*.faiss"))))
    assert isinstance(vectors, faiss.IndexFlatIP)
    assert vectors.reconstruct_n(0, COUNT).tobytes() == unit_rows(COUNT).tobytes()
    codes = faiss.read_index(str(next(coded.glob("*.codes"))))
    assert (codes.ntotal, codes.d) == (COUNT, SPACE.dim)


def test_a_row_whose_codes_are_right_and_whose_vector_is_damaged_is_refused(coded: Path) -> None:
    query = unit_rows(COUNT)[[7]]
    (path,) = coded.glob("*.faiss")
    data = bytearray(path.read_bytes())
    data[45 + 7 * SPACE.dim * 4] ^= 1
    path.write_bytes(data)
    with pytest.raises(IndexDamagedError) as caught:
        ids(coded, query, 1)
    assert caught.value.message == (
        f"the index is damaged: {path}: row 7: its checksum does not match"
    )
    assert caught.value.exit_code == 76
    assert len(ids(coded, -query, 1)[0]) == 1  # which does not read it
    with pytest.raises(IndexDamagedError):
        ids(coded, -query, 1, exact=True)  # which does


@pytest.mark.parametrize(("k", "count"), [(1, 400), (20, 400), (21, 405), (100, 800)])
def test_more_hits_take_more_candidates(k: int, count: int) -> None:
    assert candidates_for(k) == count


@pytest.mark.parametrize("k", [1, 3, 40, 500])
def test_equal_vectors_stand_in_the_order_of_their_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, k: int
) -> None:
    monkeypatch.setattr("taskembed.index._segments.building.CODED_ROWS", 100)
    monkeypatch.setattr("taskembed.index.ranking.nearest.LEAST_CANDIDATES", 8)
    vectors = unit_rows(4_000, seed=2)
    vectors[::8] = vectors[0]  # 500 of them
    names = [f"d{n * 1_013 % 4_000:04d}" for n in range(4_000)]
    with open_index_writer(tmp_path / "i", SPACE) as writer:
        writer.put(
            [StoredDocument(0, name, "", "{}", False) for name in names],  # noqa: FBT003  # a field
            vectors,
            replaced=[None] * 4_000,
            outcomes=[Outcome.ADDED] * 4_000,
        )
        writer.commit({"engine": "test"})
    for count in (1, MANY_QUERIES):
        queries = np.repeat(vectors[:1], count, axis=0)
        assert ids(tmp_path / "i", queries, k) == [sorted(names[::8])[:k]] * count


def coded_bytes(rows: int = 60, dim: int = 8) -> bytearray:
    vectors = np.random.default_rng(1).standard_normal((rows, dim)).astype(np.float32)
    builder = CodesBuilder(vectors)
    builder.add(vectors)
    data = bytearray()
    builder.write(data.extend)
    return data


@pytest.mark.parametrize(("rows", "dim"), [(59, 8), (61, 8), (60, 9), (60, 4)])
def test_codes_of_another_shape_are_refused(rows: int, dim: int) -> None:
    Codes(coded_bytes(), rows=60, dim=8)
    with pytest.raises(ValueError, match=f"it does not have the codes of {rows} vectors of {dim} "):
        Codes(coded_bytes(), rows=rows, dim=dim)


def test_no_flipped_byte_behind_a_right_checksum_ends_the_process() -> None:
    whole = coded_bytes()
    outcomes = {"refused": 0, "read": 0}
    for position in range(len(whole)):
        data = bytearray(whole)
        data[position] ^= 1 << position % 8
        try:
            codes = Codes(data, rows=60, dim=8)
            codes.search(np.ones((1, 8), np.float32), 10, None)
            codes.search(np.ones((MANY_QUERIES, 8), np.float32), 10, None)
            outcomes["read"] += 1
        except ValueError:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 500  # ids are looked at: 480 bytes; and the shapes


def test_another_index_in_the_place_of_the_codes_is_damage(coded: Path) -> None:
    import faiss

    other = faiss.IndexFlatIP(SPACE.dim)
    other.add(unit_rows(COUNT))
    (path,) = coded.glob("*.codes")
    resign(coded, path.name, bytes(faiss.serialize_index(other)))
    with pytest.raises(
        IndexDamagedError, match=r"\.codes: it does not have the codes of 3,000 vectors"
    ):
        ids(coded, unit_rows(1), 1)


def test_scores_are_those_of_the_named_rows_each_read_once() -> None:
    queries = np.array([[1, 0], [0, 2]], np.float32)
    vectors = np.array([[1, 10], [2, 20], [3, 30], [4, 40]], np.float32)
    reads: list[list[int]] = []

    def read(rows: Rows) -> FloatRows:
        reads.append(rows.tolist())
        return vectors[rows]

    query, row = np.array([0, 1, 0, 1]), np.array([2, 1, 0, 2])
    assert scores_of(queries, query, row, read, at_once=2).tolist() == [3, 40, 1, 60]
    assert reads == [[0, 1], [2]]


def codes_of(vectors: FloatRows) -> Codes:
    builder = CodesBuilder(vectors)
    builder.add(vectors)
    data = bytearray()
    builder.write(data.extend)
    return Codes(data, rows=len(vectors), dim=vectors.shape[1])


def estimated(codes: Codes, queries: FloatRows, depth: int) -> list[dict[int, float]]:
    found = zip(*codes.search(queries, depth, None), strict=True)
    return [dict(zip(rows.tolist(), scores.tolist(), strict=True)) for scores, rows in found]


@pytest.mark.parametrize("dim", [5, 12, 64, 384])
def test_many_queries_get_the_estimates_that_faiss_gives_to_one(dim: int) -> None:
    random = np.random.default_rng(dim)
    points = random.standard_normal((1_000 + MANY_QUERIES, dim)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    points += dim**-0.5  # far from the origin, as the vectors of many models are
    codes, queries = codes_of(points[:1_000]), points[1_000:]
    assert codes.scans_together(len(queries))
    many = estimated(codes, queries, 100)
    for query, found in zip(queries, many, strict=True):
        (alone,) = estimated(codes, query[np.newaxis], 1_000)
        errors = [found[row] - points[row] @ query for row in found]
        between = [found[row] - alone[row] for row in found]
        assert np.std(between) < np.std(errors) / 10  # both round the query, a little differently
        assert len(found.keys() & list(alone)[:50]) >= 40


@pytest.mark.parametrize(
    ("lengths", "centre", "distance"), [(0, 1, 1), (0, 1, 0.1), (0, 4, 1), (0.2, 1, 1), (0.2, 0, 1)]
)
def test_many_queries_find_what_one_finds(lengths: float, centre: float, distance: float) -> None:
    """Vectors differ in length, are far from the origin, or are all about as near to the query."""
    random = np.random.default_rng(4)
    points = random.standard_normal((4_000 + MANY_QUERIES, 64)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    vectors = points[:4_000] * np.exp(lengths * random.standard_normal((4_000, 1), np.float32))
    vectors += centre / 8
    queries = points[4_000:] * distance + vectors.mean(axis=0)
    codes = codes_of(vectors)
    assert codes.scans_together(len(queries))
    many = estimated(codes, queries, 40)
    best = [list(estimated(codes, query[np.newaxis], 10)[0]) for query in queries]
    missed = [set(rows) - found.keys() for rows, found in zip(best, many, strict=True)]
    assert sum(map(len, missed)) <= 1


def test_many_queries_find_living_rows_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskembed.index.kinds.rabitq._BLOCK_ROWS", 300)
    vectors, queries = unit_rows(1_000), unit_rows(MANY_QUERIES, seed=6)
    codes = codes_of(vectors)
    for alive in (np.arange(1_000) % 3 != 0, np.arange(1_000) >= 350, None, None):
        scores, rows = codes.search(queries, 100, alive)
        assert alive is None or alive[rows].all()
        assert (np.diff(scores, axis=1) <= 0).all()
        for query, found in zip(queries, rows, strict=True):
            _, alone = codes.search(query[np.newaxis], 100, alive)
            assert len(set(found) & set(alone[0])) > 95


def test_vectors_of_different_lengths_are_estimated_one_query_at_a_time() -> None:
    lengths = np.exp(0.3 * np.random.default_rng(2).standard_normal((1_000, 1), np.float32))
    vectors, queries = unit_rows(1_000) * lengths, unit_rows(MANY_QUERIES, seed=6)
    codes = codes_of(vectors)
    assert not codes.scans_together(MANY_QUERIES)
    assert codes_of(unit_rows(1_000)).scans_together(MANY_QUERIES)
    many = estimated(codes, queries, 100)
    assert many == [estimated(codes, query[np.newaxis], 100)[0] for query in queries]


def test_so_many_queries_that_exact_search_is_faster_are_exact_where_lengths_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = np.exp(0.3 * np.random.default_rng(2).standard_normal((COUNT, 1), np.float32))
    folder = indexed(unit_rows(COUNT) * lengths, tmp_path / "i", monkeypatch)
    queries = unit_rows(MANY_QUERIES, seed=6)
    exact = ids(folder, queries, 10, exact=True)
    assert ids(folder, queries, 10, candidates=11) != exact
    monkeypatch.setattr("taskembed.index._segments.vectors.MATRIX_NUMBERS", queries.size)
    assert ids(folder, queries, 10, candidates=11) == exact


def test_equal_rows_are_all_candidates_or_none_is() -> None:
    vectors = unit_rows(1_000)
    vectors[::2] = vectors[0]
    queries = np.repeat(vectors[:1], MANY_QUERIES, axis=0)
    scores, rows = codes_of(vectors).search(queries, 100, None)
    assert (rows % 2 == 0).all()
    assert (scores == scores[:, :1]).all()  # the lowest estimate, so a caller asks for more
    queries = unit_rows(MANY_QUERIES, seed=9)  # those that are far from them get others
    for row, found in enumerate(estimated(codes_of(vectors), queries, 100)):
        equal = [score for number, score in found.items() if number % 2 == 0]
        assert not equal or set(equal) == {min(found.values())}, row


@pytest.mark.parametrize("kind", list(VectorType))
@pytest.mark.parametrize(("rows", "dim"), [(0, 3), (1, 1), (300, 8)])
def test_a_file_of_vectors_is_byte_for_byte_what_faiss_writes(
    kind: VectorType, rows: int, dim: int
) -> None:
    import faiss

    vectors = np.random.default_rng(0).standard_normal((rows, dim)).astype(np.float32)
    index = (
        faiss.IndexFlatIP(dim)
        if kind is VectorType.FP32
        else faiss.IndexScalarQuantizer(
            dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
    )
    index.is_trained = True
    index.add(vectors)
    written = stored_rows.header(rows, dim, kind) + stored_rows.to_raw(vectors, kind).tobytes()
    assert written == bytes(faiss.serialize_index(index))
    assert len(written) == stored_rows.file_bytes(rows, dim, kind)
