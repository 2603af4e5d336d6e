"""Measures how much of the input files has been read, in bytes."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskembed.reading.places import Place


class Meter:
    """The fraction of some inputs that has been read; compressed files count by size on disk.

    meter = Meter.of([Path("a.jsonl"), Path("b.jsonl")])
    meter.begin(Path("a.jsonl"), stream.tell)
    meter.share()                               # 0.25
    """

    def __init__(self, total_bytes: int | None = None) -> None:
        """Start a meter at zero.

        Args:
            total_bytes: size of all inputs; None if unknown, as for a pipe.
        """
        self._total = total_bytes
        self._before = 0  # bytes of the inputs that have been read completely
        self._size = 0
        self._position: Callable[[], int] = lambda: 0

    @classmethod
    def of(cls, paths: Iterable[Place | None]) -> Meter:
        """Return a meter for some files; None means stdin."""
        sizes = list(map(_size_of, paths))
        known = [size for size in sizes if size is not None]
        return cls(sum(known) if len(known) == len(sizes) else None)

    def begin(self, path: Place | None, position: Callable[[], int]) -> None:
        """Start a file; `position` returns the number of its bytes that have been read."""
        self._before += self._size
        self._size, self._position = _size_of(path) or 0, position

    def share(self) -> float | None:
        """Return the fraction that has been read, 0 to 1; None if unknown."""
        if not self._total:
            return None
        try:
            position = self._position()
        except (OSError, ValueError):  # the file is closed, so it has been read
            position = self._size
        return min(1.0, (self._before + position) / self._total)


def _size_of(path: Place | None) -> int | None:
    """Return the size of a file in bytes; None for a pipe, or if the size cannot be read."""
    try:
        found = path.stat() if path else os.fstat(sys.stdin.buffer.fileno())
    except (OSError, ValueError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
