"""Generations: immutable files, and the numbered manifests that list them.

    INDEX/ LOCK                    held by the one writer; never deleted
           manifest-00000042.json  generation 42: its files with size and crc32, and a body
           seg-..., del-...        immutable files; a name belongs to one generation for ever

The truth is the manifest with the highest number, and nothing else is consulted. Readers take no
lock: they open the files of one manifest and keep them open. This module reads; `commit.py` writes.
It knows names and bytes, not vectors.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from taskembed.errors import (
    IndexDamagedError,
    NewerFormatError,
    NotFoundError,
    TaskembedError,
    from_os_error,
)
from taskembed.fs import Fs

FORMAT_VERSION = 1
KNOWN_FEATURES: frozenset[str] = frozenset()
CHUNK_BYTES = 4 * 2**20
OPEN_ATTEMPTS = 10  # a writer would have to commit twice within each of ten attempts to open

_MANIFEST = re.compile(r"manifest-(\d{8})\.json")
OURS = re.compile(r"LOCK|manifest-\d{8}\.json(\.tmp)?|(seg|del)-\d{8}(-\d{8})?\.(faiss|db|bin)")
_TRAILER = re.compile(rb"#crc32 ([0-9a-f]{8})\n")

Body = Mapping[str, object]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that a manifest names."""

    name: str
    size: int  # bytes
    crc32: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One generation: what its manifest says. It never changes."""

    generation: int
    files: Mapping[str, StoredFile]
    body: Body


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that is not what was written."""

    name: str
    reason: str


