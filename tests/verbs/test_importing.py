"""Importing files of vectors: an exported index answers as before; anything odd is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taskembed.encoding.settings import EngineSettings
from taskembed.errors import (
    BadInputError,
    BadRecordError,
    ModelUnavailableError,
    NotFoundError,
    SpaceMismatchError,
)
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.reading.rejects import RejectFile
from taskembed.reading.vectors.input import find_vectors
from taskembed.space import PromptType, Task
from taskembed.testing import HashEncoder
from taskembed.verbs.describe import describe_index
from taskembed.verbs.encode import EncodeOptions, encode_documents
from taskembed.verbs.export import export_index
from taskembed.verbs.importing import ImportOptions, declared_space, import_vectors
from taskembed.verbs.index import index_corpus
from taskembed.verbs.opening.encoders import encoder_for_search
from taskembed.verbs.options import IndexOptions, Watch
from taskembed.verbs.search import search_index

VIEWS = [
    HashEncoder(),
    HashEncoder(task=Task.SIMILARITY, dim=24, query_prompt="", document_prompt=""),
]
DOCUMENTS = [
    Document(f"d{number}", f"word{number} and word{number % 3}", {"n": number})
    for number in range(12)
]
TEXTS = [document.text for document in DOCUMENTS]


def answers(folder: Path) -> Any:  # noqa: ANN401
    with Index.open(folder) as index:
        found = search_index(["word1 and", "word7"], HashEncoder(), index, k=5)
        return [[(hit.doc_id, hit.score, hit.text, hit.metadata) for hit in hits] for hits in found]


def export(folder: Path, file: Path) -> Path:
    with Index.open(folder) as index:
        export_index(index, file)
    return file


def foreign(file: Path, vectors: Any, **columns: Any) -> Path:  # noqa: ANN401
    """Write a file that says nothing of its space."""
    columns = columns or {"id": [item.doc_id for item in DOCUMENTS], "text": TEXTS}
    pq.write_table(pa.table({**columns, "embedding": vectors}), file)
    return file


def own_vectors() -> np.ndarray[Any, np.dtype[np.float32]]:
    return HashEncoder().encode(TEXTS, PromptType.DOCUMENT).vectors


@pytest.mark.parametrize("options", [IndexOptions(), IndexOptions(vectors="fp16", chunk="16:4")])  # type: ignore[arg-type]
def test_an_exported_index_answers_as_before(tmp_path: Path, options: IndexOptions) -> None:
    index_corpus(DOCUMENTS, HashEncoder(), tmp_path / "index", options=options)
    file = export(tmp_path / "index", tmp_path / "v.parquet")
    summary = import_vectors(file, tmp_path / "copy")
    assert (summary.added, summary.documents) == (12, 12)
    assert answers(tmp_path / "copy") == answers(tmp_path / "index")
    with Index.open(tmp_path / "copy") as copy, Index.open(tmp_path / "index") as index:
        assert copy.space == index.space
        assert copy.made_by == index.made_by
        assert copy.contents.live.storage == index.contents.live.storage


def test_the_index_can_then_be_updated_from_the_corpus(tmp_path: Path) -> None:
    index_corpus(DOCUMENTS, HashEncoder(), tmp_path / "index")
    import_vectors(export(tmp_path / "index", tmp_path / "v.parquet"), tmp_path / "copy")
    assert index_corpus(DOCUMENTS, HashEncoder(), tmp_path / "copy").unchanged == 12


def test_importing_again_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "v.parquet"
    encode_documents(DOCUMENTS, HashEncoder(), file)
    import_vectors(file, tmp_path / "index")
    summary = import_vectors(file, tmp_path / "index")
    assert (summary.unchanged, summary.added, summary.updated) == (12, 0, 0)
    changed = [Document("d3", "another text"), Document("new", "new")]
    encode_documents(changed, HashEncoder(), file)
    summary = import_vectors(file, tmp_path / "index")
    assert (summary.added, summary.updated, summary.documents) == (1, 1, 13)


def test_another_space_is_refused(tmp_path: Path) -> None:
    index_corpus(DOCUMENTS, HashEncoder(), tmp_path / "index")
    encode_documents(DOCUMENTS, HashEncoder(document_prompt="x: "), tmp_path / "v.parquet")
    with pytest.raises(SpaceMismatchError, match="document_prompt"):
        import_vectors(tmp_path / "v.parquet", tmp_path / "index")


def test_npy_with_its_ids(tmp_path: Path) -> None:
    encode_documents(DOCUMENTS, HashEncoder(), tmp_path / "v.npy")
    assert import_vectors(tmp_path / "v.npy", tmp_path / "index").added == 12
    with Index.open(tmp_path / "index") as index:
        document = index.get("d3")
        assert document
        assert document.text == ""
    (tmp_path / "v.ids.txt").write_text("a\nb\n")
    with pytest.raises(BadInputError, match="2 ids for 12 vectors"):
        import_vectors(tmp_path / "v.npy", tmp_path / "other")
    (tmp_path / "v.ids.txt").unlink()
    with pytest.raises(NotFoundError, match=r"v\.ids\.txt"):
        import_vectors(tmp_path / "v.npy", tmp_path / "other")


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.large_list(pa.float64())])
def test_vectors_of_another_tool_are_compared_with_the_model(tmp_path: Path, kind: Any) -> None:  # noqa: ANN401
    file = foreign(tmp_path / "v.parquet", pa.array(own_vectors().tolist(), kind))
    with pytest.raises(BadInputError, match="does not name the embedding space"):
        import_vectors(file, tmp_path / "index")
    assert import_vectors(file, tmp_path / "index", declared=HashEncoder()).added == 12
    index_corpus(DOCUMENTS, HashEncoder(), tmp_path / "other")
    assert [[hit[:3] for hit in hits] for hits in answers(tmp_path / "index")] == [
        [hit[:3] for hit in hits] for hits in answers(tmp_path / "other")
    ]


def test_vectors_of_another_model_are_refused(tmp_path: Path) -> None:
    vectors = own_vectors()[::-1]
    file = foreign(tmp_path / "v.parquet", pa.array(vectors.tolist()))
    with pytest.raises(SpaceMismatchError, match="their cosine is"):
        import_vectors(file, tmp_path / "index", declared=HashEncoder())
    assert not (tmp_path / "index").exists()
    with pytest.raises(BadInputError, match="its vectors have 16 dimensions; those of hash have 8"):
        import_vectors(file, tmp_path / "index", declared=HashEncoder(dim=8))


ROWS = own_vectors().tolist()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({4: None}, "row 5: it has no vector"),
        ({4: [1.0] * 15}, "row 5: its vector has 15 numbers, but the first vector has 16"),
        ({4: [float("nan"), *ROWS[4][1:]]}, "row 5: the vector has a number that is not finite"),
        ({4: [None, *ROWS[4][1:]]}, "row 5: the vector has a number that is not finite"),
        ({4: [1e300, *ROWS[4][1:]]}, "row 5: the vector has a number that is not finite"),
        ({4: [0.0] * 16}, "row 5: all numbers of the vector are 0"),
        ({4: [2 * value for value in ROWS[4]]}, "row 5: the vector has the length 2, not 1"),
    ],
)
def test_a_bad_vector_is_named_by_its_row(
    tmp_path: Path, changes: dict[int, Any], reason: str
) -> None:
    rows = [changes.get(row, vector) for row, vector in enumerate(ROWS)]
    file = foreign(tmp_path / "v.parquet", pa.array(rows, pa.list_(pa.float64())))
    options = {"declared": HashEncoder()}
    with pytest.raises(BadRecordError, match=reason):
        import_vectors(file, tmp_path / "index", **options)  # type: ignore[arg-type]
    watch = Watch(RejectFile(stop=False))
    summary = import_vectors(file, tmp_path / "other", watch=watch, **options)  # type: ignore[arg-type]
    assert summary.added == 11


def test_vectors_can_be_normalised(tmp_path: Path) -> None:
    rows = (3 * own_vectors()).tolist()
    file = foreign(tmp_path / "v.parquet", pa.array(rows))
    options = ImportOptions(normalize=True)
    import_vectors(file, tmp_path / "index", declared=HashEncoder(), options=options)
    with Index.open(tmp_path / "index") as index:
        _, vectors = index.vectors_of([item.doc_id for item in DOCUMENTS])
    np.testing.assert_allclose(vectors, own_vectors(), atol=1e-6)


@pytest.mark.parametrize(
    ("ids", "reason"),
    [
        (["a", "b", "a"], "row 3: duplicate id 'a'"),
        (["a", "", "c"], 'row 2: the id in "id" is empty'),
        (["a", "b\n", "c"], 'row 2: the id in "id" has a control character'),
    ],
)
def test_a_bad_id_is_named_by_its_row(tmp_path: Path, ids: list[str], reason: str) -> None:
    file = foreign(tmp_path / "v.parquet", pa.array(ROWS[:3]), id=ids, text=TEXTS[:3])
    with pytest.raises(BadRecordError) as caught:
        import_vectors(file, tmp_path / "index", declared=HashEncoder())
    assert str(caught.value).endswith(reason)


def test_what_is_committed_survives_a_truncated_file(tmp_path: Path) -> None:
    index_corpus(DOCUMENTS, HashEncoder(), tmp_path / "index")
    before = answers(tmp_path / "index")
    file = export(tmp_path / "index", tmp_path / "v.parquet")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(BadInputError, match="cannot be read after record 0"):
        import_vectors(file, tmp_path / "index")
    assert answers(tmp_path / "index") == before


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (pa.array(TEXTS), "has no lists of floats, but string"),
        (pa.array([[1, 2]] * 12), "has no lists of floats, but list<"),
    ],
)
def test_a_column_without_vectors(tmp_path: Path, values: Any, reason: str) -> None:  # noqa: ANN401
    file = foreign(tmp_path / "v.parquet", values)
    with pytest.raises(BadInputError, match=reason):
        import_vectors(file, tmp_path / "index", declared=HashEncoder())
    options = ImportOptions(vector_field="absent")
    with pytest.raises(BadInputError, match="no column 'absent'; its columns are id, text, emb"):
        import_vectors(file, tmp_path / "index", declared=HashEncoder(), options=options)


def test_the_index_remembers_what_was_declared(tmp_path: Path) -> None:
    file = foreign(tmp_path / "v.parquet", pa.array(ROWS))
    import_vectors(file, tmp_path / "index", declared=HashEncoder())
    mark = {"compared": 12, "least_cosine": 1.0}
    assert describe_index(tmp_path / "index").declared == mark
    notes: list[str] = []
    settings = EngineSettings(notify=notes.append)
    with Index.open(tmp_path / "index") as index, pytest.raises(ModelUnavailableError):
        encoder_for_search(index, settings)
    assert notes[0].endswith("those of hash; 12 of them were compared with the model")
    index_corpus([Document("new", "new")], HashEncoder(), tmp_path / "index")
    assert describe_index(tmp_path / "index").declared == mark
    import_vectors(export(tmp_path / "index", tmp_path / "w.parquet"), tmp_path / "copy")
    assert describe_index(tmp_path / "copy").declared == mark
    index_corpus(DOCUMENTS, HashEncoder(), tmp_path / "index", options=IndexOptions(recreate=True))
    assert describe_index(tmp_path / "index").declared == {}


def test_a_declared_space_is_that_of_no_encoder(tmp_path: Path) -> None:
    file = foreign(tmp_path / "v.parquet", pa.array(ROWS))
    space = declared_space("some/model", "retrieval", 16)
    assert not space.has_weights_of(replace(space, weights_digest=""))
    assert not space.has_weights_of(declared_space("another/model", "retrieval", 16))
    import_vectors(file, tmp_path / "index", declared=space)
    assert describe_index(tmp_path / "index").declared == {"compared": 0}
    with (
        Index.open(tmp_path / "index") as index,
        pytest.raises(SpaceMismatchError, match="imported with --declare") as caught,
    ):
        search_index(["word"], HashEncoder(), index, k=1)
    assert "import the file again without --declare" in (caught.value.hint or "")
    assert import_vectors(file, tmp_path / "index", declared=space).unchanged == 12


@pytest.mark.parametrize("name", ["v.parquet", "v.npy"])
def test_vectors_of_queries_are_refused(tmp_path: Path, name: str) -> None:
    options = EncodeOptions(side=PromptType.QUERY)
    encode_documents(DOCUMENTS, HashEncoder(), tmp_path / name, options=options)
    with pytest.raises(BadInputError, match="its vectors are those of queries"):
        import_vectors(tmp_path / name, tmp_path / "index")


def test_texts_from_all_parts_of_a_file_are_compared(tmp_path: Path) -> None:
    """The second half of the file was made by another model."""
    texts = [f"word{number}" for number in range(1_000)]
    own = HashEncoder().encode(texts, PromptType.DOCUMENT).vectors
    own[500:] = np.roll(own[500:], 1, axis=0)
    table = pa.table({"id": texts, "text": texts, "vector": pa.array(own.tolist())})
    pq.write_table(table, tmp_path / "v.parquet", row_group_size=300)
    with pytest.raises(SpaceMismatchError, match=r"row (5|6|7|8|9)\d\d: the vector differs"):
        import_vectors(tmp_path / "v.parquet", tmp_path / "index", declared=HashEncoder())


@pytest.mark.parametrize("group", [1, 7, 300, 2_000])
def test_a_sample_is_spread_over_the_rows(tmp_path: Path, group: int) -> None:
    numbers = list(range(1_000))
    vectors = [[float(number)] for number in numbers]
    table = pa.table({"n": numbers, "vector": pa.array(vectors, pa.list_(pa.float32()))})
    pq.write_table(table, tmp_path / "v.parquet", row_group_size=group)
    source = find_vectors(tmp_path / "v.parquet")
    rows = list(source.sample(40))
    found = [row.record["n"] for row in rows]
    assert (found[0], found[-1], found) == (0, 999, sorted(set(found)))  # type: ignore[type-var]
    assert 20 <= len(found) <= 60
    assert [row.vector.tolist() for row in rows] == [[number] for number in found]
    assert [row.where for row in rows[-1:]] == [f"{tmp_path / 'v.parquet'}:row 1000"]


def test_a_bad_row_that_is_looked_at_twice_counts_once(tmp_path: Path) -> None:
    file = foreign(tmp_path / "v.parquet", pa.array([None, *ROWS[1:]]))
    watch = Watch(RejectFile(stop=False))
    summary = import_vectors(file, tmp_path / "index", declared=HashEncoder(), watch=watch)
    assert (summary.added, summary.rejected) == (11, 1)


def exported_views(folder: Path, **options: Any) -> list[Path]:  # noqa: ANN401
    """Make an index with two views in a folder; return the files of its views."""
    index_corpus(DOCUMENTS, VIEWS, folder / "index", options=IndexOptions(**options))
    files = [folder / f"{one.space.task}.parquet" for one in VIEWS]
    for one, file in zip(VIEWS, files, strict=True):
        with Index.open(folder / "index", task=one.space.task) as index:
            export_index(index, file)
    return files


@pytest.mark.parametrize("options", [{}, {"vectors": "fp16", "chunk": "16:4"}])
def test_files_of_views_become_one_index(tmp_path: Path, options: dict[str, Any]) -> None:
    first, second = exported_views(tmp_path, **options)
    summary = import_vectors(first, tmp_path / "copy", further=[second])
    assert (summary.added, summary.documents) == (12, 12)
    for one in VIEWS:
        task = one.space.task
        with (
            Index.open(tmp_path / "index", task=task) as index,
            Index.open(tmp_path / "copy", task=task) as copy,
        ):
            assert copy.tasks == index.tasks
            assert copy.space == index.space
            found = [search_index(["word1 and"], one, each, k=5) for each in (index, copy)]
            first_hits, copied = [[(hit.doc_id, hit.score) for hit in hits[0]] for hits in found]
            assert first_hits == copied != []
    assert import_vectors(first, tmp_path / "copy", further=[second]).unchanged == 12
    with pytest.raises(SpaceMismatchError, match="the index has the views"):
        import_vectors(first, tmp_path / "copy")


def test_files_of_other_documents_are_no_views(tmp_path: Path) -> None:
    first, second = exported_views(tmp_path)
    encode_documents(DOCUMENTS[:11], VIEWS[1], tmp_path / "short.parquet")
    encode_documents([*DOCUMENTS[:5], *DOCUMENTS[6:]], VIEWS[1], tmp_path / "other.parquet")
    silent = foreign(tmp_path / "silent.parquet", pa.array(ROWS))
    for file, reason in (
        (tmp_path / "short.parquet", "row 12: the other file has fewer documents"),
        (tmp_path / "other.parquet", r"other.parquet:row 6: the document differs from .*row 6"),
        (first, "a second file for the task retrieval"),
        (silent, "silent.parquet: the file does not name the embedding space"),
    ):
        with pytest.raises(BadInputError, match=reason):
            import_vectors(first, tmp_path / "new", further=[file])
    exported_views(tmp_path / "cut", chunk="16:4")
    with pytest.raises(BadInputError, match="is cut into chunks; all views must be cut alike"):
        import_vectors(first, tmp_path / "new", further=[tmp_path / "cut" / second.name])
