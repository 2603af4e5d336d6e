"""Generations: immutable files, and the numbered manifests that list them.

    INDEX/ LOCK                    held by the one writer; never deleted; see `lock.py`
           manifest-00000042.json  generation 42: its files with size and crc32, and a body
           seg-..., del-...        immutable files; a name belongs to one generation for ever

The newest manifest, the one with the highest number, defines the index; LOCK says how high that
number must be. Readers take no lock: they open the files of one manifest and keep them open. This
module reads; `commit.py` writes. Neither knows anything about vectors.
"""

from __future__ import annotations

import errno
import json
import os
import re
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from taskembed.activity import doing
from taskembed.errors import (
    IndexBusyError,
    IndexDamagedError,
    NewerFormatError,
    NotFoundError,
    TaskembedError,
    from_os_error,
)
from taskembed.index._files import (
    Damage,
    StoredFile,
    allow_handles,
    damaged,
    open_regular,
    stream_damage,
)
from taskembed.index._lock import LAST_GENERATION, LOCK, acknowledged

FORMAT_VERSION = 2  # the version that is written
READ_VERSIONS = frozenset({1, 2})
CHUNKS = "chunks"  # some vectors are of a part of a document
ALWAYS_WRITTEN = frozenset({"rabitq"})
# kinds of segments, and other things that a reader must know
KNOWN_FEATURES = ALWAYS_WRITTEN | {CHUNKS}
OPEN_SECONDS = 60.0  # how long a reader tries again while a writer removes the files
PAUSE_SECONDS = 0.002  # before the second try; doubled after each further one
LONGEST_PAUSE_SECONDS = 0.25
TIMES_STANDING = 5  # a manifest that is listed this often but never found is a broken link

_MANIFEST = re.compile(r"manifest-(\d{8})\.json")
_NAME_OF_FILE = r"(seg|del)-\d{8}(-\d{8})?\.(faiss|sum|codes|db|fields|words|chunks|bin)"
_FILE = re.compile(_NAME_OF_FILE)
OURS = re.compile(
    rf"LOCK|manifest-\d{{8}}\.json(\.tmp)?|{_NAME_OF_FILE}|seg-\d{{8}}\.(db|fields|words)\.tmp"
)
_TRAILER = re.compile(rb"#crc32 ([0-9a-f]{8})\n")

Body = Mapping[str, object]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The contents of one generation's manifest, which never change."""

    generation: int
    files: Mapping[str, StoredFile]
    body: Body


def read_newest(folder: Path) -> Snapshot:
    """Return the newest generation of the index in `folder`, even while a writer removes old ones.

    Raises:
        NotFoundError: there is no index.
        IndexDamagedError: the newest manifest is not what was written, or there are files of an
            index but no manifest.
        NewerFormatError: the index was written by a newer taskembed.
    """
    return open_newest(folder, lambda snapshot: snapshot)


def _newest(folder: Path) -> int:
    """Return the highest generation that has a manifest.

    Raises:
        FileNotFoundError: a writer changed the folder while it was listed.
    """
    promised = acknowledged(folder)
    names = names_in(folder)
    newest = max(generations_of(names), default=-1)
    # Subtle: a writer puts a later generation into LOCK before it removes a manifest. So if LOCK is
    # read again and has not changed, no writer has removed a manifest in the meantime.
    if newest < promised and acknowledged(folder) != promised:
        raise FileNotFoundError(errno.ENOENT, "it is not there yet", manifest_name(promised))
    if 0 <= newest < promised:
        raise _lost(folder, promised, newest)
    if newest < 0:
        raise _without_manifest(folder, names, promised)
    return newest


def _lost(folder: Path, promised: int, newest: int) -> IndexDamagedError:
    return IndexDamagedError(
        f"the index is damaged: {folder / manifest_name(promised)}: it is missing, and it was "
        f"committed after generation {newest}",
        hint=f"restore it from a copy; or index again with --recreate; or continue with generation "
        f"{newest}: delete {folder / LOCK}",
    )


