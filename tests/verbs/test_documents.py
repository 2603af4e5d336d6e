"""Documents by id, in the order of their ids, and their number."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tracemalloc
from pathlib import Path

import pytest

from taskembed.errors import IndexDamagedError, NotFoundError, UsageError
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.verbs.delete import delete_documents
from taskembed.verbs.documents import count_documents, get_documents, list_documents
from taskembed.verbs.index import index_corpus
from tests.fakes import HashEncoder
from tests.index.test_reader import resign

GOLDEN = Path(__file__).parent.parent / "data" / "format-1" / "index"
NUMBERS = [number for number in range(120) if number not in {5, 70}]


def name(number: int) -> str:
    return f"d{number * 37 % 120:03d}"  # the order of rows is not that of ids


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of 120 documents in two segments, of which two are deleted."""
    folder = tmp_path_factory.mktemp("documents") / "index"
    for start in (0, 60):
        numbers = range(start, start + 60)
        part = [Document(name(n), f"text {n}", {"n": n, "odd": n % 2 == 1}) for n in numbers]
        index_corpus(part, HashEncoder(), folder)
    delete_documents(folder, [name(5), name(70)])
    return folder


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "index"))


def ids(folder: Path, where: str | None = None, after: str = "") -> list[str]:
    return [item.doc_id for item in list_documents(folder, where=where, after=after)]


def test_a_list_is_in_the_order_of_the_ids(made: Path) -> None:
    assert ids(made) == sorted(map(name, NUMBERS))
    assert ids(made, after=name(9)) == sorted(name(n) for n in NUMBERS if name(n) > name(9))


@pytest.mark.parametrize("after", ["", "d040", "d0405"])
@pytest.mark.parametrize(
    ("where", "passing"),
    [("n >= 50", range(50, 120)), ("n in (3, 5, 70, 90)", [3, 90]), ("n = 1000", [])],
)
def test_a_filtered_list_is_the_list_without_the_rest(
    made: Path, where: str, passing: list[int], after: str
) -> None:
    wanted = sorted(name(n) for n in passing if n in NUMBERS and name(n) > after)
    assert ids(made, where, after) == wanted


def test_a_list_has_whole_documents(made: Path) -> None:
    (only,) = list_documents(made, where="n = 3")
    assert only == Document(name(3), "text 3", {"n": 3, "odd": True})
    assert [item.doc_id for item in list_documents(made, limit=2)] == ids(made)[:2]


def test_an_index_of_format_1_is_listed_too() -> None:
    assert ids(GOLDEN, "n < 5") == ["d00", "d01", "d02", "d04"]
    assert dict(get_documents(GOLDEN, ["d03"])) == {"d03": None}
    assert count_documents(GOLDEN) == 28
    assert count_documents(GOLDEN, where="even = true") == 15


def test_ids_are_answered_in_their_order_each_once(made: Path) -> None:
    wanted = [name(100), "none", name(5), name(1), name(100)]
    assert list(get_documents(made, iter(wanted))) == [
        (name(100), Document(name(100), "text 100", {"n": 100, "odd": False})),
        ("none", None),
        (name(5), None),
        (name(1), Document(name(1), "text 1", {"n": 1, "odd": True})),
    ]


def test_many_ids_are_looked_up(made: Path) -> None:
    found = dict(get_documents(made, [f"d{number:03d}" for number in range(2_000)]))
    assert sorted(doc_id for doc_id, item in found.items() if item) == sorted(map(name, NUMBERS))


def test_damage_to_one_document_does_not_hide_another(copied: Path) -> None:
    damage(copied, b"text 17")
    assert dict(get_documents(copied, [name(3)]))[name(3)] is not None
    with pytest.raises(IndexDamagedError):
        list(get_documents(copied, [name(17)]))
    with pytest.raises(IndexDamagedError):  # it may be there, and its id be what is damaged
        list(get_documents(copied, ["none"]))
    with pytest.raises(IndexDamagedError):
        ids(copied)
    assert ids(copied, "n = 3") == [name(3)]


def damage(folder: Path, text: bytes) -> None:
    for path in folder.glob("*.db"):
        data = path.read_bytes()
        path.write_bytes(data.replace(text, text[:-1] + b"?"))


def test_an_id_that_the_index_of_ids_lost_is_damage(copied: Path) -> None:
    for path in copied.glob("*.db"):
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute("DELETE FROM documents WHERE text = 'text 3'")
        resign(copied, path.name, path.read_bytes())
    with pytest.raises(IndexDamagedError, match="a document of a vector is missing"):
        ids(copied, "n >= 0")


def test_what_cannot_be_an_id_is_refused(made: Path) -> None:
    with pytest.raises(UsageError, match="is not UTF-8, so no index has it"):
        list(get_documents(made, ["\udcff"]))
    with pytest.raises(UsageError, match="is not UTF-8, so no index has it"):
        ids(made, after="\udcff")
    with pytest.raises(TypeError, match=r"must be a list of texts"):
        list(get_documents(made, "d001"))
    with Index.open(made) as index:
        with pytest.raises(TypeError, match=r"doc_ids must be a list of ids: \['d001'\] for one"):
            index.find("d001")
        assert index.find(["\udcff"]) == {}
        assert "\udcff" not in index
    with pytest.raises(ValueError, match="limit is 0; it must be at least 1"):
        list(list_documents(made, limit=0))


def test_no_index_is_not_an_empty_one(tmp_path: Path) -> None:
    for asked in (
        lambda: list(get_documents(tmp_path / "none", ["a"])),
        lambda: list(list_documents(tmp_path / "none")),
        lambda: count_documents(tmp_path / "none"),
    ):
        with pytest.raises(NotFoundError):
            asked()


def test_a_filtered_list_holds_few_documents(tmp_path: Path) -> None:
    size, count = 100_000, 150
    corpus = (Document(f"d{n:03d}", f"{n} ".ljust(size, "x"), {"n": n}) for n in range(count))
    index_corpus(corpus, HashEncoder(), tmp_path / "i")
    assert len(list(list_documents(tmp_path / "i", where="n = 0"))) == 1  # imports what it needs
    tracemalloc.start()
    try:
        assert sum(1 for _ in list_documents(tmp_path / "i", where="n >= 0")) == count
        assert tracemalloc.get_traced_memory()[1] < size * count / 2
    finally:
        tracemalloc.stop()
