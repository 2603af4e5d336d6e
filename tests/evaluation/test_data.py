"""Data with judgements: what is read, and what is refused, by file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskembed.cli.printing.output import is_one_of
from taskembed.errors import NotFoundError, TaskembedError, UsageError
from taskembed.evaluation.data import (
    Classes,
    Clusters,
    DataFiles,
    Pairs,
    Ranking,
    read_judged,
    read_judged_queries,
)
from taskembed.space import Task


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(
        '{"_id": "a", "title": "T", "text": "one"}\n{"_id": "b", "title": "", "text": "two"}\n'
    )
    (folder / "queries.jsonl").write_text(
        '{"_id": "q1", "text": "first"}\n{"_id": "q2", "text": "second"}\n'
        '{"_id": "unjudged", "text": "third"}\n'
    )
    (folder / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq2\tb\t1\nq1\ta\t2\nlost\ta\t1\n"
    )
    return folder


def test_a_folder_as_beir_has_it(beir: Path) -> None:
    said: list[str] = []
    data = read_judged(Task.RETRIEVAL, DataFiles(beir), notify=said.append)
    assert isinstance(data, Ranking)
    assert [item.doc_id for item in data.documents or ()] == ["a", "b"]
    assert [item.text for item in data.documents or ()] == ["T one", "two"]
    assert [query.query_id for query in data.queries] == ["q1", "q2"]
    assert data.judgements == {"q1": {"a": 2}, "q2": {"b": 1}}
    assert said == [f"note: 1 judged query is not in {beir}/queries.jsonl, and left out"]


def test_the_first_judged_queries(beir: Path) -> None:
    data = read_judged(Task.CODE, DataFiles(beir, limit=1))
    assert isinstance(data, Ranking)
    assert data.judgements == {"q1": {"a": 2}}


def test_files_in_other_places(beir: Path, tmp_path: Path) -> None:
    queries, qrels = tmp_path / "q.tsv", tmp_path / "judged.txt"
    queries.write_text("7\tseventh\n")
    qrels.write_text("7 0 b 1\n7 0 a 0\n")
    data = read_judged(Task.RETRIEVAL, DataFiles(beir / "corpus.jsonl", queries, qrels))
    assert isinstance(data, Ranking)
    assert data.judgements == {"7": {"b": 1, "a": 0}}
    without = read_judged_queries(DataFiles(None, queries, qrels))
    assert without.documents is None


def test_pairs_classes_and_clusters(tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text('{"sentence1": "a", "sentence2": "b", "score": "2.5"}\n')
    labelled = '{"text": "a", "label": 1}\n{"text": "b", "label": 2}\n'
    for name in ("train", "test", "texts"):
        (tmp_path / f"{name}.jsonl").write_text(labelled)
    pairs = read_judged(Task.SIMILARITY, DataFiles(tmp_path))
    assert isinstance(pairs, Pairs)
    assert pairs.examples[0].score == 2.5
    classes = read_judged(Task.CLASSIFICATION, DataFiles(tmp_path, limit=1))
    assert isinstance(classes, Classes)
    assert (len(classes.train), len(classes.test)) == (2, 1)
    clusters = read_judged(Task.CLUSTERING, DataFiles(tmp_path / "texts.jsonl"))
    assert isinstance(clusters, Clusters)
    assert [item.label for item in clusters.examples] == ["1", "2"]


def refused(task: Task, files: DataFiles) -> TaskembedError:
    with pytest.raises(TaskembedError) as refusal:
        read_judged(task, files)
    return refusal.value


def test_what_is_missing_is_named(beir: Path, tmp_path: Path) -> None:
    error = refused(Task.RETRIEVAL, DataFiles(beir / "corpus.jsonl"))
    assert isinstance(error, UsageError)
    assert error.message == "the queries are missing"
    assert error.hint == "use --queries FILE, or a folder that has them"
    files = DataFiles(None, beir / "queries.jsonl", beir / "qrels/test.tsv")
    assert refused(Task.RETRIEVAL, files).message == "the corpus is missing"
    error = refused(Task.SIMILARITY, DataFiles(beir))
    assert isinstance(error, NotFoundError)
    assert error.message == f"there is no pairs file in {beir}"
    assert refused(Task.CLUSTERING, DataFiles(None)).message == "the data for clustering is missing"


def test_judgements_of_other_queries_are_refused(beir: Path, tmp_path: Path) -> None:
    qrels = tmp_path / "qrels.tsv"
    qrels.write_text("z\ta\t1\n")
    message = refused(Task.RETRIEVAL, DataFiles(beir, qrels=qrels)).message
    assert message == f"{qrels} judges no query of {beir}/queries.jsonl"


def test_two_files_of_one_name_are_refused(beir: Path) -> None:
    (beir / "queries.tsv").write_text("q1\tfirst\n")
    message = refused(Task.RETRIEVAL, DataFiles(beir)).message
    assert message == f"{beir} has both queries.jsonl and queries.tsv"


def test_an_id_that_stands_twice_is_refused(beir: Path) -> None:
    with (beir / "corpus.jsonl").open("a") as stream:
        stream.write('{"_id": "a", "text": "again"}\n')
    message = refused(Task.RETRIEVAL, DataFiles(beir)).message
    assert message == f"{beir}/corpus.jsonl:3: duplicate id 'a'"


def test_a_label_that_nothing_teaches_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(
        '{"text": "a", "label": "x"}\n{"text": "b", "label": "z"}\n'
    )
    (tmp_path / "test.jsonl").write_text('{"text": "a", "label": "y"}\n')
    message = refused(Task.CLASSIFICATION, DataFiles(tmp_path)).message
    assert message == f"{tmp_path}: no training text has the label 'y'"


def test_one_label_is_nothing_to_tell_apart(tmp_path: Path) -> None:
    for name in ("train", "test", "texts"):
        (tmp_path / f"{name}.jsonl").write_text('{"text": "a", "label": "x"}\n')
    for task in (Task.CLASSIFICATION, Task.CLUSTERING):
        assert (
            refused(task, DataFiles(tmp_path)).message
            == f"{tmp_path}: all texts have the same label"
        )
    with (tmp_path / "texts.jsonl").open("a") as stream:
        stream.write('{"text": "b", "label": "y"}\n')
    message = refused(Task.CLUSTERING, DataFiles(tmp_path, limit=1)).message
    assert message == f"{tmp_path}, the first 1: all texts have the same label"


def test_classification_is_not_judged_on_what_it_was_trained_on(tmp_path: Path) -> None:
    path = tmp_path / "both.jsonl"
    path.write_text('{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n')
    error = refused(Task.CLASSIFICATION, DataFiles(path))
    assert error.message == (
        f"{path} is not a folder: classification needs a file to train on and another to test on"
    )
    assert error.hint == "name a folder with train.jsonl and test.jsonl"


def test_judgements_of_other_documents_are_refused(beir: Path, tmp_path: Path) -> None:
    qrels = tmp_path / "qrels.tsv"
    qrels.write_text("q1\tx\t1\nq1\ty\t0\n")
    error = refused(Task.RETRIEVAL, DataFiles(beir, qrels=qrels))
    assert error.message == f"{qrels} judges no document of the corpus"
    assert error.hint == "check that the ids are the same in both files"
    qrels.write_text("q1\tx\t1\nq1\ta\t0\n")
    said: list[str] = []
    read_judged(Task.RETRIEVAL, DataFiles(beir, qrels=qrels), notify=said.append)
    assert said == ["note: 1 judged document is not in the corpus"]


def test_a_query_that_stands_twice_is_refused(beir: Path) -> None:
    with (beir / "queries.jsonl").open("a") as stream:
        stream.write('{"_id": "q1", "text": "again"}\n')
    message = refused(Task.RETRIEVAL, DataFiles(beir)).message
    count = len((beir / "queries.jsonl").read_text().splitlines())
    assert message == f"{beir}/queries.jsonl:{count}: duplicate id 'q1'"


def test_what_is_read_is_known(beir: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "link.tsv"
    elsewhere.symlink_to(beir / "qrels" / "test.tsv")
    files = DataFiles(beir)
    assert is_one_of(elsewhere, files.paths())
    assert is_one_of(beir / "corpus.jsonl", files.paths())
    assert is_one_of(beir / "queries.jsonl", files.paths())
    (beir / "ours.run").write_text("")
    (beir / "corpus.run").write_text("")
    assert not is_one_of(beir / "ours.run", files.paths())  # another's, or of the last time
    assert not is_one_of(beir / "corpus.run", files.paths())
    read_judged(Task.RETRIEVAL, files)  # nor does it stand in the way
    assert not is_one_of(beir / "new.run", files.paths())
    queries = beir / "queries.jsonl"
    assert is_one_of(queries, DataFiles(None, queries=queries).paths())
