from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from taskembed.errors import IndexBusyError, IndexDamagedError, StorageError
from taskembed.index.disk import _lock as lock
from taskembed.index.disk import generations as store
from taskembed.index.disk._lock import (
    LAST_GENERATION,
    UNKNOWN,
    acknowledged,
    acknowledgement,
    take_lock,
)
from taskembed.index.disk.commit import StoreWriter, open_writer
from taskembed.index.disk.fs import Folder, Fs, opened_folder
from taskembed.index.disk.generations import read_newest, verify
from taskembed.index.disk.manifests import manifest_name
from tests.fakes import StepFs

ROOT = Path(__file__).parents[2]
STOPPED = "LOCK: it was deleted or replaced while this run was writing"


def commit_one(writer: StoreWriter, text: str = "") -> int:
    """Commit one more generation: a segment of its own beside those before."""
    number = writer.next_generation
    name = f"seg-{number:08d}.db"
    writer.write(name, f"{text} {number}".encode())
    writer.commit({"by": text}, [*(writer.snapshot.files if writer.snapshot else {}), name])
    return number


def make_index(folder: Path, generations: int = 3) -> None:
    with open_writer(folder) as writer:
        for _ in range(generations):
            commit_one(writer, "former")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def texts(folder: Path) -> list[str]:
    """Return what the files of the newest generation say, every one of them whole."""
    snapshot, damages = verify(folder)
    assert damages == []
    return [(folder / name).read_text() for name in sorted(snapshot.files)]


# --- what LOCK says -----------------------------------------------------------------------------


