"""The log file of a command: messages and progress, each line with the time in UTC."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime
from pathlib import Path

from taskembed.errors import os_errors
from taskembed.escaping import escaped


class LogFile:
    """A file that lines are appended to; without a file, lines are dropped.

    A process has one log, and one object of this class. Each line is one write at the end of the
    file, so that the lines of several processes do not mix.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # reentrant: a signal handler may write while it is held
        self._descriptor: int | None = None
        self.failure: OSError | None = None  # the reason why lines cannot be written

    @property
    def is_open(self) -> bool:
        """Whether there is a file."""
        return self._descriptor is not None

    def open(self, path: Path) -> None:
        """Open a file, which need not exist, to append to it.

        Raises:
            AccessDeniedError: there is no permission to write to the file.
            NotFoundError: its folder does not exist.
            StorageError: the path is a folder, or a pipe without a reader.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        with os_errors(path):
            descriptor = os.open(
                path, flags | os.O_NONBLOCK, 0o666
            )  # does not wait for the reader of a pipe
        os.set_blocking(descriptor, True)
        self.close()
        self._descriptor, self.failure = descriptor, None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def write(self, text: str) -> None:
        """Append each line of a text, after the time; after a failure, nothing more is written."""
        with self._lock:
            if self._descriptor is None:
                return
            now = datetime.now(UTC).isoformat(timespec="seconds")
            lines = "".join(f"{now} {escaped(line)}\n" for line in text.rstrip("\n").split("\n"))
            try:
                os.write(self._descriptor, lines.encode(errors="backslashreplace"))
            except OSError as error:
                self.failure = error
                self.close()


LOG = LogFile()
