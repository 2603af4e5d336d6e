"""Where the sentences of a text are."""

from __future__ import annotations

import pytest

from taskembed.reading.sentences import LONGEST, sentences


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        (" \n\t ", []),
        ("One. Two? Dr. Smith left!", ["One.", "Two?", "Dr. Smith left!"]),
        ("  a heading\n\nIts text. ", ["a heading", "Its text."]),
        ("- item one\n- item two", ["- item one", "- item two"]),
        ("😀 Ja. Nein.", ["😀 Ja.", "Nein."]),
        ("第一。第二。", ["第一。", "第二。"]),
    ],
)
def test_sentences_are_found_at_their_places(text: str, found: list[str]) -> None:
    assert [text[start:end] for start, end in sentences(text)] == found


def test_a_line_without_an_end_is_cut_at_spaces() -> None:
    text = "word " * 500
    pieces = [text[start:end] for start, end in sentences(text)]
    assert " ".join(pieces) == text.strip()
    assert max(map(len, pieces)) <= LONGEST
    endless = "x" * 1_000
    assert "".join(endless[start:end] for start, end in sentences(endless)) == endless
