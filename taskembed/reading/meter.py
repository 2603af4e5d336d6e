"""How much of some files was read, by their bytes."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterable
from pathlib import Path


class Meter:
    """How much of some inputs was read; a file that is packed counts as it is on the disk.

    meter = Meter.of([Path("a.jsonl"), Path("b.jsonl")])
    meter.begin(Path("a.jsonl"), stream.tell)
    meter.share()                               # 0.25
    """

    def __init__(self, total_bytes: int | None = None) -> None:
        """Begin.

        Args:
            total_bytes: of all of them; None when nobody knows: one is a pipe.
        """
        self._total = total_bytes
        self._before = 0  # bytes of the inputs that were read to their ends
        self._size = 0
        self._position: Callable[[], int] = lambda: 0

    @classmethod
    def of(cls, paths: Iterable[Path | None]) -> Meter:
        """Return the meter of those files; None is stdin."""
        sizes = list(map(_size_of, paths))
        known = [size for size in sizes if size is not None]
        return cls(sum(known) if len(known) == len(sizes) else None)

    def begin(self, path: Path | None, position: Callable[[], int]) -> None:
        """Go on with a file; `position` tells how many of its bytes were read."""
        self._before += self._size
        self._size, self._position = _size_of(path) or 0, position

    def share(self) -> float | None:
        """Return how much was read, 0 to 1; None when nobody knows."""
        if not self._total:
            return None
        try:
            position = self._position()
        except (OSError, ValueError):  # it was closed: it is read
            position = self._size
        return min(1.0, (self._before + position) / self._total)


def _size_of(path: Path | None) -> int | None:
    """Return the bytes of a file; None of a pipe, or what cannot be looked at."""
    try:
        found = path.stat() if path else os.fstat(sys.stdin.buffer.fileno())
    except (OSError, ValueError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
