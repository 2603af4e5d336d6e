"""The fakes of the tests: the shipped encoder, and file systems that fail as the real one might."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path

from taskembed.index.disk.fs import Folder, Fs
from taskembed.testing import HASH_SPACE as SPACE
from taskembed.testing import SLICE, HashEncoder

__all__ = ["SLICE", "SPACE", "HashEncoder", "ShortWritesFs", "StepFs", "fail_at", "kill_at"]


class StepFs(Fs):
    """A real file system that calls `step(number, name)` before each call that changes anything."""

    def __init__(self, step: Callable[[int, str], None]) -> None:
        self.steps: list[str] = []
        self._step = step

    def _next(self, name: str) -> None:
        self.steps.append(name)
        self._step(len(self.steps), name)

    def make_folder(self, path: Path) -> None:
        self._next("make_folder")
        super().make_folder(path)

    def open_new(self, folder: Folder, name: str) -> int:
        self._next("open_new")
        return super().open_new(folder, name)

    def write(self, descriptor: int, data: memoryview) -> int:
        self._next("write")
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self._next("sync")
        super().sync(descriptor)

    def close(self, descriptor: int) -> None:
        super().close(descriptor)
        self._next("close")

    def rename(self, folder: Folder, source: str, target: str) -> None:
        self._next("rename")
        super().rename(folder, source, target)

    def overwrite(self, descriptor: int, data: bytes) -> None:
        self._next("overwrite")
        super().overwrite(descriptor, data)

    def sync_folder(self, folder: Folder) -> None:
        self._next("sync_folder")
        super().sync_folder(folder)

    def unlink(self, folder: Folder, name: str) -> None:
        self._next("unlink")
        super().unlink(folder, name)


def fail_at(number: int, code: int = errno.EIO) -> Callable[[int, str], None]:
    """Return a step that fails once, at the call of that number."""

    def step(current: int, _name: str) -> None:
        if current == number:
            raise OSError(code, os.strerror(code))

    return step


def kill_at(number: int) -> Callable[[int, str], None]:
    """Return a step that kills the process as `kill -9` does, at the call of that number."""

    def step(current: int, _name: str) -> None:
        if current == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return step


class ShortWritesFs(Fs):
    """Writes at most seven bytes at once, as a full pipe or a signal would."""

    def write(self, descriptor: int, data: memoryview) -> int:
        return super().write(descriptor, data[:7])
