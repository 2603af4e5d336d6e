"""The commit protocol: how a generation comes to be, with one writer and no moment of doubt.

To commit generation N+1: write and sync the new files, write and sync the manifest under a
temporary name, sync the folder, rename the manifest (the commit point), sync the folder. A crash
before the rename leaves N untouched, because nothing that N names is ever changed; after it,
everything that N+1 names was on the disk first. What no kept generation names is deleted after.

Assumed: fsync is honest, rename is atomic, the file system is local. See docs/index-format.md and
docs/adr/0003-commit-protocol.md.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import sys
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from taskembed.errors import (
    IndexBusyError,
    IndexDamagedError,
    NotFoundError,
    StorageError,
    TaskembedError,
    UsageError,
    from_os_error,
)
from taskembed.fs import Fs
from taskembed.store import (
    CHUNK_BYTES,
    OURS,
    Body,
    Snapshot,
    StoredFile,
    generations_of,
    manifest_bytes,
    manifest_name,
    names_in,
    read_manifest,
    read_newest,
)

KEPT_GENERATIONS = 2  # the newest, and one for readers that are opening the one before it
LOCK_POLL_SECONDS = 0.1


def _generation_of(name: str) -> int:
    """Return the generation that a file was written for; a temporary one belongs to none."""
    number = re.search(r"-(\d{8})", name)
    return sys.maxsize if number is None or name.endswith(".tmp") else int(number[1])


@dataclass
class StoreWriter:
    """The one writer of an index: made by `open_writer`, which holds the lock."""

    folder: Path
    fs: Fs
    snapshot: Snapshot | None  # None: nothing was ever committed here
    _written: dict[str, StoredFile] = field(default_factory=dict)

    @property
    def next_generation(self) -> int:
        """The number that the next commit will have."""
        return 0 if self.snapshot is None else self.snapshot.generation + 1

    def write(self, name: str, data: bytes | memoryview) -> None:
        """Write a new file of the next generation; it exists only once that is committed."""
        if not OURS.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a file of an index")
        with self._translated(name):
            self._written[name] = self._write_synced(name, data)

    def commit(self, body: Body, names: Iterable[str]) -> Snapshot:
        """Make the next generation of files written before: those of `names`, and no others.

        Raises:
            StorageError: nothing was committed; or, when it says "not confirmed", it was, but may
                not survive a power cut.
        """
        known = {**(self.snapshot.files if self.snapshot else {}), **self._written}
        files = {name: known[name] for name in names}
        snapshot = Snapshot(self.next_generation, files, body)
        name = manifest_name(snapshot.generation)
        with self._translated(name):
            self._write_synced(f"{name}.tmp", manifest_bytes(snapshot))
            self.fs.sync_folder(self.folder)
            self.fs.rename(self.folder / f"{name}.tmp", self.folder / name)
        self.snapshot = snapshot
        self._written = {}
        try:
            self.fs.sync_folder(self.folder)
        except OSError as error:
            raise StorageError(
                f"generation {snapshot.generation} was written but is not confirmed: "
                f"{self.folder}: {os.strerror(error.errno or 0)}",
                hint="run the same command again: it continues from what is there",
            ) from error
        self.collect_garbage()
        return snapshot

    def collect_garbage(self) -> None:
        """Delete what no kept generation names: older manifests first, then their files."""
        with self._translated("."):
            names = self._garbage()
        for name in names:
            with self._translated(name):
                self.fs.unlink(self.folder / name)

    def _garbage(self) -> list[str]:
        names = [name for name in self.fs.names(self.folder) if OURS.fullmatch(name)]
        generations = generations_of(names)
        kept, dropped = generations[-KEPT_GENERATIONS:], generations[:-KEPT_GENERATIONS]
        try:
            named = {name for number in kept for name in read_manifest(self.folder, number).files}
        except (TaskembedError, OSError):
            # What a damaged manifest names is not known: only what was never committed is garbage.
            named = {name for name in names if _generation_of(name) < self.next_generation}
            dropped = []
        old_manifests = [manifest_name(number) for number in dropped]
        safe = named | {"LOCK"} | {manifest_name(number) for number in generations}
        return old_manifests + [name for name in names if name not in safe]

    def _write_synced(self, name: str, data: bytes | memoryview) -> StoredFile:
        view = memoryview(data).cast("B")
        descriptor = self.fs.open_new(self.folder / name)
        try:
            position = 0
            while position < len(view):
                position += self.fs.write(descriptor, view[position : position + CHUNK_BYTES])
            self.fs.sync(descriptor)
        finally:
            self.fs.close(descriptor)
        # Subtle: the checksum is of the bytes that we meant to write, not of what is read back.
        return StoredFile(name, len(view), zlib.crc32(view))

    @contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
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
    fs = fs or Fs()
    try:
        new = [folder, *folder.parents]
        for path in reversed([path for path in new if not path.exists()]):
            fs.make_folder(path)
            fs.sync_folder(path.parent)
        foreign = [name for name in fs.names(folder) if not OURS.fullmatch(name)]
    except OSError as error:
        raise from_os_error(error, str(folder)) from error
    if foreign and "LOCK" not in fs.names(folder):
        raise UsageError(
            f"{folder} is not an index: it holds {foreign[0]!r}", hint="choose another --index"
        )
    with _lock(folder, wait_seconds):
        writer = StoreWriter(folder, fs, _newest_or_none(folder, over_damage=over_damage))
        writer.collect_garbage()
        yield writer


def _newest_or_none(folder: Path, *, over_damage: bool) -> Snapshot | None:
    try:
        return read_newest(folder)
    except NotFoundError:
        return None
    except IndexDamagedError:
        if not over_damage:
            raise
        generations = generations_of(names_in(folder))
        return Snapshot(generations[-1], {}, {}) if generations else None


@contextmanager
def _lock(folder: Path, wait_seconds: float) -> Iterator[None]:
    path = folder / "LOCK"
    try:
        # a link is not followed: what it leads to is not ours to write to
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path, flags, 0o644)
    except OSError as error:
        raise from_os_error(error, str(path)) from error
    try:
        _take_lock(descriptor, path, time.monotonic() + wait_seconds)
        try:
            os.ftruncate(descriptor, 0)
            # For people only: who holds it. The lock itself is the kernel's.
            os.pwrite(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
        except OSError as error:
            raise from_os_error(error, str(path)) from error
        yield
    finally:
        os.close(descriptor)


def _take_lock(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(LOCK_POLL_SECONDS)
                continue
            holder = os.pread(descriptor, 200, 0).decode(errors="replace").split()
            who = f" (process {holder[0]} on {holder[1]})" if len(holder) == 2 else ""  # noqa: PLR2004
            raise IndexBusyError(
                f"another taskembed is writing to {path.parent}{who}",
                hint="wait for it, or give --wait SECONDS",
            ) from None
        except OSError as error:
            raise StorageError(
                f"{path}: {os.strerror(error.errno or 0)}: locks are not supported here",
                hint="put the index on a local file system",
            ) from error
        return
