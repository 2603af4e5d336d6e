"""Hostile input: every line is a document or a named bad record."""

from __future__ import annotations

import json
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from taskembed.errors import BadRecordError
from taskembed.reading.documents import read_corpus
from taskembed.reading.fields import RecordFields
from taskembed.reading.inputs import find_inputs
from taskembed.reading.rejects import RejectFile

GOOD = b'{"id": "a", "text": "x"}\n'


def outcome(path: Path, data: bytes, *, max_record_bytes: int = 2**20) -> list[str]:
    """Return, for each line, the text of its document or the reason of its refusal."""
    path.write_bytes(data)
    said: list[str] = []

    class Noting(RejectFile):
        def __call__(self, error: BadRecordError) -> None:
            said.append(f"{error.source.rpartition(':')[2]}: {error.reason}")

    documents = read_corpus(
        find_inputs([str(path)]),
        RecordFields(),
        on_bad=Noting(),
        max_record_bytes=max_record_bytes,
    )
    for document in documents:
        said.append(f"{document.doc_id}={document.text}")  # noqa: PERF401  # refusals come between
    return said


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.jsonl"


def test_a_byte_order_mark_is_skipped(path: Path) -> None:
    assert outcome(path, b"\xef\xbb\xbf" + GOOD) == ["a=x"]


def test_carriage_returns_and_blank_lines_are_skipped(path: Path) -> None:
    assert outcome(path, b"\r\n\n  \n" + GOOD[:-1] + b"\r\n") == ["a=x"]


def test_the_last_line_needs_no_newline(path: Path) -> None:
    assert outcome(path, GOOD[:-1]) == ["a=x"]


def test_an_empty_file_has_no_documents(path: Path) -> None:
    assert outcome(path, b"") == []


def test_utf_16_is_named_with_the_way_out(path: Path) -> None:
    said = outcome(path, GOOD.decode().encode("utf-16"))
    assert said[0] == ("1: it looks like UTF-16, not UTF-8; convert it: iconv -f UTF-16 -t UTF-8")


def test_other_bytes_that_are_not_utf_8_are_named_by_position(path: Path) -> None:
    assert outcome(path, b'{"id": "a", "text": "\xff"}\n' + GOOD) == [
        "1: not UTF-8 at byte 22",
        "a=x",
    ]


def test_nul_is_accepted_in_a_text_and_refused_in_an_id(path: Path) -> None:
    assert outcome(path, b'{"id": "a", "text": "x\\u0000y"}\n') == ["a=x\0y"]
    assert outcome(path, b'{"id": "a\\u0000", "text": "x"}\n') == [
        '1: the id in "id" has a control character'
    ]
    assert outcome(path, b'{"id": "a", "text": "x\0y"}\n') == [
        "1: not JSON at column 23: unexpected control character in string"
    ]


def test_only_a_newline_ends_a_record(path: Path) -> None:
    for separator in ("\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"):
        line = json.dumps({"id": "a", "text": f"x{separator}y"}, ensure_ascii=False)
        data = (
            line.encode()
            if separator > "\x1f"
            else json.dumps({"id": "a", "text": f"x{separator}y"}).encode()
        )
        assert outcome(path, data) == [f"a=x{separator}y"]


def test_of_a_key_that_stands_twice_the_last_counts(path: Path) -> None:
    assert outcome(path, b'{"id": "a", "text": "x", "text": "y"}\n') == ["a=y"]


@pytest.mark.slow
def test_a_line_of_64_megabytes_is_refused_and_the_next_is_read(path: Path) -> None:
    line = b'{"id": "b", "text": "' + b"x" * (64 * 2**20) + b'"}\n'
    assert outcome(path, line + GOOD, max_record_bytes=64 * 2**20) == [
        "1: the record is larger than 67,108,864 bytes (--max-record-bytes)",
        "a=x",
    ]


