"""The file system calls that a commit is made of: the seam where tests inject faults.

`store.py` makes every change to an index through one of these methods, one system call each, so a
test can kill, fail or record at each of them with a subclass.
"""

from __future__ import annotations

import os
from pathlib import Path


class Fs:
    """The real file system."""

    def make_folder(self, path: Path) -> None:
        """Create a folder whose parent exists; it may be there already."""
        path.mkdir(exist_ok=True)

    def open_new(self, path: Path) -> int:
        """Create a file that must not exist yet and return its descriptor."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)

    def write(self, descriptor: int, data: memoryview) -> int:
        """Write some of `data` and return how many bytes: it can be fewer than asked for."""
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """Return when what was written is on the disk."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""
        os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Give `source` the name `target`, atomically."""
        source.rename(target)

    def sync_folder(self, path: Path) -> None:
        """Return when the names in a folder are on the disk."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def names(self, path: Path) -> list[str]:
        """Return the names in a folder, sorted."""
        return sorted(os.listdir(path))  # noqa: PTH208  # names are wanted, not paths
