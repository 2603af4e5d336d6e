from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from taskembed.activity import looking_on
from taskembed.errors import (
    AccessDeniedError,
    IndexBusyError,
    IndexDamagedError,
    NewerFormatError,
    NotFoundError,
    StorageError,
    TaskembedError,
    UsageError,
)
from taskembed.index.disk.commit import StoreWriter, open_writer
from taskembed.index.disk.files import file_damage
from taskembed.index.disk.fs import Folder, Fs
from taskembed.index.disk.generations import read_newest, verify
from taskembed.index.disk.manifests import manifest_name
from tests.fakes import ShortWritesFs, StepFs, fail_at

DENIED_HINT = "run as a user with the permission, or choose another path"
ROOT = Path(__file__).parents[2]


class NamedStepFs(StepFs):
    """Also remembers the name of the file, or of the folder, that each step was about."""

    def __init__(self, step: Callable[[int, str], None] = lambda _number, _name: None) -> None:
        super().__init__(step)
        self.lines: list[str] = []
        self._open: dict[int, str] = {}

    def make_folder(self, path: Path) -> None:
        self.lines.append(f"make_folder {path.name}")
        super().make_folder(path)

    def open_new(self, folder: Folder, name: str) -> int:
        self.lines.append(f"open_new {name}")
        descriptor = super().open_new(folder, name)
        self._open[descriptor] = name
        return descriptor

    def write(self, descriptor: int, data: memoryview) -> int:
        self.lines.append(f"write {self._open[descriptor]}")
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self.lines.append(f"sync {self._open[descriptor]}")
        super().sync(descriptor)

    def close(self, descriptor: int) -> None:
        self.lines.append(f"close {self._open[descriptor]}")
        super().close(descriptor)

    def rename(self, folder: Folder, source: str, target: str) -> None:
        self.lines.append(f"rename {source} {target}")
        super().rename(folder, source, target)

    def overwrite(self, descriptor: int, data: bytes) -> None:
        self.lines.append(f"overwrite {data.decode().split()[1]}")
        super().overwrite(descriptor, data)

    def sync_folder(self, folder: Folder) -> None:
        self.lines.append(f"sync_folder {folder.path.name}")
        super().sync_folder(folder)

    def unlink(self, folder: Folder, name: str) -> None:
        self.lines.append(f"unlink {name}")
        super().unlink(folder, name)


def commit_one(store: StoreWriter) -> None:
    """Commit one more generation: a segment of its own beside those before."""
    number = store.next_generation
    name = f"seg-{number:08d}.db"
    store.write(name, f"documents of {number}".encode())
    store.commit({"n": number}, [*(store.snapshot.files if store.snapshot else {}), name])


def commit_alone(store: StoreWriter) -> None:
    """Commit one more generation that needs nothing of those before."""
    name = f"seg-{store.next_generation:08d}.db"
    store.write(name, b"x")
    store.commit({}, [name])


def make_index(folder: Path, generations: int = 1) -> None:
    with open_writer(folder) as store:
        for _ in range(generations):
            commit_one(store)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_commit_makes_every_call_in_the_one_right_order(tmp_path: Path) -> None:
    fs = NamedStepFs()
    with open_writer(tmp_path / "index", fs=fs) as store:
        store.write("seg-00000000.faiss", b"vectors")
        store.write("seg-00000000.db", b"documents")
        store.commit({}, ["seg-00000000.faiss", "seg-00000000.db"])
    assert fs.lines == [
        "make_folder index",
        f"sync_folder {tmp_path.name}",
        "open_new seg-00000000.faiss",
        "write seg-00000000.faiss",
        "sync seg-00000000.faiss",
        "close seg-00000000.faiss",
        "open_new seg-00000000.db",
        "write seg-00000000.db",
        "sync seg-00000000.db",
        "close seg-00000000.db",
        "open_new manifest-00000000.json.tmp",
        "write manifest-00000000.json.tmp",
        "sync manifest-00000000.json.tmp",
        "close manifest-00000000.json.tmp",
        "sync_folder index",
        "rename manifest-00000000.json.tmp manifest-00000000.json",
        "sync_folder index",
        "overwrite 00000000",
    ]


