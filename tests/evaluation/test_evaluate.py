"""Models and indexes are evaluated by a program as by the command."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskembed.encoding.load import load_encoder
from taskembed.encoding.settings import EngineSettings
from taskembed.errors import SpaceMismatchError, UsageError
from taskembed.evaluation.data import DataFiles
from taskembed.evaluation.evaluate import evaluate_index, evaluate_model
from taskembed.reading.document import Document
from taskembed.space import PromptType, Task
from taskembed.verbs.index import index_corpus

TEXTS = {"fox": "the quick brown fox", "dog": "the lazy dog"}

pytestmark = pytest.mark.usefixtures("models")


@pytest.fixture
def settings(cache: Path) -> EngineSettings:
    return EngineSettings(cache=cache, threads=1)


@pytest.fixture
def files(tmp_path: Path) -> DataFiles:
    corpus = "".join(f'{{"id": "{name}", "text": "{text}"}}\n' for name, text in TEXTS.items())
    (tmp_path / "corpus.jsonl").write_text(corpus)
    (tmp_path / "queries.tsv").write_text("q1\tquick fox\nq2\tlazy\n")
    (tmp_path / "qrels.tsv").write_text("q1 0 fox 1\nq2 0 dog 1\n")
    return DataFiles(tmp_path)


def index_of(folder: Path, task: Task, settings: EngineSettings) -> Path:
    encoder = load_encoder("minilm", task, settings=settings)
    index_corpus([Document(name, text) for name, text in TEXTS.items()], encoder, folder)
    return folder


def test_an_evaluation_has_figures_hits_and_counts(
    files: DataFiles, settings: EngineSettings
) -> None:
    done = evaluate_model("minilm", Task.RETRIEVAL, files, settings=settings)
    assert done.measured.main == "nDCG@10"
    assert done.measured.value == 1.0
    assert done.run is not None
    assert [next(iter(hits)) for hits in done.run.values()] == ["fox", "dog"]
    assert done.encoder.texts == {PromptType.DOCUMENT: 2, PromptType.QUERY: 2}
    assert done.encoder.truncated.total() == 0


def test_an_index_gives_the_figures_of_its_model(
    files: DataFiles, settings: EngineSettings, tmp_path: Path
) -> None:
    folder = index_of(tmp_path / "index", Task.RETRIEVAL, settings)
    of_index = evaluate_index(folder, files, settings=settings)
    of_model = evaluate_model("minilm", Task.RETRIEVAL, files, settings=settings)
    assert of_index.measured.values == of_model.measured.values
    assert of_index.encoder.texts == {PromptType.QUERY: 2}


def test_an_index_for_another_task_is_not_evaluated(
    files: DataFiles, settings: EngineSettings, tmp_path: Path
) -> None:
    folder = index_of(tmp_path / "index", Task.RETRIEVAL, settings)
    with pytest.raises(SpaceMismatchError, match="is for the task 'retrieval', not 'code'"):
        evaluate_index(folder, files, task=Task.CODE, settings=settings)
    folder = index_of(tmp_path / "pairs", Task.SIMILARITY, settings)
    with pytest.raises(UsageError, match="similarity, which is not evaluated by ranking"):
        evaluate_index(folder, files, settings=settings)
