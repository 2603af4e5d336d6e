from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from taskembed.errors import (
    IndexBusyError,
    IndexDamagedError,
    NotFoundError,
    SpaceMismatchError,
    StorageError,
    TaskembedError,
    UsageError,
)
from taskembed.index._merge_choice import MERGE_FACTOR
from taskembed.index._segments.segment import Segment
from taskembed.index.contents import Contents
from taskembed.index.disk.generations import read_newest, verify
from taskembed.index.disk.manifests import manifest_bytes, manifest_name, read_manifest
from taskembed.index.documents import StoredDocument
from taskembed.index.outcomes import Outcome
from taskembed.index.reader import Index
from taskembed.index.remembered import Reading
from taskembed.index.update import open_index_writer
from taskembed.index.writer import IndexWriter
from taskembed.reading.document import Document
from taskembed.space import PromptType, Task
from taskembed.vectors import FloatRows
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions, IndexSummary, Watch
from taskembed.verbs.plan import plan_delete
from taskembed.verbs.search import search_index
from tests.fakes import SPACE, HashEncoder, StepFs, fail_at

MADE_BY = {"engine": "test"}
OTHER_SPACE = replace(SPACE, task=Task.CLUSTERING, query_prompt="", document_prompt="")
RECREATE = IndexOptions(recreate=True, commit_every=5)


def stored(*doc_ids: str, text: str = "text of ") -> list[StoredDocument]:
    return [StoredDocument(0, doc_id, text + doc_id, "{}", False) for doc_id in doc_ids]  # noqa: FBT003  # a field