def test_garbage_goes_after_the_commit_and_manifests_before_their_files(tmp_path: Path) -> None:
    fs = NamedStepFs()
    with open_writer(tmp_path / "index") as store:
        commit_alone(store)
        commit_alone(store)
        store.fs = fs
        commit_alone(store)
    assert fs.lines[-5:] == [
        "rename manifest-00000002.json.tmp manifest-00000002.json",
        "sync_folder index",
        "overwrite 00000002",
        "unlink manifest-00000000.json",
        "unlink seg-00000000.db",
    ]


def test_garbage_that_cannot_go_is_named(tmp_path: Path) -> None:
    class KeepingFs(Fs):
        def unlink(self, folder: Folder, name: str) -> None:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    folder = tmp_path / "index"
    with open_writer(folder) as store:
        commit_alone(store)
        commit_alone(store)
        store.fs = KeepingFs()
        with pytest.raises(AccessDeniedError) as refusal:
            commit_alone(store)
    assert refusal.value.message == f"{folder / 'manifest-00000000.json'}: Permission denied"
    assert read_newest(folder).generation == 2  # it was committed before


def test_short_writes_are_completed(tmp_path: Path) -> None:
    text = b"more than seven bytes, by far"
    with open_writer(tmp_path / "index", fs=ShortWritesFs()) as store:
        store.write("seg-00000000.db", text)
        store.commit({"text": "x" * 500}, ["seg-00000000.db"])
    assert (tmp_path / "index" / "seg-00000000.db").read_bytes() == text
    snapshot, damages = verify(tmp_path / "index")
    assert (snapshot.body, damages) == ({"text": "x" * 500}, [])


def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    with open_writer(tmp_path / "index") as store:
        store.write("del-00000000-00000000.bin", b"")
        snapshot = store.commit({}, ["del-00000000-00000000.bin"])
    assert file_damage(tmp_path / "index", snapshot.files["del-00000000-00000000.bin"]) is None


def test_the_checksum_is_of_what_was_meant_not_of_what_the_disk_kept(tmp_path: Path) -> None:
    class LyingFs(Fs):
        def write(self, descriptor: int, data: memoryview) -> int:
            super().write(descriptor, memoryview(bytes(len(data))))
            return len(data)

    with open_writer(tmp_path / "index") as store:
        store.fs = LyingFs()
        store.write("seg-00000000.db", b"text")
        store.fs = Fs()
        store.commit({}, ["seg-00000000.db"])
    (damage,) = verify(tmp_path / "index")[1]
    assert (damage.name, damage.reason) == ("seg-00000000.db", "its checksum does not match")


def test_only_names_of_an_index_can_be_written(tmp_path: Path) -> None:
    with open_writer(tmp_path / "index") as store:
        for name in ("../seg-00000000.db", "notes.txt", "seg-1.db", "seg-00000000.db\n"):
            with pytest.raises(ValueError, match="is not the name of a file of an index"):
                store.write(name, b"")
    assert names(tmp_path) == ["index"]


def test_what_was_written_is_not_there_until_it_is_committed(tmp_path: Path) -> None:
    make_index(tmp_path / "index")
    with open_writer(tmp_path / "index") as store:
        store.write("seg-00000001.db", b"new")
        assert read_newest(tmp_path / "index").generation == 0
    with open_writer(tmp_path / "index") as store:
        assert names(tmp_path / "index") == ["LOCK", "manifest-00000000.json", "seg-00000000.db"]
        assert store.next_generation == 1


# --- an error at every call --------------------------------------------------------------------


def steps_of_one_commit(folder: Path) -> list[str]:
    make_index(folder)
    fs = StepFs(lambda _number, _name: None)
    with open_writer(folder) as store:
        store.fs = fs
        commit_one(store)
    return fs.steps


def test_one_commit_of_one_file_is_twelve_calls(tmp_path: Path) -> None:
    assert steps_of_one_commit(tmp_path / "index") == [
        "open_new",
        "write",
        "sync",
        "close",
        "open_new",
        "write",
        "sync",
        "close",
        "sync_folder",
        "rename",
        "sync_folder",
        "overwrite",
    ]


