"""The power is cut at every moment of a run: an index is then what it was, or what it became.

The default run has a sample of the images; `pytest -m crash` has them all.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from taskembed.errors import NotFoundError, TaskembedError
from taskembed.index.contents import read_index
from taskembed.index.disk.fs import Fs
from taskembed.index.disk.generations import read_newest, verify
from taskembed.index.reader import Index
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions
from tests.reliability import workload
from tests.reliability.power import Change, Image, RecordingFs, images, put, taken

SLOW_STAGES = [pytest.param(stage, marks=pytest.mark.slow) for stage in workload.VIEW_STAGES]


def recorded(folder: Path, stage: str, *, commit_every: int = 16) -> tuple[Image, list[Change]]:
    """Return an index before a stage, and the changes of it."""
    if stage == "convert":
        workload.run_on(Fs(), folder, workload.before(stage), commit_every=commit_every)
    elif earlier := workload.before(stage):
        whole = IndexOptions(chunk=workload.CHUNK)
        encoders = workload.encoders(earlier)
        index_corpus(workload.documents(earlier), encoders, folder, options=whole)
    before = taken(folder)
    fs = RecordingFs(folder)
    workload.run_on(fs, folder, stage, commit_every=commit_every)
    return before, fs.changes


def broken(folder: Path, acknowledged: int) -> str:
    """Return what is wrong with an index after a power cut; "" when nothing is."""
    try:
        snapshot, damages = verify(folder)
        if damages:
            return f"damaged: {damages}"
        if snapshot.generation not in {acknowledged, acknowledged + 1}:
            return f"generation {snapshot.generation}, and {acknowledged} was acknowledged"
        for task in read_index(folder)[1].live.tasks:
            with Index.open(folder, task=task) as index:
                index.load()
    except NotFoundError:
        return "" if acknowledged < 0 else "no index"
    except TaskembedError as error:
        return error.message
    return ""


def newest_of(changes: list[Change], before: int) -> int:
    """Return the generation that was acknowledged by then."""
    lines = [change.data.split()[1] for change in changes if change.kind == "lock"]
    return int(lines[-1]) if lines else before


def cut_everywhere(
    tmp_path: Path,
    stage: str,
    changes: list[Change],
    before: Image,
    *,
    cuts: Iterable[int] | None = None,
    every: int = 1,
) -> tuple[int, list[str]]:
    """Cut the power at all moments, or after so many changes each; look at one image of `every`.

    Returns:
        How many images were looked at, and what was broken in them.
    """
    chosen = random.Random(stage)
    base = tmp_path / "base"
    put(before, base)
    first = read_newest(base).generation if before else -1
    count, found = 0, []
    for cut in range(len(changes) + 1) if cuts is None else cuts:
        for image in images(changes, before, cut, chosen):
            if chosen.randrange(every):
                continue
            count += 1
            folder = tmp_path / "image"
            put(image, folder)
            wrong = broken(folder, newest_of(changes[:cut], first))
            if not wrong and not chosen.randrange(8):
                wrong = unusable(folder, stage)
            found += [f"after {cut} changes: {wrong}"] if wrong else []
            shutil.rmtree(folder)
    return count, found


def unusable(folder: Path, stage: str) -> str:
    """Return what is wrong after the same run on what the power cut left; "" when nothing is."""
    documents = workload.documents(stage)
    try:
        workload.run_on(Fs(), folder, stage, commit_every=20_000)
    except TaskembedError as error:
        return f"the run cannot be repeated: {error.message}"
    with Index.open(folder) as index:
        index.load()
        return "" if len(index) == len(documents) else f"{len(index)} documents"


@pytest.mark.parametrize("every", [96, pytest.param(24, marks=pytest.mark.slow)])
@pytest.mark.parametrize("stage", [*workload.STAGES, *SLOW_STAGES])
def test_a_power_cut_leaves_a_whole_index(tmp_path: Path, stage: str, every: int) -> None:
    before, changes = recorded(tmp_path / "index", stage)
    _, found = cut_everywhere(tmp_path, stage, changes, before, every=every)
    assert found == []


@pytest.mark.crash
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("stage", [*workload.STAGES, *workload.VIEW_STAGES])
def test_a_power_cut_at_any_moment_leaves_a_whole_index(tmp_path: Path, stage: str) -> None:
    before, changes = recorded(tmp_path / "index", stage, commit_every=4)
    count, found = cut_everywhere(tmp_path, stage, changes, before)
    print(f"{stage}: {count} images after {len(changes)} changes, {len(found)} broken")
    assert found == []


def without_file_syncs(changes: list[Change]) -> list[Change]:
    return [change for change in changes if change.kind != "sync"]


def without_folder_syncs(changes: list[Change]) -> list[Change]:
    return [change for change in changes if change.kind != "names"]


@pytest.mark.parametrize("spoil", [without_file_syncs, without_folder_syncs])
def test_the_simulation_sees_that_a_sync_is_missing(
    tmp_path: Path, spoil: Callable[[list[Change]], list[Change]]
) -> None:
    before, changes = recorded(tmp_path / "index", "update")
    count, found = cut_everywhere(tmp_path, "update", spoil(changes), before, every=48)
    assert len(found) > count / 3


def test_the_simulation_sees_a_generation_acknowledged_before_its_name_is_on_the_disk(
    tmp_path: Path,
) -> None:
    before, changes = recorded(tmp_path / "index", "update")
    locks = [place for place, change in enumerate(changes) if change.kind == "lock"]
    for place in locks:
        assert changes[place - 1].kind == "names"
        changes[place - 1], changes[place] = changes[place], changes[place - 1]
    count, found = cut_everywhere(tmp_path, "update", changes, before, cuts=locks)
    assert len(found) > count / 6
