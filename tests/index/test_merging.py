from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest

from taskembed.errors import StorageError
from taskembed.index import _merging
from taskembed.index._merge_choice import MERGE_ROWS, choose
from taskembed.index.contents import Contents
from taskembed.index.disk.generations import read_newest
from taskembed.index.reader import Index
from taskembed.index.verify import verify_index
from taskembed.reading.document import Document
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions, Watch
from tests.fakes import HashEncoder, StepFs, fail_at


@dataclass
class Rows:
    """A segment in a simulation."""

    rows: int
    dead: int = 0


@dataclass
class Simulated:
    """What became of an index whose commits have so many rows."""

    segments: list[Rows]
    written: int
    most: int

    @property
    def total(self) -> int:
        return sum(item.rows for item in self.segments)


def simulate(commits: Iterator[int], start: Simulated | None = None) -> Simulated:
    state = start or Simulated([], 0, 0)
    for rows in commits:
        state.segments.append(Rows(rows))
        state.written += rows
        while group := choose(state.segments, lambda item: item.rows, lambda item: item.dead):
            merged = Rows(sum(item.rows for item in group))
            state.segments = [item for item in state.segments if item not in group] + [merged]
            state.written += merged.rows
        state.most = max(state.most, len(state.segments))
    return state


def commits(count: int, rows: int) -> Iterator[int]:
    return repeat(rows, count // rows)


@pytest.mark.parametrize("rows", [1_000, 5_000, 20_000, 60_000])
def test_a_million_documents_stand_in_at_most_twelve_segments(rows: int) -> None:
    state = simulate(commits(1_000_000, rows))
    print(f"commits of {rows:,}: {state.most} segments, {state.written / state.total:.2f} written")
    assert state.most <= 12
    assert state.written / state.total < 4


@pytest.mark.parametrize("rows", [20_000, 60_000])
def test_ten_million_documents_stand_in_at_most_twenty_segments(rows: int) -> None:
    state = simulate(commits(10_000_000, rows))
    print(f"commits of {rows:,}: {state.most} segments, {state.written / state.total:.2f} written")
    assert state.most <= 20
    assert max(item.rows for item in state.segments) <= MERGE_ROWS
    assert state.written / state.total < 5


def test_a_year_of_nightly_changes_does_not_rewrite_the_corpus() -> None:
    state = simulate(commits(1_000_000, 20_000))
    before = state.written
    state = simulate(iter([1_000] * 365), state)
    amplification = (state.written - before) / 365_000
    print(f"nightly: {state.most} segments, {amplification:.2f} written")
    assert state.most <= 12
    assert amplification < 7


def test_commits_of_any_sizes_stay_in_few_segments() -> None:
    sizes = np.random.default_rng(3).lognormal(8, 2, 500).astype(int) + 1
    state = simulate(int(size) for size in sizes)
    assert state.most <= 12 + sum(item.rows * 2 > MERGE_ROWS for item in state.segments)


def test_a_segment_that_is_mostly_deleted_is_written_anew() -> None:
    mostly, half = Rows(40, 60), Rows(50, 50)
    assert choose([half, mostly], lambda item: item.rows, lambda item: item.dead) == [mostly]
    assert choose([half], lambda item: item.rows, lambda item: item.dead) == []


def corpus(count: int) -> list[Document]:
    return [Document(f"d{n:03d}", f"word{n} common", {"n": n, "t": f"x{n}"}) for n in range(count)]


def build(folder: Path, fs: StepFs | None = None) -> None:
    """Build of many commits, with updates and deletions between, so that segments are merged."""
    watch = Watch(fs=fs) if fs else Watch()
    options = IndexOptions(commit_every=4)
    index_corpus(corpus(40), HashEncoder(), folder, options=options, watch=watch)
    changed = [Document("d001", "other", {}), *corpus(60)[2:]]
    pruned = replace(options, prune=True, prune_limit=100)
    index_corpus(changed, HashEncoder(), folder, options=pruned, watch=watch)


def test_documents_that_are_put_together_in_a_file_are_as_those_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path / "memory")
    monkeypatch.setattr(_merging, "SCRATCH_BYTES", 0)
    build(tmp_path / "file")
    assert verify_index(tmp_path / "file")[1] == []
    with Index.open(tmp_path / "memory") as memory, Index.open(tmp_path / "file") as file:
        assert list(memory) == list(file)
        assert len(file) == 59
    assert not list((tmp_path / "file").glob("*.tmp"))


@pytest.mark.parametrize("every", [197, pytest.param(37, marks=pytest.mark.crash)])
def test_an_error_at_some_steps_of_a_merge_through_a_file_leaves_a_whole_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    monkeypatch.setattr(_merging, "SCRATCH_BYTES", 0)
    counted = StepFs(lambda *_: None)
    build(tmp_path / "counted", counted)
    for step in range(1, len(counted.steps) + 1, every):
        folder = tmp_path / f"failed{step}"
        with suppress(StorageError):  # not that the file beside could not be removed
            build(folder, StepFs(fail_at(step)))
        if list(folder.glob("manifest*")):
            assert verify_index(folder)[1] == []
        build(folder)
        assert verify_index(folder)[1] == []
        assert not list(folder.glob("*.tmp"))


def test_rows_move_with_their_vectors_documents_and_fields(tmp_path: Path) -> None:
    build(tmp_path / "i")
    live = Contents.of(tmp_path / "i", read_newest(tmp_path / "i")).live
    assert len(live.segments) <= 12
    with Index.open(tmp_path / "i") as index:
        for document in index:
            vector = HashEncoder().encode([document.text], "document").vectors  # type: ignore[arg-type]  # the prompt is only remembered
            (best,) = index.nearest(vector, 1)[0]
            assert (best.doc_id, best.metadata) == (document.doc_id, document.metadata)