def test_lock_names_the_last_acknowledged_generation_and_who_holds_it(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        assert (tmp_path / "LOCK").read_text().splitlines()[0] == "committed -------- --------"
        commit_one(writer)
        commit_one(writer)
        first, second = (tmp_path / "LOCK").read_text().splitlines()
    assert first == f"committed 00000001 {zlib.crc32(b'00000001'):08x}"
    assert second.split() == [str(os.getpid()), os.uname().nodename]
    assert acknowledged(tmp_path) == 1
    with open_writer(tmp_path):  # who holds it is written anew, the number stays
        assert acknowledged(tmp_path) == 1


def test_a_line_that_is_torn_cut_or_flipped_names_no_other_generation(tmp_path: Path) -> None:
    before, after = acknowledgement(41), acknowledgement(42)
    torn = [after[:cut] + before[cut:] for cut in range(len(after) + 1)]
    cut = [after[:length] for length in range(len(after))]
    zeros = [after[:length] + b"\0" * (len(after) - length) for length in range(len(after))]
    flips = [
        after[:place] + bytes([after[place] ^ 1 << bit]) + after[place + 1 :]
        for place in range(len(after))
        for bit in range(8)
    ]
    said = set()
    for line in [*torn, *cut, *zeros, *flips]:
        (tmp_path / "LOCK").write_bytes(line + b"1 host\n")
        said.add(acknowledged(tmp_path))
    assert said == {UNKNOWN, 41, 42}  # torn at its ends, it is one of the two


@pytest.mark.parametrize(
    "make",
    [
        lambda _path: None,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"4711 host\n"),  # as before there was a number
        lambda path: path.write_bytes(acknowledgement(LAST_GENERATION) + b"1 host\n"),
        lambda path: path.mkdir(),
        lambda path: path.symlink_to("LOCK"),
        os.mkfifo,
    ],
)
def test_a_lock_that_says_nothing_hinders_no_reader(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    make_index(tmp_path)
    (tmp_path / "LOCK").unlink()
    make(tmp_path / "LOCK")
    assert acknowledged(tmp_path) == UNKNOWN
    assert read_newest(tmp_path).generation == 2


def test_an_index_from_before_there_was_a_number_gets_one_with_the_next_commit(
    tmp_path: Path,
) -> None:
    make_index(tmp_path)
    (tmp_path / "LOCK").write_bytes(b"4711 host\n")
    with open_writer(tmp_path) as writer:
        number = commit_one(writer)
    assert (acknowledged(tmp_path), read_newest(tmp_path).generation) == (number, number)
    assert len(texts(tmp_path)) == 4


# --- a newest manifest that was deleted -----------------------------------------------------------


def test_a_newest_manifest_that_was_deleted_is_missed(tmp_path: Path) -> None:
    make_index(tmp_path)
    (tmp_path / manifest_name(2)).unlink()
    for use in (read_newest, verify, lambda folder: open_writer(folder).__enter__()):
        with pytest.raises(IndexDamagedError) as caught:
            use(tmp_path)
        assert caught.value.message == (
            f"the index is damaged: {tmp_path / manifest_name(2)}: it is missing, and it was "
            "committed after generation 1"
        )
        assert caught.value.hint == (
            "restore it from a copy; or index again with --recreate; or continue with generation "
            f"1: delete {tmp_path / 'LOCK'}"
        )


def test_after_a_lost_manifest_each_way_on_works(tmp_path: Path) -> None:
    make_index(tmp_path / "a")
    lost = (tmp_path / "a" / manifest_name(2)).read_bytes()
    (tmp_path / "a" / manifest_name(2)).unlink()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    shutil.copytree(tmp_path / "a", tmp_path / "c")

    (tmp_path / "a" / manifest_name(2)).write_bytes(lost)  # restored
    assert len(texts(tmp_path / "a")) == 3

    with open_writer(tmp_path / "b", over_damage=True) as writer:  # --recreate
        assert commit_one(writer, "new") == 3
    assert texts(tmp_path / "b") == ["new 3"]

    (tmp_path / "c" / "LOCK").unlink()  # going on with the one before
    assert len(texts(tmp_path / "c")) == 2
    with open_writer(tmp_path / "c") as writer:
        commit_one(writer)
    assert len(texts(tmp_path / "c")) == 3


def test_lock_alone_beside_no_manifest_is_damage(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        writer.commit({}, [])
    (tmp_path / manifest_name(0)).unlink()
    with pytest.raises(IndexDamagedError, match="it has files of an index, but no manifest"):
        read_newest(tmp_path)


def test_a_list_that_is_older_than_lock_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that was made while manifests came and went may lack the newest."""
    make_index(tmp_path)
    stale = [name for name in store.names_in(tmp_path) if name != manifest_name(2)]
    lists = iter([stale])

    def names_in(folder: Path) -> list[str]:
        names = next(lists, None)
        if names is None:
            return sorted(path.name for path in folder.iterdir())
        with open_writer(folder) as writer:
            commit_one(writer)
        return names

    monkeypatch.setattr(store, "names_in", names_in)
    assert read_newest(tmp_path).generation == 3


# --- impossible numbers ---------------------------------------------------------------------------


def put_impossible(folder: Path, number: int) -> None:
    text = (folder / manifest_name(2)).read_bytes()[:-16]
    text = text.replace(b'"generation": 2', b'"generation": %d' % number)
    (folder / manifest_name(number)).write_bytes(text + b"#crc32 %08x\n" % zlib.crc32(text))


def test_a_manifest_of_an_impossible_number_is_damage_that_recreate_mends(tmp_path: Path) -> None:
    make_index(tmp_path)
    put_impossible(tmp_path, LAST_GENERATION)
    with pytest.raises(IndexDamagedError), open_writer(tmp_path):
        pass
    with open_writer(tmp_path, over_damage=True) as writer:
        assert writer.snapshot
        assert writer.snapshot.generation == 2  # which readers are answered from meanwhile
        assert commit_one(writer, "new") == 3
    assert len(texts(tmp_path)) == 4


def test_when_the_numbers_are_used_up_nothing_is_written_that_could_not_be_read(
    tmp_path: Path,
) -> None:
    make_index(tmp_path)
    put_impossible(tmp_path, LAST_GENERATION - 1)  # the highest that there may be
    before = names(tmp_path)
    for over_damage in (False, True):
        with (
            pytest.raises(StorageError) as caught,
            open_writer(tmp_path, over_damage=over_damage),
        ):
            pass
        assert caught.value.message == (
            f"{tmp_path}: there are no numbers left for more generations"
        )
        assert caught.value.hint == "build another index with --index OTHER"
    assert names(tmp_path) == before
    assert read_newest(tmp_path).generation == LAST_GENERATION - 1


@pytest.mark.parametrize("number", [LAST_GENERATION - 1, LAST_GENERATION - 2, LAST_GENERATION])
def test_a_damaged_manifest_of_too_high_a_number_can_be_begun_over(
    tmp_path: Path, number: int
) -> None:
    make_index(tmp_path)
    (tmp_path / manifest_name(number)).write_bytes(b"junk")
    with pytest.raises(IndexDamagedError), open_writer(tmp_path):
        pass
    with open_writer(tmp_path, over_damage=True) as writer:
        assert [commit_one(writer) for _ in range(4)] == [3, 4, 5, 6]
    assert len(texts(tmp_path)) == 7


def test_a_run_ends_before_a_number_that_could_not_be_read(tmp_path: Path) -> None:
    make_index(tmp_path)
    put_impossible(tmp_path, LAST_GENERATION - 3)
    with open_writer(tmp_path) as writer:
        assert [commit_one(writer), commit_one(writer)] == [
            LAST_GENERATION - 2,
            LAST_GENERATION - 1,
        ]
        with pytest.raises(StorageError, match="there are no numbers left"):
            commit_one(writer)
    assert read_newest(tmp_path).generation == LAST_GENERATION - 1
    assert len(texts(tmp_path)) == 5


def test_a_lock_that_is_no_file_is_said_to_be_none(tmp_path: Path) -> None:
    make_index(tmp_path)
    (tmp_path / "LOCK").unlink()
    os.mkfifo(tmp_path / "LOCK")
    with pytest.raises(StorageError) as caught, open_writer(tmp_path):
        pass
    assert caught.value.message == f"{tmp_path / 'LOCK'}: it is not a file"
    assert read_newest(tmp_path).generation == 2


def test_a_name_with_an_impossible_number_keeps_nobody_from_writing(tmp_path: Path) -> None:
    make_index(tmp_path)
    (tmp_path / f"seg-{LAST_GENERATION}.db").write_bytes(b"of nobody")
    (tmp_path / "LOCK").unlink()
    with open_writer(tmp_path) as writer:
        commit_one(writer)
    assert len(texts(tmp_path)) == 4


# --- LOCK, or the index, is deleted under a writer ------------------------------------------------


def delete_lock(folder: Path) -> None:
    (folder / "LOCK").unlink()


def delete_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def move_folder(folder: Path) -> None:
    folder.rename(folder.with_name("moved"))


DELETIONS = [delete_lock, delete_folder, move_folder]


@pytest.mark.parametrize("delete", DELETIONS)
def test_a_writer_whose_lock_is_gone_commits_nothing_more(
    tmp_path: Path, delete: Callable[[Path], None]
) -> None:
    folder = tmp_path / "index"
    make_index(folder)
    with open_writer(folder) as writer:
        delete(folder)
        for use in (lambda: commit_one(writer), lambda: writer.commit({}, [])):
            with pytest.raises(StorageError) as caught:
                use()
            assert STOPPED in caught.value.message
            assert caught.value.hint == "run the same command again, and leave LOCK where it is"


def test_garbage_of_a_writer_whose_lock_is_gone_stays(tmp_path: Path) -> None:
    make_index(tmp_path)
    with open_writer(tmp_path) as writer:
        (tmp_path / "seg-00000003.db").write_bytes(b"garbage, or of another writer")
        delete_lock(tmp_path)
        with pytest.raises(StorageError, match=STOPPED):
            writer.collect_garbage()
    assert (tmp_path / "seg-00000003.db").exists()


@pytest.mark.parametrize("call", ["rename", "unlink"])
def test_a_file_that_goes_under_a_writer_stops_it_unless_it_was_to_go(
    tmp_path: Path, call: str
) -> None:
    def interfere(_number: int, name: str) -> None:
        if name == call:
            for path in tmp_path.iterdir():
                if path.suffix == ".tmp" or path.name == "manifest-00000001.json":
                    path.unlink()

    make_index(tmp_path)
    with open_writer(tmp_path, fs=StepFs(interfere)) as writer:
        if call == "unlink":
            assert commit_one(writer) == 3
        else:
            with pytest.raises(StorageError) as caught:
                commit_one(writer)
            name = tmp_path / "manifest-00000003.json"
            assert caught.value.message == f"{name}: it was deleted while this run was writing"


def take_over(
    folder: Path, delete: Callable[[Path], None], step: int, later: int
) -> tuple[list[str], bool]:
    """Let a writer go on after another took the index over before one of its steps.

    Returns:
        What the second one committed, and whether the first one was stopped.
    """
    make_index(folder)
    second = open_writer(folder)
    taken: list[StoreWriter] = []

    def interfere(number: int, _name: str) -> None:
        if number == step:
            delete(folder)
            taken.append(second.__enter__())
            for _ in range(later):
                commit_one(taken[0], "second")

    stopped = False
    with open_writer(folder) as first:
        first.fs = StepFs(interfere)
        try:
            commit_one(first, "first")
        except StorageError as error:
            stopped = STOPPED in error.message
        if taken:
            commit_one(taken[0], "second")
            second.__exit__(None, None, None)
    return texts(folder), stopped


STEPS = 14  # of a commit that removes a manifest and nothing else, and one more


@pytest.mark.parametrize("later", [0, 1, 4])
@pytest.mark.parametrize("delete", DELETIONS)
def test_taking_an_index_over_at_any_step_of_a_commit_harms_neither(
    tmp_path: Path, delete: Callable[[Path], None], later: int
) -> None:
    for step in range(1, STEPS + 1):
        found, stopped = take_over(tmp_path / str(step) / "index", delete, step, later)
        written = [text.split()[0] for text in found]
        if step == STEPS:
            assert written == ["former"] * 3 + ["first"]  # nobody interfered
            continue
        assert written.count("second") == later + 1
        assert written.count("former") == (3 if delete is delete_lock else 0)
        assert written.count("first") <= 1
        if step <= 12:  # after it, it is acknowledged
            assert stopped


def test_a_second_writer_takes_numbers_that_the_first_one_cannot_use(tmp_path: Path) -> None:
    make_index(tmp_path)
    with open_writer(tmp_path) as first:
        delete_lock(tmp_path)
        with open_writer(tmp_path) as second:
            assert first.next_generation == 3
            assert second.next_generation == 4
    with open_writer(tmp_path) as third:  # the second one committed nothing that LOCK could name
        assert third.next_generation == 4


# --- how it is held -------------------------------------------------------------------------------


def test_a_lock_that_was_deleted_while_it_was_waited_for_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_index(tmp_path)
    deleted: list[float] = []

    def sleep(seconds: float) -> None:
        if not deleted:
            delete_lock(tmp_path)
            held.release()
        deleted.append(seconds)

    held = take_lock(tmp_path, Fs(), 0)
    monkeypatch.setattr(time, "sleep", sleep)
    waiting = take_lock(tmp_path, Fs(), 10)
    assert deleted == [0.1]
    assert waiting.is_ours
    waiting.release()


def test_a_folder_that_is_deleted_before_its_lock_is_made_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    deleted: list[int] = []

    def interfere(number: int, name: str) -> None:
        if name == "sync_folder" and not deleted:
            folder.rmdir()
            deleted.append(number)

    lock = take_lock(folder, StepFs(interfere), 0)
    assert lock.is_ours
    assert deleted
    lock.release()


def test_a_lock_that_is_deleted_each_time_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock.Lock, "is_ours", False)
    with pytest.raises(IndexBusyError, match="is deleted again and again"):
        take_lock(tmp_path, Fs(), 0)


def test_a_lock_that_cannot_be_looked_at_is_not_said_to_be_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> os.stat_result:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with open_writer(tmp_path) as writer, monkeypatch.context() as patched:
        patched.setattr(Path, "lstat", refuse)
        with pytest.raises(StorageError) as caught:
            commit_one(writer)
    assert caught.value.message == f"{tmp_path / 'LOCK'}: Input/output error"


FORK = """
import os, sys, time
from pathlib import Path
from taskembed.index.disk.commit import open_writer
with open_writer(Path(sys.argv[1])) as writer:
    if os.fork() == 0:
        try:
            writer.commit({}, [])
        except RuntimeError as error:
            print(error, flush=True)
        os.read(0, 1)  # until the test ends
        os._exit(0)
    time.sleep(0.2)
"""


def test_a_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORK, str(tmp_path / "index")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == "this process does not hold the lock\n"
        assert parent.wait(20) == 0
        with open_writer(tmp_path / "index") as writer:  # while the child still lives
            commit_one(writer)
        parent.stdout.close()


def test_a_manifest_is_never_written_over(tmp_path: Path) -> None:
    for links in (True, False):
        (tmp_path / "source").write_text("new")
        (tmp_path / "target").write_text("old")
        with pytest.raises(FileExistsError), opened_folder(tmp_path) as folder:
            (Fs() if links else LinklessFs()).rename(folder, "source", "target")
        assert (tmp_path / "target").read_text() == "old"
        assert (tmp_path / "source").read_text() == "new"


class LinklessFs(Fs):
    """A file system without hard links."""

    def rename(self, folder: Folder, source: str, target: str) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        link, os.link = os.link, refuse
        try:
            super().rename(folder, source, target)
        finally:
            os.link = link


def test_an_index_on_a_file_system_without_links_is_an_index(tmp_path: Path) -> None:
    with open_writer(tmp_path, fs=LinklessFs()) as writer:
        for _ in range(3):
            commit_one(writer)
    assert len(texts(tmp_path)) == 3
    assert not [name for name in names(tmp_path) if name.endswith(".tmp")]


def test_what_a_rename_leaves_is_removed_by_the_next_writer(tmp_path: Path) -> None:
    make_index(tmp_path)
    os.link(tmp_path / manifest_name(2), tmp_path / f"{manifest_name(2)}.tmp")
    assert len(texts(tmp_path)) == 3
    with open_writer(tmp_path):
        assert not re.search(r"\.tmp", " ".join(names(tmp_path)))
    assert len(texts(tmp_path)) == 3