def test_a_record_of_exactly_the_limit_is_read(path: Path) -> None:
    assert outcome(path, GOOD + GOOD, max_record_bytes=len(GOOD) - 1) == ["a=x", "a=x"]
    assert outcome(path, GOOD[:-1] + b"\r\n" + GOOD, max_record_bytes=len(GOOD) - 1) == [
        "a=x",
        "a=x",
    ]
    assert len(outcome(path, GOOD + GOOD, max_record_bytes=len(GOOD) - 2)) == 2
    assert "larger than" in outcome(path, GOOD, max_record_bytes=len(GOOD) - 2)[0]


def test_a_depth_of_100_000_is_refused(path: Path) -> None:
    deep = b'{"id": "a", "text": "x", "deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
    assert outcome(path, deep) == ["1: not JSON at column 1058: depth limit exceeded"]


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"k":', b"}")])
def test_metadata_is_no_deeper_than_can_be_written_again(
    path: Path, opening: bytes, closing: bytes
) -> None:
    def nested(levels: int) -> bytes:
        return b'{"id": "a", "text": "x", "n": %s1%s}' % (opening * levels, closing * levels)

    assert outcome(path, nested(200)) == ["a=x"]
    for levels in (201, 1_000):
        assert outcome(path, nested(levels)) == [
            '1: the field "n" is nested deeper than 200 levels'
        ]


@pytest.mark.parametrize(
    "number", [b"9" * 5000, b"1e400", b"-1e400"], ids=["5,000 digits", "1e400", "-1e400"]
)
def test_a_number_that_no_float_holds_is_refused(path: Path, number: bytes) -> None:
    assert outcome(path, b'{"id": "a", "text": "x", "n": %s}\n' % number) == [
        "1: not JSON at column 31: number is infinity when parsed as double"
    ]


def test_an_integer_of_more_than_64_bits_is_refused_and_never_a_float(path: Path) -> None:
    reason = "1: the number 18446744073709551616 has more than 64 bits; write it as text"
    assert outcome(path, b'{"id": "a", "text": "x", "n": 18446744073709551616}\n') == [reason]
    assert outcome(path, b'{"id": "a", "text": "x", "n": [{"m": 18446744073709551616}]}\n') == [
        reason
    ]
    assert outcome(path, b'{"id": 18446744073709551616, "text": "x"}\n') == [
        "18446744073709551616=x"
    ]
    assert outcome(path, b'{"id": 18446744073709551615, "text": "x"}\n') == [
        "18446744073709551615=x"
    ]


@pytest.mark.parametrize(
    ("constant", "reason"),
    [
        (b"NaN", "1: not JSON at column 31: unexpected character, expected a JSON value"),
        (b"Infinity", "1: not JSON at column 31: unexpected character, expected a JSON value"),
        (b"-Infinity", "1: not JSON at column 32: no digit after sign"),
    ],
)
def test_nan_and_infinity_are_refused(path: Path, constant: bytes, reason: str) -> None:
    assert outcome(path, b'{"id": "a", "text": "x", "n": %s}\n' % constant) == [reason]


def test_a_lone_surrogate_is_refused(path: Path) -> None:
    assert outcome(path, b'{"id": "a", "text": "\\ud800"}\n') == [
        "1: not JSON at column 22: no low surrogate in string"
    ]
    assert outcome(path, b'{"id": "a", "text": "\\ud83d\\ude00"}\n') == ["a=\U0001f600"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("1.5", 'the id in "id" is 1.5, neither a text nor a whole number'),
        ("true", 'the id in "id" is neither a text nor a whole number'),
        ("[1]", 'the id in "id" is neither a text nor a whole number'),
        ("{}", 'the id in "id" is neither a text nor a whole number'),
        ('""', 'the id in "id" is empty'),
        ('"a\\nb"', 'the id in "id" has a control character'),
        ('"a\\u0085b"', 'the id in "id" has a control character'),
        ('"' + "x" * 4097 + '"', 'the id in "id" is longer than 4,096 bytes'),
    ],
)
def test_what_cannot_be_an_id_is_refused(path: Path, value: str, reason: str) -> None:
    assert outcome(path, b'{"id": %s, "text": "x"}\n' % value.encode()) == [f"1: {reason}"]


def test_a_whole_number_is_an_id_in_decimal(path: Path) -> None:
    assert outcome(path, b'{"id": -7, "text": "x"}\n') == ["-7=x"]


