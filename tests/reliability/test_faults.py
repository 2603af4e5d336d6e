"""Kills, failing calls, full disks, damaged files, readers beside a writer.

The default run has a sample of each; `pytest -m crash` has them all.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from taskembed.errors import (
    AccessDeniedError,
    IndexDamagedError,
    NotFoundError,
    StorageError,
    TaskembedError,
)
from taskembed.index.contents import read_index
from taskembed.index.disk.generations import read_newest, verify
from taskembed.index.ranking.hits import Hit
from taskembed.index.reader import Index
from taskembed.index.verify import verify_index
from taskembed.reading.document import Document
from taskembed.space import PromptType
from taskembed.verbs.delete import delete_documents
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions, Watch
from taskembed.verbs.search import search_index
from tests.fakes import HashEncoder, ShortWritesFs, fail_at
from tests.reliability import workload

SLOW_STAGES = [pytest.param(stage, marks=pytest.mark.slow) for stage in workload.VIEW_STAGES]
ROOT = Path(__file__).parents[2]
Prepared = Callable[[str], tuple[Path, list[list[tuple[str, str, float]]], int]]


def start(folder: Path, stage: str, kill: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.reliability.workload", str(folder), stage]
    return subprocess.Popen(
        [*command, "--kill-at", str(kill)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Prepare each stage once: tests copy the index that it begins with."""
    return cache(lambda stage: prepare(tmp_path_factory.mktemp("prepared"), stage))


def prepare(folder: Path, stage: str) -> tuple[Path, list[list[tuple[str, str, float]]], int]:
    """Return an index before a stage; what an undisturbed run of it answers; and its steps."""
    before, after = folder / "before", folder / "after"
    if earlier := workload.before(stage):
        workload.run(before, earlier, lambda *_: None)
        shutil.copytree(before, after)
    steps = workload.run(after, stage, lambda *_: None).steps
    return before, workload.answers(after, stage), len(steps)


def require_whole(folder: Path, acknowledged: list[int]) -> None:
    """The generation on disk is the last acknowledged or the one in flight, and it is whole."""
    try:
        snapshot, damages = verify(folder)
    except NotFoundError:
        assert acknowledged == []
        return
    assert damages == []
    last = acknowledged[-1] if acknowledged else snapshot.generation
    assert snapshot.generation in {last, last + 1}
    load(folder)


def load(folder: Path) -> None:
    """Read what every search of each view needs."""
    for task in read_index(folder)[1].live.tasks:
        with Index.open(folder, task=task) as index:
            index.load()


def acknowledged_by(out: str) -> list[int]:
    return [int(line.split()[1]) for line in out.splitlines() if line.startswith("ACK")]


def kill_and_recover(
    before: Path, folder: Path, stage: str, expected: object, *, kill: int = 0, after: float = 0
) -> int:
    """Kill a stage at a step or after some seconds, look, run it again, look again."""
    if before.exists():
        shutil.copytree(before, folder)
    process = start(folder, stage, kill)
    if after:
        time.sleep(after)
        process.kill()
    out, err = process.communicate(timeout=60)
    assert process.returncode in {-9, 0}, err
    require_whole(folder, acknowledged_by(out))
    workload.run(folder, stage, lambda *_: None)
    require_whole(folder, [])
    assert workload.answers(folder, stage) == expected
    assert not [path for path in folder.iterdir() if path.suffix == ".tmp"]
    shutil.rmtree(folder)
    return process.returncode


@pytest.mark.parametrize("stage", workload.STAGES)
def test_a_kill_at_some_steps_of_a_commit_loses_nothing(
    tmp_path: Path, prepared: Prepared, stage: str
) -> None:
    before, expected, total = prepared(stage)
    for step in random.Random(stage).sample(range(1, total), 1):
        code = kill_and_recover(before, tmp_path / "killed", stage, expected, kill=step)
        assert code == -9


