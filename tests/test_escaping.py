"""What is printed of documents and ids: whole where it is text, harmless where it is not."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskembed.errors import BadInputError
from taskembed.escaping import (
    escaped,
    id_line,
    id_of_line,
    json_text,
    tsv_cell,
)
from taskembed.reading.documents import read_corpus
from taskembed.reading.fields import RecordFields
from taskembed.reading.streams import Input, stop_at_first

CONTROLS = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)]))
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
INVISIBLE = "\u200b\u2060\ufeff\u2028\u2029\U000e0041\ufff9"
# characters that escapes are made of, so that ids which look like them are drawn too
ids = st.text(
    st.one_of(
        st.sampled_from("\\\\\\uU0052ce\u202e\u200d "),
        st.characters(exclude_categories=["Cs", "Cc"]),
    ),
    min_size=1,
)


@pytest.mark.parametrize(
    "text",
    [
        "می‌خواهم",  # Persian, with a zero-width non-joiner
        "क्‍ष",  # Hindi, with a joiner
        "ന്‍",  # Malayalam
        "👨‍👩‍👧‍👦 ❤️ 🏳️‍🌈 🫨",
        "🏴󠁧󠁢󠁥󠁮󠁧󠁿",  # England's flag: a black one and invisible letters
        "10\u00a0000, 12\u202f%, 東京\u3000",
    ],
)
def test_text_of_every_language_passes(text: str) -> None:
    assert escaped(text) == text
    assert tsv_cell(text) == text
    assert id_line(text) == text
    assert json_text(text) == f'"{text}"'


@pytest.mark.parametrize("character", CONTROLS + BIDI + INVISIBLE)
def test_what_does_something_to_a_terminal_never_passes(character: str) -> None:
    text = f"a{character}b"
    for made in (escaped(text), tsv_cell(text), id_line(text), json_text(text)):
        assert character not in made


@given(st.text())
def test_json_is_read_back_as_it_was(text: str) -> None:
    assert json.loads(json_text(text)) == text


@given(ids)
def test_a_line_of_ids_is_read_back_as_it_was(doc_id: str) -> None:
    line = id_line(doc_id)
    assert line.split() or not doc_id.strip()
    assert "\n" not in line
    assert escaped(line) == line
    assert id_of_line(line) == doc_id


def test_only_ids_that_would_be_misread_look_otherwise() -> None:
    for plain in ("a", r"C:\new\docs", r"\\server\share", "a b", "\\", r"\x1b", r"\u12", r"\ud800"):
        assert id_line(plain) == plain
    assert id_line("a\u202eb") == r"a\u202eb"
    assert id_line(r"a\u202eb") == r"a\u005cu202eb"
    assert id_line("a\U000e0041") == r"a\U000e0041"


def test_the_drawn_ids_are_those_that_the_reader_accepts() -> None:
    """Whatever the reader refuses needs no way back; it refuses controls."""

    @given(ids)
    def accepted(doc_id: str) -> None:
        if len(doc_id.encode()) <= 512:
            assert read_one(doc_id) == doc_id

    accepted()
    for character in CONTROLS:
        with pytest.raises(BadInputError, match="control character"):
            read_one(f"a{character}")


def read_one(doc_id: str) -> str:
    import io
    from unittest.mock import patch

    line = json.dumps({"id": doc_id, "text": "x"}).encode()

    class Stdin:
        buffer = io.BytesIO(line)

    with patch("sys.stdin", Stdin):
        found = read_corpus([Input(None, "jsonl", None)], RecordFields(), on_bad=stop_at_first)
        return next(iter(found)).doc_id


def read_cell(cell: str) -> str:
    """Read a cell as docs/cli.md says: an apostrophe before a formula goes, escapes are undone."""
    if re.match(r"'[\s\"']*[=+\-@＝＋－＠]", cell):  # noqa: RUF001
        cell = cell[1:]
    simple = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}
    return re.sub(
        r"\\(?:([nrt\\])|x(..)|u(....)|U(........))",
        lambda found: simple.get(found[1]) or chr(int(found[2] or found[3] or found[4], 16)),
        cell,
    )


@given(st.text(st.one_of(st.sampled_from("\\'\"=-1e.\t\n\u202e"), st.characters())))
def test_a_cell_is_read_back_as_it_was_and_never_a_formula(text: str) -> None:
    cell = tsv_cell(text)
    assert "\t" not in cell
    assert "\n" not in cell
    if not re.fullmatch(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", cell):
        assert not re.match(r"[\s\"]*[=+\-@]", cell)
    assert read_cell(cell) == text


@pytest.mark.parametrize("text", ["=1+1", '"=1+1"', '""=1', " =1", "+1", "-1+2", "@A()", "\uff1d1"])
def test_a_spreadsheet_is_given_no_formula(text: str) -> None:
    assert tsv_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-5", "-0.25", "-1e-05", "'tis", '"Hello"', "a=b"])
def test_numbers_and_quotations_stay(text: str) -> None:
    assert tsv_cell(text) == text
