"""A file of an index that is being written: buffered, and its checksum computed on the way."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from taskembed.index.disk.files import CHUNK_BYTES
from taskembed.index.disk.fs import Fs


@dataclass
class NewFile:
    """A file being written; its checksum is computed from the bytes passed to `write`."""

    name: str
    descriptor: int
    fs: Fs
    translated: Callable[[str], AbstractContextManager[None]]  # turns errors into ours
    size: int = 0
    checksum: int = 0
    _waiting: bytearray = field(default_factory=bytearray)

    def write(self, data: bytes | memoryview) -> None:
        """Append some bytes."""
        view = memoryview(data).cast("B") if len(data) else memoryview(b"")
        self.size += len(view)
        self.checksum = zlib.crc32(view, self.checksum)
        if len(self._waiting) + len(view) <= CHUNK_BYTES:
            self._waiting += view
            return
        with self.translated(self.name):
            self.flush()
            self._put(view)

    def flush(self) -> None:
        """Write the buffered bytes."""
        waiting, self._waiting = self._waiting, bytearray()
        self._put(memoryview(waiting))

    def _put(self, view: memoryview) -> None:
        position = 0
        while position < len(view):
            some = view[position : position + CHUNK_BYTES]
            position += self.fs.write(self.descriptor, some)
