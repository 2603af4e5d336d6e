"""The properties of a collection: written, read, and refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from taskembed.errors import NewerFormatError, SpaceMismatchError
from taskembed.index.chunking import Chunking
from taskembed.testing import HASH_SPACE
from taskembed.verbs.milvus.header import CollectionHeader

HEADER = CollectionHeader(
    HASH_SPACE, {"engine": "hash"}, {"compared": 5}, Chunking(16, 2), 7, is_complete=True
)


@pytest.mark.parametrize("header", [HEADER, CollectionHeader(HASH_SPACE)])
def test_properties_are_read_as_they_were_written(header: CollectionHeader) -> None:
    properties = header.to_properties()
    assert all(isinstance(value, str) for value in properties.values())
    found = CollectionHeader.from_properties({**properties, "collection.ttl": "3"}, "it")
    assert found == header


def test_each_space_has_its_digest() -> None:
    other = replace(HASH_SPACE, query_prompt="")
    assert CollectionHeader(other).space_digest != HEADER.space_digest
    assert replace(HEADER, generation=8).space_digest == HEADER.space_digest


def test_without_a_space_nothing_can_be_compared() -> None:
    with pytest.raises(SpaceMismatchError, match="it: the collection does not say what") as caught:
        CollectionHeader.from_properties({"collection.ttl": "3"}, "it")
    assert "--recreate" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("taskembed.space", "no JSON"),
        ("taskembed.space", "{}"),
        ("taskembed.about", "[]"),
        ("taskembed.about", '{"made_by":{},"declared":{},"chunking":{"x":1},"generation":1}'),
    ],
)
def test_changed_properties_are_refused(name: str, value: str) -> None:
    with pytest.raises(SpaceMismatchError, match="were changed and cannot be read"):
        CollectionHeader.from_properties({**HEADER.to_properties(), name: value}, "it")


def test_a_newer_format_is_refused() -> None:
    with pytest.raises(NewerFormatError, match="a newer taskembed wrote the collection"):
        CollectionHeader.from_properties({**HEADER.to_properties(), "taskembed.format": "2"}, "it")
