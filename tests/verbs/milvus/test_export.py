"""Exports to a Milvus Lite database: what is sent, deleted and refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from taskembed.errors import BadInputError, NotFoundError, SpaceMismatchError, UsageError
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.space import Task
from taskembed.testing import HASH_SPACE, HashEncoder
from taskembed.verbs.delete import delete_documents
from taskembed.verbs.index import index_corpus
from taskembed.verbs.milvus import export
from taskembed.verbs.milvus.addresses import CollectionAddress
from taskembed.verbs.milvus.client import Client
from taskembed.verbs.milvus.export import MilvusExport, export_to_milvus
from tests.verbs.milvus.conftest import Exported, long, make, numbered

pytestmark = pytest.mark.slow  # the library takes a second to load


class Killed(BaseException):
    """The process ends here."""


def stored(database: str, name: str = "notes") -> dict[str, object]:
    """Return the texts of all rows by id and part, and the properties of the collection."""
    client = Client(CollectionAddress(database, name))
    try:
        client.load()
        rows = [row for page in client.listed(["doc_id", "part", "text", "space"]) for row in page]
        found: dict[str, object] = {f"{row['doc_id']}/{row['part']}": row["text"] for row in rows}
        assert len(found) == len(rows) == client.count()
        assert len({row["space"] for row in rows}) <= 1
        return found | {"complete": client.properties()["taskembed.complete"]}
    finally:
        client.close()


def test_only_what_has_changed_is_sent(tmp_path: Path, database: str, exported: Exported) -> None:
    folder = make(tmp_path / "index", numbered(50))
    first = exported(folder)
    assert (first.documents, first.rows, first.rows_sent, first.rows_deleted) == (50, 50, 50, 0)
    assert first.bytes_sent > 50 * 4 * 16
    assert first.address == f"milvus:{database}/notes"
    nothing = replace(first, rows_sent=0, bytes_sent=0)
    assert exported(folder) == nothing
    changed = [*numbered(50)[2:], Document("0000", "now another text"), Document("new", "a text")]
    third = exported(make(folder, changed))
    assert (third.documents, third.rows_sent, third.rows_deleted) == (50, 2, 1)
    found = stored(database)
    assert (found["0000/0"], found["new/0"]) == ("now another text", "a text")
    assert "0001/0" not in found
    assert (len(found), found["complete"]) == (51, "yes")


def test_chunks_of_a_document_live_and_die_together(
    tmp_path: Path, database: str, exported: Exported
) -> None:
    make(tmp_path / "index", [long(1), long(2), long(3)], chunk="16:4")
    with Index.open(tmp_path / "index") as index:
        positions = index.by_position()
        rows = {doc.doc_id: len(positions.chunks_of(n)[0]) for n, doc in enumerate(index)}
    first = exported(tmp_path / "index")
    assert (first.documents, first.rows_sent) == (3, sum(rows.values()))
    assert min(rows.values()) > 1
    make(tmp_path / "index", [long(1), long(2, words=20)], chunk="16:4")
    second = exported(tmp_path / "index")
    assert second.rows == second.rows_sent + rows["long1"]
    assert second.rows_deleted == sum(rows.values()) - second.rows
    keys = {key for key in stored(database) if key.startswith("long3")}
    assert not keys


def test_a_filter_chooses_the_documents(tmp_path: Path, database: str, exported: Exported) -> None:
    folder = make(tmp_path / "index", numbered(20))
    assert exported(folder, where="n < 5").rows_sent == 5
    assert exported(folder, where="n < 3").rows_deleted == 2
    assert len(stored(database)) == 3 + 1
    with pytest.raises(UsageError):
        exported(folder, where="n <")


def killed_at(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process end before the write of this number."""
    writes = count(1)

    def counting(method: str) -> None:
        real = getattr(Client, method)

        def write(client: Client, *arguments: object) -> None:
            if next(writes) == number:
                raise Killed
            real(client, *arguments)

        monkeypatch.setattr(Client, method, write)

    for method in ("upsert", "delete", "set_properties"):
        counting(method)


