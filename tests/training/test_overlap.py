"""Texts that are met again."""

from __future__ import annotations

import pytest

from taskembed.training._overlap import KnownTexts, Match, normalised


@pytest.fixture(scope="module")
def known() -> KnownTexts:
    return KnownTexts(
        [
            "How do I revert a card payment?",
            "  ",
            "x" * 600 + " and what comes later is not compared",
            "The quick brown fox jumps over the lazy dog by the river bank",
        ]
    )


def test_only_words_tell_texts_apart(known: KnownTexts) -> None:
    assert normalised("  Où est\tla 2nde RUE ?! ") == "où est la 2nde rue"
    assert normalised("a_b.c") == "a b c"
    assert len(known) == 3


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("how do i REVERT a card-payment", Match.EXACT),
        ("How do I revert a card payments?", Match.NEAR),
        ("x" * 700, Match.EXACT),
        # 57 and 58 runs of five characters, of which they share 53: 53 / 62 > 0.8
        ("The quick brown fox jumps over the lazy dog by the river mouth", Match.NEAR),
        ("The quick brown fox jumps over the lazy dog by the sea", None),
        ("How do I revert a transfer?", None),
        ("", None),
        ("?", None),
    ],
)
def test_a_text_is_known_exactly_or_nearly(
    known: KnownTexts, text: str, match: Match | None
) -> None:
    assert known.match(text) is match