@pytest.mark.crash
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("stage", [*workload.STAGES, *workload.VIEW_STAGES])
def test_a_kill_at_every_step_of_every_commit_loses_nothing(
    tmp_path: Path, prepared: Prepared, stage: str
) -> None:
    before, expected, total = prepared(stage)
    for step in range(1, total + 1):
        code = kill_and_recover(before, tmp_path / "killed", stage, expected, kill=step)
        assert code == -9
    print(f"{stage}: killed at each of {total} steps, 0 broken")


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
        pytest.param(200, marks=[pytest.mark.crash, pytest.mark.timeout(3000)]),
    ],
)
def test_a_kill_at_random_moments_loses_nothing(
    tmp_path: Path, prepared: Prepared, kills: int
) -> None:
    chosen = random.Random(kills)
    states = {stage: prepared(stage) for stage in workload.VIEW_STAGES}
    started = time.monotonic()
    start(tmp_path / "timed", "build").communicate()
    whole = time.monotonic() - started  # of which the interpreter's start is about half
    killed = tries = 0
    while killed < kills and tries < 5 * kills:
        stage = chosen.choice(workload.VIEW_STAGES)
        before, expected, _ = states[stage]
        moment = chosen.uniform(whole / 3, whole)
        code = kill_and_recover(before, tmp_path / "killed", stage, expected, after=moment)
        killed += code == -9
        tries += 1
    print(f"killed at {killed} random moments ({tries} tries), 0 broken")
    assert killed == kills


@pytest.mark.parametrize(
    "every", [263, pytest.param(1, marks=[pytest.mark.crash, pytest.mark.timeout(3000)])]
)
@pytest.mark.parametrize("stage", [*workload.STAGES, *SLOW_STAGES])
def test_an_error_at_any_call_leaves_the_last_generation(
    tmp_path: Path, prepared: Prepared, stage: str, every: int
) -> None:
    before, expected, total = prepared(stage)
    codes = {errno.EIO: StorageError, errno.ENOSPC: StorageError, errno.EACCES: AccessDeniedError}
    for number, step in enumerate(range(1, total + 1, every)):
        code, kind = list(codes.items())[number % 3]
        folder = tmp_path / "failed"
        if before.exists():
            shutil.copytree(before, folder)
        with pytest.raises(TaskembedError) as caught:
            workload.run(folder, stage, fail_at(step, code))
        if "not confirmed" not in caught.value.message:
            assert isinstance(caught.value, kind)
            assert os.strerror(code) in caught.value.message
        require_whole(folder, [])
        workload.run(folder, stage, lambda *_: None)
        assert workload.answers(folder, stage) == expected
        shutil.rmtree(folder)


def test_an_index_is_whole_though_each_write_is_short(tmp_path: Path) -> None:
    documents = workload.documents("build")[:3]
    index_corpus(documents, HashEncoder(), tmp_path / "i", watch=Watch(fs=ShortWritesFs()))
    assert verify(tmp_path / "i")[1] == []


def test_the_calls_of_a_commit_come_in_the_order_of_the_protocol(tmp_path: Path) -> None:
    steps = workload.run(tmp_path / "i", "build", lambda *_: None).steps
    write_file = ["open_new", "write", "sync", "close"]
    commit = [*write_file, "sync_folder", "rename", "sync_folder", "overwrite"]
    make = ["make_folder", "sync_folder"]
    # generation 0 is empty; generation 1 has vectors, their checksums and where they were cut,
    # words, documents and their fields, and the manifest
    assert steps[: len(make) + 8] == [*make, *commit]
    assert steps[len(make) + 8 : len(make) + 8 + 32] == [*write_file * 6, *commit]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of some kilobytes, which a test may remount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("kilobytes", [16, 40, 64])
def test_a_full_disk_loses_nothing_that_was_committed(small_disk: Path, kilobytes: int) -> None:
    require_survival_of_full_disk(small_disk, kilobytes)


@pytest.mark.crash
@pytest.mark.parametrize("kilobytes", range(8, 208, 8))
def test_full_disks_of_many_sizes(small_disk: Path, kilobytes: int) -> None:
    require_survival_of_full_disk(small_disk, kilobytes)


