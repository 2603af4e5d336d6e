"""Encoding into files of vectors: they are those of an index, in the order of the input."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from taskembed.errors import BadInputError, BadRecordError, StorageError, UsageError
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.reading.rejects import RejectFile
from taskembed.space import EmbeddingSpace, PromptType
from taskembed.testing import HashEncoder
from taskembed.verbs.encode import EncodeOptions, encode_documents
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import Watch

DOCUMENTS = [
    Document("moon", "the moon orbits the earth", {"topic": "sky"}),
    Document("bread", "flour water yeast"),
    Document("tide", "the sea rises and falls twice a day"),
]


def vectors_of(table: Any) -> np.ndarray[Any, np.dtype[np.float32]]:  # noqa: ANN401
    values = table["vector"].combine_chunks().values.to_numpy()
    return np.asarray(values).reshape(table.num_rows, -1)


def test_the_vectors_are_those_of_an_index(tmp_path: Path) -> None:
    summary = encode_documents(DOCUMENTS, HashEncoder(), tmp_path / "v.parquet")
    index_corpus(DOCUMENTS, HashEncoder(), tmp_path / "index")
    table = pq.read_table(tmp_path / "v.parquet")
    with Index.open(tmp_path / "index") as index:
        _, expected = index.vectors_of([document.doc_id for document in DOCUMENTS])
    np.testing.assert_array_equal(vectors_of(table), expected)
    assert table["doc_id"].to_pylist() == ["moon", "bread", "tide"]
    assert table["text"].to_pylist() == [document.text for document in DOCUMENTS]
    assert table["metadata"].to_pylist() == ['{"topic":"sky"}', "{}", "{}"]
    assert str(table.schema.field("vector").type) == (
        "fixed_size_list<element: float not null>[16]"
    )
    assert (summary.documents, summary.vectors) == (3, 3)


def test_the_file_says_which_space_and_side_it_is_of(tmp_path: Path) -> None:
    encoder = HashEncoder()
    options = EncodeOptions(side=PromptType("query"))
    encode_documents(DOCUMENTS, encoder, tmp_path / "v.parquet", options=options)
    said = pq.read_schema(tmp_path / "v.parquet").metadata
    assert EmbeddingSpace.from_json(json.loads(said[b"taskembed.space"])) == encoder.space
    assert said[b"taskembed.side"] == b"query"
    assert encoder.prompted[0].startswith("query: ")


def test_half_precision_takes_two_bytes_a_number(tmp_path: Path) -> None:
    options = EncodeOptions(dtype="float16")  # type: ignore[arg-type]  # a name will do
    encode_documents(DOCUMENTS, HashEncoder(), tmp_path / "v.npy", options=options)
    vectors = np.load(tmp_path / "v.npy")
    expected = HashEncoder().encode([item.text for item in DOCUMENTS], PromptType.DOCUMENT).vectors
    assert vectors.dtype == np.float16
    np.testing.assert_allclose(vectors, expected, atol=5e-4)


def test_npy_has_its_ids_and_its_space_beside_it(tmp_path: Path) -> None:
    encode_documents(DOCUMENTS, HashEncoder(), tmp_path / "v.npy")
    assert np.load(tmp_path / "v.npy").shape == (3, 16)
    assert (tmp_path / "v.ids.txt").read_text().splitlines() == ["moon", "bread", "tide"]
    value = json.loads((tmp_path / "v.space.json").read_text())
    assert EmbeddingSpace.from_json(value["space"]) == HashEncoder().space


def test_of_cut_documents_each_chunk_is_a_row(tmp_path: Path) -> None:
    text = " ".join(f"word{number}" for number in range(40))
    some = [Document("long", text), DOCUMENTS[0]]
    summary = encode_documents(
        some, HashEncoder(), tmp_path / "v.parquet", options=EncodeOptions(chunk="16:0")
    )
    rows = pq.read_table(tmp_path / "v.parquet").to_pylist()
    assert [row["doc_id"] for row in rows] == ["long", "long", "long", "moon"]
    assert [row["text"] for row in rows] == [
        (text if row["doc_id"] == "long" else DOCUMENTS[0].text)[row["start"] : row["end"]]
        for row in rows
    ]
    assert [row["document"] for row in rows] == [text, None, None, DOCUMENTS[0].text]
    assert (summary.documents, summary.vectors) == (2, 4)
    with pytest.raises(UsageError, match="cut into chunks"):
        encode_documents(
            some, HashEncoder(), tmp_path / "v.npy", options=EncodeOptions(chunk="16:0")
        )


def test_a_stream_gets_parquet() -> None:
    stream = io.BytesIO()
    encode_documents(DOCUMENTS, HashEncoder(), stream)
    assert pq.read_table(io.BytesIO(stream.getvalue())).num_rows == 3


def test_two_texts_may_have_one_id(tmp_path: Path) -> None:
    summary = encode_documents([DOCUMENTS[0]] * 2, HashEncoder(), tmp_path / "v.parquet")
    assert summary.documents == 2


def test_a_bad_record_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "v.parquet").write_bytes(b"before")
    some = [DOCUMENTS[0], Document("", "no id")]
    with pytest.raises(BadRecordError):
        encode_documents(some, HashEncoder(), tmp_path / "v.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["v.parquet"]
    assert (tmp_path / "v.parquet").read_bytes() == b"before"
    summary = encode_documents(
        some, HashEncoder(), tmp_path / "v.parquet", watch=Watch(RejectFile(stop=False))
    )
    assert (summary.documents, summary.rejected) == (1, 1)


def test_truncated_texts_are_counted_or_rejected(tmp_path: Path) -> None:
    some = [DOCUMENTS[0], Document("long", "word " * 33)]
    summary = encode_documents(some, HashEncoder(), tmp_path / "v.parquet")
    assert summary.truncated == 1
    assert pq.read_table(tmp_path / "v.parquet")["truncated"].to_pylist() == [False, True]
    with pytest.raises(BadRecordError, match="longer than the 32 tokens"):
        encode_documents(
            some,
            HashEncoder(),
            tmp_path / "v.parquet",
            options=EncodeOptions(fail_on_truncate=True),
        )


class _FullDisk(io.RawIOBase):
    def writable(self) -> bool:
        return True

    def write(self, _data: object) -> int:
        raise OSError(28, "No space left on device")


def test_what_a_stream_refuses_comes_through() -> None:
    with pytest.raises(OSError, match="No space left"):
        encode_documents(DOCUMENTS, HashEncoder(), _FullDisk())  # type: ignore[arg-type]


def test_a_name_without_a_known_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must end in \.parquet or \.npy"):
        encode_documents(DOCUMENTS, HashEncoder(), tmp_path / "v.csv")


@pytest.mark.parametrize("error", [BadInputError("x"), StorageError("x"), KeyboardInterrupt()])
def test_an_error_of_the_input_leaves_no_file(tmp_path: Path, error: BaseException) -> None:
    def documents() -> Any:  # noqa: ANN401
        yield DOCUMENTS[0]
        raise error

    with pytest.raises(type(error)):
        encode_documents(documents(), HashEncoder(), tmp_path / "v.npy")
    assert list(tmp_path.iterdir()) == []


def test_progress_is_reported_a_few_texts_at_a_time(tmp_path: Path) -> None:
    seen: list[int] = []
    some = [Document(f"{number}", f"word{number}") for number in range(20)]
    encode_documents(
        some, HashEncoder(), tmp_path / "v.parquet", watch=Watch(on_progress=seen.append)
    )
    assert seen == [8, 16, 20]  # the fake encodes eight at a time
