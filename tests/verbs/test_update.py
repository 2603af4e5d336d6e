"""Updating an index from files, as any front does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from taskembed.errors import ModelUnavailableError, SpaceMismatchError, UsageError
from taskembed.index.reader import Index
from taskembed.index.remembered import Reading
from taskembed.reading.rejects import RejectFile
from taskembed.space import Task
from taskembed.testing import fake_models
from taskembed.verbs.options import IndexOptions, SpaceRequest, Watch
from taskembed.verbs.update import find_update


@pytest.fixture(autouse=True)
def models() -> Iterator[None]:
    with fake_models():
        yield


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"id": "a", "text": "one"}\n{"id": "b", "text": "two"}\n')
    return path


def test_a_run_makes_an_index_and_the_next_one_needs_no_request(
    corpus: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "index"
    first = find_update([str(corpus)], folder, Reading())
    assert first.existing.space is None
    made = first.run(SpaceRequest(task=Task.RETRIEVAL))
    assert (made.summary.added, made.summary.documents) == (2, 2)
    with Index.open(folder) as index:
        assert made.space == index.space
    again = find_update([str(corpus)], folder, Reading()).run(SpaceRequest())
    assert (again.summary.unchanged, again.space) == (2, made.space)
    assert again.seconds >= 0


def test_a_dry_run_writes_nothing_and_has_no_space(corpus: Path, tmp_path: Path) -> None:
    update = find_update([str(corpus)], tmp_path / "index", Reading())
    planned = update.run(SpaceRequest(task=Task.RETRIEVAL), dry_run=True)
    assert (planned.summary.added, planned.space) == (2, None)
    assert not (tmp_path / "index").exists()


def test_a_request_that_cannot_be_met_is_refused(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    with pytest.raises(UsageError, match=r"^a new index needs a task$"):
        find_update([str(corpus)], folder, Reading()).run(SpaceRequest())
    find_update([str(corpus)], folder, Reading()).run(SpaceRequest(task=Task.RETRIEVAL))
    with pytest.raises(SpaceMismatchError):
        find_update([str(corpus)], folder, Reading()).run(SpaceRequest(task=Task.CLUSTERING))


def test_an_index_is_replaced_though_the_options_do_not_say_so(
    corpus: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "index"
    find_update([str(corpus)], folder, Reading()).run(SpaceRequest(task=Task.RETRIEVAL))
    update = find_update([str(corpus)], folder, Reading(), recreate=True)
    done = update.run(SpaceRequest(task=Task.CLUSTERING), IndexOptions())
    assert done.space is not None
    assert done.space.task is Task.CLUSTERING


def test_a_file_of_rejects_is_left_alone_when_the_model_cannot_be_opened(
    corpus: Path, tmp_path: Path
) -> None:
    rejects = tmp_path / "rejects.jsonl"
    rejects.write_text("of an earlier run")
    update = find_update([str(corpus)], tmp_path / "index", Reading())
    request = SpaceRequest(model="no/such-model", task=Task.RETRIEVAL)
    with pytest.raises(ModelUnavailableError):
        update.run(request, watch=Watch(RejectFile(rejects, stop=False)))
    assert rejects.read_text() == "of an earlier run"


def test_a_signal_may_stop_the_wait_for_the_lock_and_the_indexing(
    corpus: Path, tmp_path: Path
) -> None:
    entered: list[bool] = []

    def stoppable() -> AbstractContextManager[None]:
        entered.append((tmp_path / "index").exists())
        return nullcontext()

    update = find_update([str(corpus)], tmp_path / "index", Reading())
    update.run(SpaceRequest(task=Task.RETRIEVAL), watch=Watch(stoppable=stoppable))
    assert len(entered) == 2
