"""The commit protocol: how a generation comes to be, with one writer and no moment of doubt.

To commit generation N+1: write and sync the new files, write and sync the manifest under a
temporary name, sync the folder, give the manifest its name (the commit point), sync the folder, and
note the number in LOCK. A crash before the commit point leaves N untouched, because nothing that N
names is ever changed; after it, everything that N+1 names was on the disk first. What no kept
generation names is deleted after.

People delete LOCK, or the whole index, under a running writer, and start another. The first one
then commits nothing more, and touches nothing of the other's:

- It works in the folder that it has opened, not in the one that has its path by now.
- It asks before each step whether LOCK is still its own. Between asking and the step, another may
  begin, but that one removes temporary manifests first, and then looks what is there: so either
  what the first one commits is seen by the other, or it has nothing left to give a name to.
- Whoever finds a LOCK that says nothing, beside files of an index, takes numbers higher than any
  that a former writer may still use.

Assumed: fsync is honest, the file system is local. See docs/index-format.md and
docs/adr/0003-commit-protocol.md.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
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
from taskembed.index._files import CHUNK_BYTES, StoredFile
from taskembed.index._lock import (
    LAST_GENERATION,
    LOCK,
    UNKNOWN,
    Lock,
    acknowledged,
    acknowledgement,
    require_free,
    take_lock,
)
from taskembed.index.fs import Fs
from taskembed.index.generations import (
    OURS,
    Body,
    Snapshot,
    generations_of,
    manifest_bytes,
    manifest_name,
    names_in,
    read_manifest,
    read_newest,
)

KEPT_GENERATIONS = 2  # the newest, and one for readers that are opening the one before it
ROOM = 10_000  # generations that a run may need


def _generation_of(name: str) -> int:
    """Return the generation that a file was written for; a temporary one belongs to none."""
    number = _number_in(name)
    return sys.maxsize if number < 0 or name.endswith(".tmp") else number


def _number_in(name: str) -> int:
    number = re.search(r"-(\d{8})", name)
    return int(number[1]) if number else -1


@dataclass
class NewFile:
    """A file being written; its checksum is of the bytes to write, not of bytes read back."""

    store: StoreWriter
    name: str
    descriptor: int
    size: int = 0
    checksum: int = 0
    _waiting: bytearray = field(default_factory=bytearray)

    def write(self, data: bytes | memoryview) -> None:
        """Append some bytes."""
        view = memoryview(data).cast("B") if len(data) else memoryview(b"")
        self.size += len(view)
        self.checksum = zlib.crc32(view, self.checksum)
        if len(self._waiting) + len(view) <= CHUNK_BYTES:
            self._waiting += view
            return
        with self.store.translated(self.name):
            self.flush()
            self._put(view)

    def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, bytearray()
        self._put(memoryview(waiting))

    def _put(self, view: memoryview) -> None:
        position = 0
        while position < len(view):
            some = view[position : position + CHUNK_BYTES]
            position += self.store.fs.write(self.descriptor, some)


@dataclass
class StoreWriter:
    """The one writer of an index: made by `open_writer`, which holds the lock."""

    folder: Path
    fs: Fs
    held: Lock | None = None  # None: to look only
    snapshot: Snapshot | None = None  # None: nothing was ever committed here
    _above: int = -1  # the next commit has a higher number than this
    _written: dict[str, StoredFile] = field(default_factory=dict)

    @property
    def next_generation(self) -> int:
        """The number that the next commit will have."""
        return max(self._above, self.snapshot.generation if self.snapshot else -1) + 1

    @property
    def lock(self) -> Lock:
        """The lock."""
        if self.held is None:
            raise RuntimeError("nothing is written without the lock")
        return self.held

    def begin(self, *, over_damage: bool) -> None:
        """Remove what was never committed, and find the newest generation."""
        with self._translated("."):
            names = [name for name in self._names() if name != LOCK]
        if names and acknowledged(self.folder) == UNKNOWN:
            numbers = [number for number in map(_number_in, names) if number < LAST_GENERATION - 2]
            self._above = max(numbers, default=-1) + 1
        self._remove([name for name in names if name.endswith(".tmp")])
        if over_damage:
            self._remove(map(manifest_name, self._dead_ends(generations_of(names))))
        self.snapshot = _newest_or_none(self.folder, over_damage=over_damage)
        self._require_number()
        self.collect_garbage()

    def _dead_ends(self, generations: Iterable[int]) -> Iterator[int]:
        """Yield the generations that cannot be read, and after which too few could come."""
        for number in generations:
            if number >= LAST_GENERATION - ROOM:
                try:
                    read_manifest(self.folder, number)
                except (IndexDamagedError, FileNotFoundError):
                    yield number

    def _require_number(self) -> None:
        """Return when the next generation has a number that a reader takes.

        Raises:
            StorageError: all were used.
        """
        if self.next_generation >= LAST_GENERATION:
            raise StorageError(
                "there are no numbers left for more generations",
                what=str(self.folder),
                hint="build another index with --index OTHER",
            )

    def write(self, name: str, *parts: bytes | memoryview) -> None:
        """Write a new file of the next generation; it exists only once that is committed."""
        with self.new_file(name) as file:
            for part in parts:
                file.write(part)

    @contextmanager
    def new_file(self, name: str) -> Iterator[NewFile]:
        """Give a new file of the next generation, to be written piece by piece, and sync it."""
        if not OURS.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a file of an index")
        with self._synced(name) as file:
            yield file
        self._written[name] = StoredFile(name, file.size, file.checksum)

    def size_of(self, name: str) -> int:
        """Return how many bytes a file has that was written, or is of this generation."""
        known = {**(self.snapshot.files if self.snapshot else {}), **self._written}
        return known[name].size

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """Give the path of a file beside the index's, for as long as the context lasts.

        What is left of it after a crash is removed by the next writer.
        """
        if not name.endswith(".tmp") or not OURS.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a file for a while")
        self._remove([name])
        try:
            yield self.folder / name
        finally:
            with suppress(TaskembedError):  # of the error that came before, if any
                self._remove([name])

    def commit(self, body: Body, names: Iterable[str]) -> Snapshot:
        """Make the next generation of files written before: those of `names`, and no others.

        Raises:
            StorageError: nothing was committed; or, when it says "not confirmed", it was, but may
                not survive a power cut.
        """
        self._require_number()
        known = {**(self.snapshot.files if self.snapshot else {}), **self._written}
        files = {name: known[name] for name in names}
        snapshot = Snapshot(self.next_generation, files, body)
        name = manifest_name(snapshot.generation)
        with self._translated(name):
            with self._synced(f"{name}.tmp") as file:
                file.write(manifest_bytes(snapshot))
            self.fs.sync_folder(self.lock.folder)
            self.lock.require_ours()  # after it has its temporary name: see above
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
        """Delete what no kept generation names: older manifests first, then their files."""
        with self._translated("."):
            names = self._garbage()
        self._remove(names)

    def require_lock(self) -> None:
        """Check that no other process can be writing: see `Lock.require_ours`."""
        if self.held:
            self.held.require_ours()

    def _garbage(self) -> list[str]:
        names = self._names()
        generations = generations_of(names)
        kept, dropped = generations[-KEPT_GENERATIONS:], generations[:-KEPT_GENERATIONS]
        try:
            named = {name for number in kept for name in read_manifest(self.folder, number).files}
        except (TaskembedError, OSError):
            # What a damaged manifest names is not known: only what was never committed is garbage.
            named = {name for name in names if _generation_of(name) < self.next_generation}
            dropped = []
        old_manifests = [manifest_name(number) for number in dropped]
        safe = named | {LOCK} | {manifest_name(number) for number in generations}
        return old_manifests + [name for name in names if name not in safe]

    def _names(self) -> list[str]:
        return [name for name in self.fs.names(self.lock.folder) if OURS.fullmatch(name)]

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            with self._translated(name), suppress(FileNotFoundError):  # gone is gone
                self.lock.require_ours()
                self.fs.unlink(self.lock.folder, name)

    @contextmanager
    def _synced(self, name: str) -> Iterator[NewFile]:
        shown = name.removesuffix(".tmp")
        with self._translated(shown):
            self.lock.require_ours()
            descriptor = self.fs.open_new(self.lock.folder, name)
        file = NewFile(self, shown, descriptor)
        try:
            yield file
            with self._translated(shown):
                file.flush()
                self.fs.sync(descriptor)
        finally:
            with self._translated(shown):
                self.fs.close(descriptor)

    def translated(self, name: str) -> AbstractContextManager[None]:
        """Raise what the operating system refuses within as an error about a file of the index."""
        return self._translated(name)

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if isinstance(error, FileNotFoundError | FileExistsError):
                self.require_lock()  # or it says what happened
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
    """Hold the lock of the index in `folder` and yield its writer; create the folder if need be.

    The kernel frees the lock when the process ends, however it ends: there is no stale lock.

    Args:
        folder: the folder of the index.
        wait_seconds: how long to wait for another writer.
        over_damage: begin after a damaged manifest, as if its generation had been empty.
        fs: where to write.

    Raises:
        IndexBusyError: another process holds the lock, also after `wait_seconds`.
        UsageError: the folder holds other things than an index.
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


def require_writable(folder: Path, *, wait_seconds: float = 0) -> None:
    """Return when an index could be written there now; nothing is written.

    It is asked before what takes long. Whoever comes in between is noticed by `open_writer`.

    Raises:
        AccessDeniedError: the folder may not be written to, or not be made.
        IndexBusyError: another process holds the lock, also after `wait_seconds`.
        UsageError: the folder holds other things than an index.
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
    foreign = [name for name in names if not OURS.fullmatch(name)]
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
