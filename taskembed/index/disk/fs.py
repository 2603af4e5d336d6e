"""The file system calls of a commit, behind one class, so that tests can inject faults.

`commit.py` makes every change to an index through one of these methods, each of which is one system
call. A test subclasses them to kill the process, to fail, or to record at any call.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Folder:
    """An open folder; it remains the same even if its path names another folder later."""

    path: Path
    descriptor: int


@contextmanager
def opened_folder(path: Path) -> Iterator[Folder]:
    """Open a folder; it is closed when the context ends."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield Folder(path, descriptor)
    finally:
        os.close(descriptor)


class Fs:
    """The real file system."""

    def make_folder(self, path: Path) -> None:
        """Create a folder whose parent exists; the folder may exist already."""
        path.mkdir(exist_ok=True)

    def open_new(self, folder: Folder, name: str) -> int:
        """Create a file that must not exist yet and return its descriptor."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return os.open(name, flags, 0o644, dir_fd=folder.descriptor)

    def write(self, descriptor: int, data: memoryview) -> int:
        """Write bytes of `data`; return the number written, which may be smaller than its size."""
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """Wait until the bytes of a file are on the disk."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""
        os.close(descriptor)

    def rename(self, folder: Folder, source: str, target: str) -> None:
        """Rename `source` to `target` atomically; `target` must not exist.

        Raises:
            FileExistsError: `target` exists.
        """
        within = folder.descriptor
        try:
            os.link(source, target, src_dir_fd=within, dst_dir_fd=within)
        except (FileExistsError, FileNotFoundError):
            raise
        except OSError:
            # FAT and some network drives have no hard links; there only the lock prevents conflicts
            if target in self.names(folder):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from None
            os.rename(source, target, src_dir_fd=within, dst_dir_fd=within)
        else:
            with suppress(OSError):  # the rename is done; the next writer removes the old name
                os.unlink(source, dir_fd=within)

    def overwrite(self, descriptor: int, data: bytes) -> None:
        """Overwrite the first line of a file with a line of the same length."""
        os.pwrite(descriptor, data, 0)

    def sync_folder(self, folder: Folder) -> None:
        """Wait until the names in a folder are on the disk."""
        os.fsync(folder.descriptor)

    def unlink(self, folder: Folder, name: str) -> None:
        """Remove a file."""
        os.unlink(name, dir_fd=folder.descriptor)

    def names(self, folder: Folder) -> list[str]:
        """Return the names in a folder, sorted."""
        return sorted(os.listdir(folder.descriptor))  # noqa: PTH208  # pathlib cannot list a descriptor