def require_survival_of_full_disk(disk: Path, kilobytes: int) -> None:
    remount(disk, f"{kilobytes}k")
    folder = disk / "index"
    acknowledged: list[int] = []
    documents = [Document(f"d{n}", f"word{n} " * 20, {}) for n in range(200)]
    options = IndexOptions(commit_every=20)

    def note(_: int) -> None:
        if folder.exists() and list(folder.glob("manifest-*.json")):
            acknowledged.append(read_newest(folder).generation)

    with pytest.raises(StorageError) as caught:
        index_corpus(
            documents, HashEncoder(), folder, options=options, watch=Watch(on_progress=note)
        )
    assert "No space left on device" in caught.value.message
    assert caught.value.hint == "free some space and run the same command again"
    require_whole(folder, acknowledged)
    if list(folder.glob("manifest-*.json")):
        with Index.open(folder) as index:
            assert caught.value.safe_documents == len(index)
    remount(disk, "4m")
    summary = index_corpus(documents, HashEncoder(), folder, options=options)
    assert summary.documents == 200
    require_whole(folder, [])


def remount(folder: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


KINDS = (".faiss", ".sum", ".codes", ".chunks", ".db", ".fields", ".words", ".bin", ".json")
OF_VIEW = ("-similarity.faiss", "-similarity.sum", "-similarity.codes")


@pytest.fixture
def damaged(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    made_once: dict[str, Path],
) -> Path:
    """An index of a few documents with a file of each kind, which is searched by its codes."""
    monkeypatch.setattr("taskembed.index._segments.building.CODED_ROWS", 10)
    monkeypatch.setattr("taskembed.index.ranking.nearest.LEAST_CANDIDATES", 5)
    if not made_once:
        made_once["index"] = tmp_path_factory.mktemp("made-once") / "index"
        make_index(made_once["index"])
    return Path(shutil.copytree(made_once["index"], tmp_path / "index"))


@pytest.fixture(scope="module")
def made_once() -> dict[str, Path]:
    return {}


def make_index(folder: Path) -> None:
    index_corpus(
        workload.documents("build")[:12],
        workload.encoders("build-2"),
        folder,
        options=IndexOptions(words=workload.WORDS, chunk=workload.CHUNK),
    )
    changed = [Document("d1", "other", {}), *workload.documents("build")[2:12]]
    index_corpus(changed, workload.encoders("build-2"), folder, options=IndexOptions(prune=True))


def newest_file(folder: Path, kind: str) -> Path:
    names = read_newest(folder).files
    if kind == ".json":
        return max(folder.glob("manifest-*.json"))
    return folder / min(name for name in names if name.endswith(kind))


def answer(folder: Path) -> list[Hit] | None:
    """Return the hits of a search in each view; None when the index is damaged."""
    hits = []
    try:
        for encoder in workload.encoders("build-2"):
            with Index.open(folder, task=encoder.space.task) as index:
                hits += search_index(["word3"], encoder, index, k=2)[0]
    except IndexDamagedError:
        return None
    return hits


def is_refused(folder: Path) -> bool:
    return answer(folder) is None


@pytest.mark.parametrize("kind", [*KINDS, *OF_VIEW])
def test_damage_of_every_kind_of_file_is_found_before_a_hit_is_given(
    damaged: Path, kind: str
) -> None:
    assert sum(flip_and_cut(damaged, kind, every=421)) > 0


@pytest.mark.crash
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("kind", [*KINDS, *OF_VIEW])
def test_no_flipped_or_missing_byte_goes_unnoticed(damaged: Path, kind: str) -> None:
    refused, unread = flip_and_cut(damaged, kind, every=1)
    print(f"{kind}: {refused + unread} damaged files, {unread} in places that no search read")


READ_IN_PART = {".faiss", ".db", ".fields", ".words"}  # the others are read whole by every search


def flip_and_cut(folder: Path, kind: str, *, every: int) -> tuple[int, int]:
    """Damage a file in many ways; return how often a search refused it, and how often not.

    A search that does not refuse it read none of the damage: it answers as before. What checks
    every byte, a writer and `verify`, refuses it always.
    """
    path = newest_file(folder, kind)
    whole = path.read_bytes()
    right = answer(folder)
    assert right is not None
    refused = unread = 0
    for position in range(0, len(whole), every):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(flipped)
        found = answer(folder)
        assert found is None or (path.suffix in READ_IN_PART and found == right), (
            path.name,
            position,
        )
        if found is not None:
            assert [damage.name for damage in verify_index(folder)[1]] == [path.name]
            with pytest.raises(IndexDamagedError):
                delete_documents(folder, ["absent"])
        path.write_bytes(whole[:position])
        assert is_refused(folder), (path.name, position)
        refused += 1 + (found is None)
        unread += found is not None
    for data in (b"", whole + b"\0", b"\0" * len(whole)):
        path.write_bytes(data)
        assert is_refused(folder) or (kind == ".fields" and len(data) == len(whole))
        assert verify_index_fails(folder)
    path.unlink()
    path.mkdir()
    with pytest.raises(TaskembedError):
        load(folder)
    path.rmdir()
    assert is_refused(folder)
    path.write_bytes(whole)
    assert answer(folder) == right
    return refused, unread


def verify_index_fails(folder: Path) -> bool:
    try:
        return bool(verify_index(folder)[1])
    except IndexDamagedError:  # a manifest
        return True


@pytest.mark.parametrize("kind", [".faiss", ".db"])
def test_a_file_that_shrinks_after_it_was_opened_is_an_error_and_no_signal(
    damaged: Path, kind: str
) -> None:
    path = newest_file(damaged, kind)
    queries = HashEncoder().encode(["word3"], PromptType.QUERY).vectors
    with Index.open(damaged) as index:
        right = [index.nearest(queries, 2, exact=exact)[0] for exact in (False, True)]
        os.truncate(path, 50)
        for exact in (False, True):
            try:  # SQLite may have all of a small file in memory
                assert index.nearest(queries, 2, exact=exact)[0] == right[exact]
                assert kind == ".db"
            except (IndexDamagedError, StorageError):
                pass


def test_files_without_any_manifest_are_damage_and_not_an_empty_index(damaged: Path) -> None:
    for path in damaged.glob("manifest-*.json"):
        path.unlink()
    with pytest.raises(IndexDamagedError, match="it has files of an index, but no manifest"):
        Index.open(damaged)


def test_verify_lists_every_damaged_file(damaged: Path) -> None:
    for kind in (".faiss", ".db"):
        path = newest_file(damaged, kind)
        path.write_bytes(path.read_bytes()[:-1])
    _, damages = verify(damaged)
    assert sorted(Path(damage.name).suffix for damage in damages) == [".db", ".faiss"]
    assert all(" bytes instead of " in damage.reason for damage in damages)


@pytest.mark.parametrize("seconds", [0.4, pytest.param(60, marks=pytest.mark.crash)])
@pytest.mark.timeout(300)
def test_readers_beside_a_writer_get_whole_generations(  # noqa: PLR0915  # one story
    tmp_path: Path, seconds: float
) -> None:
    """The writer puts round N everywhere at once: a reader must never see two rounds."""
    folder = tmp_path / "index"
    write_round(folder, 0)
    stop = threading.Event()
    errors: list[str] = []
    reads = [0]

    def read() -> None:
        last = -1
        while not stop.is_set():
            try:
                with Index.open(folder) as index:
                    generation = index.generation
                    hits = search_index(["round"], HashEncoder(), index, k=50)[0]
            except Exception as error:  # noqa: BLE001  # whatever it is, it is a finding
                errors.append(repr(error))
                return
            rounds = {hit.metadata["round"] for hit in hits}
            if len(rounds) != 1 or len(hits) != 20 or generation < last:
                errors.append(f"{rounds} {len(hits)} {generation} after {last}")
                return
            last = generation
            reads[0] += 1

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    deadline = time.monotonic() + seconds
    number = 0
    while (time.monotonic() < deadline or reads[0] <= 10) and not errors:
        number += 1
        write_round(folder, number)
    stop.set()
    for reader in readers:
        reader.join()
    print(f"{number} commits, {reads[0]} whole reads, {len(errors)} errors")
    assert errors == []
    assert reads[0] > 10


def write_round(folder: Path, number: int) -> None:
    documents = [
        Document(f"d{n}", f"round number {number} document {n}", {"round": number})
        for n in range(20)
    ]
    index_corpus(documents, HashEncoder(), folder)
