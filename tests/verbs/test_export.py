"""Exporting an index: its documents in index order, with their vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from taskembed.errors import UsageError
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.testing import HashEncoder
from taskembed.verbs.delete import delete_documents
from taskembed.verbs.export import export_index
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions

DOCUMENTS = [
    Document(f"{number:02}", f"word{number} and word{number % 3}", {"n": number})
    for number in range(9, -1, -1)
]


def exported(folder: Path, **options: Any) -> Any:  # noqa: ANN401
    with Index.open(folder) as index:
        export_index(index, folder.parent / "v.parquet", **options)
    return pq.read_table(folder.parent / "v.parquet")


def test_documents_come_in_index_order_without_deleted_ones(tmp_path: Path) -> None:
    options = IndexOptions(commit_every=4)
    index_corpus(DOCUMENTS, HashEncoder(), tmp_path / "index", options=options)
    delete_documents(tmp_path / "index", ["05"])
    table = exported(tmp_path / "index")
    ids = [document.doc_id for document in DOCUMENTS if document.doc_id != "05"]
    assert table["doc_id"].to_pylist() == ids
    assert table["metadata"].to_pylist()[0] == '{"n":9}'
    with Index.open(tmp_path / "index") as index:
        _, expected = index.vectors_of(ids)
    found = table["vector"].combine_chunks().values.to_numpy().reshape(-1, 16)
    np.testing.assert_array_equal(found, expected)


def test_a_filter_and_half_precision(tmp_path: Path) -> None:
    index_corpus(DOCUMENTS, HashEncoder(), tmp_path / "index")
    table = exported(tmp_path / "index", where="n >= 8", dtype="float16")
    assert table["doc_id"].to_pylist() == ["09", "08"]
    assert "halffloat" in str(table.schema.field("vector").type)
    assert exported(tmp_path / "index", where="n > 99").num_rows == 0


def test_chunks_are_rows(tmp_path: Path) -> None:
    text = " ".join(f"word{number}" for number in range(40))
    options = IndexOptions(chunk="16:0")
    index_corpus([Document("a", text)], HashEncoder(), tmp_path / "index", options=options)
    table = exported(tmp_path / "index")
    assert table["text"].to_pylist() == [
        text[start:end]
        for start, end in zip(table["start"].to_pylist(), table["end"].to_pylist(), strict=True)
    ]
    assert table["document"].to_pylist() == [text, None, None]
    with Index.open(tmp_path / "index") as index, pytest.raises(UsageError, match="into chunks"):
        export_index(index, tmp_path / "v.npy")


def test_the_file_says_how_the_index_is_stored(tmp_path: Path) -> None:
    index_corpus(DOCUMENTS, HashEncoder(), tmp_path / "index")
    said = json.loads(exported(tmp_path / "index").schema.metadata[b"taskembed.index"])
    assert said["made_by"]["engine"] == "hash"
    assert said["storage"]["vectors"] == "fp32"
