"""Words and BM25: against a plain computation, and against damage."""

from __future__ import annotations

import math
import os
import random
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from taskembed.index._segments.words_file import (
    Bm25,
    Posting,
    Postings,
    build,
    merge,
    require_words,
)
from taskembed.index.word_tokens import WordTokenizer

Texts = Sequence[Sequence[str]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The runners were running", ["the", "runner", "were", "run"]),
        ("parseJSON", ["parsejson", "pars", "json"]),
        ("snake_case", ["snake_case", "snake", "case"]),
        ("__init__", ["__init__", "init"]),
        ("E0308", ["e0308", "e", "0308"]),
        ("src/main.rs", ["src", "main", "rs", "src/main.rs"]),
        ("std::vec", ["std", "vec", "std::vec"]),
        ("utf-8", ["utf", "8", "utf-8"]),
        ("1984", ["1984"]),
        ("Café NAÏVE", ["cafe", "naiv"]),
        ("\ufb01ne", ["fine"]),  # a ligature
        ("東京都", ["東京", "京都"]),
        ("水", ["水"]),
        ("Python入門", ["python", "入門"]),
        ("_ ... !", []),
        ("", []),
    ],
)
def test_words_of_a_text(text: str, words: list[str]) -> None:
    assert WordTokenizer().words(text) == words


def test_a_language_has_its_own_stems() -> None:
    assert WordTokenizer("german").words("Häuser") == WordTokenizer("german").words("Hauser")
    assert WordTokenizer("none").words("running") == ["running"]
    assert WordTokenizer("none").name != WordTokenizer().name
    with pytest.raises(ValueError, match="no stemmer for 'klingon'; known languages: arabic, "):
        WordTokenizer("klingon")


def test_a_long_run_counts_by_its_beginning() -> None:
    (word,) = WordTokenizer("none").words("x" * 1_000_000)
    assert word == "x" * 64


@contextmanager
def opened(folder: Path, data: bytes) -> Iterator[Postings]:
    path = folder / f"{random.getrandbits(64):x}.words"
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        yield Postings(lambda at, size: os.pread(fd, size, at), len(data))
    finally:
        os.close(fd)


def written(texts: Texts) -> bytes:
    return b"".join(build(texts))


def test_postings_are_where_a_word_occurs(tmp_path: Path) -> None:
    with opened(tmp_path, written([["a", "b", "a"], [], ["b", "c"]])) as postings:
        assert (postings.documents, postings.total) == (3, 5)
        assert postings.lengths.tolist() == [3, 0, 2]
        found = {word: postings.find(word) for word in ("a", "b", "c", "d")}
    assert {w: p and (p.rows.tolist(), p.counts.tolist()) for w, p in found.items()} == {
        "a": ([0], [2]),
        "b": ([0, 2], [1, 1]),
        "c": ([2], [1]),
        "d": None,
    }


def test_an_index_without_documents_or_words(tmp_path: Path) -> None:
    with opened(tmp_path, written([])) as none, opened(tmp_path, written([[]])) as empty:
        assert none.find("a") is None
        assert list(empty) == []
        assert [scores.tolist() for scores in Bm25([none, empty]).scores(["a"])] == [[], [0.0]]


def plain_bm25(texts: Texts, query: Sequence[str]) -> list[float]:
    """As the formula says, without an index."""
    mean = sum(map(len, texts)) / len(texts)
    scores = []
    for text in texts:
        score = 0.0
        for word in query:
            df = sum(word in other for other in texts)
            tf = text.count(word)
            idf = math.log(1 + (len(texts) - df + 0.5) / (df + 0.5))
            score += idf * tf * 2.2 / (tf + 1.2 * (1 - 0.75 + 0.75 * len(text) / mean))
        scores.append(score)
    return scores


def made_up(seed: int, count: int = 60) -> list[list[str]]:
    draw = random.Random(seed)
    return [draw.choices("abcdefghij", range(1, 11), k=draw.randint(0, 20)) for _ in range(count)]