@pytest.mark.parametrize("number", range(1, 11))
@pytest.mark.parametrize(
    ("code", "kind", "reason", "hint"),
    [
        (
            errno.ENOSPC,
            StorageError,
            "No space left on device",
            "free some space and run the same command again",
        ),
        (errno.EIO, StorageError, "Input/output error", None),
        (errno.EACCES, AccessDeniedError, "Permission denied", DENIED_HINT),
        (errno.EROFS, AccessDeniedError, "Read-only file system", DENIED_HINT),
    ],
)
def test_an_error_before_the_commit_point_leaves_the_former_generation(
    tmp_path: Path, number: int, code: int, kind: type[TaskembedError], reason: str, hint: str
) -> None:
    folder = tmp_path / "index"
    make_index(folder)
    with open_writer(folder) as store:
        store.fs = StepFs(fail_at(number, code))
        with pytest.raises(kind) as caught:
            commit_one(store)
    name = "seg-00000001.db" if number <= 4 else "manifest-00000001.json"
    assert (caught.value.message, caught.value.hint) == (f"{folder / name}: {reason}", hint)
    snapshot, damages = verify(folder)
    assert (snapshot.generation, damages) == (0, [])
    make_index(folder)  # the run is repeated
    snapshot, damages = verify(folder)
    assert (snapshot.generation, damages) == (1, [])
    assert names(folder) == [
        "LOCK",
        "manifest-00000000.json",
        "manifest-00000001.json",
        "seg-00000000.db",
        "seg-00000001.db",
    ]


@pytest.mark.parametrize("number", [11, 12])
def test_an_error_after_the_commit_point_says_that_it_is_not_confirmed(
    tmp_path: Path, number: int
) -> None:
    folder = tmp_path / "index"
    make_index(folder)
    with open_writer(folder) as store:
        store.fs = StepFs(fail_at(number, errno.EIO))
        with pytest.raises(StorageError) as caught:
            commit_one(store)
    assert caught.value.message == (
        f"generation 1 was written but is not confirmed: {folder}: Input/output error"
    )
    assert caught.value.hint == "run the same command again: it continues from what is there"
    snapshot, damages = verify(folder)
    assert (snapshot.generation, damages) == (1, [])
    make_index(folder)
    assert read_newest(folder).generation == 2


@pytest.mark.parametrize("number", [1, 2])
def test_an_error_while_the_folder_is_made_names_it(tmp_path: Path, number: int) -> None:
    with (
        pytest.raises(StorageError) as caught,
        open_writer(tmp_path / "index", fs=StepFs(fail_at(number, errno.ENOSPC))),
    ):
        pass
    assert caught.value.message == f"{tmp_path / 'index'}: No space left on device"
    make_index(tmp_path / "index")
    assert read_newest(tmp_path / "index").generation == 0


@pytest.mark.parametrize("number", [13, 14])
def test_an_error_while_garbage_goes_loses_nothing(tmp_path: Path, number: int) -> None:
    folder = tmp_path / "index"
    with open_writer(folder) as store:
        commit_alone(store)
        commit_alone(store)
        store.fs = StepFs(fail_at(number, errno.EIO))
        with pytest.raises(StorageError, match="Input/output error"):
            commit_alone(store)
    snapshot, damages = verify(folder)
    assert (snapshot.generation, damages) == (2, [])
    with open_writer(folder):
        pass
    assert names(folder) == [
        "LOCK",
        "manifest-00000001.json",
        "manifest-00000002.json",
        "seg-00000001.db",
        "seg-00000002.db",
    ]


# --- garbage -----------------------------------------------------------------------------------


def test_two_generations_are_kept_with_all_that_they_name(tmp_path: Path) -> None:
    with open_writer(tmp_path / "index") as store:
        for _ in range(5):
            commit_alone(store)
    assert names(tmp_path / "index") == [
        "LOCK",
        "manifest-00000003.json",
        "manifest-00000004.json",
        "seg-00000003.db",
        "seg-00000004.db",
    ]


