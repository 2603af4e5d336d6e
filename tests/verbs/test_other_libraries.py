"""Files of vectors read by the libraries that others read them with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.space import PromptType
from taskembed.testing import HashEncoder
from taskembed.verbs.export import export_index
from taskembed.verbs.index import index_corpus

pytestmark = pytest.mark.slow  # importing them takes seconds
DOCUMENT = PromptType.DOCUMENT
DOCUMENTS = [Document(f"{number}", f"word{number} and wörd", {"n": number}) for number in range(5)]


@pytest.fixture(params=["float32", "float16"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    index_corpus(DOCUMENTS, HashEncoder(), tmp_path / "index")
    with Index.open(tmp_path / "index") as index:
        export_index(index, tmp_path / "v.parquet", dtype=request.param)
    return tmp_path / "v.parquet"


def require_documents(ids: list[str], texts: list[str], vectors: Any) -> None:  # noqa: ANN401
    expected = HashEncoder().encode([document.text for document in DOCUMENTS], DOCUMENT).vectors
    assert ids == [document.doc_id for document in DOCUMENTS]
    assert texts == [document.text for document in DOCUMENTS]
    np.testing.assert_allclose(np.asarray(vectors, np.float32), expected, atol=5e-4)


def test_pandas_reads_a_file(file: Path) -> None:
    import pandas as pd

    table = pd.read_parquet(file)
    require_documents(list(table["doc_id"]), list(table["text"]), np.stack(table["vector"]))


def test_polars_reads_a_file(file: Path) -> None:
    import polars as pl

    table = pl.read_parquet(file)
    assert isinstance(table.schema["vector"], pl.Array)
    require_documents(
        table["doc_id"].to_list(), table["text"].to_list(), table["vector"].to_numpy()
    )


def test_duckdb_reads_a_file(file: Path) -> None:
    import duckdb

    with duckdb.connect() as connection:
        table = connection.read_parquet(str(file))
        rows = table.project("doc_id, text, vector::float[16]").fetchall()
    require_documents(*map(list, zip(*rows, strict=True)))


def test_datasets_reads_a_file(file: Path, tmp_path: Path) -> None:
    from datasets import Dataset

    table = Dataset.from_parquet(str(file), cache_dir=str(tmp_path / "cache"))
    require_documents(table["doc_id"][:], table["text"][:], table.with_format("numpy")["vector"][:])
