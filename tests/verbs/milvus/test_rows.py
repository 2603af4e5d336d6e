"""The rows of a collection: their texts, their versions, and which of them are stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from taskembed.errors import BadInputError
from taskembed.reading.vectors.rows import VectorRows
from taskembed.verbs.milvus.rows import (
    FIELDS,
    MOST_BYTES,
    DocumentRows,
    StoredRows,
    key_of,
    rows_of,
    whole_text,
)

TEXT = "One two. \n\nThree four five.  "
CUTS = [(0, 8), (4, 16), (17, 27)]  # overlapping, and with spaces left out


def document(
    doc_id: str = "a",
    text: str = TEXT,
    metadata: str = '{"n":1}',
    *,
    cuts: list[tuple[int, int]] | None = None,
    first: float = 1.0,
) -> DocumentRows:
    """Return the rows of one document; the numbers of its vectors count from `first`."""
    count = 1 if cuts is None else len(cuts)
    vectors = np.arange(first, first + 2 * count, dtype=np.float32).reshape(count, 2)
    places = None if cuts is None else [np.array(cuts, np.int64)]
    batch = VectorRows([doc_id], [text], [metadata], np.array([False]), vectors, places)
    return next(rows_of(batch))


def test_a_document_without_chunks_is_one_row() -> None:
    row = document().for_space("ab")[0]
    assert row.pop("vector").tolist() == [1.0, 2.0]
    assert row.keys() == FIELDS.keys()
    expected: dict[str, Any] = {
        "doc_id": "a",
        "text": TEXT,
        "metadata": {"n": 1},
        "truncated": False,
        "part": 0,
        "parts": 1,
        "start": 0,
        "end": len(TEXT),
        "space": "ab",
    }
    assert {name: row[name] for name in expected} == expected
    assert row["key"] == key_of("a", 0)


def test_chunks_have_the_whole_text_between_them() -> None:
    rows = document(cuts=CUTS).for_space("ab")
    assert [row["text"] for row in rows] == ["One two.", "two. \n\nThree ", "four five.  "]
    assert [(row["start"], row["end"]) for row in rows] == CUTS
    assert [row["vector"].tolist() for row in rows] == [[1, 2], [3, 4], [5, 6]]
    assert len({row["key"] for row in rows}) == 3
    assert len({row["document"] for row in rows}) == 1
    assert whole_text(rows[::-1]) == TEXT
    assert whole_text(rows[1:]) is None
    assert whole_text(rows[:2]) is None


def test_what_precedes_the_first_chunk_is_kept() -> None:
    rows = document(text="  \n a b", cuts=[(4, 5), (6, 7)]).for_space("")
    assert [row["text"] for row in rows] == ["  \n a ", "b"]
    assert whole_text(rows) == "  \n a b"


def test_every_change_is_another_version() -> None:
    same = document()
    others = [
        document("b"),
        document(text="another"),
        document(metadata='{"n":2}'),
        document(first=1.5),
        document(cuts=CUTS),
        document(cuts=CUTS[:2]),
    ]
    assert document().version == same.version
    assert len({same.version, *(other.version for other in others)}) == 7


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (document(text="é" * 32_768), "document 'a': its text has 65,536 bytes"),
        (document("é" * 32_768), "its id has 65,536 bytes"),
        (document(metadata=f'{{"m":"{"x" * MOST_BYTES}"}}'), "its metadata has 65,543 bytes"),
    ],
)
def test_what_milvus_cannot_hold_is_refused(document: DocumentRows, message: str) -> None:
    with pytest.raises(BadInputError, match=message) as caught:
        document.for_space("ab")
    assert "--where" in str(caught.value.hint)


def stored(*documents: DocumentRows) -> StoredRows:
    rows = [
        {"key": key, "version": document.version} for document in documents for key in document.keys
    ]
    return StoredRows([rows[::2], rows[1::2]])


def test_what_is_stored_in_its_present_version_is_current() -> None:
    a, b, c = document("a"), document("b", cuts=CUTS), document("c")
    rows = stored(a, document("b", cuts=CUTS, first=9), c, document("d", cuts=CUTS))
    assert len(rows) == 8
    assert rows.are_current([a, b]).tolist() == [True, False]
    assert rows.are_current([c, document("new")]).tolist() == [True, False]
    assert sorted(rows.unmet()) == sorted(key_of("d", part) for part in range(3))


def test_fewer_or_more_chunks_are_another_version() -> None:
    three, two = document(cuts=CUTS), document(cuts=CUTS[:2])
    rows = stored(three)
    assert rows.are_current([two]).tolist() == [False]
    assert rows.unmet() == [key_of("a", 2)]
    assert stored(two).are_current([three]).tolist() == [False]


def test_a_document_with_a_missing_row_is_not_current() -> None:
    three = document(cuts=CUTS)
    rows = StoredRows([[{"key": key, "version": three.version} for key in three.keys[1:]]])
    assert rows.are_current([three]).tolist() == [False]


def test_an_empty_collection() -> None:
    assert StoredRows([]).are_current([document()]).tolist() == [False]
    assert StoredRows([]).unmet() == []


def test_keys_with_zeros_at_the_end_are_whole() -> None:
    key = "ab" + "00" * 15
    assert StoredRows([[{"key": key, "version": "00" * 16}]]).unmet() == [key]
