"""The open files of a segment: each is opened once, compared with its checksum, and read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from taskembed.errors import IndexDamagedError, os_errors
from taskembed.index.disk.files import (
    Damage,
    StoredFile,
    damaged,
    open_file,
    read_file,
    stream_damage,
)


class SegmentFiles:
    """The open files of a segment; they can be read even after a writer has removed their names.

    Args:
        folder: the folder of the index.
        files: the name, size and checksum of each file, from the manifest.

    Raises:
        FileNotFoundError: a file is missing.
        IndexDamagedError: a file has another size.
    """

    def __init__(self, folder: Path, files: list[StoredFile]) -> None:
        self.folder = folder
        self._files = {file.name: file for file in files}
        self._is_closed = False
        with ExitStack() as stack:
            self._streams = {
                file.name: stack.enter_context(open_file(folder, file)) for file in files
            }
            stack.pop_all()

    def __getitem__(self, name: str) -> StoredFile:
        """Return the size and checksum of a file, from the manifest."""
        return self._files[name]

    def path(self, name: str) -> Path:
        """Return the path from which a file was opened."""
        return self.folder / name

    def descriptor(self, name: str) -> int:
        """Return the descriptor of an open file, for reads by position."""
        return self._streams[name].fileno()

    def opened(self, name: str) -> BinaryIO:
        """Return an open file, positioned after the last read."""
        return self._streams[name]

    def close(self) -> None:
        """Close every file."""
        self._is_closed = True
        for stream in self._streams.values():
            stream.close()
        self._streams = {}

    def close_file(self, name: str) -> None:
        """Close one file; `stream` opens it again."""
        self._streams.pop(name).close()

    def close_but(self, *names: str) -> None:
        """Close every file except these; `stream` opens a closed file again."""
        for name in list(self._streams):
            if name not in names:
                self._streams.pop(name).close()

    @contextmanager
    def stream(self, name: str) -> Iterator[BinaryIO]:
        """Yield a file, positioned at its beginning; a closed file is opened again.

        Raises:
            IndexDamagedError: the file is missing now, or has another size.
            ValueError: the index is closed.
        """
        self.require_open()
        if name not in self._streams:
            try:
                self._streams[name] = open_file(self.folder, self._files[name])
            except FileNotFoundError:
                raise self.damaged(name, "it is missing") from None
        stream = self._streams[name]
        with os_errors(self.path(name)):
            stream.seek(0)
            yield stream

    def read(self, name: str) -> memoryview:
        """Return all bytes of a file after comparing their checksum, and close the file.

        Raises:
            IndexDamagedError: the bytes are damaged.
        """
        with self.stream(name) as stream:
            data = read_file(self.folder, self._files[name], stream)
        self.close_file(name)
        return data

    def check(self, name: str) -> None:
        """Compare the checksum of a whole file.

        Raises:
            IndexDamagedError: the file is damaged.
        """
        with self.stream(name) as stream:
            damage = stream_damage(self.folder, self._files[name], stream)
        if damage:
            raise damaged(self.folder, damage)

    def check_all(self) -> None:
        """Compare the checksum of every file that is still open."""
        for name in list(self._streams):
            self.check(name)

    def require_open(self) -> None:
        """Raise ValueError if the files were closed."""
        if self._is_closed:
            raise ValueError(f"the index {self.folder} is closed")

    def damaged(self, name: str, reason: str) -> IndexDamagedError:
        """Return the error for a damaged file."""
        return damaged(self.folder, Damage(name, reason))