def unit_rows(count: int, seed: int = 0) -> FloatRows:
    rows = np.random.default_rng(seed).standard_normal((count, SPACE.dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)  # type: ignore[no-any-return]  # numpy's type of a quotient


def add(
    writer: IndexWriter, doc_ids: Sequence[str], seed: int = 0, outcome: Outcome = Outcome.ADDED
) -> FloatRows:
    """Put documents, in the place of those that are there; return their vectors."""
    found = writer.find(doc_ids)
    vectors = unit_rows(len(doc_ids), seed)
    writer.put(
        stored(*doc_ids),
        vectors,
        replaced=[found.get(doc_id) for doc_id in doc_ids],
        outcomes=[outcome] * len(doc_ids),
    )
    return vectors


def numbered(first: int, count: int) -> list[str]:
    return [f"d{number:04d}" for number in range(first, first + count)]


def documents(count: int, text: str = "text", first: int = 0) -> list[Document]:
    return [Document(name, f"{text} {name}", {"of": name}) for name in numbered(first, count)]


def ids(folder: Path, encoder: HashEncoder | None = None) -> list[str]:
    with Index.open(folder) as index:
        hits = search_index(["text"], encoder or HashEncoder(), index, k=10_000)[0]
        assert len(hits) == len(index)
        return sorted(hit.doc_id for hit in hits)


def texts(folder: Path, encoder: HashEncoder | None = None) -> dict[str, str]:
    with Index.open(folder) as index:
        hits = search_index(["text"], encoder or HashEncoder(), index, k=10_000)[0]
        return {hit.doc_id: hit.text for hit in hits}


def rows_of(folder: Path) -> list[tuple[int, int]]:
    with Index.open(folder) as index:
        return [(info.rows, info.deleted_rows) for info in index.contents.live.segments]


# --- put, find, delete ---------------------------------------------------------------------------


def test_an_index_is_made_with_its_first_documents_and_an_empty_generation_before_them(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "i"
    with open_index_writer(folder, SPACE) as writer:
        assert (len(writer), writer.space) == (0, SPACE)
        with pytest.raises(NotFoundError):
            read_newest(folder)
        add(writer, ["a"])
        writer.commit(MADE_BY)
        assert read_newest(folder).generation == 1
        assert read_manifest(folder, 0).files == {}


def test_an_index_that_never_had_a_document_takes_the_next_space(tmp_path: Path) -> None:
    folder = tmp_path / "i"
    with open_index_writer(folder, SPACE) as writer:
        writer.finish({})
    assert ids(folder) == []
    other = replace(SPACE, template="{body}")
    with open_index_writer(folder, other) as writer:
        add(writer, ["a"])
        writer.finish(MADE_BY)
    with Index.open(folder) as index:
        assert index.space == other


def test_how_the_input_is_read_is_remembered_of_each_part(tmp_path: Path) -> None:
    folder = tmp_path / "i"
    by_url, by_key = Reading(id_field="url"), Reading(id_field="key", on_duplicate="first")
    with open_index_writer(folder, SPACE, reading=by_url) as writer:
        add(writer, ["a"])
        writer.finish(MADE_BY)
    with open_index_writer(folder, SPACE, recreate=True, reading=by_key) as writer:
        add(writer, ["b"])
        writer.commit(MADE_BY)
    contents = Contents.of(folder, read_newest(folder))
    assert contents.building
    assert (contents.live.reading, contents.building.reading) == (by_url, by_key)
    with open_index_writer(folder, SPACE, recreate=True, reading=by_key) as writer:
        writer.finish(MADE_BY)
    contents = Contents.of(folder, read_newest(folder))
    assert (contents.live.reading, contents.building) == (by_key, None)
    with (
        pytest.raises(UsageError, match=r"^--id-field url: the ids of this index come from"),
        open_index_writer(folder, SPACE, reading=by_url),
    ):
        pass


def test_what_was_put_is_found_before_and_after_its_commit(tmp_path: Path) -> None:
    with open_index_writer(tmp_path / "i", SPACE) as writer:
        vectors = add(writer, ["a", "b"])
        for _ in range(2):
            found = writer.find(["b", "absent", "a"])
            assert sorted(found) == ["a", "b"]
            assert found["a"].document.text == "text of a"
            assert writer.vectors(found["b"])[0].tobytes() == vectors[1:].tobytes()
            assert len(writer) == 2
            writer.commit(MADE_BY)


def test_nothing_is_in_the_index_until_it_is_committed(tmp_path: Path) -> None:
    folder = tmp_path / "i"
    with open_index_writer(folder, SPACE) as writer:
        add(writer, ["a"])
        assert (writer.uncommitted_documents, writer.committed_documents) == (1, 0)
        # a text of nine characters, metadata of two, a vector of sixteen numbers
        assert writer.uncommitted_bytes == 9 + 2 + 64
        with pytest.raises(NotFoundError):
            ids(folder)
        assert writer.commit(MADE_BY) is True
        assert (writer.uncommitted_documents, writer.committed_documents) == (0, 1)
        assert ids(folder) == ["a"]


def test_without_changes_there_is_no_generation(tmp_path: Path) -> None:
    with open_index_writer(tmp_path / "i", SPACE) as writer:
        add(writer, ["a"])
        writer.commit(MADE_BY)
        assert writer.commit(MADE_BY) is False
        writer.finish(MADE_BY)
    assert read_newest(tmp_path / "i").generation == 1


def test_a_document_replaces_the_one_with_its_id(tmp_path: Path) -> None:
    with open_index_writer(tmp_path / "i", SPACE) as writer:
        add(writer, ["a", "b", "c"])
        writer.commit(MADE_BY)
        newer = add(writer, ["b"], seed=1)
        newest = add(writer, ["b"], seed=2)
        assert len(writer) == 3
        writer.commit(MADE_BY)
        assert len(writer) == 3
        found = writer.find(["b"])["b"]
        assert writer.vectors(found)[0].tobytes() == newest.tobytes() != newer.tobytes()
    assert ids(tmp_path / "i") == ["a", "b", "c"]
    # the second "b" never stood in a generation, but its row keeps its place
    assert rows_of(tmp_path / "i") == [(3, 1), (2, 1)]


def test_deleted_documents_are_named_once_and_gone(tmp_path: Path) -> None:
    with open_index_writer(tmp_path / "i", SPACE) as writer:
        add(writer, ["a", "b", "c"])
        writer.commit(MADE_BY)
        add(writer, ["d"])
        assert writer.delete(["b", "x", "d", "b"]) == ["b", "d"]
        assert len(writer) == 2
        assert writer.find(["b", "d"]) == {}
        writer.commit(MADE_BY)
    assert ids(tmp_path / "i") == ["a", "c"]


def test_a_deleted_document_can_be_put_again(tmp_path: Path) -> None:
    with open_index_writer(tmp_path / "i", SPACE) as writer:
        for _ in range(3):
            add(writer, ["a", "b", "c"])
            writer.commit(MADE_BY)
            writer.delete(["b"])
            add(writer, ["b"])
            writer.delete(["b"])
            writer.commit(MADE_BY)
        assert len(writer) == 2
    assert ids(tmp_path / "i") == ["a", "c"]


def test_putting_and_deleting_before_any_commit_leaves_nothing(tmp_path: Path) -> None:
    with open_index_writer(tmp_path / "i", SPACE) as writer:
        add(writer, ["a"])
        writer.delete(["a"])
        writer.commit(MADE_BY)
        assert len(writer) == 0
    assert rows_of(tmp_path / "i") == []


def test_prune_deletes_what_this_run_has_not_seen(tmp_path: Path) -> None:
    with open_index_writer(tmp_path / "i", SPACE) as writer:
        add(writer, ["a", "b", "c"])
        writer.commit(MADE_BY)
    with open_index_writer(tmp_path / "i", SPACE) as writer:
        writer.mark(writer.find(["a"])["a"], Outcome.UNCHANGED)
        add(writer, ["d"])
        assert writer.prune() == 2
        assert writer.prune() == 0
        writer.commit(MADE_BY)
        assert writer.tally() == {
            Outcome.UNSEEN: 0,
            Outcome.UNCHANGED: 1,
            Outcome.ADDED: 1,
            Outcome.UPDATED: 0,
        }
    assert ids(tmp_path / "i") == ["a", "d"]


# --- what an index was made of -------------------------------------------------------------------


def test_only_changed_metadata_keeps_the_very_same_vector(tmp_path: Path) -> None:
    index_corpus(documents(3), HashEncoder(), tmp_path / "i")
    with open_index_writer(tmp_path / "i", SPACE) as writer:
        before = writer.vectors(writer.find(["d0001"])["d0001"])[0].tobytes()
    encoder = HashEncoder()
    changed = [*documents(1), Document("d0001", "text d0001", {"of": "another"})]
    summary = index_corpus(changed, encoder, tmp_path / "i")
    assert (encoder.prompted, summary.updated, summary.unchanged) == ([], 1, 1)
    with open_index_writer(tmp_path / "i", SPACE) as writer:
        found = writer.find(["d0001"])["d0001"]
        assert found.document.metadata == '{"of":"another"}'
        assert writer.vectors(found)[0].tobytes() == before


def test_every_way_of_cutting_the_work_gives_the_same_index(tmp_path: Path) -> None:
    corpus = documents(30) + documents(10, "newer", first=5)
    answers = []
    for every in (1, 4, 7, 32, 1000):
        folder = tmp_path / str(every)
        summary = index_corpus(
            corpus, HashEncoder(), folder, options=IndexOptions(commit_every=every)
        )
        queries = ["text d0012", "newer"]
        with Index.open(folder) as index:
            # words of deleted documents count until their segment is merged
            answers.append(search_index(queries, HashEncoder(), index, k=100, mode="dense"))
        assert (summary.added, summary.duplicates, summary.documents) == (30, 10, 30)
    assert answers.count(answers[0]) == 5


# --- merging -------------------------------------------------------------------------------------


def test_segments_of_about_a_size_become_one_and_nothing_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "i"
    vectors: dict[str, bytes] = {}
    with open_index_writer(folder, SPACE) as writer:
        for number in range(MERGE_FACTOR):
            names = numbered(number * 10, 10)
            outcome = [Outcome.ADDED, Outcome.UPDATED][number % 2]
            rows = add(writer, names, seed=number, outcome=outcome)
            vectors |= {name: row.tobytes() for name, row in zip(names, rows, strict=True)}
            writer.delete(["d0003", "d0042"])
            writer.commit(MADE_BY)
        for name in ("d0003", "d0042"):
            del vectors[name]
        # the eighth commit is followed by one of what was merged
        assert read_newest(folder).generation == MERGE_FACTOR + 1
        found = writer.find(list(vectors))
        assert {name: writer.vectors(item)[0].tobytes() for name, item in found.items()} == vectors
        assert {name: item.document.text for name, item in found.items()} == {
            name: f"text of {name}" for name in vectors
        }
        tally = writer.tally()
        assert (tally[Outcome.ADDED], tally[Outcome.UPDATED]) == (38, 40)
        assert found["d0005"].outcome is Outcome.ADDED
        assert found["d0015"].outcome is Outcome.UPDATED
    assert rows_of(folder) == [(78, 0)]
    assert ids(folder) == sorted(vectors)


def test_truncated_documents_stay_truncated_when_they_are_merged(tmp_path: Path) -> None:
    corpus = [Document(name, "word " * 40, {}) for name in numbered(0, 8)]
    index_corpus(corpus, HashEncoder(), tmp_path / "i", options=IndexOptions(commit_every=1))
    assert rows_of(tmp_path / "i") == [(8, 0)]
    assert index_corpus(corpus, HashEncoder(), tmp_path / "i").truncated == 8


def test_a_segment_that_is_mostly_deleted_is_written_again(tmp_path: Path) -> None:
    with open_index_writer(tmp_path / "i", SPACE) as writer:
        add(writer, numbered(0, 10))
        writer.commit(MADE_BY)
        writer.delete(numbered(0, 5))
        writer.commit(MADE_BY)
        assert rows_of(tmp_path / "i") == [(10, 5)]
        writer.delete(["d0005"])
        writer.commit(MADE_BY)
    assert rows_of(tmp_path / "i") == [(4, 0)]
    assert ids(tmp_path / "i") == numbered(6, 4)


def test_what_a_merge_replaced_is_removed_by_and_by(tmp_path: Path) -> None:
    folder = tmp_path / "i"
    index_corpus(documents(40), HashEncoder(), folder, options=IndexOptions(commit_every=4))
    newest = read_newest(folder)
    before = {path.name for path in folder.iterdir()}
    assert before - set(newest.files) == {
        "LOCK",
        manifest_name(newest.generation),
        manifest_name(newest.generation - 1),
    }


# --- another space, another writer ---------------------------------------------------------------


def test_documents_of_another_space_are_refused_and_nothing_changes(tmp_path: Path) -> None:
    folder = tmp_path / "i"
    index_corpus(documents(3), HashEncoder(), folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "LOCK"}
    with pytest.raises(SpaceMismatchError) as caught, open_index_writer(folder, OTHER_SPACE):
        pass
    assert caught.value.message.splitlines() == [
        "this is not the embedding space of the index",
        "  task: the index has 'retrieval', not 'clustering'",
        "  query_prompt: the index has 'query: ', not ''",
        "  document_prompt: the index has 'passage: ', not ''",
        "  vectors of different spaces cannot be compared: their scores would mean nothing",
    ]
    assert caught.value.hint == (
        "leave out the options that differ to add to this index; or keep it and build another one "
        "with --index OTHER; or replace it with --recreate. Nothing was changed"
    )
    after = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "LOCK"}
    assert after == before


def test_there_is_one_writer(tmp_path: Path) -> None:
    with (
        open_index_writer(tmp_path / "i", SPACE),
        pytest.raises(IndexBusyError),
        open_index_writer(tmp_path / "i", SPACE),
    ):
        pass


def test_a_folder_that_is_moved_under_a_writer_is_not_called_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "i"
    index_corpus(documents(3), HashEncoder(), folder)
    with open_index_writer(folder, SPACE) as writer:
        found = writer.find(["d0000"])["d0000"]
        folder.rename(tmp_path / "moved")
        # what is open is read on; but nothing is written where another index may be by now
        assert writer.vectors(found)[0].shape == (1, SPACE.dim)
        writer.delete(["d0000"])
        with pytest.raises(StorageError, match="LOCK: it was deleted or replaced"):
            writer.commit({})


def test_a_dry_run_beside_a_writer_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "i"
    index_corpus(documents(3), HashEncoder(), folder)
    taken: list[Path] = []

    def slow_segment(*arguments: Any) -> Segment:  # noqa: ANN401  # as Segment
        if not taken:
            taken.append(folder)
            for number in range(4):
                index_corpus(documents(3, f"text {number}"), HashEncoder(), folder)
        return Segment(*arguments)

    monkeypatch.setattr("taskembed.index._open_segments.open_segment", slow_segment)
    assert plan_delete(folder, ["d0001", "absent"]) == (1, ["absent"])
    assert taken


# --- an index is made again ----------------------------------------------------------------------


class Killed(BaseException):
    """Stands for the end of the process: nothing of ours catches it."""


def stop_after(commits: int) -> StepFs:
    """Return a file system on which the run ends after so many commits."""
    renamed: list[str] = []

    def step(_number: int, name: str) -> None:
        if len(renamed) == commits:
            raise Killed
        if name == "rename":
            renamed.append(name)

    return StepFs(step)


def recreate(
    folder: Path, corpus: list[Document], encoder: HashEncoder, commits: int | None = None
) -> IndexSummary | None:
    """Make the index again; return None when it was "killed" after so many commits."""
    watch = Watch() if commits is None else Watch(fs=stop_after(commits))
    try:
        return index_corpus(corpus, encoder, folder, options=RECREATE, watch=watch)
    except Killed:
        return None


def test_the_old_index_answers_until_the_new_one_is_finished(tmp_path: Path) -> None:
    folder = tmp_path / "i"
    index_corpus(documents(3), HashEncoder(), folder)
    old = texts(folder)
    with open_index_writer(folder, OTHER_SPACE, recreate=True) as writer:
        assert (len(writer), writer.space) == (0, OTHER_SPACE)
        for number in range(3):
            add(writer, numbered(100 + number * 2, 2))
            writer.commit(MADE_BY)
            assert texts(folder) == old
        assert verify(folder)[1] == []
        writer.finish(MADE_BY)
        assert ids(folder, HashEncoder(OTHER_SPACE)) == numbered(100, 6)


def test_a_killed_recreation_is_continued_in_the_same_space(tmp_path: Path) -> None:
    folder = tmp_path / "i"
    index_corpus(documents(3), HashEncoder(), folder)
    old = texts(folder)
    corpus = documents(20, "newer")
    assert recreate(folder, corpus, HashEncoder(OTHER_SPACE), commits=2) is None
    assert texts(folder) == old
    encoder = HashEncoder(OTHER_SPACE)
    summary = recreate(folder, corpus, encoder)
    assert summary
    assert (summary.encoded, summary.documents) == (10, 20)
    assert encoder.prompted == [f"newer {name}" for name in numbered(10, 10)]
    assert ids(folder, encoder) == numbered(0, 20)


def test_a_killed_recreation_is_thrown_away_for_another_space(tmp_path: Path) -> None:
    folder = tmp_path / "i"
    index_corpus(documents(3), HashEncoder(), folder)
    assert recreate(folder, documents(20, "newer"), HashEncoder(OTHER_SPACE), commits=2) is None
    encoder = HashEncoder(OTHER_SPACE, task=Task.CODE)
    summary = recreate(folder, documents(20, "newer"), encoder)
    assert summary
    assert (summary.encoded, summary.documents) == (20, 20)
    assert ids(folder, encoder) == numbered(0, 20)


def test_what_only_the_killed_recreation_had_read_is_not_in_the_index(tmp_path: Path) -> None:
    folder = tmp_path / "i"
    index_corpus(documents(3), HashEncoder(), folder)
    assert recreate(folder, documents(20), HashEncoder(OTHER_SPACE), commits=2) is None
    recreate(folder, documents(4, first=8), HashEncoder(OTHER_SPACE))
    assert ids(folder, HashEncoder(OTHER_SPACE)) == numbered(8, 4)


def test_an_update_between_does_not_disturb_what_is_being_made(tmp_path: Path) -> None:
    folder = tmp_path / "i"
    index_corpus(documents(3), HashEncoder(), folder)
    assert recreate(folder, documents(20), HashEncoder(OTHER_SPACE), commits=2) is None
    index_corpus(documents(5), HashEncoder(), folder)
    assert ids(folder) == numbered(0, 5)
    encoder = HashEncoder(OTHER_SPACE)
    summary = recreate(folder, documents(20), encoder)
    assert summary
    assert (summary.encoded, summary.documents) == (10, 20)


def test_an_index_can_be_made_again_in_its_own_space(tmp_path: Path) -> None:
    folder = tmp_path / "i"
    index_corpus(documents(3), HashEncoder(), folder)
    summary = recreate(folder, documents(2), HashEncoder())
    assert summary
    assert (summary.encoded, summary.documents) == (2, 2)
    assert ids(folder) == numbered(0, 2)


@pytest.mark.parametrize("what", ["the manifest", "vectors", "documents"])
def test_a_damaged_index_can_be_made_again(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "i"
    index_corpus(documents(3), HashEncoder(), folder)
    pattern = {"the manifest": "manifest-*1.json", "vectors": "*.faiss", "documents": "*.db"}[what]
    (path,) = folder.glob(pattern)
    path.write_bytes(b"damaged")
    summary = recreate(folder, documents(20), HashEncoder())
    assert summary
    assert summary.documents == 20
    assert ids(folder) == numbered(0, 20)


@pytest.mark.parametrize(
    "spoilt", [{"live": 7}, {"building": 7}, {"committed_at": None}, None], ids=str
)
def test_a_signed_manifest_with_another_body_is_refused_and_can_be_made_again(
    tmp_path: Path, spoilt: dict[str, object] | None
) -> None:
    folder = tmp_path / "i"
    index_corpus(documents(3), HashEncoder(), folder)
    snapshot = read_newest(folder)
    hostile = replace(snapshot, body={} if spoilt is None else {**snapshot.body, **spoilt})
    (folder / manifest_name(snapshot.generation)).write_bytes(manifest_bytes(hostile))
    with pytest.raises(IndexDamagedError):
        index_corpus(documents(20), HashEncoder(), folder)
    summary = recreate(folder, documents(20), HashEncoder())
    assert summary
    assert summary.documents == 20
    assert ids(folder) == numbered(0, 20)


@pytest.mark.parametrize("kind", ["faiss", "db"])
def test_damage_to_what_is_being_made_can_be_made_again_too(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "i"
    index_corpus(documents(3), HashEncoder(), folder)
    assert recreate(folder, documents(20), HashEncoder(OTHER_SPACE), commits=2) is None
    newest = max(folder.glob(f"*.{kind}"))
    newest.write_bytes(b"damaged")
    summary = recreate(folder, documents(20), HashEncoder(OTHER_SPACE))
    assert summary
    assert ids(folder, HashEncoder(OTHER_SPACE)) == numbered(0, 20)


def test_a_writer_that_cannot_open_leaves_nothing_open(tmp_path: Path) -> None:
    folder = tmp_path / "i"
    index_corpus(documents(10), HashEncoder(), folder, options=IndexOptions(5))
    max(folder.glob("*.db")).write_bytes(b"damaged")
    with pytest.raises(IndexDamagedError) as caught, open_index_writer(folder, SPACE):
        pass
    links = [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    assert caught.value.exit_code == 76
    assert [path for path in links if folder in path.parents] == []


# --- an error at every call of a run --------------------------------------------------------------


def steps_of(folder: Path, corpus: list[Document]) -> int:
    fs = StepFs(lambda _number, _name: None)
    index_corpus(corpus, HashEncoder(), folder, options=IndexOptions(5), watch=Watch(fs=fs))
    return len(fs.steps)


REASONS = {
    errno.ENOSPC: "No space left on device",
    errno.EIO: "Input/output error",
    errno.EACCES: "Permission denied",
    errno.EROFS: "Read-only file system",
}


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(code, id=name, marks=[] if code == errno.ENOSPC else pytest.mark.crash)
        for code, name in REASONS.items()
    ],
)
@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.crash)])
def test_an_error_at_any_call_leaves_each_document_old_or_new(
    tmp_path: Path, code: int, every: int
) -> None:
    first, second = documents(12), documents(12, "newer")
    index_corpus(first, HashEncoder(), tmp_path / "first", options=IndexOptions(5))
    shutil.copytree(tmp_path / "first", tmp_path / "counted")
    old, new = texts(tmp_path / "counted"), {item.doc_id: item.text for item in second}
    steps = steps_of(tmp_path / "counted", second)
    assert steps > 40
    for number in range(1, steps + 1, every):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "first", folder)
        watch = Watch(fs=StepFs(fail_at(number, code)))
        with pytest.raises(TaskembedError) as caught:
            index_corpus(second, HashEncoder(), folder, options=IndexOptions(5), watch=watch)
        assert f": {REASONS[code]}" in caught.value.message
        assert str(folder) in caught.value.message
        after = texts(folder)
        assert verify(folder)[1] == []
        assert after.keys() == old.keys(), f"step {number}: documents are gone"
        assert all(text in (old[name], new[name]) for name, text in after.items())
        index_corpus(second, HashEncoder(), folder, options=IndexOptions(5))
        assert texts(folder) == new