def _without_manifest(folder: Path, names: Iterable[str], promised: int) -> TaskembedError:
    if promised >= 0 or any(_FILE.fullmatch(name) for name in names):
        return IndexDamagedError(
            f"the index is damaged: {folder}: it has files of an index, but no manifest",
            hint="restore the folder from a copy, or delete it and index again",
        )
    return NotFoundError(
        f"no index at {folder}", hint="create one: taskembed index CORPUS --task retrieval"
    )


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, sorted; an empty list if there is no folder."""
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208  # names are wanted, not paths
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
        FileNotFoundError: there is no manifest of that number (any more).
        IndexDamagedError: the manifest is not what was written.
        NewerFormatError: the manifest was written by a newer taskembed.
    """
    path = folder / manifest_name(generation)
    try:
        with open_regular(folder, path.name) as stream:
            data = stream.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise from_os_error(error, str(path)) from error
    try:
        return _parse_manifest(data, generation)
    except ValueError as error:
        raise damaged(folder, Damage(path.name, str(error))) from error


def _parse_manifest(data: bytes, generation: int) -> Snapshot:
    """Return the generation in the bytes of a manifest.

    Raises:
        ValueError: the bytes are not what was written.
        NewerFormatError: the format, or a feature, is unknown to this version.
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
    if manifest["format"] not in READ_VERSIONS or unknown:
        what = f"feature {unknown[0]!r}" if unknown else f"format {manifest['format']}"
        raise NewerFormatError(
            f"the index was written by a newer taskembed: {what} is unknown to this version",
            hint="upgrade taskembed; nothing was changed",
        )
    if manifest["generation"] != generation:
        raise ValueError(f"it is the manifest of generation {manifest['generation']}")
    if generation >= LAST_GENERATION:
        raise ValueError("the number of the generation is too large")
    files = [StoredFile(item["name"], item["size"], item["crc32"]) for item in manifest["files"]]
    for file in files:
        _require_possible(file)
    by_name = {file.name: file for file in files}
    if len(by_name) != len(files):
        raise ValueError("it names a file twice")
    return Snapshot(generation, by_name, manifest["body"])


def _require_possible(file: StoredFile) -> None:
    """Refuse file names and sizes that taskembed never writes, such as a path or a size of 10^30.

    The checksum of a hostile manifest may be valid.

    Raises:
        ValueError: a name or a size is of that kind.
    """
    if (type(file.name), type(file.size), type(file.crc32)) != (str, int, int):
        raise ValueError("a file has missing or unknown fields")
    if not _FILE.fullmatch(file.name):
        raise ValueError(f"{file.name!r} is not the name of a file of an index")
    if not (0 <= file.size < 2**63 and 0 <= file.crc32 < 2**32):
        raise ValueError(f"{file.name} cannot have this size or checksum")


def manifest_bytes(snapshot: Snapshot) -> bytes:
    """Return the bytes of a manifest: JSON, followed by a line with its checksum."""
    manifest = {
        "format": FORMAT_VERSION,
        "features": sorted(ALWAYS_WRITTEN | _features_of(snapshot.body)),
        "generation": snapshot.generation,
        "files": [
            {"name": file.name, "size": file.size, "crc32": file.crc32}
            for file in snapshot.files.values()
        ],
        "body": snapshot.body,
    }
    text = (json.dumps(manifest, indent=1) + "\n").encode()
    return text + b"#crc32 %08x\n" % zlib.crc32(text)


def _features_of(body: Body) -> set[str]:
    """Return what a reader must know of to answer from a body, beside what every body has."""
    storage = body.get("storage")
    parts = storage.values() if isinstance(storage, dict) else ()
    return {CHUNKS} if any(CHUNKS in part for part in parts) else set()


def open_newest(
    folder: Path, opened: Callable[[Snapshot], T], *, seconds: float = OPEN_SECONDS
) -> T:
    """Return `opened(newest generation)`; try again while a writer removes that generation's files.

    Every reader opens an index through this function. `opened` opens all files that it needs, and
    does not catch FileNotFoundError.

    Raises:
        IndexDamagedError: a file is missing although its generation is still the newest.
        IndexBusyError: for OPEN_SECONDS, each generation was replaced before it could be opened.
    """
    deadline = time.monotonic() + seconds
    pause = PAUSE_SECONDS
    tried, times = -1, 0
    while True:
        newest = -1
        try:
            newest = _newest(folder)
            tried, times = newest, times + 1 if newest == tried else 1
            return opened(read_manifest(folder, newest))
        except FileNotFoundError as error:
            missing = Path(os.fsdecode(error.filename or "its files")).name
            if newest >= 0 and (times >= TIMES_STANDING or is_standing(folder, newest)):
                raise damaged(folder, Damage(missing, "it is missing")) from error
        if time.monotonic() >= deadline:
            raise IndexBusyError(
                "another process commits faster than the index can be opened here",
                what=str(folder),
                hint="run the same command again when it has finished",
            )
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def is_standing(folder: Path, generation: int) -> bool:
    """Return whether a generation is the newest, so that all of its files must exist.

    Subtle: the manifest is looked for after the folder was listed. A writer removes a manifest
    before the files that it names, so while the manifest exists, no writer has removed its files.
    """
    return (
        generations_of(names_in(folder))[-1:] == [generation]
        and (folder / manifest_name(generation)).exists()
    )


Check = Callable[[], Iterable[Damage]]


def verify(
    folder: Path, checks_of: Callable[[Snapshot], Iterable[Check]] = lambda _: ()
) -> tuple[Snapshot, list[Damage]]:
    """Read every byte of the newest generation; return the generation and its damaged files.

    All files are opened first, so that a writer may remove them in the meantime. Where the process
    may not open that many, they are opened one by one; if a writer removes one, all starts again.

    Args:
        folder: the folder of the index.
        checks_of: returns checks of the files' contents; called when the files are open. If it
            raises IndexDamagedError, the manifest itself is damaged.
    """
    with ExitStack() as stack:

        def checked(snapshot: Snapshot) -> tuple[Snapshot, list[Damage]]:
            stack.close()  # what an earlier attempt opened
            return snapshot, _damages(folder, snapshot, checks_of, stack)

        return open_newest(folder, checked)


def _damages(
    folder: Path,
    snapshot: Snapshot,
    checks_of: Callable[[Snapshot], Iterable[Check]],
    stack: ExitStack,
) -> list[Damage]:
    held: dict[str, BinaryIO | Damage] = {}
    if allow_handles(len(snapshot.files)):
        held = {name: _held(folder, snapshot, name, stack) for name in snapshot.files}
    damages = []
    checks: list[Check] = []
    try:
        checks = list(checks_of(snapshot))
    except IndexDamagedError as error:
        manifest = manifest_name(snapshot.generation)
        what = "" if error.name == manifest else f"{error.name}: "
        damages.append(Damage(manifest, what + error.reason))
    with doing("", unit="files", total=len(snapshot.files)) as step:
        for name, file in sorted(snapshot.files.items()):
            with ExitStack() as brief:
                stream = held[name] if held else _held(folder, snapshot, name, brief)
                found = _damage_of(folder, file, stream)
            damages += [found] if found else []
            step.done += 1
        for check in checks:
            known = {damage.name for damage in damages}
            damages += [damage for damage in check() if damage.name not in known]
    return sorted(damages, key=lambda damage: damage.name)


def _held(folder: Path, snapshot: Snapshot, name: str, stack: ExitStack) -> BinaryIO | Damage:
    """Open a file of a generation, or return how it is damaged.

    Raises:
        FileNotFoundError: a writer removed it.
    """
    try:
        return stack.enter_context(open_regular(folder, name))
    except FileNotFoundError:
        if not is_standing(folder, snapshot.generation):
            raise
        return Damage(name, "it is missing")
    except IndexDamagedError as error:
        return Damage(name, error.reason)


def _damage_of(folder: Path, file: StoredFile, held: BinaryIO | Damage) -> Damage | None:
    return held if isinstance(held, Damage) else stream_damage(folder, file, held)
