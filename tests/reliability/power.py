"""A power cut, simulated: what may be on the disk when it fails at any moment of a run.

`RecordingFs` notes each change that a writer makes. From those up to a moment, `images` makes what
the disk may then hold: a file that was not synced is whole, empty, cut, zeros, or has a flipped
bit; and of the names that were not synced, any of the first, or any others, have changed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from taskembed.index.disk.fs import Folder, Fs

RANDOM_SUBSETS = 6  # of the names that were not synced, beside all beginnings

Image = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Change:
    """One call: `kind` is create, write, sync, link, unlink, names (synced) or lock."""

    kind: str
    name: str = ""
    data: bytes = b""


class RecordingFs(Fs):
    """A real file system that remembers what was done to it."""

    def __init__(self, folder: Path) -> None:
        self.changes: list[Change] = []
        self._folder = folder
        self._open: dict[int, str] = {}

    def _note(self, kind: str, name: str = "", data: bytes = b"") -> None:
        self.changes.append(Change(kind, name, data))

    def open_new(self, folder: Folder, name: str) -> int:
        descriptor = super().open_new(folder, name)
        self._open[descriptor] = name
        self._note("create", name)
        return descriptor

    def write(self, descriptor: int, data: memoryview) -> int:
        count = super().write(descriptor, data)
        self._note("write", self._open[descriptor], bytes(data[:count]))
        return count

    def sync(self, descriptor: int) -> None:
        self._note("sync", self._open[descriptor])

    def rename(self, folder: Folder, source: str, target: str) -> None:
        super().rename(folder, source, target)
        self._note("link", target, source.encode())
        self._note("unlink", source)

    def overwrite(self, descriptor: int, data: bytes) -> None:
        super().overwrite(descriptor, data)
        self._note("lock", data=(self._folder / "LOCK").read_bytes())

    def sync_folder(self, folder: Folder) -> None:
        if folder.path == self._folder:
            self._note("names")

    def unlink(self, folder: Folder, name: str) -> None:
        super().unlink(folder, name)
        self._note("unlink", name)


@dataclass
class _File:
    data: bytes = b""
    is_synced: bool = False


class _Disk:
    """What is on the disk for certain, and what is on its way."""

    def __init__(self, before: Image) -> None:
        self.names = {
            name: _File(data, is_synced=True) for name, data in before.items() if name != "LOCK"
        }
        self.pending: list[tuple[str, _File | None]] = []  # names that come, or go (None)
        self.locks = [before.get("LOCK", b"")]  # whatever it held since it was made

    def apply(self, change: Change) -> None:
        now = self.after(self.pending)
        match change.kind:
            case "create":
                self.pending.append((change.name, _File()))
            case "write":
                now[change.name].data += change.data
                now[change.name].is_synced = False
            case "sync":
                now[change.name].is_synced = True
            case "link":
                self.pending.append((change.name, now[change.data.decode()]))
            case "unlink":
                self.pending.append((change.name, None))
            case "names":
                self.names, self.pending = now, []
            case "lock":
                self.locks.append(change.data)

    def after(self, pending: Sequence[tuple[str, _File | None]]) -> dict[str, _File]:
        names = dict(self.names)
        for name, file in pending:
            if file is None:
                names.pop(name, None)
            else:
                names[name] = file
        return names


def _torn(data: bytes, how: str) -> bytes:
    half = len(data) // 2
    match how:
        case "empty":
            return b""
        case "half":
            return data[:half]
        case "zeros":
            return b"\0" * len(data)
        case "flipped":
            return data[:half] + bytes([data[half] ^ 16]) + data[half + 1 :] if data else data
    return data


def _locks(locks: Sequence[bytes], chosen: random.Random) -> bytes | None:
    """Return what LOCK may hold, which is never synced; None when it is not there."""
    older, newer = chosen.choice([*pairwise(locks), (locks[-1], locks[-1])])
    place = chosen.randrange(len(newer) + 1)
    mixed = newer[:place] + older[place:]
    return chosen.choice([locks[-1], older, mixed, newer[:place], _torn(newer, "zeros"), b"", None])


def images(
    changes: Sequence[Change], before: Image, cut: int, chosen: random.Random
) -> Iterator[Image]:
    """Yield what the disk may hold when the power fails after so many changes."""
    disk = _Disk(before)
    for change in changes[:cut]:
        disk.apply(change)
    pending = disk.pending
    subsets = [pending[:length] for length in range(len(pending) + 1)]
    subsets += [
        [item for item in pending if chosen.random() < 0.5]
        for _ in range(RANDOM_SUBSETS if len(pending) > 1 else 0)
    ]
    for names in map(disk.after, subsets):
        is_open = not all(file.is_synced for file in names.values())
        for how in ["whole", "empty", "half", "zeros", "flipped"] if is_open else ["whole"]:
            image = {
                name: file.data if file.is_synced else _torn(file.data, how)
                for name, file in names.items()
            }
            lock = _locks(disk.locks, chosen)
            yield image if lock is None else {**image, "LOCK": lock}


def put(image: Image, folder: Path) -> None:
    """Make an image a folder."""
    folder.mkdir()
    for name, data in image.items():
        (folder / name).write_bytes(data)


def taken(folder: Path) -> Image:
    """Return a folder as an image."""
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}