def test_an_empty_text_is_accepted(path: Path) -> None:
    assert outcome(path, b'{"id": "a", "text": ""}\n') == ["a="]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ('{"id": "a"}', 'there is no field "text"; the fields are: id'),
        ('{"id": "a", "text": null}', 'the field "text" is null'),
        ('{"id": "a", "text": true}', 'the field "text" is not a text but true or false'),
        ('{"id": "a", "text": {}}', 'the field "text" is not a text but an object'),
        ('{"id": "a", "text": 7}', 'the field "text" is not a text but a number'),
        ('{"id": "a", "text": ["x"]}', 'the field "text" is not a text but a list'),
        ("[]", "it is not a JSON object"),
        ('"text"', "it is not a JSON object"),
    ],
)
def test_what_has_no_text_is_refused(path: Path, record: str, reason: str) -> None:
    assert outcome(path, record.encode() + b"\n") == [f"1: {reason}"]


def test_10_000_mutated_lines_are_documents_or_bad_records_as_an_oracle_says(path: Path) -> None:
    chosen = random.Random(11)
    seed = b'{"id": "a1", "title": "T", "text": "x \\u00e9 \xc3\xa9", "n": [1, 2.5e3, null, true]}'
    lines = []
    for _ in range(10_000):
        line = bytearray(seed)
        for _ in range(chosen.randint(1, 4)):
            position = chosen.randrange(len(line))
            match chosen.randrange(3):
                case 0:
                    line[position] = chosen.randrange(256)
                case 1:
                    del line[position]
                case _:
                    line.insert(position, chosen.choice(b'"\\{}[]:,0eE.-+ntu\x00\xff'))
        lines.append(bytes(line).replace(b"\n", b" ").replace(b"\r", b" "))
    lines = [line for line in lines if line.strip()]
    path.write_bytes(b"\n".join(lines))
    refused: set[int] = set()

    class Noting(RejectFile):
        def __call__(self, error: BadRecordError) -> None:
            refused.add(int(error.source.rpartition(":")[2]))

    documents = list(read_corpus(find_inputs([str(path)]), RecordFields(), on_bad=Noting()))
    accepted = {int(document.source.rpartition(":")[2]) for document in documents}
    assert accepted | refused == set(range(1, len(lines) + 1))
    assert accepted & refused == set()
    assert accepted == {number for number, line in enumerate(lines, 1) if oracle(line)}
    assert 500 < len(accepted) < 9_500


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 80), st.integers(0, 1), st.binary(max_size=3)),
        min_size=1,
        max_size=4,
    )
)
def test_a_mutated_line_is_a_document_or_a_bad_record_as_an_oracle_says(
    mutations: list[tuple[int, int, bytes]],
) -> None:
    line = b'{"id": 12, "title": null, "text": "x \\ud83d\\ude00", "n": {"k": [-1.5e3, true]}}'
    for start, length, new in mutations:
        line = line[:start] + new + line[start + length :]
    line = line.replace(b"\n", b" ").replace(b"\r", b" ")
    assume(line.strip() and not line.startswith(b"\xef\xbb\xbf"))
    with TemporaryDirectory() as folder:
        said = outcome(Path(folder, "c.jsonl"), line)
    assert len(said) == 1
    assert (not said[0].startswith("1: ")) == oracle(line), said


def oracle(line: bytes) -> bool:  # noqa: C901  # the rules, one after another
    """Say independently, with the standard library, whether a line is a document."""

    def no_constant(name: str) -> None:
        raise ValueError(name)

    def finite(text: str) -> float:
        value = float(text)
        if value in {float("inf"), float("-inf")}:
            raise ValueError(text)
        return value

    try:
        record = json.loads(line.decode(), parse_constant=no_constant, parse_float=finite)
        json.dumps(record, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        return False
    title = record.get("title")
    if isinstance(title, list | dict):
        return False
    names = [name for name in ("id", "_id", "doc_id") if name in record]
    doc_id = record[names[0]] if names else None
    if doc_id is None or (isinstance(doc_id, int) and not isinstance(doc_id, bool)):
        return True
    if not isinstance(doc_id, str) or not doc_id:
        return False
    return not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in doc_id)
