"""Addresses of collections: what is one, what it names, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskembed.errors import UsageError
from taskembed.verbs.milvus.addresses import (
    CollectionAddress,
    collection_address,
    is_collection,
)


@pytest.mark.parametrize(
    ("text", "uri", "name", "written"),
    [
        ("milvus://localhost:19530/notes", "http://localhost:19530", "notes", None),
        ("MILVUS://h/n", "http://h", "n", "milvus://h/n"),
        ("milvus+https://cloud.example/n_1", "https://cloud.example", "n_1", None),
        ("milvus:notes.db/n", "notes.db", "n", None),
        ("milvus:./a/notes.db/n", "./a/notes.db", "n", None),
        ("milvus:/a/notes.db/n", "/a/notes.db", "n", None),
    ],
)
def test_an_address_names_a_collection(text: str, uri: str, name: str, written: str | None) -> None:
    address = collection_address(text)
    assert (address.uri, address.name, str(address)) == (uri, name, written or text)
    assert is_collection(text)
    assert is_collection(Path(text))
    assert collection_address(Path(text)) == address  # in a path, "//" becomes "/"


@pytest.mark.parametrize("text", ["notes", "./milvus/notes", "milvus", "s3://b/milvus", "a:b"])
def test_a_path_is_not_one(text: str) -> None:
    assert not is_collection(text)


@pytest.mark.parametrize("uri", ["http://h:19530/", "https://h/", "https://host.db/"])
def test_a_uri_may_end_in_a_slash(uri: str) -> None:
    address = CollectionAddress(uri, "n")
    assert collection_address(str(address)).uri == uri.rstrip("/")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("milvus:", "it names no collection"),
        ("milvus://localhost:19530", "it names no collection"),
        ("milvus:notes.db", "it names no collection"),
        ("milvus://localhost:19530/", "it names no collection"),
        ("milvus://h/no-tes", "'no-tes' is not a name of a collection"),
        ("milvus://h/1n", "'1n' is not a name"),
        ("milvus://me:secret@h/n", r"http://\*\*\*@h: a password does not belong in it"),
    ],
)
def test_another_form_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        collection_address(text)
    assert "secret" not in f"{caught.value.message}{caught.value.hint}"


@pytest.mark.parametrize("uri", ["localhost:19530", "http:///x", "notes", "ftp://h"])
def test_a_uri_of_another_form_is_refused(uri: str) -> None:
    with pytest.raises(UsageError, match="neither the URI of a Milvus server nor a file"):
        CollectionAddress(uri, "n")
