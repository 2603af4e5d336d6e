"""What an index says of itself, and what the next run takes over from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from taskembed.errors import BadInputError, IndexDamagedError, NotFoundError, UsageError
from taskembed.index.contents import read_index
from taskembed.index.remembered import Reading
from taskembed.reading.document import Document
from taskembed.verbs.delete import delete_documents
from taskembed.verbs.describe import Existing, describe_index, read_existing
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions
from tests.fakes import SPACE, HashEncoder

LONG = "word " * (SPACE.max_length + 1)
DOCUMENTS = [Document("a", "one"), Document("b", LONG), Document("c", "three")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    reading = Reading(format="csv", id_field="key")
    index_corpus(DOCUMENTS, HashEncoder(), tmp_path / "i", options=IndexOptions(reading=reading))
    return tmp_path / "i"


def stop_recreating(folder: Path) -> None:
    def broken() -> Iterator[Document]:
        yield from DOCUMENTS[:2]
        raise BadInputError("cut short")

    options = IndexOptions(recreate=True, commit_every=1)
    with pytest.raises(BadInputError):
        index_corpus(broken(), HashEncoder(), folder, options=options)


def test_an_index_is_described(folder: Path) -> None:
    delete_documents(folder, ["a"])
    described = describe_index(folder)
    assert described.space == SPACE
    assert (described.documents, described.truncated, described.segments) == (2, 1, 1)
    assert described.made_by["engine"] == "hash"
    assert described.reading == {"format": "csv", "id_field": "key"}
    assert described.generation in described.generations_kept
    assert described.notes == ()
    assert not described.is_being_recreated
    value = described.to_json()
    assert value["index"] == str(folder)
    assert value["space"] == SPACE.to_json()
    kept = [path for path in folder.iterdir() if path.is_file()]
    assert 0 < described.size_bytes <= sum(path.stat().st_size for path in kept)


def test_a_note_says_that_a_new_index_is_half_built(folder: Path) -> None:
    stop_recreating(folder)
    described = describe_index(folder)
    assert described.is_being_recreated
    assert described.notes == read_existing(folder).notes
    assert described.notes == (
        "a run with --recreate was stopped after 2 documents: the same command with --recreate "
        "continues it; until then its files are kept",
    )
    assert read_existing(folder, recreate=True).notes == ()


def test_what_cannot_be_counted_is_a_note(folder: Path) -> None:
    (segment,) = read_index(folder)[1].live.segments
    documents = folder / segment.documents_file
    documents.write_bytes(bytes(documents.stat().st_size))
    described = describe_index(folder)
    assert described.truncated is None
    (note,) = described.notes
    assert note.startswith("the truncated documents cannot be counted: the index is damaged: ")


def test_no_index_is_described_or_taken_over(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        describe_index(tmp_path / "none")
    assert read_existing(tmp_path / "none") == Existing()
    assert Existing().space is None


def test_damage_matters_unless_the_index_is_made_again(folder: Path) -> None:
    (segment,) = read_index(folder)[1].live.segments
    (folder / segment.vectors_file).unlink()
    with pytest.raises(IndexDamagedError):
        read_existing(folder)
    assert read_existing(folder, recreate=True) == Existing()


def test_the_next_run_reads_its_input_as_the_last_did(folder: Path) -> None:
    existing = read_existing(folder)
    assert existing.space == SPACE
    asked = Reading(on_duplicate="first", id_field="key")
    assert existing.reading(asked) == Reading(format="csv", id_field="key", on_duplicate="first")
    other = Reading(id_field="number")
    with pytest.raises(UsageError, match="come from the field 'key'"):
        existing.reading(other)
    assert existing.reading(other, recreate=True).id_field == "number"
    assert Existing().reading(other) == other
