"""The commit protocol: how one writer makes a new generation in a single atomic step.

To commit generation N+1: write and sync the new files, write and sync the manifest under a
temporary name, sync the folder, give the manifest its name (the commit point), sync the folder, and
write the number into LOCK. A crash before the commit point leaves N intact, because no file of N is
ever changed; after the commit point, every file of N+1 is on the disk already. Files that no kept
generation needs are deleted last.

People delete LOCK, or the whole index, while a writer runs, and start another writer. The first
writer then commits nothing more and changes no file of the second:

- It works in the folder that it has opened, whatever folder has that path now.
- Before each step it checks that LOCK is still its own file. A second writer may begin between the
  check and the step. But the second writer first removes temporary manifests and then reads the
  folder, so either it sees the first writer's commit, or the first has no manifest left to rename.
- A writer that finds an empty LOCK beside files of an index uses numbers higher than any number
  that an earlier writer may still use.

This assumes that fsync works and that the file system is local. See docs/index-format.md and
docs/adr/0003-commit-protocol.md.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from taskembed.errors import (
    IndexDamagedError,
    NotFoundError,
    StorageError,
    TaskembedError,
    UsageError,
    from_os_error,
)
from taskembed.index.disk._garbage import number_in, unneeded
from taskembed.index.disk._lock import (
    LAST_GENERATION,
    LOCK,
    UNKNOWN,
    Lock,
    acknowledged,
    acknowledgement,
    require_free,
    take_lock,
)
from taskembed.index.disk._new_file import NewFile
from taskembed.index.disk.files import StoredFile
from taskembed.index.disk.fs import Fs
from taskembed.index.disk.generations import names_in, read_newest
from taskembed.index.disk.manifests import (
    INDEX_FILE,
    Body,
    Snapshot,
    generations_of,
    manifest_bytes,
    manifest_name,
    read_manifest,
)

ROOM = 10_000  # generations; an upper bound for one run


@dataclass
class StoreWriter:
    """The one writer of an index; `open_writer` makes it and holds the lock."""

    folder: Path
    fs: Fs
    held: Lock | None = None  # None: only for reading
    snapshot: Snapshot | None = None  # None: nothing was ever committed
    _above: int = -1  # the next commit has a higher number than this
    _written: dict[str, StoredFile] = field(default_factory=dict)

    @property
    def next_generation(self) -> int:
        """The number that the next commit will have."""
        return max(self._above, self.snapshot.generation if self.snapshot else -1) + 1

    @property
    def lock(self) -> Lock:
        """The lock that this writer holds.

        Raises:
            RuntimeError: the index was opened without the lock, only for reading.
        """
        if self.held is None:
            raise RuntimeError("nothing is written without the lock")
        return self.held

    def begin(self, *, over_damage: bool) -> None:
        """Remove files that were never committed, and find the newest generation.

        Args:
            over_damage: continue after a damaged manifest as if its generation had been empty.

        Raises:
            IndexDamagedError: the newest manifest is damaged, and `over_damage` is false.
            StorageError: no number is left for the next generation, or a file cannot be removed.
        """
        with self.translated("."):
            names = [name for name in self.names() if name != LOCK]
        if names and acknowledged(self.folder) == UNKNOWN:
            numbers = [number for number in map(number_in, names) if number < LAST_GENERATION - 2]
            self._above = max(numbers, default=-1) + 1
        self.remove([name for name in names if name.endswith(".tmp")])
        if over_damage:
            self.remove(map(manifest_name, self._dead_ends(generations_of(names))))
        self.snapshot = _newest_or_none(self.folder, over_damage=over_damage)
        self._require_number()
        self.collect_garbage()

    def _dead_ends(self, generations: Iterable[int]) -> Iterator[int]:
        """Yield unreadable generations after which too few numbers are left for a run."""
        for number in generations:
            if number >= LAST_GENERATION - ROOM:
                try:
                    read_manifest(self.folder, number)
                except (IndexDamagedError, FileNotFoundError):
                    yield number

    def _require_number(self) -> None:
        """Check that there is a number left for the next generation.

        Raises:
            StorageError: all numbers of eight digits were used.
        """
        if self.next_generation >= LAST_GENERATION:
            raise StorageError(
                "there are no numbers left for more generations",
                what=str(self.folder),
                hint="build another index with --index OTHER",
            )

    def write(self, name: str, *parts: bytes | memoryview) -> None:
        """Write a file of the next generation; it belongs to the index once that is committed.

        Raises:
            ValueError: `name` is not the name of a file of an index.
            StorageError: the file cannot be written.
        """
        with self.new_file(name) as file:
            for part in parts:
                file.write(part)

    @contextmanager
    def new_file(self, name: str) -> Iterator[NewFile]:
        """Yield a new file of the next generation to write to; sync it when the context ends.

        Raises:
            ValueError: `name` is not the name of a file of an index.
            StorageError: the file cannot be written.
        """
        if not INDEX_FILE.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a file of an index")
        with self._synced(name) as file:
            yield file
        self._written[name] = StoredFile(name, file.size, file.checksum)

    def size_of(self, name: str) -> int:
        """Return the size of a file of this generation, or written for the next, in bytes."""
        known = {**(self.snapshot.files if self.snapshot else {}), **self._written}
        return known[name].size

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """Yield the path of a temporary file in the index's folder; it is deleted at the end.

        After a crash, the next writer deletes the file.

        Raises:
            ValueError: `name` is not the name of a temporary file.
            StorageError: an old file of that name cannot be removed.
        """
        if not name.endswith(".tmp") or not INDEX_FILE.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a temporary file")
        self.remove([name])
        try:
            yield self.folder / name
        finally:
            with suppress(TaskembedError):  # so that it does not hide an earlier error
                self.remove([name])

    def commit(self, body: Body, names: Iterable[str]) -> Snapshot:
        """Commit the next generation, which consists of exactly the files in `names`.

        Raises:
            StorageError: nothing was committed. With "not confirmed" in the reason, the generation
                was committed but may not survive a power cut.
        """
        self._require_number()
        known = {**(self.snapshot.files if self.snapshot else {}), **self._written}
        files = {name: known[name] for name in names}
        snapshot = Snapshot(self.next_generation, files, body)
        name = manifest_name(snapshot.generation)
        with self.translated(name):
            with self._synced(f"{name}.tmp") as file:
                file.write(manifest_bytes(snapshot))
            self.fs.sync_folder(self.lock.folder)
            self.lock.require_ours()  # after the manifest has its temporary name: see the module
            self.fs.rename(self.lock.folder, f"{name}.tmp", name)
        self.snapshot = snapshot
        self._written = {}
        try:
            self.fs.sync_folder(self.lock.folder)
            self.fs.overwrite(self.lock.descriptor, acknowledgement(snapshot.generation))
        except OSError as error:
            raise StorageError(
                f"generation {snapshot.generation} was written but is not confirmed: "
                f"{self.folder}: {os.strerror(error.errno or 0)}",
                hint="run the same command again: it continues from what is there",
            ) from error
        self.lock.require_ours()  # nothing is acknowledged in a folder that was deleted
        self.collect_garbage()
        return snapshot

    def collect_garbage(self) -> None:
        """Delete files that no kept generation needs: older manifests first, then their files.

        Raises:
            StorageError: a file cannot be removed.
            AccessDeniedError: a file must not be removed.
        """
        with self.translated("."):
            names = unneeded(self.folder, self.names(), self.next_generation)
        self.remove(names)

    def require_lock(self) -> None:
        """Check that no other process can be writing: see `Lock.require_ours`."""
        if self.held:
            self.held.require_ours()

    def names(self) -> list[str]:
        """Return the names of the files of the index, also those that were never committed."""
        return [name for name in self.fs.names(self.lock.folder) if INDEX_FILE.fullmatch(name)]

    def remove(self, names: Iterable[str]) -> None:
        """Remove files that no generation needs.

        Raises:
            StorageError: a file cannot be removed.
            AccessDeniedError: a file must not be removed.
        """
        for name in names:
            with self.translated(name), suppress(FileNotFoundError):  # deleted already
                self.lock.require_ours()
                self.fs.unlink(self.lock.folder, name)

    @contextmanager
    def _synced(self, name: str) -> Iterator[NewFile]:
        shown = name.removesuffix(".tmp")
        with self.translated(shown):
            self.lock.require_ours()
            descriptor = self.fs.open_new(self.lock.folder, name)
        file = NewFile(shown, descriptor, self.fs, self.translated)
        try:
            yield file
            with self.translated(shown):
                file.flush()
                self.fs.sync(descriptor)
        finally:
            with self.translated(shown):
                self.fs.close(descriptor)

    @contextmanager
    def translated(self, name: str) -> Iterator[None]:
        """Turn an OSError within the context into a TaskembedError about a file of the index.

        Raises:
            StorageError: the file was deleted during the run, or the disk is full or failing.
            AccessDeniedError: the operating system does not permit the operation.
        """
        try:
            yield
        except OSError as error:
            if isinstance(error, FileNotFoundError | FileExistsError):
                self.require_lock()  # the loss of the lock would explain the missing file
            if isinstance(error, FileNotFoundError):
                raise StorageError(
                    "it was deleted while this run was writing",
                    what=str(self.folder / name),
                    hint="run the same command again",
                ) from error
            raise from_os_error(error, str(self.folder / name)) from error


@contextmanager
def open_writer(
    folder: Path, *, wait_seconds: float = 0, over_damage: bool = False, fs: Fs | None = None
) -> Iterator[StoreWriter]:
    """Take the lock of the index in `folder` and yield its writer; create a missing folder.

    The kernel releases the lock when the process ends, however it ends, so no stale lock remains.

    Args:
        folder: the folder of the index.
        wait_seconds: how long to wait for another writer.
        over_damage: continue after a damaged manifest as if its generation had been empty.
        fs: the file system; tests inject faults there.

    Raises:
        IndexBusyError: another process still holds the lock after `wait_seconds`.
        UsageError: the folder has other files than those of an index.
        IndexDamagedError: the newest manifest is damaged, and `over_damage` is false.
        StorageError: the file system has no locks, or fails.
    """
    _require_no_other_things(folder)
    fs = fs or Fs()
    lock = take_lock(folder, fs, wait_seconds)
    try:
        writer = StoreWriter(folder, fs, lock)
        writer.begin(over_damage=over_damage)
        yield writer
    finally:
        lock.release()


@contextmanager
def hold_lock(folder: Path, *, wait_seconds: float = 0) -> Iterator[None]:
    """Hold the lock of a folder, which is made if it is missing.

    Raises:
        IndexBusyError: another process still holds the lock after `wait_seconds`.
    """
    lock = take_lock(folder, Fs(), wait_seconds)
    try:
        yield
    finally:
        lock.release()


def require_writable(folder: Path, *, wait_seconds: float = 0) -> None:
    """Check that an index can be written to a folder now; nothing is written.

    A caller checks this before work that takes long. `open_writer` finds a process that began to
    write in the meantime.

    Raises:
        AccessDeniedError: the folder cannot be created or written to.
        IndexBusyError: another process still holds the lock after `wait_seconds`.
        UsageError: the folder has other files than those of an index.
    """
    require_free(folder, wait_seconds)
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir():
        raise from_os_error(NotADirectoryError(errno.ENOTDIR, ""), str(there))
    _require_no_other_things(folder)
    if not os.access(there, os.W_OK | os.X_OK):
        raise from_os_error(PermissionError(errno.EACCES, ""), str(there))


def _require_no_other_things(folder: Path) -> None:
    names = names_in(folder)
    foreign = [name for name in names if not INDEX_FILE.fullmatch(name)]
    if foreign and LOCK not in names:
        raise UsageError(
            f"{folder} is not an index: it holds {foreign[0]!r}", hint="choose another --index"
        )


def _newest_or_none(folder: Path, *, over_damage: bool) -> Snapshot | None:
    try:
        return read_newest(folder)
    except NotFoundError:
        return None
    except IndexDamagedError:
        if not over_damage:
            raise
        newest = max([acknowledged(folder), *generations_of(names_in(folder))])
        return Snapshot(newest, {}, {}) if newest >= 0 else None
