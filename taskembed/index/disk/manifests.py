"""Manifests: the numbered files that list the immutable files of a generation.

    manifest-00000042.json   JSON of generation 42: format, features, files with size and crc32, a
                             body; then a line with the checksum of the JSON

The body belongs to `contents.py`; the order in which files are written belongs to `commit.py`.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskembed.errors import NewerFormatError, from_os_error
from taskembed.index.disk._lock import LAST_GENERATION
from taskembed.index.disk.files import Damage, StoredFile, damaged, open_regular

FORMAT_VERSION = 2  # the version that is written
READ_VERSIONS = frozenset({1, 2})
# Features: what a reader must understand to read an index.
CHUNKS = "chunks"  # a vector may belong to a part of a document
VIEWS = "views"  # documents have, or had, vectors for several tasks
ALWAYS_WRITTEN = frozenset({"rabitq"})
KNOWN_FEATURES = ALWAYS_WRITTEN | {CHUNKS, VIEWS}

_MANIFEST = re.compile(r"manifest-(\d{8})\.json")
_NAME_OF_FILE = (
    r"((seg|del)-\d{8}(-\d{8})?\.(faiss|sum|codes|db|fields|words|chunks|bin)"
    r"|vec-\d{8}-\d{8}-[a-z]+\.(faiss|sum|codes))"
)
FILE = re.compile(_NAME_OF_FILE)  # a file that a manifest may list
PART = re.compile(r"part-(\d{8})-([a-z]+)\.vectors")  # of a view that is being added
INDEX_FILE = re.compile(  # any file that taskembed writes to the folder of an index
    rf"LOCK|manifest-\d{{8}}\.json(\.tmp)?|{_NAME_OF_FILE}|seg-\d{{8}}\.(db|fields|words)\.tmp"
    rf"|{PART.pattern}"
)
_TRAILER = re.compile(rb"#crc32 ([0-9a-f]{8})\n")

Body = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The contents of one generation's manifest, which never change."""

    generation: int
    files: Mapping[str, StoredFile]
    body: Body


def generations_of(names: Iterable[str]) -> list[int]:
    """Return the generations whose manifests are among `names`, ascending."""
    return sorted(int(match[1]) for name in names if (match := _MANIFEST.fullmatch(name)))


def manifest_name(generation: int) -> str:
    """Return the name of a manifest: "manifest-00000042.json"."""
    return f"manifest-{generation:08d}.json"


def read_manifest(folder: Path, generation: int) -> Snapshot:
    """Read the manifest of a generation.

    Raises:
        FileNotFoundError: the manifest does not exist, or no longer exists.
        IndexDamagedError: the manifest is damaged.
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
        return parse_manifest(data, generation)
    except ValueError as error:
        raise damaged(folder, Damage(path.name, str(error))) from error


def parse_manifest(data: bytes, generation: int | None = None) -> Snapshot:
    """Return the generation in the bytes of a manifest.

    Args:
        data: the bytes.
        generation: which it must be; None for any.

    Raises:
        ValueError: the bytes are damaged.
        NewerFormatError: the format, or a feature, is unknown to this version.
    """
    text, trailer = data[:-16], data[-16:]
    match = _TRAILER.fullmatch(trailer)
    if match is None or int(match[1], 16) != zlib.crc32(text):
        raise ValueError("its checksum does not match")
    try:
        manifest = json.loads(text)
        return _snapshot(manifest, manifest["generation"] if generation is None else generation)
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
    if type(generation) is not int or not 0 <= generation < LAST_GENERATION:
        raise ValueError("the number of the generation is too large")
    files = [StoredFile(item["name"], item["size"], item["crc32"]) for item in manifest["files"]]
    for file in files:
        _require_possible(file)
    by_name = {file.name: file for file in files}
    if len(by_name) != len(files):
        raise ValueError("it lists a file twice")
    return Snapshot(generation, by_name, manifest["body"])


def _require_possible(file: StoredFile) -> None:
    """Refuse file names and sizes that taskembed never writes, such as a path or a size of 10^30.

    The checksum of a hostile manifest may be valid.

    Raises:
        ValueError: a name, a size or a checksum is one that taskembed never writes.
    """
    if (type(file.name), type(file.size), type(file.crc32)) != (str, int, int):
        raise ValueError("a file has missing or unknown fields")
    if not FILE.fullmatch(file.name):
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
    """Return the features of a body, besides those that are always written."""
    storage = body.get("storage")
    parts = storage.values() if isinstance(storage, dict) else ()
    features = {CHUNKS} if any(CHUNKS in part for part in parts) else set()
    return features | ({VIEWS} if body.get("views") or _has_stems(body) else set())


def _has_stems(body: Body) -> bool:
    """Return whether a view was removed, so that a segment's vectors have other file names."""
    parts = [part for part in (body.get("live"), body.get("building")) if isinstance(part, dict)]
    return any("stem" in segment for part in parts for segment in part.get("segments", ()))