def test_the_leftovers_of_a_killed_run_are_removed_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    make_index(folder)
    for name in (
        "manifest-00000001.json.tmp",
        "seg-00000001.db",
        "seg-00000001.faiss",
        "del-00000001-00000000.bin",
        "notes.txt",
        "manifest-1.json",
        "seg-00000001.db.bak",
    ):
        (folder / name).write_bytes(b"x")
    with open_writer(folder):
        pass
    assert names(folder) == [
        "LOCK",
        "manifest-00000000.json",
        "manifest-1.json",
        "notes.txt",
        "seg-00000000.db",
        "seg-00000001.db.bak",
    ]


def test_what_a_damaged_older_manifest_may_name_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    make_index(folder, 2)
    (folder / manifest_name(0)).write_bytes(b"damaged")
    (folder / "seg-00000002.db").write_bytes(b"of a killed run")
    with open_writer(folder):
        pass
    assert names(folder) == [
        "LOCK",
        "manifest-00000000.json",
        "manifest-00000001.json",
        "seg-00000000.db",
        "seg-00000001.db",
    ]


def test_a_writer_refuses_a_damaged_manifest_and_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    make_index(folder, 2)
    (folder / manifest_name(1)).write_bytes(b"damaged")
    before = names(folder)
    with pytest.raises(IndexDamagedError, match="its checksum does not match"), open_writer(folder):
        pass
    assert names(folder) == before


def test_a_writer_can_begin_again_over_a_damaged_manifest(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    make_index(folder, 2)
    (folder / manifest_name(1)).write_bytes(b"damaged")
    with open_writer(folder, over_damage=True) as store:
        assert store.next_generation == 2
        for _ in range(2):
            commit_alone(store)
        assert names(folder) == [
            "LOCK",
            "manifest-00000002.json",
            "manifest-00000003.json",
            "seg-00000002.db",
            "seg-00000003.db",
        ]


def test_a_writer_can_begin_again_when_every_manifest_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    make_index(folder, 2)
    for path in folder.glob("manifest-*"):
        path.unlink()
    with open_writer(folder, over_damage=True) as store:
        commit_alone(store)
    assert names(folder) == ["LOCK", "manifest-00000002.json", "seg-00000002.db"]


def test_not_even_over_damage_is_a_newer_format_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    make_index(folder)
    path = folder / manifest_name(0)
    text = path.read_bytes()[:-16].replace(b'"format": 2', b'"format": 3')
    path.write_bytes(text + b"#crc32 %08x\n" % zlib.crc32(text))
    before = names(folder)
    with pytest.raises(NewerFormatError), open_writer(folder, over_damage=True):
        pass
    assert names(folder) == before


# --- who may write -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["notes.txt", "seg-1.db"])
def test_a_folder_of_other_things_is_refused_and_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError) as caught, open_writer(tmp_path):
        pass
    assert caught.value.message == f"{tmp_path} is not an index: it holds {name!r}"
    assert caught.value.hint == "choose another --index"
    assert names(tmp_path) == [name]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index").write_text("mine")
    with pytest.raises(NotFoundError) as caught, open_writer(tmp_path / "index"):
        pass
    assert caught.value.message == f"{tmp_path / 'index'}: Not a directory"


def test_folders_above_are_made_too(tmp_path: Path) -> None:
    make_index(tmp_path / "a" / "b" / "index")
    assert read_newest(tmp_path / "a" / "b" / "index").generation == 0


def test_the_names_of_new_folders_are_synced_before_anything_is_committed(tmp_path: Path) -> None:
    fs = NamedStepFs()
    with open_writer(tmp_path / "a" / "b" / "index", fs=fs):
        pass
    synced = {line.split()[1] for line in fs.lines if line.startswith("sync_folder")}
    assert synced >= {tmp_path.name, "a", "b"}