def test_an_error_says_how_many_documents_are_safe(tmp_path: Path) -> None:
    fs = StepFs(lambda _number, _name: None)
    index_corpus(
        documents(12), HashEncoder(), tmp_path / "a", options=IndexOptions(5), watch=Watch(fs=fs)
    )
    third_commit = [number for number, name in enumerate(fs.steps, 1) if name == "rename"][2]
    watch = Watch(fs=StepFs(fail_at(third_commit, errno.ENOSPC)))
    with pytest.raises(StorageError) as caught:
        index_corpus(
            documents(12), HashEncoder(), tmp_path / "b", options=IndexOptions(5), watch=watch
        )
    assert caught.value.safe_documents == 5
    assert ids(tmp_path / "b") == numbered(0, 5)


def test_vectors_are_those_of_the_encoder_after_everything(tmp_path: Path) -> None:
    folder = tmp_path / "i"
    options = IndexOptions(commit_every=3)
    index_corpus(documents(30), HashEncoder(), folder, options=options)
    index_corpus(documents(10, "newer", first=5), HashEncoder(), folder, options=options)
    expected = {item.doc_id: item.text for item in documents(30) + documents(10, "newer", first=5)}
    rows = HashEncoder().encode(list(expected.values()), PromptType.DOCUMENT).vectors
    with open_index_writer(folder, SPACE) as writer:
        found = writer.find(list(expected))
        got = np.concatenate([writer.vectors(found[doc_id])[0] for doc_id in expected])
    assert got.tobytes() == rows.tobytes()
