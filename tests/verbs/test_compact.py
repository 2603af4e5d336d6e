from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from taskembed.errors import NotFoundError
from taskembed.index.contents import Contents
from taskembed.index.disk.generations import read_newest
from taskembed.index.reader import Index
from taskembed.index.storage import Kind
from taskembed.index.verify import verify_index
from taskembed.reading.document import Document
from taskembed.verbs.compact import compact_index
from taskembed.verbs.delete import delete_documents
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions
from tests.fakes import HashEncoder

GOLDEN = Path(__file__).parent.parent / "data" / "format-1" / "index"


def corpus(count: int) -> list[Document]:
    return [Document(f"d{n:02d}", f"word{n} common", {"n": n}) for n in range(count)]


def test_all_segments_become_one_without_the_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "i"
    index_corpus(corpus(20), HashEncoder(), folder, options=IndexOptions(commit_every=6))
    delete_documents(folder, ["d03", "d19"])
    with Index.open(folder) as index:
        before = list(index)
    done = compact_index(folder)
    assert (done.documents, done.segments_before, done.segments, done.deleted_rows) == (18, 4, 1, 2)
    with Index.open(folder) as index:
        assert list(index) == before
    assert verify_index(folder)[1] == []
    generation = read_newest(folder).generation
    assert compact_index(folder).segments_before == 1
    assert read_newest(folder).generation == generation  # there was nothing to do


def test_an_index_of_format_1_becomes_one_of_format_2(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDEN, tmp_path / "i"))
    with Index.open(folder) as index:
        before = list(index)
    assert compact_index(folder).segments == 1
    (info,) = Contents.of(folder, read_newest(folder)).live.segments
    assert (info.kind, info.rows, info.deleted_rows) == (Kind.FLAT, 28, 0)
    with Index.open(folder) as index:
        assert list(index) == before
    assert verify_index(folder)[1] == []


def test_an_empty_index_stays_empty(tmp_path: Path) -> None:
    index_corpus([], HashEncoder(), tmp_path / "i")
    assert compact_index(tmp_path / "i").segments == 0


def test_there_is_no_index_where_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no index at"):
        compact_index(tmp_path / "i")
