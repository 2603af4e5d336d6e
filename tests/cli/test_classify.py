"""`taskembed classify`: what it prints, writes and refuses; and `index --label-field`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.support import write_jsonl
from tests.conftest import Run

WORDS = {"food": "flour water yeast bread soup", "sky": "moon star planet comet sun"}
EXAMPLES: list[dict[str, object]] = [
    {"id": f"{label}{number}", "text": f"{word} {words}", "topic": label, "n": number}
    for label, words in WORDS.items()
    for number, word in enumerate(words.split())
]
TEXTS: list[dict[str, object]] = [
    {"id": "a", "text": "yeast and flour", "topic": "food"},
    {"id": "b", "text": "a comet and the moon", "topic": ["sky", "other"]},
    {"id": "c", "text": "planet", "topic": "food"},
]


@pytest.fixture
def folder(
    run: Run, tmp_path: Path, made_once: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    if "classify" not in made_once:
        made_once["classify"] = tmp_path_factory.mktemp("made-once") / "classify"
        corpus = write_jsonl(tmp_path / "corpus.jsonl", EXAMPLES)
        of_index = ("--index", made_once["classify"], "--label-field", "topic")
        assert run("index", corpus, "--task", "classification", *of_index).code == 0
    return Path(shutil.copytree(made_once["classify"], tmp_path / "classify"))


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "texts.jsonl", TEXTS)


def test_each_text_gets_a_label(run: Run, folder: Path, texts: Path) -> None:
    done = run("classify", texts, "--index", folder)
    assert done.code == 0
    assert [(line["doc_id"], line["label"]) for line in done.lines] == [
        ("a", "food"),
        ("b", "sky"),
        ("c", "sky"),
    ]
    first = done.lines[0]
    assert set(first) == {
        *("doc_id", "label", "confidence", "best", "runner_up", "nearest", "zero_shot"),
    }
    nearest = first["nearest"]
    assert isinstance(nearest, list)
    assert len(nearest) == 3
    assert nearest[0]["labels"] == ["food"]
    assert "note: head knn; leave-one-out accuracy: knn 1.000" in done.err


def test_the_index_remembers_its_label_field(run: Run, folder: Path, tmp_path: Path) -> None:
    value = run("info", "--index", folder, "--json").json
    assert isinstance(value, dict)
    assert value["reading"]["label_field"] == "topic"
    again = write_jsonl(tmp_path / "more.jsonl", [{"id": "x", "text": "tea", "topic": "food"}])
    assert run("index", again, "--index", folder).code == 0
    value = run("info", "--index", folder, "--json").json
    assert isinstance(value, dict)
    assert value["reading"]["label_field"] == "topic"


def test_predictions_are_written_to_a_file(
    run: Run, folder: Path, texts: Path, tmp_path: Path
) -> None:
    done = run("classify", texts, "--index", folder, "--output", tmp_path / "out.jsonl", "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 3


def test_an_unsure_label_is_left_out(run: Run, folder: Path, texts: Path) -> None:
    asked = ("classify", texts, "--index", folder, "--head", "centroid")
    sure = run(*asked).lines
    least = (sure[0]["confidence"], sure[2]["confidence"])
    assert isinstance(least[0], float)
    done = run(*asked, "--min-confidence", "1")
    assert {line["label"] for line in done.lines} <= {None, "food", "sky"}
    assert [line["best"] for line in done.lines] == ["food", "sky", "sky"]
    for line in done.lines:
        assert (line["label"] is None) == (line["confidence"] != 1)


def test_predictions_are_judged(run: Run, folder: Path, texts: Path, tmp_path: Path) -> None:
    asked = ("classify", texts, "--index", folder, "--evaluate")
    done = run(*asked, "--json", "--output", tmp_path / "out.jsonl")
    assert done.code == 0
    value = done.json
    assert isinstance(value, dict)
    assert value["texts"] == 3
    assert value["accuracy"] == pytest.approx(2 / 3)
    # food: 1 right, 1 missed; sky: 1 right, 1 wrong
    assert value["macro_f1"] == pytest.approx(2 / 3)
    assert value["confusions"] == [{"gold": "food", "predicted": "sky", "count": 1}]
    assert value["head"] == "knn"
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 3
    text = run(*asked).out
    assert "accuracy                0.6667" in text
    assert "answered" in text
    assert "right label" in text


def test_a_text_without_a_label_cannot_be_judged(run: Run, folder: Path, tmp_path: Path) -> None:
    texts = write_jsonl(tmp_path / "t.jsonl", [{"id": "a", "text": "moon"}, TEXTS[0]])
    asked = ("classify", texts, "--index", folder, "--evaluate", "--json")
    refused = run(*asked)
    assert refused.code == 65
    assert "no label in the field 'topic'" in refused.err
    done = run(*asked, "--skip-bad")
    assert done.code == 1
    assert isinstance(done.json, dict)
    assert done.json["texts"] == 1


def test_labels_without_examples_are_described(run: Run, folder: Path, tmp_path: Path) -> None:
    labels = [{"label": "music", "text": "guitar violin song"}]
    write_jsonl(tmp_path / "labels.jsonl", labels)
    texts = write_jsonl(tmp_path / "t.jsonl", [{"id": "a", "text": "violin song"}, TEXTS[0]])
    asked = ("classify", texts, "--index", folder, "--labels", tmp_path / "labels.jsonl")
    done = run(*asked)
    assert [(line["label"], line["zero_shot"]) for line in done.lines] == [
        ("music", True),
        ("food", False),
    ]
    assert "head centroid" in done.err
    refused = run(*asked, "--head", "knn")
    assert refused.code == 2
    assert "labels without examples need the head centroid" in refused.err


def test_a_field_of_labels_is_needed(run: Run, folder: Path, texts: Path, tmp_path: Path) -> None:
    corpus = write_jsonl(tmp_path / "c.jsonl", EXAMPLES)
    plain = tmp_path / "plain"
    assert run("index", corpus, "--task", "classification", "--index", plain).code == 0
    refused = run("classify", texts, "--index", plain)
    assert refused.code == 2
    assert "does not record which field contains the labels" in refused.err
    assert "--label-field NAME" in refused.err
    assert run("classify", texts, "--index", plain, "--label-field", "topic").code == 0
    wrong = run("classify", texts, "--index", folder, "--label-field", "kind")
    assert wrong.code == 2
    assert "has a label in the field 'kind'" in wrong.err


def test_texts_come_from_stdin(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, texts: Path
) -> None:
    with texts.open() as stream:
        monkeypatch.setattr("sys.stdin", stream)
        done = run("classify", "-", "--index", folder)
    assert [line["label"] for line in done.lines] == ["food", "sky", "sky"]


def test_another_task_is_refused(run: Run, indexed: Path, texts: Path) -> None:
    done = run("classify", texts, "--index", indexed)
    assert (done.code, done.out) == (78, "")
    assert "`taskembed classify` needs an index for the task 'classification'" in done.err
    assert "taskembed index CORPUS --task classification" in done.err


def test_a_wrong_label_is_an_error(run: Run, tmp_path: Path, texts: Path) -> None:
    corpus = write_jsonl(tmp_path / "c.jsonl", [{"id": "a", "text": "x", "topic": {"of": 1}}])
    of_index = ("--index", tmp_path / "i", "--label-field", "topic")
    assert run("index", corpus, "--task", "classification", *of_index).code == 0
    done = run("classify", texts, "--index", tmp_path / "i")
    assert done.code == 2
    assert "document 'a': the label in 'topic' is an object, not a text" in done.err
    assert json.loads(texts.read_text().splitlines()[0])["id"] == "a"
