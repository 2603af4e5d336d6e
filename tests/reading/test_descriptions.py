"""Descriptions of labels: what is read, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskembed.errors import BadInputError, NotFoundError
from taskembed.reading.descriptions import read_descriptions


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "labels.jsonl",
            '{"label": "b", "text": " Bills. "}\n{"label": "a", "description": "x"}\n',
        ),
        ("labels.csv", "label,text\nb,Bills.\na,x\n"),
        ("labels.tsv", "label\tdescription\nb\tBills.\na\tx\n"),
    ],
)
def test_labels_are_read_in_their_order(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert list(read_descriptions(str(tmp_path / name)).items()) == [("b", "Bills."), ("a", "x")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"label": "a"}\n', "it needs a label and a text"),
        ('{"label": 3, "text": "x"}\n', "it needs a label and a text"),
        ('{"label": "a", "text": "x"}\n{"label": "a", "text": "y"}\n', "2: duplicate label 'a'"),
        ("", "there is no label"),
    ],
    ids=str,
)
def test_anything_else_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "labels.jsonl").write_text(text)
    with pytest.raises(BadInputError, match=said):
        read_descriptions(str(tmp_path / "labels.jsonl"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"labels\.jsonl"):
        read_descriptions(str(tmp_path / "labels.jsonl"))
