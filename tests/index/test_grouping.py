"""Hits in groups: against ranking every document, in every mode, with and without a filter."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from taskembed.errors import UsageError
from taskembed.index.ranking import grouping as module
from taskembed.index.ranking.fusion import Fusion
from taskembed.index.ranking.grouping import Grouping, in_groups
from taskembed.index.ranking.hits import Hit
from taskembed.index.ranking.modes import Mode
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.space import PromptType
from taskembed.vectors import FloatRows
from taskembed.verbs.delete import delete_documents
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions
from taskembed.verbs.search import search_index
from tests.fakes import HashEncoder

COUNT = 300
QUERIES = ["word3 word5", "word7", "word1 word2 word9"]
LONG = "long " * 300
GOLDEN = Path(__file__).parent.parent / "data" / "format-1" / "index"


def document(number: int) -> Document:
    """Return a document of a large group, of one of a few small ones, or of none."""
    random_ = random.Random(number)
    words = " ".join(f"word{random_.randrange(20)}" for _ in range(4))
    metadata: dict[str, object] = {
        "small": number // 3,
        "large": "most" if number % 50 else f"rare{number % 7}",
        "odd": {"kind of": number % 2 == 0, "list": [number % 3]},
        "mixed": [1, True, 1.0, "1", None, [1], {"a": 1}][number % 7],
        "long": LONG + str(number % 4),
    }
    if number % 5 == 0:
        del metadata["small"]
    return Document(f"d{number:03d}", words, metadata)


@pytest.fixture(scope="module", params=["flat", "codes"])
def index(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("groups") / "index"
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "codes":
            patch.setattr("taskembed.index._segments.building.CODED_ROWS", 100)
        for start in (0, COUNT // 2):
            part = map(document, range(start, start + COUNT // 2))
            index_corpus(part, HashEncoder(), folder, options=IndexOptions(words="english"))
    delete_documents(folder, ["d005", "d250", "d100"])
    with Index.open(folder) as opened:
        yield opened


def vectors(texts: list[str]) -> FloatRows:
    return HashEncoder().encode(texts, PromptType.QUERY).vectors


def search(
    index: Index, mode: Mode, k: int, grouping: Grouping | None, where: str | None = None
) -> list[list[Hit]]:
    if mode is Mode.DENSE:
        return index.nearest(vectors(QUERIES), k, where=where, grouping=grouping, exact=True)
    if mode is Mode.WORDS:
        return index.by_words(QUERIES, k, where=where, grouping=grouping)
    return index.hybrid(
        vectors(QUERIES), QUERIES, k, Fusion(), where=where, grouping=grouping, exact=True
    )


@pytest.fixture(scope="module")
def everything(index: Index) -> Callable[[Mode, str | None], list[list[Hit]]]:
    """Every document in its order, searched for once by each mode and filter."""
    return cache(lambda mode, where: search(index, mode, COUNT, None, where))


def key(hit: Hit, field: str) -> object:
    value: object = hit.metadata
    for name in field.split("."):
        value = value.get(name.strip('"')) if isinstance(value, dict) else None
    if not isinstance(value, bool | int | float | str):
        return ("alone", hit.doc_id)
    return (isinstance(value, bool), value)


def expected(all_hits: list[Hit], field: str, k: int, per_group: int) -> list[tuple[str, object]]:
    """Group every hit by hand."""
    groups: dict[object, list[Hit]] = {}
    for hit in all_hits:
        groups.setdefault(key(hit, field), []).append(hit)
    best = list(groups.items())[:k]
    return [(hit.doc_id, name) for name, hits in best for hit in hits[:per_group]]


@pytest.mark.parametrize("per_group", [1, 3])
@pytest.mark.parametrize("where", [None, "small > 40"])
@pytest.mark.parametrize("field", ["small", "large", "mixed", 'odd."kind of"', "long"])
@pytest.mark.parametrize("mode", [Mode.DENSE, Mode.WORDS])
def test_groups_are_those_of_all_documents_in_their_order(
    index: Index,
    everything: Callable[[Mode, str | None], list[list[Hit]]],
    mode: Mode,
    field: str,
    where: str | None,
    per_group: int,
) -> None:
    found = search(index, mode, 5, Grouping(field, per_group), where)
    for hits, ranked in zip(found, everything(mode, where), strict=True):
        assert [(hit.doc_id, key(hit, field)) for hit in hits] == expected(
            ranked, field, 5, per_group
        )
        assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))


def test_a_group_is_the_value_and_none_where_a_document_is_alone(index: Index) -> None:
    (hits,) = index.nearest(vectors(["word3"]), COUNT, grouping=Grouping("mixed"))
    named = [hit.group for hit in hits if hit.group is not None]
    assert sorted(map(repr, named)) in (["'1'", "1", "True"], ["'1'", "1.0", "True"])
    assert sum(hit.group is None for hit in hits) == len(hits) - 3
    alone = {hit.doc_id for hit in hits if hit.group is None}
    assert alone == {
        item.doc_id
        for item in index
        if not isinstance(item.metadata["mixed"], bool | int | float | str)
    }


def test_rare_groups_are_found_however_deep_they_are(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {item.metadata["large"] for item in index}
    for all_from in (10, 1_000_000):  # with the number of groups known, and without
        monkeypatch.setattr(module, "_ALL_FROM", all_from)
        for mode in (Mode.DENSE, Mode.HYBRID):
            for hits in search(index, mode, 50, Grouping("large")):
                assert {hit.group for hit in hits} == wanted
                assert len(hits) == len(wanted) > 3


def test_a_hybrid_search_groups_the_list_that_it_gives_without_groups(index: Index) -> None:
    for hits, ranked in zip(
        search(index, Mode.HYBRID, 4, Grouping("small")),
        search(index, Mode.HYBRID, 4, None),
        strict=True,
    ):
        assert hits[0].doc_id == ranked[0].doc_id
        assert hits[0].score == pytest.approx(ranked[0].score)
        assert hits[0].sides is not None
        assert len({key(hit, "small") for hit in hits}) == 4


def test_equal_scores_are_in_the_order_of_the_ids_whatever_k_is(tmp_path: Path) -> None:
    same = [Document(f"d{n:02d}", "same words", {"g": n % 6}) for n in range(60)]
    random.Random(1).shuffle(same)
    index_corpus(same, HashEncoder(), tmp_path / "i")
    with Index.open(tmp_path / "i") as index:
        for k in (1, 3, 6, 20):
            (hits,) = index.nearest(vectors(["same"]), k, grouping=Grouping("g", 2))
            wanted = [f"d{n:02d}" for group in range(min(k, 6)) for n in (group, group + 6)]
            assert [hit.doc_id for hit in hits] == wanted


def test_a_batch_gives_what_each_query_gives(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    together = index.nearest(vectors(QUERIES), 7, grouping=Grouping("large"), exact=True)
    monkeypatch.setattr(module, "_TAKEN_AT_ONCE", 1)
    again = index.nearest(vectors(QUERIES), 7, grouping=Grouping("large"), exact=True)
    assert [[hit.doc_id for hit in hits] for hits in again] == [
        [hit.doc_id for hit in hits] for hits in together
    ]
    assert np.allclose(
        [hit.score for hits in again for hit in hits],
        [hit.score for hits in together for hit in hits],
    )


def test_an_index_of_format_1_and_an_empty_one_have_groups_too(tmp_path: Path) -> None:
    with Index.open(GOLDEN) as index:
        (hits,) = index.nearest(vectors(["word5"]), 5, grouping=Grouping("even", 2))
        assert [hit.group for hit in hits] in ([True, True, False, False], [False] * 2 + [True] * 2)
    index_corpus([Document("a", "x", {"g": 1})], HashEncoder(), tmp_path / "i")
    delete_documents(tmp_path / "i", ["a"])
    with Index.open(tmp_path / "i") as index, pytest.raises(UsageError, match="no field `g`"):
        search_index(["x"], HashEncoder(), index, group_by="g")


@pytest.mark.parametrize(
    ("field", "said"),
    [
        (
            "smal",
            "^there is no field `smal`; the fields are: small \\(integer\\), large \\(text\\)",
        ),
        ("odd", "^hits cannot be grouped by `odd`, which is object: groups are of texts, numbers"),
        ("odd.list", "^hits cannot be grouped by `odd.list`, which is list of integer: groups are"),
        ("a..b", "^there is no field `a..b`; the fields are:"),
        ("", "^there is no field ``; the fields are:"),
    ],
)
def test_a_field_that_makes_no_groups_is_refused(index: Index, field: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        search_index(["x"], HashEncoder(), index, group_by=field)


def test_hits_in_a_group_are_at_least_one() -> None:
    with pytest.raises(ValueError, match="per_group is 0; it must be at least 1"):
        Grouping("a", 0)
    with pytest.raises(TypeError, match="the field of groups is 1; it must be a text"):
        Grouping(1)  # type: ignore[arg-type]  # on purpose


def test_items_are_put_into_groups() -> None:
    items = ["b1", "a1", "b2", "c1", "a2", "a3"]
    assert in_groups(items, lambda item: item[0], k=2, per_group=2) == ["b1", "b2", "a1", "a2"]