@pytest.mark.parametrize("number", range(1, 10))
def test_a_stopped_export_is_completed_by_the_next(
    tmp_path: Path,
    database: str,
    exported: Exported,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    monkeypatch.setattr(export, "_REQUEST_ROWS", 6)
    monkeypatch.setattr(export, "_DELETED_AT_ONCE", 2)
    exported(make(tmp_path / "index", [*numbered(6), long(1), long(2)], chunk="16:4"))
    make(tmp_path / "index", [long(1, words=60), *numbered(20)[3:]], chunk="16:4")
    with monkeypatch.context() as patched:
        killed_at(number, patched)
        with pytest.raises(Killed):
            exported(tmp_path / "index")
    assert stored(database)["complete"] == ("yes" if number == 1 else "no")
    exported(tmp_path / "index")
    exported(tmp_path / "index", name="whole")
    assert stored(database) == stored(database, "whole")


def test_a_collection_of_another_space_is_refused(
    tmp_path: Path, database: str, exported: Exported
) -> None:
    exported(make(tmp_path / "index", numbered(3)))
    other = HashEncoder(replace(HASH_SPACE, task=Task.CLUSTERING))
    index_corpus(numbered(2), other, tmp_path / "other")
    with pytest.raises(SpaceMismatchError, match="of the collection") as caught:
        exported(tmp_path / "other")
    assert "task: the collection has 'retrieval', not 'clustering'" in caught.value.message
    assert f"milvus:{database}/notes" in caught.value.message
    assert "--recreate" in str(caught.value.hint)
    assert len(stored(database)) == 3 + 1
    assert exported(tmp_path / "other", recreate=True).rows_sent == 2
    assert len(stored(database)) == 2 + 1


def test_a_collection_without_a_space_is_refused(
    tmp_path: Path, database: str, exported: Exported
) -> None:
    client = Client(CollectionAddress(database, "notes"), creates=True)
    client.create({"id": ("INT64", {})}, 4, {})
    client.close()
    folder = make(tmp_path / "index", numbered(3))
    with pytest.raises(SpaceMismatchError, match="does not say what its embedding space is"):
        exported(folder)
    assert exported(folder, recreate=True).rows_sent == 3


def test_what_milvus_cannot_hold_is_refused_by_its_id(
    tmp_path: Path, database: str, exported: Exported
) -> None:
    folder = make(tmp_path / "index", [*numbered(2), Document("big", "x" * 70_000, {"n": 9})])
    with pytest.raises(BadInputError, match="document 'big': its text has 70,000 bytes"):
        exported(folder)
    assert exported(folder, where="n < 9").documents == 2


def test_odd_ids_texts_and_metadata_are_stored(
    tmp_path: Path, database: str, exported: Exported
) -> None:
    odd = [
        Document('a"b\\c\u202e', "quotes \" ' \\ and \x00 and 😀", {"$": [1, {"é": None}]}),
        Document("'", "x", {"big": 2**63, "deep": {"a": {"b": []}}, "float": 1e300}),
    ]
    exported(make(tmp_path / "index", odd))
    found = stored(database)
    for document in odd:
        assert found[f"{document.doc_id}/0"] == document.text
    assert exported(tmp_path / "index").rows_sent == 0


def test_no_folder_and_no_index(tmp_path: Path) -> None:
    folder = make(tmp_path / "index", numbered(1))
    with (
        Index.open(folder) as index,
        pytest.raises(NotFoundError, match=r"absent: no such folder"),
    ):
        export_to_milvus(index, str(tmp_path / "absent" / "x.db"), "notes")
    with pytest.raises(TypeError, match="expected Index"):
        export_to_milvus("index", "x.db", "notes")  # type: ignore[arg-type]  # what is tested


def test_an_empty_index(tmp_path: Path, database: str, exported: Exported) -> None:
    folder = make(tmp_path / "index", numbered(3))
    exported(folder, name="other")
    delete_documents(folder, ["0000", "0001", "0002"])
    done = exported(folder)
    assert done == MilvusExport(f"milvus:{database}/notes", 0, 0, 0, 0, 0)
    assert stored(database) == {"complete": "yes"}
    with pytest.raises(BadInputError, match="every row of the collection would be deleted"):
        exported(folder, name="other")
    assert len(stored(database, "other")) == 3 + 1
    assert exported(folder, name="other", recreate=True) == replace(
        done, address=f"milvus:{database}/other"
    )
