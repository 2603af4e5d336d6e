"""Texts are cut into chunks; the tokens here are words, marks or single characters."""

from __future__ import annotations

import random
import re
import time

import numpy as np
import pytest

from taskembed.reading.chunks import Offsets, find_chunks
from taskembed.reading.definitions import Definition


def by_words(text: str) -> Offsets:
    return np.array([match.span() for match in re.finditer(r"\w+|[^\w\s]", text)], np.int64)


def by_characters(text: str) -> Offsets:
    """Two tokens for a character that is not ASCII, as a tokenizer of bytes has them."""
    places = [
        (at, at + 1)
        for at, letter in enumerate(text)
        for _ in range(1 if letter.isascii() else 2)
        if not letter.isspace()
    ]
    return np.array(places, np.int64).reshape(-1, 2)


def chunks(text: str, tokens: int = 16, overlap: int = 0) -> list[str]:
    cuts = find_chunks(text, by_words, tokens=tokens, overlap=overlap)
    return [text[begin:end] for begin, end in cuts]


def test_a_short_text_is_one_chunk_without_the_space_around_it() -> None:
    assert list(find_chunks("  a b \n", by_words, tokens=16, overlap=4)) == [(2, 5)]
    assert list(find_chunks("", by_words, tokens=16, overlap=4)) == [(0, 0)]
    assert list(find_chunks(" \n ", by_words, tokens=16, overlap=4)) == [(0, 0)]


def test_a_chunk_ends_with_the_last_sentence_in_its_second_half() -> None:
    text = "One two three four five. Six seven eight nine ten. Eleven and twelve and more and more."
    assert chunks(text) == [
        "One two three four five. Six seven eight nine ten.",  # 12 tokens, and 16 fit
        "Eleven and twelve and more and more.",
    ]


def test_a_heading_begins_a_chunk_and_ends_none() -> None:
    words = "a b c d e f g h i"
    assert chunks(f"{words}\n# Part\n{words}") == [words, f"# Part\n{words}"]
    assert chunks(f"{words}\nPart\n====\n{words}") == [words, f"Part\n====\n{words}"]


def test_a_blank_line_ends_a_chunk_where_there_is_no_sentence() -> None:
    words = "a b c d e f g h i"
    assert chunks(f"{words}\n\n{words}") == [words, words]


def test_without_sentences_a_space_is_the_place_and_without_spaces_a_token() -> None:
    assert chunks("word " * 20) == ["word " * 15 + "word", "word word word word"]
    cuts = list(find_chunks("字" * 20, by_characters, tokens=16, overlap=0))
    assert cuts == [(0, 8), (8, 16), (16, 20)]


def test_a_chunk_begins_with_the_end_of_the_one_before() -> None:
    found = chunks(" ".join(f"w{number}" for number in range(30)), overlap=4)
    assert [chunk.split()[0] for chunk in found] == ["w0", "w12", "w24"]
    assert found[0].split()[-4:] == found[1].split()[:4]


def test_an_overlap_begins_with_a_sentence_if_one_begins_there() -> None:
    text = "One two three four five six seven. Eight nine ten. Eleven twelve thirteen fourteen."
    assert chunks(text, overlap=6)[1].startswith("Eight nine ten. Eleven")


def of_code(text: str, *, overlap: int = 0) -> list[str]:
    """The chunks of 16 tokens of a text whose definitions begin with "def", of classes "class"."""
    found = re.finditer(r"^( *)(def|class)", text, re.MULTILINE)
    definitions = [Definition(len(match[1]), match.start()) for match in found]
    cuts = find_chunks(text, by_words, tokens=16, overlap=overlap, definitions=definitions)
    return [text[begin:end] for begin, end in cuts]


def test_whole_definitions_share_a_chunk_and_one_that_does_not_fit_begins_another() -> None:
    one, two, three = "def a\n  x y z\n", "def b\n  x y z\n", "def c\n" + "  x y z\n" * 4
    assert of_code(one + two + three, overlap=4) == [(one + two).strip(), three.strip()]
    assert of_code("import x, y\n" + three + one) == ["import x, y", three.strip(), one.strip()]


def test_a_definition_at_top_level_begins_a_chunk_before_one_in_it_does() -> None:
    start, inner = "def a\n x\n", " def m\n" + "  x y z\n" * 4
    of_class = "class A\n  x = 1\n" + inner + inner
    assert of_code(start + of_class) == [
        start.strip(),
        "class A\n  x = 1",
        inner.strip(),
        inner.strip(),
    ]


def test_a_long_definition_is_cut_at_blank_lines_or_else_at_lines() -> None:
    lines = "def a\n" + "  x. y z\n" * 3
    assert of_code(lines + "\n" + "  x y z\n" * 3) == [lines.strip(), "x y z\n  x y z\n  x y z"]
    assert of_code("def a\n" + "  x y z\n" * 6) == [
        ("def a\n" + "  x y z\n" * 4).strip(),
        "x y z\n  x y z",
    ]
    assert of_code("def a\n" + "  x y z\n" * 6, overlap=4)[1] == "x y z\n  x y z\n  x y z"


@pytest.mark.parametrize("alphabet", ["ab .\n", "a", "  \n a", "é日。 x", "# \n-=a", '“”."a'])
def test_nothing_is_lost_and_no_chunk_is_too_long(alphabet: str) -> None:
    generator = random.Random(alphabet)
    for _ in range(60):
        text = "".join(generator.choices(alphabet, k=generator.randint(0, 400)))
        for offsets in (by_words, by_characters):
            overlap, window = generator.randint(0, 8), generator.choice([512, 32_768])
            some = sorted(generator.choices(range(500), k=generator.randint(0, 20)))
            definitions = generator.choice([None, [], [Definition(at % 3, at) for at in some]])
            cuts = list(
                find_chunks(
                    text,
                    offsets,
                    tokens=16,
                    overlap=overlap,
                    definitions=definitions,
                    window=window,
                )
            )
            assert [begin for begin, _ in cuts] == sorted({begin for begin, _ in cuts})
            has = set().union(*(range(begin, end) for begin, end in cuts))
            assert {at for at, letter in enumerate(text) if not letter.isspace()} <= has
            assert all(len(offsets(text[begin:end])) <= 16 for begin, end in cuts)


@pytest.mark.parametrize(
    "text", ["x" * 300_000, " " * 300_000, "a " * 100_000, "“" * 100_000, "# a\n" * 30_000]
)
def test_hostile_texts_take_time_and_memory_by_their_length(text: str) -> None:
    longest = 0

    def offsets(some: str) -> Offsets:
        nonlocal longest
        longest = max(longest, len(some))
        return by_words(some)

    began = time.process_time()
    count = sum(1 for _ in find_chunks(text, offsets, tokens=128, overlap=25))
    assert time.process_time() - began < 10  # a second at most here
    assert count < len(text) / 50
    assert longest <= 32_768
