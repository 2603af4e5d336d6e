"""An index that a version with format 1 wrote: tests/data/format-1, of 30 documents."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from taskembed.errors import IndexDamagedError, StorageError
from taskembed.index.contents import Contents
from taskembed.index.disk.generations import read_newest
from taskembed.index.ranking.hits import Hit
from taskembed.index.reader import Index
from taskembed.index.storage import Kind
from taskembed.index.verify import verify_index
from taskembed.reading.document import Document
from taskembed.space import PromptType
from taskembed.vectors import Encoded
from taskembed.verbs.delete import delete_documents
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import Watch
from tests.fakes import HashEncoder, StepFs, fail_at

GOLDEN = Path(__file__).parent.parent / "data" / "format-1" / "index"
DELETED = {"d03", "d17"}


class IdleEncoder(HashEncoder):
    def encode(self, texts: object, prompt_type: PromptType) -> Encoded:
        raise AssertionError("nothing has changed, so nothing is to be encoded")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN, tmp_path / "index"))


def hits(folder: Path, text: str = "word5") -> list[Hit]:
    with Index.open(folder) as index:
        return index.nearest(HashEncoder().encode([text], PromptType.QUERY).vectors, 100)[0]


def kinds(folder: Path) -> set[Kind]:
    return {info.kind for info in Contents.of(folder, read_newest(folder)).live.segments}


def corpus() -> list[Document]:
    texts = {7: "word7 " + "long " * 40}
    return [
        Document(f"d{n:02d}", texts.get(n, f"word{n} common"), {"n": n, "even": n % 2 == 0})
        for n in range(30)
        if f"d{n:02d}" not in DELETED
    ]


def test_it_is_read_and_searched_as_it_is(old: Path) -> None:
    before = {path.name: path.read_bytes() for path in old.iterdir()}
    with Index.open(old) as index:
        assert len(index) == 28
        assert [document.doc_id for document in index] == [item.doc_id for item in corpus()]
        assert index.count_truncated() == 1
        assert index.get("d04") == Document("d04", "word4 common", {"even": True, "n": 4})
        assert index.get("d03") is None
    found = hits(old)
    assert (found[0].doc_id, found[0].text, len(found)) == ("d05", "word5 common", 28)
    assert verify_index(old)[1] == []
    assert {path.name: path.read_bytes() for path in old.iterdir()} == before


def test_the_next_write_makes_format_2_of_it_without_encoding_anything(old: Path) -> None:
    before = hits(old)
    summary = index_corpus(
        [*corpus(), Document("d04", "word4 common", {"n": -4})], IdleEncoder(), old
    )
    assert (summary.updated, summary.unchanged) == (1, 27)
    assert kinds(old) == {Kind.FLAT}
    assert json.loads(max(old.glob("manifest*")).read_bytes()[:-16])["format"] == 2
    assert verify_index(old)[1] == []
    after = hits(old)
    assert [(hit.doc_id, hit.text) for hit in after] == [(hit.doc_id, hit.text) for hit in before]
    assert [hit.score for hit in after] == pytest.approx([hit.score for hit in before], abs=1e-6)
    with Index.open(old) as index:
        assert index.count_truncated() == 1
        assert index.get("d03") is None


@pytest.mark.parametrize("name", ["seg-00000002.faiss", "seg-00000002.db"])
def test_a_flipped_byte_is_refused_and_never_converted(old: Path, name: str) -> None:
    data = bytearray((old / name).read_bytes())
    data[-1] ^= 1
    (old / name).write_bytes(data)
    with pytest.raises(IndexDamagedError, match=f"{name}: its checksum does not match"):
        hits(old)
    with pytest.raises(IndexDamagedError, match=f"{name}: its checksum does not match"):
        delete_documents(old, ["d01"])
    assert [damage.name for damage in verify_index(old)[1]] == [name]


@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.crash)])
def test_an_error_at_any_step_of_the_conversion_leaves_what_was_there(
    tmp_path: Path, every: int
) -> None:
    folder = tmp_path / "counted"
    shutil.copytree(GOLDEN, folder)
    counted = StepFs(lambda *_: None)
    changed = [*corpus()[1:], Document("d99", "word99", {})]
    index_corpus(changed, HashEncoder(), folder, watch=Watch(fs=counted))
    expected = [(hit.doc_id, hit.text) for hit in hits(folder)]
    for step in range(1, len(counted.steps) + 1, every):
        folder = tmp_path / "failed"
        shutil.copytree(GOLDEN, folder)
        with pytest.raises(StorageError):
            index_corpus(changed, HashEncoder(), folder, watch=Watch(fs=StepFs(fail_at(step))))
        assert verify_index(folder)[1] == []
        index_corpus(changed, HashEncoder(), folder)
        assert [(hit.doc_id, hit.text) for hit in hits(folder)] == expected
        assert kinds(folder) == {Kind.FLAT}
        shutil.rmtree(folder)
