"""Files of the user's cache: written whole or not at all, and never needed to be there.

A compiled model decides every vector. So nothing is read that another user could have written:
a file and its folders must belong to the user who runs this, or to root, and nobody else may write
to them. Who may read them is the umask's business, but for the user's own cache folder, which is
private.
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
SHARED = 0o755  # less what the umask takes
SECONDS_BETWEEN_MARKS = 3600  # a file's last use is noted no more often
_NO_HANDLES = {errno.EMFILE, errno.ENFILE}  # what must be made again would meet them too


def own_folder() -> Path:
    """Return the user's own cache folder, which is taken when no other is named."""
    from platformdirs import user_cache_path

    return user_cache_path("taskembed")


def distrusted(folder: Path) -> str:
    """Return why nothing is read from a cache folder, nor written to it; "" when it is safe.

    A folder that is not there is safe: it will be ours.

    Args:
        folder: in the cache: "compiled", for example; that above it must be safe too.
    """
    for place in (folder.parent, folder):
        try:
            status = place.stat()
        except OSError:
            continue
        # in a folder such as /tmp nobody can take away what is another's
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
    """Return the bytes of a file of the cache, mapped; None when there is none to be trusted.

    Raises:
        StorageError: no more files can be opened.
    """
    if distrusted(path.parent):
        return None
    try:
        # a pipe in its place must not be waited for
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
        return memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError):  # an empty file cannot be mapped
        return None
    finally:
        os.close(descriptor)


def _mark_as_used(descriptor: int, status: os.stat_result) -> None:
    """Note when a file was last used, as its time of modification: it is never modified.

    Its time of access would say when anything read it, a backup too; or nothing (noatime).
    """
    now = time.time_ns()
    is_recent = now - status.st_mtime_ns < SECONDS_BETWEEN_MARKS * 10**9
    if is_recent or os.utime not in os.supports_fd:
        return
    with contextlib.suppress(OSError):  # it is root's
        os.utime(descriptor, ns=(now, now))


def write_atomically(path: Path, chunks: Iterable[bytes | memoryview]) -> bool:
    """Write a file under another name and rename it; return False when the cache takes nothing.

    A cache that cannot be written costs time, never a result.
    """
    temporary = path.with_name(f".tmp-{secrets.token_hex(8)}")
    try:
        _make_folder(path.parent)
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


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, none of which others may write to."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    own = own_folder()
    is_own = folder == own or own in folder.parents
    folder.mkdir(PRIVATE if is_own else SHARED, exist_ok=True)


def remember(path: Path, value: str) -> bool:
    """Write a short text, and a seal that belongs to it and to its file's name."""
    return write_atomically(path, [f"{value}\n{_seal(path, value)}\n".encode()])


def remembered(path: Path) -> str | None:
    """Return what `remember` wrote to a file; None when it is anything else."""
    found = read_trusted(path)
    if found is None:
        return None
    value, _, seal = bytes(found).decode(errors="replace").partition("\n")
    return value if seal == f"{_seal(path, value)}\n" else None


def _seal(path: Path, value: str) -> str:
    return hashlib.sha256(f"{path.name}\0{value}".encode(errors="replace")).hexdigest()