def test_scores_are_those_of_the_formula_however_documents_are_spread(tmp_path: Path) -> None:
    texts, query = made_up(1), ["a", "c", "j", "j", "unknown"]
    expected = plain_bm25(texts, query)
    with (
        opened(tmp_path, written(texts)) as whole,
        opened(tmp_path, written(texts[:50])) as large,
        opened(tmp_path, written(texts[50:])) as small,
    ):
        (one,) = Bm25([whole]).scores(query)
        two = np.concatenate(Bm25([large, small]).scores(query))
    assert one == pytest.approx(expected, rel=1e-5)
    assert two == pytest.approx(expected, rel=1e-5)


def test_a_merge_is_what_its_documents_would_have_been(tmp_path: Path) -> None:
    texts = made_up(2)
    with opened(tmp_path, written(texts[:25])) as one, opened(tmp_path, written(texts[25:])) as two:
        first = np.arange(25)
        first[[3, 7]] = -1
        first[first >= 0] = np.arange(23)
        data = b"".join(merge([(one, first), (two, np.arange(23, 58))]))
    kept = [text for row, text in enumerate(texts) if row not in {3, 7}]
    assert data == written(kept)


def test_a_word_that_occurs_very_often_counts_as_255(tmp_path: Path) -> None:
    with opened(tmp_path, written([["a"] * 1000])) as postings:
        found = postings.find("a")
    assert isinstance(found, Posting)
    assert found.counts.tolist() == [255]


def test_no_flipped_bit_is_answered(tmp_path: Path) -> None:
    texts, query = made_up(3, 12), ["a", "b", "h"]
    data = written(texts)
    with opened(tmp_path, data) as postings:
        right = Bm25([postings]).scores(query)[0].tolist()
    outcomes = set()
    for position in range(0, 8 * len(data), 5):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        try:
            with opened(tmp_path, bytes(flipped)) as postings:
                answered = Bm25([postings]).scores(query)[0].tolist()
                outcomes.add("answered")
                assert answered == right  # the bit is of a word that was not asked for
                list(postings)
        except ValueError:
            outcomes.add("refused")
            continue
        pytest.fail(f"bit {position} is not noticed when all is read")
    assert outcomes == {"answered", "refused"}


def test_a_file_that_was_cut_is_damaged(tmp_path: Path) -> None:
    data = written(made_up(4))
    path = tmp_path / "cut"
    path.write_bytes(data)
    with path.open("r+b") as file:
        descriptor = file.fileno()
        postings = Postings(lambda at, size: os.pread(descriptor, size, at), len(data))
        file.truncate(10)
        with pytest.raises(ValueError, match="it is shorter than when it was opened"):
            list(postings)


@pytest.mark.parametrize(("place", "size"), [(2**63, 20), (2**64 - 1, 20), (0, 2**32 - 1), (0, 3)])
def test_a_dictionary_that_names_an_impossible_place_is_damaged(
    tmp_path: Path, place: int, size: int
) -> None:
    data = written([["a"]])
    foot, entry = len(data) - 36, len(data) - 36 - 24
    begin = entry - 4  # of the dictionary: the length of one document
    forged = data[: entry + 8] + struct.pack("<QII", place, 1, size)
    checksum = zlib.crc32(data[foot:-4], zlib.crc32(forged[begin:]))
    file = forged + data[foot:-4] + struct.pack("<I", checksum)
    outside = pytest.raises(ValueError, match=r"^the postings of a word lie outside the file$")
    with opened(tmp_path, file) as postings, outside:
        postings.find("a")


def test_words_that_are_not_those_of_the_documents_are_found(tmp_path: Path) -> None:
    texts = made_up(5)
    with opened(tmp_path, written(texts)) as postings:
        require_words(postings, texts)
        for changed in ([*texts, []], texts[:-1], [["a"], *texts[1:]], [texts[1], texts[0]]):
            with pytest.raises(ValueError, match=r"row|segment"):
                require_words(postings, changed)
