"""A published index: one generation of an index in an object store, for many readers.

    ADDRESS/manifest.json                    the manifest of the published generation; replaced
                                             by a conditional put, which fails if it has changed
            files/seg-00000040.db.9c3f11d0.4096
                                             a file of that generation; its checksum and size are in
                                             its name, so its bytes never change

The manifest is written last, so that a reader finds every file that it names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from taskembed.errors import BadInputError, IndexDamagedError, NotFoundError
from taskembed.index.contents import Contents
from taskembed.index.disk.files import StoredFile
from taskembed.index.disk.manifests import Snapshot, manifest_bytes, parse_manifest
from taskembed.object_errors import NoBucketError
from taskembed.objects import Store, StoredObject

MANIFEST = "manifest.json"
FILES = "files"
_PUBLISH_AGAIN = "publish it again: taskembed publish ADDRESS --index FOLDER --recreate"
MOST_MANIFEST_BYTES = 64 * 2**20  # the manifest of 10,000 segments has 20 MiB
_KEY = re.compile(rf"{FILES}/[a-z0-9.-]+\.[0-9a-f]{{8}}\.\d+")


@dataclass(frozen=True, slots=True)
class Published:
    """The generation that is published at an address.

    Attributes:
        snapshot: the generation.
        contents: the body of its manifest.
        data: the bytes of its manifest.
        found: the object of the manifest, for a conditional replacement.
    """

    snapshot: Snapshot
    contents: Contents
    data: bytes
    found: StoredObject


def key_of(file: StoredFile) -> str:
    """Return the name of a file relative to the address: "files/NAME.CHECKSUM.SIZE"."""
    return f"{FILES}/{file.name}.{file.crc32:08x}.{file.size}"


def is_key(name: str) -> bool:
    """Return whether an object has the name of a file of a published index."""
    return _KEY.fullmatch(name) is not None


def to_publish(folder: Path, snapshot: Snapshot) -> tuple[Snapshot, Contents, bytes]:
    """Return a generation as it is published: without the part that is being built.

    Returns:
        The generation, its contents, and the bytes of its manifest.
    """
    contents = replace(Contents.of(folder, snapshot), building=None)
    files = {name: snapshot.files[name] for name in contents.live.files}
    published = Snapshot(snapshot.generation, files, contents.to_json())
    return published, contents, manifest_bytes(published)


def read_published(store: Store) -> Published:
    """Return the generation that is published at an address.

    Raises:
        NotFoundError: there is no index at the address, or no such bucket.
        IndexDamagedError: its manifest is damaged.
        NewerFormatError: it was written by a newer taskembed.
    """
    try:
        data, found = store.get(MANIFEST, at_most=MOST_MANIFEST_BYTES)
    except NoBucketError:
        raise
    except BadInputError as error:
        raise damaged_there(store, MANIFEST, error.reason) from error
    except NotFoundError:
        raise NotFoundError(
            f"no index is published at {store.shown()}",
            hint="check the address, or publish one: taskembed publish ADDRESS --index FOLDER",
        ) from None
    try:
        snapshot = parse_manifest(data)
        contents = Contents.of(Path(), snapshot)
    except ValueError as error:
        raise damaged_there(store, MANIFEST, str(error)) from error
    except IndexDamagedError as error:
        raise damaged_there(store, MANIFEST, error.reason) from error
    if not contents.identity:
        raise damaged_there(store, MANIFEST, "its manifest does not identify an index")
    return Published(snapshot, contents, data, found)


def damaged_there(store: Store, name: str, reason: str) -> IndexDamagedError:
    """Return the error for a damaged object of a published index."""
    return IndexDamagedError(
        f"the published index is damaged: {store.shown(name)}: {reason}",
        hint=_PUBLISH_AGAIN,
        name=name,
        reason=reason,
    )
