from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from taskembed.errors import BadInputError
from taskembed.index.contents import Contents
from taskembed.index.disk.generations import read_newest
from taskembed.index.storage import IndexType, Kind, VectorType
from taskembed.index.verify import verify_index
from taskembed.reading.document import Document
from taskembed.verbs.describe import describe_index
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions
from taskembed.verbs.tune import tune_index
from tests.fakes import HashEncoder


def corpus(documents: int) -> list[Document]:
    return [Document(f"d{n:04d}", f"a{n % 7} b{n % 11} c{n}", {}) for n in range(documents)]


def test_recall_and_time_are_measured_and_remembered(tmp_path: Path) -> None:
    folder = tmp_path / "i"
    options = IndexOptions(index_type=IndexType.RABITQ)
    index_corpus(corpus(1_500), HashEncoder(), folder, options=options)
    ticks = count()
    tuning = tune_index(folder, sample=30, clock=lambda: next(ticks) / 4)
    assert (tuning.queries, tuning.documents, tuning.is_remembered) == (30, 1_500, True)
    assert [item.candidates for item in tuning.tried] == [50, 100, 200, 400, 1_000, None]
    assert all(item.milliseconds == 250 for item in tuning.tried)
    recalls = [item.recall for item in tuning.tried]
    assert recalls == sorted(recalls)
    assert recalls[2] > 0.9
    assert recalls[-1] == 1
    figures = describe_index(folder).tuning
    assert figures["documents"] == 1_500
    assert figures["recall_at_10"] == 1.0 or figures["recall_at_10"] in recalls
    assert verify_index(folder)[1] == []
    index_corpus([*corpus(1_500), Document("new", "a b c", {})], HashEncoder(), folder)
    assert describe_index(folder).tuning == figures  # until it is measured again


def test_too_few_documents_are_not_measured(tmp_path: Path) -> None:
    index_corpus(corpus(10), HashEncoder(), tmp_path / "i")
    with pytest.raises(BadInputError, match="10 documents are too few to measure"):
        tune_index(tmp_path / "i")


def test_an_index_keeps_how_it_is_stored(tmp_path: Path) -> None:
    folder = tmp_path / "i"
    options = IndexOptions(index_type=IndexType.RABITQ, vectors=VectorType.FP16)
    index_corpus(corpus(40), HashEncoder(), folder, options=options)
    index_corpus(corpus(60), HashEncoder(), folder)
    live = Contents.of(folder, read_newest(folder)).live
    assert {(info.kind, info.vectors) for info in live.segments} == {(Kind.RABITQ, VectorType.FP16)}
    described = describe_index(folder)
    assert (described.index_type, described.vectors) == ("rabitq", "fp16")
    assert verify_index(folder)[1] == []
    index_corpus(corpus(60), HashEncoder(), folder, options=IndexOptions(vectors="fp32"))  # type: ignore[arg-type]  # a name will do
    assert describe_index(folder).vectors == "fp32"