def test_a_second_writer_is_told_who_writes(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    with open_writer(folder):
        with pytest.raises(IndexBusyError) as caught, open_writer(folder):
            pass
        assert caught.value.message == (
            f"another taskembed is writing to {folder} (process {os.getpid()} on "
            f"{os.uname().nodename})"
        )
        assert caught.value.hint == ("wait, or use --wait SECONDS; deleting LOCK does not help")
    with open_writer(folder):
        pass


def test_a_lock_that_names_nobody_is_still_a_lock(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    with open_writer(folder):
        (folder / "LOCK").write_bytes(b"")
        with pytest.raises(IndexBusyError) as caught, open_writer(folder):
            pass
    assert caught.value.message == f"another taskembed is writing to {folder}"


HOLD = """
import sys, time
from pathlib import Path
from taskembed.index.disk.commit import open_writer
with open_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def hold(folder: Path, seconds: float) -> subprocess.Popen[str]:
    """Start another process that holds the lock; return when it does."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder, str(seconds)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_a_writer_in_another_process_is_waited_for_and_killed_it_leaves_no_lock(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "index"
    with hold(folder, 60) as holder:
        begin = time.monotonic()
        with pytest.raises(IndexBusyError) as caught, open_writer(folder, wait_seconds=0.2):
            pass
        assert time.monotonic() - begin >= 0.2
        assert f"(process {holder.pid} on " in caught.value.message
        holder.send_signal(signal.SIGKILL)
        with open_writer(folder, wait_seconds=10):
            pass


def test_waiting_for_another_writer_is_seen(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    seen: list[str] = []

    def look(_seconds: float) -> None:
        seen.extend(step.what for step in steps if step.waits_for_others)
        holder.send_signal(signal.SIGKILL)
        holder.wait()  # with a time it would sleep, and come here again

    with (
        hold(folder, 60) as holder,
        looking_on() as steps,
        pytest.MonkeyPatch.context() as patched,
    ):
        clock = SimpleNamespace(monotonic=time.monotonic, sleep=look)
        patched.setattr("taskembed.index.disk._lock.time", clock)
        with open_writer(folder, wait_seconds=30):
            assert steps == []
    said = f"waiting: another taskembed is writing to {folder} (process {holder.pid} on "
    assert len(seen) == 1
    assert seen[0].startswith(said)


def test_waiting_ends_when_the_other_writer_does(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    with hold(folder, 0.3) as holder, open_writer(folder, wait_seconds=30):
        assert holder.wait(10) == 0


def test_locks_that_are_not_supported_are_no_busy_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(StorageError) as caught, open_writer(tmp_path):
        pass
    assert caught.value.message == (
        f"{tmp_path}/LOCK: No locks available: locks are not supported here"
    )
    assert caught.value.hint == "put the index on a local file system"


def test_a_full_disk_while_the_lock_is_taken_is_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.pwrite", refuse)
    with pytest.raises(StorageError, match=r"LOCK: No space left on device"), open_writer(tmp_path):
        pass


def test_a_lock_that_is_a_link_does_not_write_elsewhere(tmp_path: Path) -> None:
    target = tmp_path / "important.txt"
    target.write_text("mine")
    folder = tmp_path / "index"
    folder.mkdir()
    (folder / "LOCK").symlink_to(target)
    with pytest.raises(TaskembedError), open_writer(folder):
        pass
    assert target.read_text() == "mine"


WRITE_AS_NOBODY = """
import os, sys
from pathlib import Path
from taskembed.index.disk.commit import open_writer
from taskembed.errors import TaskembedError
from taskembed.index.disk.generations import verify
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
folder = Path(sys.argv[1])
print(verify(folder)[0].generation)
try:
    with open_writer(folder):
        pass
except TaskembedError as error:
    print(type(error).__name__, error.message)
"""


@pytest.mark.parametrize("lock", ["with", "without"])
def test_a_folder_that_may_only_be_read_is_read_but_not_written(tmp_path: Path, lock: str) -> None:
    folder = tmp_path / "index"
    make_index(folder)
    if lock == "without":
        (folder / "LOCK").unlink()
    for path in [*folder.iterdir(), folder]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    for path in (tmp_path, *tmp_path.parents):
        if (mode := path.stat().st_mode) | 0o055 != mode:
            path.chmod(mode | 0o055)
    before = names(folder)
    answer = subprocess.run(
        [sys.executable, "-c", WRITE_AS_NOBODY, folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.splitlines() == [
        "0",
        f"AccessDeniedError {folder}/LOCK: Permission denied",
    ]
    assert names(folder) == before
