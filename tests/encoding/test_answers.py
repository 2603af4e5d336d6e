"""What a server may answer."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from taskembed.encoding._answers import AnswerError, limit_bytes, vectors_of
from taskembed.encoding.vendors import SERVERS

TEXTS = ["a", "b", "c"]
OPENAI = SERVERS["openai"].vectors


def answer(indices: list[Any], rows: Any = None) -> bytes:  # noqa: ANN401  # any JSON
    rows = rows if rows is not None else [[float(row), 1.0] for row in range(len(indices))]
    data = [
        {"embedding": row, **({} if index is ABSENT else {"index": index})}
        for row, index in zip(rows, indices, strict=True)
    ]
    return json.dumps({"data": data}).encode()


ABSENT = object()


@pytest.mark.parametrize(
    ("indices", "firsts"),
    [([0, 1, 2], [0, 1, 2]), ([2, 0, 1], [1, 2, 0]), ([ABSENT] * 3, [0, 1, 2])],
)
def test_vectors_are_in_the_order_that_the_indices_say(
    indices: list[Any], firsts: list[int]
) -> None:
    rows = vectors_of(answer(indices), OPENAI, TEXTS, 2)
    assert rows.dtype == np.float32
    assert rows[:, 0].tolist() == firsts


@pytest.mark.parametrize(
    "indices",
    [
        [0, 0, 0],
        [0, 1, 1],
        [1, 2, 3],
        [0, 1, 7],
        [-1, 0, 1],
        ["0", "1", "2"],
        ["2", "10", "1"],
        [0, "1", 2],
        [False, True, 2],
        [0.0, 1.0, 2.0],
        [None, None, None],
        [0, 1, ABSENT],
        [ABSENT, ABSENT, 0],
        [[0], [1], [2]],
        [{}, {}, {}],
        [0, 1, 2**70],
    ],
)
def test_indices_that_are_not_each_row_once_are_refused(indices: list[Any]) -> None:
    with pytest.raises(AnswerError, match=r"^with something other than a list of vectors"):
        vectors_of(answer(indices), OPENAI, TEXTS, 2)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([[1.0, 2.0], [1.0, 2.0], [1.0]], "with vectors of several sizes"),
        ([[], [], []], "with something other than a list of vectors"),
        ([[1.0], [True], [2.0]], "with something other than a list of vectors"),
        ([[1.0], ["2"], [2.0]], "with something other than a list of vectors"),
        ([[1.0], [None], [2.0]], "with something other than a list of vectors"),
        ([[1.0], [[2.0]], [2.0]], "with something other than a list of vectors"),
        (["AACAPw==", "AACAPw==", "AACAPw=="], "with something other than a list of vectors"),
        ([[1.0], {"0": 1.0}, [1.0]], "with something other than a list of vectors"),
        ([[1.0], 3, [1.0]], "with something other than a list of vectors"),
    ],
)
def test_rows_are_lists_of_numbers_of_one_length(rows: Any, said: str) -> None:  # noqa: ANN401
    with pytest.raises(AnswerError, match=f"^{said}"):
        vectors_of(answer([0, 1, 2], rows), OPENAI, TEXTS, 2)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"<!DOCTYPE html><html>Sign in</html>",
        b"[" * 200_000,
        b'{"data": ' * 1_100,
        b'{"data": [{"embedding": [1e400]}]}',
        b'{"data": [{"embedding": [1' + b"0" * 400 + b"]}]}",
        b'{"data": [{"embedding": [NaN]}]}',
        b'{"data": [{"embedding": [Infinity]}]}',
        b"\xff\xfe",
        b'"\\ud800"',
        b'{"data": [{"embedding": [1.0',
    ],
)
@pytest.mark.parametrize("name", SERVERS)
def test_what_is_no_json_is_refused(body: bytes, name: str) -> None:
    with pytest.raises(AnswerError) as refusal:
        vectors_of(body, SERVERS[name].vectors, ["a"], 1)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    "body", [b"null", b"3", b'"x"', b"[]", b"{}", b"[[1.0]]", b'{"data": null}', b'{"data": {}}']
)
@pytest.mark.parametrize("name", SERVERS)
def test_json_of_another_shape_is_refused(body: bytes, name: str) -> None:
    with pytest.raises(AnswerError):
        vectors_of(body, SERVERS[name].vectors, ["a"], 1)


def test_a_number_beyond_float32_is_infinite_and_its_row_can_be_named() -> None:
    rows = vectors_of(answer([0, 1, 2], [[1.0], [1e39], [-1e39]]), OPENAI, TEXTS, 1)
    assert rows[:, 0].tolist() == [1.0, np.inf, -np.inf]
    body = b'{"data": [{"embedding": [18446744073709551616]}]}'
    assert vectors_of(body, OPENAI, ["a"], 1).tolist() == [[2.0**64]]


def test_the_longest_honest_answer_is_within_its_limits() -> None:
    texts = [f"\U0001f600,[{{{number}" for number in range(10)]
    rows = [[-1.2345678901234567e-300] * 50 for _ in texts]
    data = [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(rows)]
    body = json.dumps({"data": data, "texts": texts, "model": "m"}, indent=4).encode()
    assert len(body) < limit_bytes(texts, 50)
    assert vectors_of(body, OPENAI, texts, 50).shape == (10, 50)


@pytest.mark.parametrize("value", [b"[]", b"{}", b"0", b'""'])
def test_more_values_than_vectors_have_are_refused_before_they_are_made(value: bytes) -> None:
    body = b'{"data": [' + b",".join([value] * 100_000) + b"]}"
    with pytest.raises(AnswerError, match=r"^with more values than the requested vectors have"):
        vectors_of(body, OPENAI, ["a"], 8)
