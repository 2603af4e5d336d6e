"""Files of the user's cache, which are written atomically; the program also works without them.

A compiled model determines every vector, so no file is read that another user could have written:
the file and its folders must belong to the current user or to root, and nobody else may have write
permission. The umask decides who may read them; the default cache folder is always private.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import mmap
import os
import secrets
import stat
import time
from collections.abc import Iterable
from pathlib import Path

from taskembed.errors import from_os_error

PRIVATE = 0o700
SHARED = 0o755  # mode of folders, before the umask is applied
SECONDS_BETWEEN_MARKS = 3600  # shortest time between two updates of a file's time of last use
_NO_HANDLES = {errno.EMFILE, errno.ENFILE}  # errors for which creating the file again fails too


def own_folder() -> Path:
    """Return the default cache folder of the user."""
    from platformdirs import user_cache_path

    return user_cache_path("taskembed")


def distrusted(folder: Path) -> str:
    """Return why a cache folder must not be used; "" if it is safe.

    A folder that does not exist is safe, since it will be created.

    Args:
        folder: a folder in the cache, such as "compiled"; its parent must be safe too.
    """
    for place in (folder.parent, folder):
        try:
            status = place.stat()
        except OSError:
            continue
        # in a sticky folder such as /tmp, nobody can replace another user's files
        if why := _unsafe(status, shared=bool(status.st_mode & stat.S_ISVTX)):
            return f"{place} {why}"
    return ""


def _unsafe(status: os.stat_result, *, shared: bool = False) -> str:
    if not hasattr(os, "geteuid"):
        return ""
    if status.st_uid not in {os.geteuid(), 0}:
        return "belongs to another user"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not shared:
        return "can be written by other users"
    return ""


def read_trusted(path: Path) -> memoryview | None:
    """Return the bytes of a file of the cache, memory-mapped; None if there is no safe file.

    The memory is writable, without an effect on the file, since OpenVINO copies read-only memory.

    Raises:
        StorageError: too many files are open.
    """
    if distrusted(path.parent):
        return None
    try:
        # O_NONBLOCK: do not wait if the path is a pipe
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        if error.errno in _NO_HANDLES:
            raise from_os_error(error, str(path)) from error
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or _unsafe(status):
            return None
        _mark_as_used(descriptor, status)
        return memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY))
    except (OSError, ValueError):  # an empty file cannot be mapped
        return None
    finally:
        os.close(descriptor)


def _mark_as_used(descriptor: int, status: os.stat_result) -> None:
    """Store the time of use as the time of modification, since the file is never modified.

    The access time is unsuitable: backups change it, and with noatime it never changes.
    """
    now = time.time_ns()
    is_recent = now - status.st_mtime_ns < SECONDS_BETWEEN_MARKS * 10**9
    if is_recent or os.utime not in os.supports_fd:
        return
    with contextlib.suppress(OSError):  # fails if the file belongs to root
        os.utime(descriptor, ns=(now, now))


def write_atomically(path: Path, chunks: Iterable[bytes | memoryview]) -> bool:
    """Write a file under a temporary name and rename it; return whether that succeeded.

    A failure costs only time: the contents are computed again the next time.
    """
    temporary = path.with_name(f".tmp-{secrets.token_hex(8)}")
    try:
        make_folder(path.parent)
        if distrusted(path.parent):
            return False
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SHARED & 0o666)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                for chunk in chunks:
                    stream.write(chunk)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            return False
    except OSError:
        return False
    return True


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, writable only by the user."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    own = own_folder()
    is_own = folder == own or own in folder.parents
    folder.mkdir(PRIVATE if is_own else SHARED, exist_ok=True)


def remember(path: Path, value: str) -> bool:
    """Write a short text with a checksum of text and file name; return whether that succeeded."""
    return write_atomically(path, [f"{value}\n{_seal(path, value)}\n".encode()])


def remembered(path: Path) -> str | None:
    """Return the text that `remember` wrote; None if the file is missing or has other contents."""
    found = read_trusted(path)
    if found is None:
        return None
    value, _, seal = bytes(found).decode(errors="replace").partition("\n")
    return value if seal == f"{_seal(path, value)}\n" else None


def _seal(path: Path, value: str) -> str:
    return hashlib.sha256(f"{path.name}\0{value}".encode(errors="replace")).hexdigest()
