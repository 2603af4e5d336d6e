"""Two lists of hits become one: values worked out by hand."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest

from taskembed.errors import IndexDamagedError, UsageError
from taskembed.index.ranking._best import Best
from taskembed.index.ranking.fusion import Fusion, Side, Sides, fuse, listed
from taskembed.index.ranking.modes import Method, Mode
from taskembed.index.reader import Index
from taskembed.index.verify import verify_index
from taskembed.index.word_tokens import names_identifier
from taskembed.reading.document import Document
from taskembed.space import PromptType, Task
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions
from taskembed.verbs.search import search_index
from tests.fakes import HashEncoder

ENGLISH = "english"


def best(*rows: tuple[int, float, int, int]) -> Best:
    query, score, segment, row = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Best(
        np.array(query, np.int64),
        np.array(score, np.float32),
        np.array(segment, np.int64),
        np.array(row, np.int64),
    )


# three documents by vectors, and two by words; row 1 is in both lists
DENSE = best((0, 0.9, 0, 0), (0, 0.7, 0, 1), (0, 0.5, 0, 2))
WORDS = best((0, 8.0, 0, 1), (0, 4.0, 1, 0))


def fused(fusion: Fusion, k: int = 10) -> dict[tuple[int, int], float]:
    found, sides = fuse(DENSE, WORDS, [fusion.alpha], k, fusion.method)
    assert found.score.tolist() == pytest.approx([item.score for item in sides])
    return {(segment, row): score for _, score, segment, row in found.tolist()}


def test_convex_adds_scores_that_are_scaled_to_0_to_1() -> None:
    assert fused(Fusion(0.6)) == pytest.approx(
        {(0, 0): 0.6, (0, 1): 0.6 * 0.5 + 0.4, (0, 2): 0.0, (1, 0): 0.0}
    )
    assert fused(Fusion(1.0))[0, 0] == pytest.approx(1.0)
    assert fused(Fusion(0.0))[0, 0] == 0.0


def test_rrf_adds_reciprocal_ranks() -> None:
    assert fused(Fusion(0.5, Method.RRF)) == pytest.approx(
        {(0, 0): 0.5 / 61, (0, 1): 0.5 / 62 + 0.5 / 61, (0, 2): 0.5 / 63, (1, 0): 0.5 / 62}
    )


def test_the_best_are_kept_with_all_that_equal_the_last_of_them() -> None:
    assert set(fused(Fusion(0.6), k=1)) == {(0, 1)}
    assert set(fused(Fusion(0.6), k=3)) == {(0, 1), (0, 0), (0, 2), (1, 0)}
    assert fused(Fusion(0.6), k=3)[1, 0] == 0.0


def test_it_is_said_what_a_score_is_made_of() -> None:
    _, sides = fuse(DENSE, WORDS, [0.6], 1)
    (only,) = sides
    assert only.dense
    assert only.words
    assert astuple(only.dense) == pytest.approx((2, 0.7, 0.3))
    assert astuple(only.words) == pytest.approx((1, 8.0, 0.4))


def test_where_one_list_is_empty_the_other_ranks_alone() -> None:
    found, sides = fuse(DENSE, best(), [0.6], 10)
    assert found.row[np.argsort(-found.score)].tolist() == [0, 1, 2]
    assert all(item.words is None for item in sides)
    nothing, none = fuse(best(), best(), [0.6, 0.6], 10)
    assert (nothing.tolist(), none) == ([], [])


def test_equal_scores_have_equal_ranks_and_parts() -> None:
    _, sides = fuse(best((0, 0.5, 0, 0), (0, 0.5, 0, 1)), best(), [0.6], 10)
    assert {item.dense for item in sides} == {Side(1, 0.5, 0.6)}


def test_a_weight_outside_0_to_1_is_refused() -> None:
    with pytest.raises(ValueError, match=r"alpha is 1\.5; it must be from 0 to 1"):
        Fusion(1.5)
    with pytest.raises(ValueError, match=r"short_alpha is -0\.1; it must be from 0 to 1"):
        Fusion(0.6, short_alpha=-0.1)
    with pytest.raises(ValueError, match="'sum' is not a valid Method"):
        Fusion(method="sum")  # type: ignore[arg-type]  # what an untyped caller may say
    assert Sides().score == 0
    assert (listed(3), listed(50)) == (100, 500)


def test_each_query_has_its_own_weight() -> None:
    dense = best((0, 0.9, 0, 0), (0, 0.1, 0, 1), (1, 0.9, 0, 0), (1, 0.1, 0, 1))
    words = best((0, 8.0, 0, 1), (0, 4.0, 0, 0), (1, 8.0, 0, 1), (1, 4.0, 0, 0))
    found, _ = fuse(dense, words, [0.9, 0.2], 1)
    assert [(query, row) for query, _, _, row in found.tolist()] == [(0, 0), (1, 1)]


@pytest.mark.parametrize(
    ("words", "weight"), [(0, 0.8), (1, 0.8), (5, 0.8), (8.5, 0.7), (12, 0.6), (40, 0.6)]
)
def test_a_short_query_goes_more_by_the_vectors(words: int, weight: float) -> None:
    assert Fusion(0.6, short_alpha=0.8).weight("any", words) == pytest.approx(weight)
    assert Fusion(0.6).weight("any", words) == 0.6


@pytest.mark.parametrize(
    "query",
    [
        "E0308",
        "what is parseJSON",
        "max_count",
        "src/main",
        "std::vec",
        r"src\temp",
        "v2",
        "np.sum",
    ],
)
def test_a_query_that_names_an_identifier_has_the_weight_of_a_long_one(query: str) -> None:
    assert Fusion(0.6, short_alpha=0.8).weight(query, 2) == 0.6


@pytest.mark.parametrize("query", ["the moon in 1969", "well-known", "Why? Because.", "NASA"])
def test_plain_words_and_numbers_are_no_identifiers(query: str) -> None:
    assert not names_identifier(query)


# --- an index that keeps words ---


def documents(count: int) -> list[Document]:
    return [Document(f"d{n:02}", f"common word{n} runs", {"n": n}) for n in range(count)]


def build(folder: Path, some: list[Document], **options: object) -> None:
    given = IndexOptions(commit_every=4, words=ENGLISH, **options)  # type: ignore[arg-type]
    index_corpus(some, HashEncoder(), folder, options=given)


def test_words_find_what_has_them_through_updates_deletions_and_merges(tmp_path: Path) -> None:
    build(tmp_path, [*documents(30)[:3], Document("d03", "former"), *documents(30)[4:]])
    changed = [
        Document("d03", "common word99 runs"),
        *documents(30)[5:],
        Document("new", "running"),
    ]
    build(tmp_path, changed, prune=True, prune_limit=100)
    with Index.open(tmp_path) as index:
        assert index.words == "words-1:english"
        found = index.by_words(["formers", "word99", "word7", "run"], 50)
        expected = {doc.doc_id for doc in changed}
        assert [hits[0].doc_id for hits in found[1:3]] == ["d03", "d07"]
        assert {hit.doc_id for hit in found[3]} == expected
        assert found[0] == []
        assert found[3][0].doc_id == "new"  # the shortest of those that have it
    assert verify_index(tmp_path)[1] == []


def test_the_same_documents_have_the_same_scores_however_they_were_committed(
    tmp_path: Path,
) -> None:
    build(tmp_path / "some", documents(30))
    index_corpus(
        documents(30), HashEncoder(), tmp_path / "one", options=IndexOptions(words=ENGLISH)
    )
    answers = []
    for name in ("some", "one"):
        with Index.open(tmp_path / name) as index:
            found = search_index(["common word5", "word7 runs"], HashEncoder(), index, k=7)
            answers.append([[(hit.doc_id, hit.score) for hit in hits] for hits in found])
    assert answers[0] == answers[1]


def test_words_can_be_kept_later_in_another_language_and_no_more(tmp_path: Path) -> None:
    encoder = HashEncoder()
    index_corpus(documents(20), encoder, tmp_path)
    encoded = list(encoder.prompted)
    for language in ("english", "german", ""):
        options = IndexOptions(words=language)
        summary = index_corpus(documents(20), encoder, tmp_path, options=options)
        assert summary.unchanged == 20
        with Index.open(tmp_path) as index:
            assert index.words == (f"words-1:{language}" if language else "")
        assert verify_index(tmp_path)[1] == []
    assert encoder.prompted == encoded
    index_corpus(documents(21), encoder, tmp_path)
    with Index.open(tmp_path) as index:
        assert index.words == ""


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (Task.RETRIEVAL, "words-1:english"),
        (Task.CODE, "words-1:english"),
        (Task.SIMILARITY, ""),
        (Task.CLASSIFICATION, ""),
        (Task.CLUSTERING, ""),
    ],
)
def test_a_new_index_keeps_words_for_retrieval_and_code(
    tmp_path: Path, task: Task, words: str
) -> None:
    index_corpus(documents(3), HashEncoder(task=task), tmp_path)
    with Index.open(tmp_path) as index:
        assert index.words == words


def test_an_index_stays_without_words_until_they_are_asked_for(tmp_path: Path) -> None:
    index_corpus(documents(3), HashEncoder(), tmp_path, options=IndexOptions(words=""))
    for options in (IndexOptions(), IndexOptions(recreate=True)):
        index_corpus(documents(4), HashEncoder(), tmp_path, options=options)
        with Index.open(tmp_path) as index:
            assert (index.words, len(index)) == ("", 4)
    index_corpus(documents(4), HashEncoder(), tmp_path, options=IndexOptions(words=ENGLISH))
    index_corpus(documents(5), HashEncoder(), tmp_path)
    with Index.open(tmp_path) as index:
        assert (index.words, len(index)) == ("words-1:english", 5)


def test_an_index_without_words_says_how_to_keep_them(tmp_path: Path) -> None:
    index_corpus(documents(3), HashEncoder(), tmp_path, options=IndexOptions(words=""))
    with Index.open(tmp_path) as index:
        with pytest.raises(UsageError, match="stores no words") as caught:
            search_index(["word"], HashEncoder(), index, mode=Mode.HYBRID)
        assert caught.value.hint is not None
        assert "--words`; nothing is encoded again" in caught.value.hint
        (hits,) = search_index(["word1"], HashEncoder(), index)
        assert hits[0].sides is None


def test_a_minimum_score_is_one_of_vectors(tmp_path: Path) -> None:
    build(tmp_path, documents(3))
    with Index.open(tmp_path) as index:
        with pytest.raises(UsageError, match="ranks by words") as caught:
            search_index(["word1"], HashEncoder(), index, mode="words", min_score=0.1)
        assert caught.value.hint == "--mode dense"
        (hits,) = search_index(["word1"], HashEncoder(), index, min_score=-1)
        assert all(hit.sides is None for hit in hits)


def test_damaged_words_are_refused_and_named(tmp_path: Path) -> None:
    build(tmp_path, documents(3))
    (path,) = tmp_path.glob("*.words")
    data = bytearray(path.read_bytes())
    data[-60] ^= 1  # in the dictionary
    path.write_bytes(data)
    with Index.open(tmp_path) as index:
        assert index.nearest(HashEncoder().encode(["word1"], PromptType.QUERY).vectors, 1)
        with pytest.raises(IndexDamagedError, match=r"\.words: .*does not match") as caught:
            search_index(["word1"], HashEncoder(), index)
    assert caught.value.name == path.name
    assert [damage.name for damage in verify_index(tmp_path)[1]] == [path.name]
