"""LOCK: the file that says which process may write, and which generation was acknowledged last.

    committed 00000042 9c3f11d0     the last generation and a checksum; written after each commit
    4711 hostname                   the process that holds the lock, for people

The lock is one of the kernel (flock), so it is released when the process ends, however it ends.
People delete LOCK, or the whole folder, while a run is writing. So before every change a writer
checks that LOCK is still the file that it has locked.

The generation in LOCK shows if the newest manifest was deleted, which nothing else would show. It
is written after the generation is on the disk, so it never names a generation that a power cut can
undo. An incomplete line counts as no line; without a line, or without LOCK, no generation is known.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import stat
import time
import weakref
import zlib
from contextlib import ExitStack
from pathlib import Path

from taskembed.activity import doing
from taskembed.errors import IndexBusyError, NotFoundError, StorageError, from_os_error, os_errors
from taskembed.index.disk.fs import Folder, Fs, opened_folder

LOCK = "LOCK"
UNKNOWN = -1  # no acknowledged generation is known
LAST_GENERATION = 99_999_999  # eight digits; reached after three years of one commit a second
_POLL_SECONDS = 0.1
_MOST_TIMES = 100  # attempts; LOCK may be deleted each time while a process waits for it

_NOTHING_YET = b"committed -------- --------\n"
_LINE = re.compile(rb"committed (\d{8}) ([0-9a-f]{8})\n")


def acknowledgement(generation: int) -> bytes:
    """Return the first line of LOCK."""
    number = b"%08d" % generation
    return b"committed %s %08x\n" % (number, zlib.crc32(number))


def _generation_in(line: bytes) -> int:
    match = _LINE.fullmatch(line)
    if match is None or int(match[2], 16) != zlib.crc32(match[1]):
        return UNKNOWN
    generation = int(match[1])
    return generation if generation < LAST_GENERATION else UNKNOWN


def acknowledged(folder: Path) -> int:
    """Return the last generation that a writer acknowledged; UNKNOWN if LOCK does not name one.

    A copy of an index may lack LOCK, and a reader may lack the permission to read it.
    """
    try:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(folder / LOCK, flags)
    except OSError:
        return UNKNOWN
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return UNKNOWN
        return _generation_in(os.pread(descriptor, len(_NOTHING_YET), 0))
    except OSError:
        return UNKNOWN
    finally:
        os.close(descriptor)


class Lock:
    """The lock of an index, held by this process until `release`, and its open folder."""

    def __init__(self, folder: Folder, descriptor: int, closing: ExitStack) -> None:
        self.folder = folder
        self.descriptor = descriptor
        self._closing = closing
        _held.add(self)

    @property
    def path(self) -> Path:
        """The path of LOCK, for messages."""
        return self.folder.path / LOCK

    @property
    def is_ours(self) -> bool:
        """Whether LOCK is still the file that this process has locked.

        Raises:
            TaskembedError: the operating system cannot tell.
        """
        try:
            there = self.path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise from_os_error(error, str(self.path)) from error
        held = os.fstat(self.descriptor)
        return (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)

    def require_ours(self) -> None:
        """Check that no other process can be writing.

        Raises:
            StorageError: LOCK, or its folder, was deleted or replaced.
        """
        if self.descriptor < 0:
            raise RuntimeError("this process does not hold the lock")
        if not self.is_ours:
            raise StorageError(
                "it was deleted or replaced while this run was writing; another run "
                "may be writing now, so this one stops",
                what=str(self.path),
                hint="run the same command again, and leave LOCK where it is",
            )

    def release(self) -> None:
        """Release the lock; in a forked child, only close the files."""
        _held.discard(self)
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
        self._closing.close()


_held: weakref.WeakSet[Lock] = weakref.WeakSet()


def _let_go() -> None:
    for lock in list(_held):
        lock.release()


# a lock is held while any process has the file open, so a forked child would keep it
os.register_at_fork(after_in_child=_let_go)


def take_lock(path: Path, fs: Fs, wait_seconds: float) -> Lock:
    """Take the lock of the index in `path`; missing folders are created.

    Raises:
        IndexBusyError: another process still holds the lock after `wait_seconds`.
        StorageError: this file system has no locks.
    """
    deadline = time.monotonic() + wait_seconds
    for _ in range(_MOST_TIMES):
        _make_folders(path, fs)
        try:
            lock = _opened_lock(path, os.O_CREAT)
        except NotFoundError:
            continue  # the folder was deleted meanwhile
        try:
            _wait_for(lock, deadline)
            if lock.is_ours:
                _write_holder(lock)
                return lock
        except BaseException:
            lock.release()
            raise
        lock.release()  # the file was deleted meanwhile: another process may lock its successor
    raise IndexBusyError(
        "the file is deleted again and again while this run waits for its lock",
        what=str(path / LOCK),
        hint="find out what deletes it; a lock is released when its process ends",
    )


def require_free(path: Path, wait_seconds: float) -> None:
    """Check that no process holds the lock of the index in `path`; nothing is created or written.

    Raises:
        IndexBusyError: another process still holds the lock after `wait_seconds`.
        StorageError: this file system has no locks.
    """
    deadline = time.monotonic() + wait_seconds
    try:
        lock = _opened_lock(path)
    except NotFoundError:
        return
    try:
        _wait_for(lock, deadline)
    finally:
        lock.release()


def _make_folders(path: Path, fs: Fs) -> None:
    with os_errors(path):
        for missing in reversed([item for item in [path, *path.parents] if not item.exists()]):
            fs.make_folder(missing)
            with opened_folder(missing.parent) as parent:
                fs.sync_folder(parent)


def _opened_lock(path: Path, create: int = 0) -> Lock:
    with ExitStack() as stack:
        with os_errors(path):
            folder = stack.enter_context(opened_folder(path))
        with os_errors(path / LOCK):
            # a link is not followed: the file that it leads to is not part of the index
            flags = os.O_RDWR | create | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(LOCK, flags, 0o644, dir_fd=folder.descriptor)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise StorageError(
                "it is not a file", what=str(path / LOCK), hint="remove it, and try again"
            )
        return Lock(folder, descriptor, stack.pop_all())


def _wait_for(lock: Lock, deadline: float) -> None:
    if _is_taken(lock):
        return
    with doing(f"waiting: {_who_writes(lock)}", waits_for_others=True):
        while not _is_taken(lock):
            if time.monotonic() >= deadline:
                raise IndexBusyError(
                    _who_writes(lock),
                    hint="wait, or use --wait SECONDS; deleting LOCK does not help",
                )
            time.sleep(_POLL_SECONDS)


def _is_taken(lock: Lock) -> bool:
    """Try to take the lock; return whether this process holds it now."""
    try:
        fcntl.flock(lock.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StorageError(
            f"{os.strerror(error.errno or 0)}: locks are not supported here",
            what=str(lock.path),
            hint="put the index on a local file system",
        ) from error
    return True


def _who_writes(lock: Lock) -> str:
    return f"another taskembed is writing to {lock.folder.path}{_holder(lock)}"


def _holder(lock: Lock) -> str:
    lines = os.pread(lock.descriptor, 400, 0).decode(errors="replace").splitlines()[:2]
    words = lines[-1].split() if lines else []
    return f" (process {words[0]} on {words[1]})" if len(words) == 2 else ""  # noqa: PLR2004


def _write_holder(lock: Lock) -> None:
    """Write which process holds the lock, for people; a valid first line is kept."""
    size = len(_NOTHING_YET)
    with os_errors(lock.path):
        if _generation_in(os.pread(lock.descriptor, size, 0)) == UNKNOWN:
            os.pwrite(lock.descriptor, _NOTHING_YET, 0)
        text = f"{os.getpid()} {socket.gethostname()}\n".encode()
        os.pwrite(lock.descriptor, text, size)
        os.ftruncate(lock.descriptor, size + len(text))
