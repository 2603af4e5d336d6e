"""Several views of one corpus: one set of documents, one set of vectors for each task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from taskembed.errors import (
    BadInputError,
    BadVectorError,
    SpaceMismatchError,
    StoppedError,
    UsageError,
)
from taskembed.index.contents import read_index
from taskembed.index.reader import Index
from taskembed.index.storage import IndexType, VectorType
from taskembed.index.verify import verify_index
from taskembed.reading.document import Document
from taskembed.space import EmbeddingSpace, PromptType, Task
from taskembed.vectors import Encoded
from taskembed.verbs.compact import compact_index
from taskembed.verbs.delete import delete_documents
from taskembed.verbs.describe import describe_index
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions
from taskembed.verbs.search import search_index
from taskembed.verbs.views import add_view, drop_view
from tests.fakes import SLICE, HashEncoder

TEXTS = ["the moon", "the tide", "a loaf of bread", "a pot of soup"]
DOCUMENTS = [Document(f"d{number}", text) for number, text in enumerate(TEXTS)]
DIMS = {Task.RETRIEVAL: 16, Task.SIMILARITY: 24}


def encoders(*tasks: Task) -> list[HashEncoder]:
    wanted = tasks or tuple(DIMS)
    prompts = {Task.RETRIEVAL: "passage: "}
    return [
        HashEncoder(task=task, dim=DIMS.get(task, 8), document_prompt=prompts.get(task, ""))
        for task in wanted
    ]


def vectors(folder: Path, task: Task) -> dict[str, list[float]]:
    with Index.open(folder, task=task) as index:
        documents, rows = index.vectors_of([f"d{number}" for number in range(99)])
        assert rows.shape[1] == index.space.dim
    return {item.doc_id: row.tolist() for item, row in zip(documents, rows, strict=True)}


def expected(task: Task, documents: list[Document]) -> dict[str, list[float]]:
    """Return the vectors that an index for this task alone would have."""
    encoder = encoders(task)[0]
    rows = encoder.encode([item.text for item in documents], PromptType.DOCUMENT).vectors
    return {item.doc_id: row.tolist() for item, row in zip(documents, rows, strict=True)}


def require_views(folder: Path, documents: list[Document]) -> None:
    """Check that each view has the vectors that an index of its own would have."""
    assert verify_index(folder)[1] == []
    for task in DIMS:
        found, wanted = vectors(folder, task), expected(task, documents)
        assert found.keys() == wanted.keys()
        for doc_id in wanted:
            assert found[doc_id] == pytest.approx(wanted[doc_id], abs=2e-3), (task, doc_id)


def test_each_view_answers_with_its_own_vectors(tmp_path: Path) -> None:
    index_corpus(DOCUMENTS, encoders(), tmp_path)
    require_views(tmp_path, DOCUMENTS)
    for task in DIMS:
        with Index.open(tmp_path, task=task) as index:
            assert (index.space.task, index.tasks) == (task, tuple(DIMS))
            hits = search_index(["pot of soup"], encoders(task)[0], index, k=1, mode="dense")[0]
            assert hits[0].text == "a pot of soup"


def test_the_first_view_answers_where_no_task_is_named_or_there_is_no_such_view(
    tmp_path: Path,
) -> None:
    index_corpus(DOCUMENTS, encoders(), tmp_path)
    with Index.open(tmp_path) as index:
        assert index.space.task is Task.RETRIEVAL
    with Index.open(tmp_path, task="clustering") as index:
        assert index.space.task is Task.RETRIEVAL


def test_documents_words_and_fields_are_stored_once(tmp_path: Path) -> None:
    index_corpus(DOCUMENTS, encoders()[:1], tmp_path / "one")
    index_corpus(DOCUMENTS, encoders(), tmp_path / "two")
    one, two = ({path.name for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert two - one == {
        "vec-00000001-00000001-similarity.faiss",
        "vec-00000001-00000001-similarity.sum",
    }
    for name in one - {"LOCK"}:
        if name.startswith("seg-"):
            ours, theirs = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
            assert ours == theirs, name


def test_one_view_is_written_as_before_there_were_views(tmp_path: Path) -> None:
    index_corpus(DOCUMENTS, encoders()[:1], tmp_path)
    snapshot, _ = read_index(tmp_path)
    text = (tmp_path / "manifest-00000001.json").read_text()
    assert "views" not in text
    assert "stem" not in text
    assert all(name.startswith("seg-") for name in snapshot.files)


def test_a_run_changes_all_views_together(tmp_path: Path) -> None:
    index_corpus(DOCUMENTS, encoders(), tmp_path)
    changed = [DOCUMENTS[0], Document("d1", "the ebb and the flood"), Document("d4", "rye bread")]
    some = encoders()
    summary = index_corpus(
        changed, some, tmp_path, options=IndexOptions(prune=True, prune_limit=99)
    )
    assert (summary.added, summary.updated, summary.deleted, summary.unchanged) == (1, 1, 2, 1)
    assert [len(one.prompted) for one in some] == [2, 2]
    require_views(tmp_path, changed)


def test_changed_metadata_keeps_the_vectors_of_all_views(tmp_path: Path) -> None:
    index_corpus(DOCUMENTS, encoders(), tmp_path)
    some = encoders()
    index_corpus([Document("d0", TEXTS[0], {"n": 1})], some, tmp_path)
    assert [one.prompted for one in some] == [[], []]
    require_views(tmp_path, DOCUMENTS)


@pytest.mark.parametrize("vector_type", list(VectorType))
def test_merging_and_compacting_keep_every_view(tmp_path: Path, vector_type: VectorType) -> None:
    documents = [Document(f"d{number}", f"text {number} of many") for number in range(12)]
    options = IndexOptions(commit_every=1, vectors=vector_type, index_type=IndexType.RABITQ)
    index_corpus(documents, encoders(), tmp_path, options=options)
    assert len(read_index(tmp_path)[1].live.segments) < len(documents)  # some were merged
    delete_documents(tmp_path, ["d3", "d11"])
    left = [item for item in documents if item.doc_id not in {"d3", "d11"}]
    require_views(tmp_path, left)
    compact_index(tmp_path)
    require_views(tmp_path, left)
    (segment,) = read_index(tmp_path)[1].live.segments
    assert segment.of_view(1).codes_file in segment.files


def test_views_of_chunks(tmp_path: Path) -> None:
    long = Document("d0", " ".join(f"w{number}" for number in range(40)))
    index_corpus([long, DOCUMENTS[1]], encoders(), tmp_path, options=IndexOptions(chunk="16:4"))
    assert verify_index(tmp_path)[1] == []
    for task in DIMS:
        with Index.open(tmp_path, task=task) as index:
            hits = search_index(["w38 w39"], encoders(task)[0], index, k=1, chunks=True)[0]
            assert hits[0].text.endswith("w38 w39")


def test_views_that_differ_from_those_of_the_index_are_refused(tmp_path: Path) -> None:
    index_corpus(DOCUMENTS, encoders(), tmp_path)
    before = read_index(tmp_path)[0].generation
    for others in (encoders()[:1], encoders()[::-1], encoders(*DIMS, Task.CODE)):
        with pytest.raises(SpaceMismatchError):
            index_corpus(DOCUMENTS, others, tmp_path)
    first, second = encoders()
    other = HashEncoder(second.space, weights_digest="1" * 64)
    with pytest.raises(SpaceMismatchError, match="weights"):
        index_corpus(DOCUMENTS, [first, other], tmp_path)
    assert read_index(tmp_path)[0].generation == before


def test_recreate_replaces_the_views(tmp_path: Path) -> None:
    index_corpus(DOCUMENTS, encoders(), tmp_path)
    only = encoders(Task.CLUSTERING)
    index_corpus(DOCUMENTS, only, tmp_path, options=IndexOptions(recreate=True))
    with Index.open(tmp_path) as index:
        assert index.tasks == (Task.CLUSTERING,)
    assert not list(tmp_path.glob("vec-00000003-*"))


def test_one_task_has_one_view(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two encoders are for the same task"):
        index_corpus(DOCUMENTS, encoders()[:1] * 2, tmp_path)
    with pytest.raises(ValueError, match="there is no encoder"):
        index_corpus(DOCUMENTS, [], tmp_path)


def test_a_text_without_a_vector_in_one_view_is_a_bad_record(tmp_path: Path) -> None:
    first, second = encoders()

    class Zero(HashEncoder):
        def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
            encoded = super().encode(texts, prompt_type)
            encoded.vectors[[text == TEXTS[1] for text in texts]] = 0
            return encoded

    with pytest.raises(BadInputError, match="d1"):
        index_corpus(DOCUMENTS, [first, Zero(second.space)], tmp_path)


def test_alike_views_are_encoded_once(tmp_path: Path) -> None:
    first = HashEncoder()
    second = HashEncoder(task=Task.SIMILARITY, query_prompt=first.space.document_prompt)
    index_corpus(DOCUMENTS, [first, second], tmp_path)
    assert (len(first.prompted), second.prompted) == (len(DOCUMENTS), [])
    similarity = np.array(list(vectors(tmp_path, Task.SIMILARITY).values()))
    assert similarity == pytest.approx(np.array(list(vectors(tmp_path, Task.RETRIEVAL).values())))


@pytest.mark.parametrize("vector_type", list(VectorType))
@pytest.mark.parametrize("chunk", ["off", "16:4"])
def test_an_added_view_has_the_vectors_of_an_index_of_its_own(
    tmp_path: Path, vector_type: VectorType, chunk: str
) -> None:
    texts = [f"text {number} of {'very ' * (number % 3 * 10)}many" for number in range(30)]
    documents = [Document(f"d{number}", text) for number, text in enumerate(texts)]
    options = IndexOptions(
        commit_every=4, vectors=vector_type, index_type=IndexType.RABITQ, chunk=chunk
    )
    first, second = encoders()
    index_corpus(documents, first, tmp_path / "i", options=options)
    delete_documents(tmp_path / "i", ["d3", "d29"])
    assert add_view(tmp_path / "i", second) == 28
    left = [item for item in documents if item.doc_id not in {"d3", "d29"}]
    index_corpus(left, second, tmp_path / "own", options=options)
    assert verify_index(tmp_path / "i")[1] == []
    found, wanted = (vectors(tmp_path / name, Task.SIMILARITY) for name in ("i", "own"))
    assert found.keys() == wanted.keys()
    for doc_id in wanted:
        assert found[doc_id] == pytest.approx(wanted[doc_id], abs=2e-3)
    again = encoders()
    index_corpus(left, again, tmp_path / "i")
    assert [one.prompted for one in again] == [[], []]


def test_a_view_that_cannot_be_encoded_changes_nothing(tmp_path: Path) -> None:
    first, second = encoders()
    index_corpus(DOCUMENTS, first, tmp_path)

    class Zero(HashEncoder):
        def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
            encoded = super().encode(texts, prompt_type)
            encoded.vectors[texts.index(TEXTS[1])] = 0
            return encoded

    with pytest.raises(BadVectorError, match="document 'd1'"):
        add_view(tmp_path, Zero(second.space))
    assert read_index(tmp_path)[0].generation == 1
    with pytest.raises(UsageError, match="has a view for the task 'retrieval'"):
        add_view(tmp_path, first)
    add_view(tmp_path, second)
    require_views(tmp_path, DOCUMENTS)


def test_a_stopped_view_leaves_the_index_as_it_was(tmp_path: Path) -> None:
    first, second = encoders()
    index_corpus(DOCUMENTS, first, tmp_path)

    class Stopped(HashEncoder):
        def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
            raise StoppedError("stopped by SIGINT", signal_number=2, hint="continue")

    with pytest.raises(StoppedError) as caught:
        add_view(tmp_path, Stopped(second.space))
    assert caught.value.hint == (
        "run the same command again to continue: until it ends, the index is as it was"
    )
    assert read_index(tmp_path)[0].generation == 1
    delete_documents(tmp_path, ["d0"])
    assert not list(tmp_path.glob("vec-*"))


def test_a_new_view_takes_the_model_and_the_template_of_the_index(tmp_path: Path) -> None:
    first, second = encoders()
    index_corpus(DOCUMENTS, HashEncoder(first.space, template="{text}"), tmp_path)
    add_view(tmp_path, second)
    part = read_index(tmp_path)[1].live
    assert [view.space.template for view in part.views] == ["{text}"] * 2
    assert part.further[0].made_by == second.made_by


@pytest.mark.parametrize("dropped", list(DIMS))
def test_a_removed_view_is_gone_and_the_other_goes_on(tmp_path: Path, dropped: Task) -> None:
    index_corpus(DOCUMENTS, encoders(), tmp_path)
    (left,) = (task for task in DIMS if task is not dropped)
    assert drop_view(tmp_path, dropped) == [left]
    more = [*DOCUMENTS, Document("d9", "rye bread")]
    index_corpus(more, encoders(left), tmp_path)
    assert verify_index(tmp_path)[1] == []
    assert vectors(tmp_path, left).keys() == {item.doc_id for item in more}
    names = read_index(tmp_path)[0].files
    old = "vec-00000001-00000001-similarity.faiss"
    assert (old in names, "seg-00000001.faiss" in names) == (
        left is Task.SIMILARITY,
        left is Task.RETRIEVAL,
    )
    compact_index(tmp_path)
    assert verify_index(tmp_path)[1] == []
    assert vectors(tmp_path, left).keys() == {item.doc_id for item in more}
    assert not list(read_index(tmp_path)[0].files.keys() & {old})
    with pytest.raises(UsageError, match="is the only view"):
        drop_view(tmp_path, left)
    with pytest.raises(UsageError, match=f"has no view for the task '{dropped.value}'"):
        drop_view(tmp_path, dropped)


def test_a_view_can_come_back(tmp_path: Path) -> None:
    index_corpus(DOCUMENTS, encoders(), tmp_path)
    drop_view(tmp_path, Task.SIMILARITY)
    add_view(tmp_path, encoders()[1])
    require_views(tmp_path, DOCUMENTS)


# a view that is added in several runs

MANY = [Document(f"d{number}", f"text {number} of many") for number in range(40)]


class Stopping(HashEncoder):
    """Is stopped as it begins another slice after some."""

    def __init__(self, slices: int, space: EmbeddingSpace) -> None:
        super().__init__(space)
        self._left = slices

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        self._left -= 1
        if self._left < 0:
            raise StoppedError("stopped by SIGINT", signal_number=2, hint="")
        return super().encode(texts, prompt_type)


def stopped_after(slices: int, folder: Path, encoder: HashEncoder) -> int:
    """Stop a run that adds a view; return how many texts it encoded."""
    stopping = Stopping(slices, encoder.space)
    with pytest.raises(StoppedError):
        add_view(folder, stopping)
    return len(stopping.prompted)


def parts(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("part-*"))


@pytest.mark.parametrize("chunk", ["off", "16:4"])
def test_a_stopped_view_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: str
) -> None:
    monkeypatch.setattr("taskembed.index.view_parts.PART_ROWS", 2 * SLICE)
    first, second = encoders()
    options = IndexOptions(commit_every=2 * SLICE, chunk=chunk)  # several segments
    index_corpus(MANY, first, tmp_path, options=options)
    assert stopped_after(3, tmp_path, second) == 3 * SLICE
    assert parts(tmp_path) == [f"part-0000000{n}-similarity.vectors" for n in (1, 2)]
    assert stopped_after(1, tmp_path, second) == SLICE
    assert len(parts(tmp_path)) == 3
    with Index.open(tmp_path) as index:
        assert index.tasks == (Task.RETRIEVAL,)
    assert verify_index(tmp_path)[1] == []
    assert add_view(tmp_path, second) == len(MANY)
    assert len(second.prompted) == len(MANY) - 4 * SLICE
    assert parts(tmp_path) == []
    require_views(tmp_path, MANY)


def test_what_was_encoded_is_found_by_its_text_after_the_index_changed(tmp_path: Path) -> None:
    first, second = encoders()
    index_corpus(MANY, first, tmp_path, options=IndexOptions(commit_every=15))
    assert stopped_after(5, tmp_path, second) > 0
    done = read_texts(parts(tmp_path), tmp_path, second)
    changed = [Document("d1", "another text"), *MANY[2:], Document("d98", MANY[1].text)]
    index_corpus(changed, first, tmp_path, options=IndexOptions(prune=True))
    compact_index(tmp_path)
    assert parts(tmp_path)
    assert add_view(tmp_path, second) == len(changed)
    encoded = {text.removeprefix(second.space.document_prompt) for text in second.prompted}
    assert encoded == {item.text for item in changed} - done
    require_views(tmp_path, changed)


def read_texts(names: list[str], folder: Path, encoder: HashEncoder) -> set[str]:
    """Return which texts a stopped run has kept the vectors of."""
    held = b"".join((folder / name).read_bytes() for name in names)
    texts = [item.text for item in MANY]
    rows = encoder.encode(texts, PromptType.DOCUMENT).vectors
    encoder.prompted.clear()
    return {text for text, row in zip(texts, rows, strict=True) if row.tobytes() in held}


def test_what_another_model_encoded_or_damage_is_not_used(tmp_path: Path) -> None:
    first, second = encoders()
    index_corpus(MANY, first, tmp_path)
    stopped_after(2, tmp_path, HashEncoder(second.space, weights_digest="1" * 64))
    assert stopped_after(1, tmp_path, second) == SLICE
    (name,) = parts(tmp_path)  # that of the other model is gone
    whole = (tmp_path / name).read_bytes()
    for data in (whole[:-1], whole[:40], b"", whole[:50] + b"\0" + whole[51:]):
        (tmp_path / name).write_bytes(data)
        assert stopped_after(0, tmp_path, second) == 0
        assert parts(tmp_path) == []
    add_view(tmp_path, second)
    assert len(second.prompted) == len(MANY)
    require_views(tmp_path, MANY)


def test_a_stopped_view_is_shown_and_can_be_forgotten(tmp_path: Path) -> None:
    first, second = encoders()
    index_corpus(MANY, first, tmp_path)
    stopped_after(2, tmp_path, second)
    assert describe_index(tmp_path).notes == (
        "a run with --add-view similarity was stopped: the same command continues it; until then "
        "its vectors are kept, which --drop-view similarity removes",
    )
    assert drop_view(tmp_path, Task.SIMILARITY) == [Task.RETRIEVAL]
    assert (parts(tmp_path), describe_index(tmp_path).notes) == ([], ())
    with pytest.raises(UsageError, match="has no view for the task 'similarity'"):
        drop_view(tmp_path, Task.SIMILARITY)
    stopped_after(2, tmp_path, second)
    left = tmp_path / parts(tmp_path)[0]
    data = left.read_bytes()
    add_view(tmp_path, second)
    left.write_bytes(data)  # as if the run had been killed before it removed the file
    assert describe_index(tmp_path).notes == ()
    index_corpus(MANY, encoders(), tmp_path)
    assert parts(tmp_path) == []


def test_vectors_are_kept_from_time_to_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskembed.index.view_parts.PART_SECONDS", 0.0)
    first, second = encoders()
    index_corpus(MANY, first, tmp_path)
    stopped_after(4, tmp_path, second)
    assert len(parts(tmp_path)) == 4


def test_auto_is_half_of_what_the_model_of_every_view_reads(tmp_path: Path) -> None:
    first = HashEncoder(max_length=64)
    second = HashEncoder(task=Task.SIMILARITY, max_length=40)
    for _ in range(2):  # and the rule is found again by the next run
        index_corpus(MANY, [first, second], tmp_path, options=IndexOptions(chunk="auto"))
        assert describe_index(tmp_path).chunking == "20:4"
    drop_view(tmp_path, Task.RETRIEVAL)
    index_corpus(MANY, second, tmp_path, options=IndexOptions(chunk="auto"))
    assert (describe_index(tmp_path).chunking, describe_index(tmp_path).chunks) == ("20:4", 40)
    with pytest.raises(UsageError, match="the model reads only 16 tokens"):
        add_view(tmp_path, HashEncoder(task=Task.CODE, max_length=16))