def read_newest(folder: Path) -> Snapshot:
    """Return the newest generation of the index in `folder`.

    Raises:
        NotFoundError: there is no index.
        IndexDamagedError: the newest manifest is not what was written, or there is none beside
            files that were.
        NewerFormatError: it was written by a newer taskembed.
    """
    names = names_in(folder)
    generations = generations_of(names)
    if not generations:
        if any(name.startswith(("seg-", "del-")) for name in names):
            raise IndexDamagedError(
                f"the index is damaged: {folder}: no manifest beside its files",
                hint="restore the folder from a copy, or delete it and index again",
            )
        raise NotFoundError(
            f"no index at {folder}", hint="create one: taskembed index CORPUS --task retrieval"
        )
    return read_manifest(folder, generations[-1])


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, sorted; none when it does not exist."""
    try:
        return Fs().names(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise from_os_error(error, str(folder)) from error


def generations_of(names: Iterable[str]) -> list[int]:
    """Return the generations whose manifests are among `names`, ascending."""
    return sorted(int(match[1]) for name in names if (match := _MANIFEST.fullmatch(name)))


def manifest_name(generation: int) -> str:
    """Return the name of a manifest: "manifest-00000042.json"."""
    return f"manifest-{generation:08d}.json"


def read_manifest(folder: Path, generation: int) -> Snapshot:
    """Return a generation.

    Raises:
        FileNotFoundError: it is not there (any more).
        IndexDamagedError: its manifest is not what was written.
        NewerFormatError: it was written by a newer taskembed.
    """
    path = folder / manifest_name(generation)
    try:
        with _opened(folder, path.name) as stream:
            data = stream.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise from_os_error(error, str(path)) from error
    try:
        return _parse_manifest(data, generation)
    except ValueError as error:
        raise IndexDamagedError(
            f"the index is damaged: {path}: {error}",
            hint="`taskembed verify` lists what is damaged; restore the folder from a copy, "
            "or index again with --recreate",
        ) from error


def _parse_manifest(data: bytes, generation: int) -> Snapshot:
    """Read what `manifest_bytes` wrote.

    Raises:
        ValueError: the bytes are not what was written.
        NewerFormatError: the format, or a feature, is not known here.
    """
    text, trailer = data[:-16], data[-16:]
    match = _TRAILER.fullmatch(trailer)
    if match is None or int(match[1], 16) != zlib.crc32(text):
        raise ValueError("its checksum does not match")
    try:
        return _snapshot(json.loads(text), generation)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("it is not a manifest") from error


def _snapshot(manifest: dict[str, Any], generation: int) -> Snapshot:
    unknown = sorted(set(manifest["features"]) - KNOWN_FEATURES)
    if manifest["format"] != FORMAT_VERSION or unknown:
        what = f"feature {unknown[0]!r}" if unknown else f"format {manifest['format']}"
        raise NewerFormatError(
            f"the index was written by a newer taskembed: {what} is not known here",
            hint="upgrade taskembed; nothing was changed",
        )
    if manifest["generation"] != generation:
        raise ValueError(f"it is the manifest of generation {manifest['generation']}")
    files = [StoredFile(item["name"], item["size"], item["crc32"]) for item in manifest["files"]]
    for file in files:
        if (type(file.name), type(file.size), type(file.crc32)) != (str, int, int):
            raise TypeError(file)
    return Snapshot(generation, {file.name: file for file in files}, manifest["body"])


def manifest_bytes(snapshot: Snapshot) -> bytes:
    """Return the bytes of a manifest: JSON, and a last line with its checksum."""
    manifest = {
        "format": FORMAT_VERSION,
        "features": sorted(KNOWN_FEATURES),
        "generation": snapshot.generation,
        "files": [
            {"name": file.name, "size": file.size, "crc32": file.crc32}
            for file in snapshot.files.values()
        ],
        "body": snapshot.body,
    }
    text = (json.dumps(manifest, indent=1) + "\n").encode()
    return text + b"#crc32 %08x\n" % zlib.crc32(text)


def file_damage(folder: Path, file: StoredFile) -> Damage | None:
    """Read a whole file back; return how it differs from what was written, or None."""
    checksum = size = 0
    try:
        with _opened(folder, file.name) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                checksum = zlib.crc32(chunk, checksum)
                size += len(chunk)
    except OSError as error:
        return Damage(file.name, os.strerror(error.errno or 0))
    except TaskembedError as error:
        return Damage(file.name, error.message.rpartition(": ")[2])
    if size != file.size:
        return Damage(file.name, f"it has {size:,} bytes, {file.size:,} were written")
    if checksum != file.crc32:
        return Damage(file.name, "its checksum does not match")
    return None


def open_file(folder: Path, file: StoredFile) -> BinaryIO:
    """Open a file of a generation, checking its size; `read_file` checks the rest.

    Whoever holds it open can read it for as long as it likes: a writer may unlink, never change it.

    Raises:
        FileNotFoundError: it is not there (any more): a newer generation may be.
        IndexDamagedError: it is not what was written.
    """
    stream = _opened(folder, file.name)
    size = os.fstat(stream.fileno()).st_size
    if size != file.size:
        stream.close()
        reason = f"it has {size:,} bytes, {file.size:,} were written"
        raise damaged(folder, Damage(file.name, reason))
    return stream


def _opened(folder: Path, name: str) -> BinaryIO:
    """Open a file of an index, unbuffered; what is no file (any more) is damage."""
    path = folder / name
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise damaged(folder, Damage(name, "it is not a file"))
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise damaged(folder, Damage(name, os.strerror(errno.ELOOP))) from error
        raise from_os_error(error, str(path)) from error


def read_file(folder: Path, file: StoredFile, stream: BinaryIO) -> bytearray:
    """Return the bytes of an open file, their checksum checked.

    Raises:
        IndexDamagedError: they are not what was written.
    """
    data = bytearray(file.size)
    view = memoryview(data)
    position = 0
    try:
        stream.seek(0)
        while count := stream.readinto(view[position:]):  # type: ignore[attr-defined]  # unbuffered
            position += count
    except OSError as error:
        raise damaged(folder, Damage(file.name, os.strerror(error.errno or 0))) from error
    if position != file.size or zlib.crc32(data) != file.crc32:
        raise damaged(folder, Damage(file.name, "its checksum does not match"))
    return data


def open_newest(folder: Path, opened: Callable[[Snapshot], T]) -> T:
    """Return `opened(newest generation)`, again when a writer removed its files meanwhile.

    Raises:
        IndexDamagedError: a file is missing and there is no newer generation.
    """
    tried = -1
    missing = "its files"
    for _ in range(OPEN_ATTEMPTS):
        try:
            snapshot = read_newest(folder)
        except FileNotFoundError:
            continue
        if snapshot.generation == tried:
            break
        tried = snapshot.generation
        try:
            return opened(snapshot)
        except FileNotFoundError as error:
            missing = Path(error.filename or "").name
    raise damaged(folder, Damage(missing, "it is missing"))


def damaged(folder: Path, damage: Damage) -> IndexDamagedError:
    """Return the error for a damaged file of the index in `folder`."""
    return IndexDamagedError(
        f"the index is damaged: {folder / damage.name}: {damage.reason}",
        hint="`taskembed verify` lists what is damaged; restore the folder from a copy, "
        "or index again with --recreate",
    )


def verify(folder: Path) -> tuple[Snapshot, list[Damage]]:
    """Read every byte of the newest generation back; return it and what is damaged."""
    snapshot = read_newest(folder)
    damages = [file_damage(folder, file) for file in snapshot.files.values()]
    return snapshot, [damage for damage in damages if damage]
