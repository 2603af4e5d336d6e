"""The file system calls that a commit is made of: the seam where tests inject faults.

`commit.py` makes every change to an index through one of these methods, one system call each, so a
test can kill, fail or record at each of them with a subclass.
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
    """An open folder: it stays the one that was opened, whatever its path leads to later."""

    path: Path
    descriptor: int


@contextmanager
def opened_folder(path: Path) -> Iterator[Folder]:
    """Open a folder for as long as the context lasts."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield Folder(path, descriptor)
    finally:
        os.close(descriptor)


class Fs:
    """The real file system."""

    def make_folder(self, path: Path) -> None:
        """Create a folder whose parent exists; it may be there already."""
        path.mkdir(exist_ok=True)

    def open_new(self, folder: Folder, name: str) -> int:
        """Create a file that must not exist yet and return its descriptor."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return os.open(name, flags, 0o644, dir_fd=folder.descriptor)

    def write(self, descriptor: int, data: memoryview) -> int:
        """Write some of `data` and return how many bytes: it can be fewer than asked for."""
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """Return when what was written is on the disk."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""
        os.close(descriptor)

    def rename(self, folder: Folder, source: str, target: str) -> None:
        """Give `source` the name `target`, which nothing may have yet, atomically.

        Raises:
            FileExistsError: something has it.
        """
        within = folder.descriptor
        try:
            os.link(source, target, src_dir_fd=within, dst_dir_fd=within)
        except (FileExistsError, FileNotFoundError):
            raise
        except OSError:
            # FAT and some network drives have no links: there, only the lock keeps others out
            if target in self.names(folder):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from None
            os.rename(source, target, src_dir_fd=within, dst_dir_fd=within)
        else:
            with suppress(OSError):  # it is done; the next writer removes what is left
                os.unlink(source, dir_fd=within)

    def overwrite(self, descriptor: int, data: bytes) -> None:
        """Write a line at the beginning of a file, in the place of one of the same length."""
        os.pwrite(descriptor, data, 0)

    def sync_folder(self, folder: Folder) -> None:
        """Return when the names in a folder are on the disk."""
        os.fsync(folder.descriptor)

    def unlink(self, folder: Folder, name: str) -> None:
        """Remove a file."""
        os.unlink(name, dir_fd=folder.descriptor)

    def names(self, folder: Folder) -> list[str]:
        """Return the names in a folder, sorted."""
        return sorted(os.listdir(folder.descriptor))  # noqa: PTH208  # of a descriptor
