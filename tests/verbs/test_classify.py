"""Classifying by the labelled documents of an index: labels, confidence, heads, refusals."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, exp, radians
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from taskembed.errors import MissingLibraryError, SpaceMismatchError, UsageError
from taskembed.index.reader import Index
from taskembed.index.remembered import Reading
from taskembed.reading.document import Document
from taskembed.space import Task
from taskembed.verbs.classify import Classifier, Prediction
from taskembed.verbs.classifying.heads import Sums, leave_one_out
from taskembed.verbs.classifying.labels import labels_of, read_examples
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions
from tests.angles import AngleEncoder
from tests.fakes import HashEncoder

ENCODER = AngleEncoder(Task.CLASSIFICATION)
# "east" around 0 degrees, "north" around 90; one document has both labels, one has none
LABELLED: list[tuple[str, float, Any]] = [
    ("e1", -10, "east"),
    ("e2", 0, "east"),
    ("e3", 10, ["east"]),
    ("n1", 80, "north"),
    ("n2", 100, ["north", "north"]),
    ("both", 45, ["east", "north"]),
    ("none", 50, None),
]


def made(folder: Path, labelled: Sequence[tuple[str, float, Any]] = LABELLED) -> Path:
    documents = [
        Document(name, f"at {angle}", {"where": label} if label is not None else {})
        for name, angle, label in labelled
    ]
    options = IndexOptions(commit_every=3, reading=Reading(label_field="where"))
    index_corpus(documents, ENCODER, folder, options=options)
    return folder


def predicted(index: Index, angle: float, **options: Any) -> Prediction:  # noqa: ANN401
    least = options.pop("min_confidence", 0)
    classifier = Classifier.of(index, ENCODER, **options)
    texts = [Document("x", f"at {angle}")]
    ((_, prediction),) = classifier.classify(texts, min_confidence=least)
    return prediction


@pytest.mark.parametrize("head", ["knn", "centroid", "logreg", "auto"])
def test_a_text_gets_the_label_of_the_examples_near_it(tmp_path: Path, head: str) -> None:
    with Index.open(made(tmp_path / "i")) as index:
        east, north = predicted(index, 5, head=head), predicted(index, 85, head=head)
    assert (east.label, east.runner_up) == ("east", "north")
    assert (north.label, north.runner_up) == ("north", "east")
    assert east.confidence > 0.5
    assert east.confidence + east.runner_up_confidence == pytest.approx(1, abs=1e-5)
    assert not east.zero_shot


def test_the_confidence_of_knn_is_the_softmax_of_the_cosines(tmp_path: Path) -> None:
    with Index.open(made(tmp_path / "i")) as index:
        found = predicted(index, 30, head="knn")
    weights = {name: exp(cos(radians(30 - angle)) / 0.05) for name, angle, _ in LABELLED}
    east = weights["e1"] + weights["e2"] + weights["e3"] + weights["both"] / 2
    total = sum(weights.values()) - weights["none"]  # without a label, it has no vote
    assert found.confidence == pytest.approx(max(east, total - east) / total, abs=1e-4)


def test_the_confidence_of_centroid_is_the_softmax_of_the_cosines(tmp_path: Path) -> None:
    labelled = [("a", -10, "east"), ("b", 10, "east"), ("c", 90, "north")]
    with Index.open(made(tmp_path / "i", labelled)) as index:
        found = predicted(index, 30, head="centroid")
    east, north = exp(cos(radians(30)) / 0.05), exp(cos(radians(60)) / 0.05)
    assert found.label == "east"
    assert found.confidence == pytest.approx(east / (east + north), abs=1e-4)


def test_the_nearest_labelled_documents_are_named(tmp_path: Path) -> None:
    with Index.open(made(tmp_path / "i")) as index:
        found = predicted(index, 52)
    assert [(item.doc_id, item.labels) for item in found.nearest] == [
        ("both", ("east", "north")),
        ("n1", ("north",)),
        ("e3", ("east",)),
    ]
    assert found.nearest[0].score == pytest.approx(cos(radians(7)), abs=1e-5)


def test_below_the_least_confidence_there_is_no_label(tmp_path: Path) -> None:
    with Index.open(made(tmp_path / "i")) as index:
        unsure = predicted(index, 46, head="centroid", min_confidence=0.99)
        sure = predicted(index, 0, head="centroid", min_confidence=0.99)
    assert unsure.label is None
    assert unsure.best in {"east", "north"}
    assert sure.label == "east"


def test_leaving_one_out_compares_the_heads(tmp_path: Path) -> None:
    # 19 of the 20 neighbours of "a" and "b" are "y", so knn is wrong about both. Without "a", the
    # centre of "x" is at 10 degrees, nearer to 0 than the 15 of "y"; without "b", it is at 0, and
    # 15 is nearer to 10
    labelled = [("a", 0, "x"), ("b", 10, "x"), *((f"c{n}", 15, "y") for n in range(21))]
    with Index.open(made(tmp_path / "i", labelled)) as index:
        examples = read_examples(index, "where")
        accuracies = leave_one_out(examples, Sums.of(examples))
        assert accuracies == {"knn": pytest.approx(21 / 23), "centroid": pytest.approx(22 / 23)}
        classifier = Classifier.of(index, ENCODER)
        assert classifier.head == "centroid"
        assert classifier.accuracies == accuracies
        assert Classifier.of(index, ENCODER, head="knn").accuracies == {}


def test_leaving_one_out_of_the_centres_is_the_same_as_without_it(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    labelled: list[tuple[str, float, Any]] = [
        (f"d{n}", float(random.uniform(0, 360)), f"l{n % 4}") for n in range(40)
    ]
    labelled += [("two", 7, ["l0", "l1"]), ("alone", 9, "only")]
    with Index.open(made(tmp_path / "i", labelled)) as index:
        examples = read_examples(index, "where")
        rows = np.arange(len(examples.positions))
        vectors = examples.positions.vectors_at(rows)
        cosines = Sums.of(examples).cosines_without(examples, rows, vectors)
        for row in rows.tolist():
            for number, label in enumerate(examples.names):
                others = [r for r in rows.tolist() if r != row and label in examples.of(r)]
                if not others:
                    assert cosines[row, number] == -np.inf
                    continue
                centre = vectors[others].sum(axis=0)
                expected = vectors[row] @ centre / np.linalg.norm(centre)
                assert cosines[row, number] == pytest.approx(float(expected), abs=1e-4)


def test_a_label_without_examples_can_have_a_description(tmp_path: Path) -> None:
    descriptions = {"west": "at 180", "east": "at 270"}  # "east" has examples, and needs none
    with Index.open(made(tmp_path / "i")) as index:
        west = predicted(index, 170, descriptions=descriptions)
        east = predicted(index, 10, descriptions=descriptions)
        assert (west.label, west.zero_shot) == ("west", True)
        assert (east.label, east.zero_shot) == ("east", False)
        with pytest.raises(UsageError, match="need the head centroid, not knn"):
            predicted(index, 0, descriptions=descriptions, head="knn")


def test_without_any_example_all_labels_are_described(tmp_path: Path) -> None:
    index_corpus([Document("a", "at 0")], ENCODER, tmp_path / "i")
    with Index.open(tmp_path / "i") as index:
        found = predicted(index, 80, descriptions={"east": "at 0", "north": "at 90"})
        assert (found.label, found.runner_up, found.zero_shot) == ("north", "east", True)
        assert found.nearest == ()
        with pytest.raises(UsageError, match="does not record which field contains the labels"):
            predicted(index, 80)
        with pytest.raises(UsageError, match=r"no document of .+ has a label in the field 'topic'"):
            predicted(index, 80, label_field="topic")


def test_one_label_is_certain(tmp_path: Path) -> None:
    with Index.open(made(tmp_path / "i", [("a", 0, "east"), ("b", 1, "east")])) as index:
        for head in ("knn", "centroid", "logreg", "auto"):
            found = predicted(index, 200, head=head)
            assert (found.label, found.runner_up) == ("east", None)
            assert found.confidence == pytest.approx(1)


@pytest.mark.parametrize(
    ("value", "labels"),
    [
        ("a", ("a",)),
        (["b", "a", "b"], ("b", "a")),
        (3, ("3",)),
        (True, ("true",)),
        (None, ()),
        ("", ()),
        ([], ()),
        ([None, " x "], ("x",)),
    ],
    ids=repr,
)
def test_a_label_is_a_text_a_number_or_a_list(value: object, labels: tuple[str, ...]) -> None:
    assert labels_of({"label": value}, "label") == labels
    assert labels_of({"of": {"label": value}}, "of.label") == labels


@pytest.mark.parametrize("value", [{"a": 1}, 1.5, [[1]]], ids=repr)
def test_anything_else_is_no_label(value: object) -> None:
    with pytest.raises(ValueError, match="not a text"):
        labels_of({"label": value}, "label")


def test_an_index_for_another_task_or_space_is_refused(tmp_path: Path) -> None:
    index_corpus([Document("a", "at 0")], AngleEncoder(Task.SIMILARITY), tmp_path / "i")
    with (
        Index.open(tmp_path / "i") as index,
        pytest.raises(SpaceMismatchError, match="`taskembed classify` needs an index for the task"),
    ):
        Classifier.of(index, ENCODER)
    other = HashEncoder(task=Task.CLASSIFICATION, query_prompt="", document_prompt="")
    with Index.open(made(tmp_path / "j")) as index, pytest.raises(SpaceMismatchError, match="dim"):
        Classifier.of(index, other)


def test_logistic_regression_needs_its_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn.linear_model", None)
    with (
        Index.open(made(tmp_path / "i")) as index,
        pytest.raises(MissingLibraryError, match="sklearn"),
    ):
        Classifier.of(index, ENCODER, head="logreg")
