"""The open files of a segment: each is opened once, compared with its checksum, and read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from taskembed.errors import IndexDamagedError, os_errors
from taskembed.index._files import (
    Damage,
    StoredFile,
    damaged,
    open_file,
    read_file,
    stream_damage,
)


class SegmentFiles:
    """The open files of a segment; a writer that removes their names does not disturb it.

    Args:
        folder: of the index.
        files: what the manifest says of each.

    Raises:
        FileNotFoundError: one is not there (any more).
        IndexDamagedError: one has another size.
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
        """Return what the manifest says of a file."""
        return self._files[name]

    def path(self, name: str) -> Path:
        """Return where a file is, or was when it was opened."""
        return self.folder / name

    def descriptor(self, name: str) -> int:
        """Return the descriptor of an open file, to read it by position."""
        return self._streams[name].fileno()

    def close(self) -> None:
        """Close every file."""
        self._is_closed = True
        for stream in self._streams.values():
            stream.close()
        self._streams = {}

    def close_file(self, name: str) -> None:
        """Close a file that was read; asked for again, it is opened again."""
        self._streams.pop(name).close()

    def close_but(self, *names: str) -> None:
        """Close every file but some; one that is asked for again is opened again."""
        for name in list(self._streams):
            if name not in names:
                self._streams.pop(name).close()

    @contextmanager
    def stream(self, name: str) -> Iterator[BinaryIO]:
        """Give a file from its beginning; one that was read and closed is opened again.

        Raises:
            IndexDamagedError: it is not there any more, or has another size.
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

    def read(self, name: str) -> bytearray:
        """Read a file whole, check it and close it.

        Raises:
            IndexDamagedError: it is not what was written.
        """
        with self.stream(name) as stream:
            data = read_file(self.folder, self._files[name], stream)
        self.close_file(name)
        return data

    def check(self, name: str) -> None:
        """Check every byte of a file.

        Raises:
            IndexDamagedError: it is not what was written.
        """
        with self.stream(name) as stream:
            damage = stream_damage(self.folder, self._files[name], stream)
        if damage:
            raise damaged(self.folder, damage)

    def check_all(self) -> None:
        """Check every byte of every file that was not read whole."""
        for name in list(self._streams):
            self.check(name)

    def require_open(self) -> None:
        """Raise ValueError where the files were closed."""
        if self._is_closed:
            raise ValueError(f"the index {self.folder} is closed")

    def damaged(self, name: str, reason: str) -> IndexDamagedError:
        """Return the error for a damaged file."""
        return damaged(self.folder, Damage(name, reason))
