"""One file of an index: opened once, and compared with the size and checksum in the manifest.

A file is damaged if its size or checksum differs, or if it is not a regular file. An error of the
operating system (too many open files, a failing disk, no permission) is reported as such instead.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import resource
import stat
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from taskembed.errors import IndexDamagedError, from_os_error, os_errors

CHUNK_BYTES = 4 * 2**20
_MAPPED_BYTES = 2**20
_MAPPED = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_POPULATE", 0)
DAMAGED_HINT = (
    "`taskembed verify` lists what is damaged; restore the folder from a copy, "
    "or index again with --recreate"
)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that a manifest names."""

    name: str
    size: int  # bytes
    crc32: int


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that is damaged."""

    name: str
    reason: str


def damaged(folder: Path, damage: Damage) -> IndexDamagedError:
    """Return the error for a damaged file of the index in `folder`."""
    return IndexDamagedError(
        f"the index is damaged: {folder / damage.name}: {damage.reason}",
        hint=DAMAGED_HINT,
        name=damage.name,
        reason=damage.reason,
    )


def file_damage(folder: Path, file: StoredFile) -> Damage | None:
    """Read a whole file; return how it differs from what was written, or None if it does not.

    Raises:
        TaskembedError: the operating system cannot read the file, which is not damage.
    """
    try:
        with open_regular(folder, file.name) as stream:
            return stream_damage(folder, file, stream)
    except FileNotFoundError:
        return Damage(file.name, "it is missing")
    except IndexDamagedError as error:
        return Damage(file.name, error.reason)


def stream_damage(folder: Path, file: StoredFile, stream: BinaryIO) -> Damage | None:
    """Read an open file as `file_damage` does."""
    checksum = size = 0
    with os_errors(folder / file.name):
        stream.seek(0)
        while chunk := stream.read(CHUNK_BYTES):
            checksum = zlib.crc32(chunk, checksum)
            size += len(chunk)
    if size != file.size:
        return Damage(file.name, f"it has {size:,} bytes instead of {file.size:,}")
    if checksum != file.crc32:
        return Damage(file.name, "its checksum does not match")
    return None


def open_file(folder: Path, file: StoredFile) -> BinaryIO:
    """Open a file of a generation and check its size; `read_file` checks its contents.

    An open file can be read at any later time: a writer may remove its name, but never changes it.

    Raises:
        FileNotFoundError: the file is missing; a writer may have removed it with its generation.
        IndexDamagedError: the file has another size, or is not a regular file.
    """
    stream = open_regular(folder, file.name)
    size = os.fstat(stream.fileno()).st_size
    if size != file.size:
        stream.close()
        reason = f"it has {size:,} bytes instead of {file.size:,}"
        raise damaged(folder, Damage(file.name, reason))
    return stream


_NO_FILE = {errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENOTDIR}


def open_regular(folder: Path, name: str) -> BinaryIO:
    """Open a regular file of an index, unbuffered.

    Raises:
        FileNotFoundError: the file is missing.
        IndexDamagedError: the name is that of a folder, a pipe, or a circle of links.
        TaskembedError: the operating system cannot open the file for another reason.
    """
    path = folder / name
    try:
        # O_NONBLOCK: opening a pipe must not wait for a process at its other end
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise damaged(folder, Damage(name, "it is not a file"))
        return os.fdopen(descriptor, "rb", buffering=0)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in _NO_FILE:
            raise damaged(folder, Damage(name, os.strerror(error.errno))) from error
        raise from_os_error(error, str(path)) from error


def read_file(folder: Path, file: StoredFile, stream: BinaryIO) -> memoryview:
    """Return the bytes of an open file, after their checksum was compared.

    Raises:
        IndexDamagedError: the bytes are damaged.
    """
    data = _memory_for(file.size)
    read_into(folder, file, stream, [data])
    return data


def _memory_for(size: int) -> memoryview:
    """Return `size` bytes of memory to read into.

    Subtle: a large file is read into it in two thirds of the time that a bytearray takes, which is
    filled with zeros first. An array of NumPy asks for large pages: twice as fast again, but
    three times as slow where other files fill the memory, which the system then rearranges.

    Raises:
        MemoryError: the system has not enough memory.
    """
    if size < _MAPPED_BYTES:
        return memoryview(bytearray(size))
    try:
        return memoryview(mmap.mmap(-1, size, flags=_MAPPED))
    except OSError as error:
        raise MemoryError from error


def read_into(
    folder: Path, file: StoredFile, stream: BinaryIO, parts: Sequence[memoryview]
) -> None:
    """Read an open file into buffers, one after the other, and compare its checksum.

    Args:
        folder: the folder of the index.
        file: the size and checksum that the file should have.
        stream: the open file.
        parts: buffers, with as many bytes in total as the file should have.

    Raises:
        IndexDamagedError: the bytes are damaged.
    """
    checksum = position = 0
    with os_errors(folder / file.name):
        stream.seek(0)
        for part in parts:
            for start in range(0, len(part), CHUNK_BYTES):  # chunks that fit the processor's cache
                block = part[start : start + CHUNK_BYTES]
                filled = _fill(stream, block)
                position += filled
                checksum = zlib.crc32(block[:filled], checksum)
    if position != file.size or checksum != file.crc32:
        raise damaged(folder, Damage(file.name, "its checksum does not match"))


def _fill(stream: BinaryIO, block: memoryview) -> int:
    """Read until a block is full or the file ends; return how many bytes were read."""
    position = 0
    while count := stream.readinto(block[position:]):  # type: ignore[attr-defined]  # unbuffered
        position += count
    return position


def read_at(descriptor: int, view: memoryview, place: int) -> int:
    """Read a file from byte `place` into `view`; return how many bytes were read.

    Raises:
        OSError: the operating system cannot read the file.
    """
    done = 0
    while done < len(view) and (count := os.preadv(descriptor, [view[done:]], place + done)):
        done += count
    return done


SPARE_HANDLES = 64  # other files that a process may open: libraries, models, pipes


def allow_handles(count: int) -> bool:
    """Raise this process's limit of open files if `count` needs it; return whether it suffices."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + SPARE_HANDLES
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited or soft >= needed:
        return True
    raised = needed if hard == unlimited else min(needed, hard)
    if raised > soft:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= needed
