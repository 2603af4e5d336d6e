"""Databases of Milvus Lite, and indexes for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.testing import HashEncoder
from taskembed.verbs.index import index_corpus
from taskembed.verbs.milvus.export import MilvusExport, export_to_milvus
from taskembed.verbs.options import IndexOptions

Exported = Callable[..., MilvusExport]


def numbered(count: int) -> list[Document]:
    return [
        Document(f"{number:04}", f"word{number} and word{number % 7}", {"n": number})
        for number in range(count)
    ]


def long(number: int, words: int = 40) -> Document:
    text = "  ".join(f"word{number * word % 101}" for word in range(words))
    return Document(f"long{number}", f" {text}\n", {"n": number})


def make(folder: Path, documents: Iterable[Document], **options: object) -> Path:
    """Make an index again, from these documents alone."""
    index_corpus(
        documents,
        HashEncoder(),
        folder,
        options=IndexOptions(recreate=True, **options),  # type: ignore[arg-type]  # any of them
    )
    return folder


@pytest.fixture
def database(tmp_path: Path) -> str:
    """The path of a Milvus Lite database, which is not there yet."""
    return str(tmp_path / "milvus.db")


@pytest.fixture
def exported(database: str) -> Exported:
    """Export an index to the collection "notes"."""

    def exported(folder: Path, name: str = "notes", **options: object) -> MilvusExport:
        with Index.open(folder) as index:
            return export_to_milvus(index, database, name, **options)  # type: ignore[arg-type]

    return exported
