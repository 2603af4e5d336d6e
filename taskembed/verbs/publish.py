"""Publishing an index: its newest generation is copied to an object store, whole or not at all."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from taskembed.activity import Step, doing
from taskembed.errors import (
    AccessDeniedError,
    IndexBusyError,
    IndexDamagedError,
    NotFoundError,
    SpaceMismatchError,
    UsageError,
)
from taskembed.guard import require_same_space
from taskembed.index.contents import Contents
from taskembed.index.disk.files import (
    CHUNK_BYTES,
    Damage,
    StoredFile,
    allow_handles,
    damaged,
    open_file,
)
from taskembed.index.disk.generations import open_newest
from taskembed.index.disk.manifests import Snapshot
from taskembed.index.published import (
    FILES,
    MANIFEST,
    Published,
    is_key,
    key_of,
    read_published,
    to_publish,
)
from taskembed.index.update import identify
from taskembed.object_errors import ChangedError, NoBucketError
from taskembed.objects import PART_BYTES, SERVERS, Store, StoredObject, open_store

# Subtle: an object that no manifest names may be one that a publisher is about to name, or one that
# another is about to remove. So only young ones are counted on, and only old ones are removed.
TRUSTED = timedelta(hours=24)
KEPT = timedelta(hours=48)
REPLACE = "to replace what is published there: taskembed publish ADDRESS --recreate"


@dataclass(frozen=True, slots=True)
class Publication:
    """The result of publishing an index.

    Attributes:
        address: where, without secrets.
        generation: that is published there now.
        files: how many files it has.
        files_sent: how many of them were sent.
        bytes_sent: the bytes of what was sent, the manifest included.
        files_removed: how many old files were removed there.
    """

    address: str
    generation: int
    files: int
    files_sent: int
    bytes_sent: int
    files_removed: int


@dataclass(frozen=True)
class _Local:
    """The generation that is to be published, with its files open."""

    folder: Path
    snapshot: Snapshot
    contents: Contents
    manifest: bytes
    streams: Mapping[str, BinaryIO]  # empty where the process may not open that many files

    def opened(self, file: StoredFile, stack: ExitStack) -> BinaryIO:
        stream = self.streams.get(file.name)
        return stream or stack.enter_context(open_file(self.folder, file))


def publish_index(
    folder: str | Path,
    address: str,
    *,
    recreate: bool = False,
    wait_seconds: float = 0,
    now: datetime | None = None,
) -> Publication:
    """Copy the newest generation of an index to an object store, where others read it.

    Files are sent first, and only those that are not there; the manifest, which names them, is put
    last, on the condition that nobody has replaced it. So readers see the old generation or the
    new one, and a run that was killed is continued by the same call.

    Args:
        folder: the folder of the index.
        address: such as "s3://bucket/notes-index".
        recreate: replace whatever is published there.
        wait_seconds: how long to wait for another process that writes to the index; only an index
            that is published for the first time is written to.
        now: the time; old files are removed by it.

    Raises:
        NotFoundError: there is no index, or no such bucket.
        SpaceMismatchError: another index is published there: of another space, of another folder,
            or a newer generation of this one.
        IndexBusyError: another process published there at the same time.
        IndexDamagedError: a file of the index, or the manifest that is there, is damaged.
        ServerUnavailableError: the store did not answer.
        AccessDeniedError: the store does not permit it.
    """
    path = Path(folder)
    if address.partition("://")[0].lower() in SERVERS:
        raise UsageError(
            "servers over HTTP are only read", what=address, hint="publish to s3://, gs:// or az://"
        )
    store = open_store(address)
    there = _published(store, recreate=recreate)
    with ExitStack() as stack:
        local = open_newest(path, lambda snapshot: _opened(path, snapshot, stack))
        if isinstance(there, Published) and not recreate:
            _require_successor(there, local, store.shown())
        if not local.contents.identity:
            identify(path, wait_seconds=wait_seconds)
            local = open_newest(path, lambda snapshot: _opened(path, snapshot, stack))
        return _publish(store, there, local, now or datetime.now(UTC))


def _published(store: Store, *, recreate: bool) -> Published | StoredObject | None:
    """Return what is published; only the object of its manifest where that does not matter."""
    try:
        return read_published(store)
    except NoBucketError:
        raise
    except NotFoundError:
        return None
    except (IndexDamagedError, SpaceMismatchError):
        if not recreate:
            raise
        return store.about(MANIFEST)


def _opened(folder: Path, snapshot: Snapshot, stack: ExitStack) -> _Local:
    stack.close()  # what an earlier attempt opened
    published, contents, manifest = to_publish(folder, snapshot)
    files = published.files.values()
    is_roomy = allow_handles(len(files))
    streams = {}
    for file in files:
        stream = open_file(folder, file)
        if is_roomy:
            streams[file.name] = stack.enter_context(stream)
        else:
            stream.close()
    return _Local(folder, published, contents, manifest, streams)


def _require_successor(there: Published, local: _Local, address: str) -> None:
    """Check that the index is a later generation of the one that is published.

    Raises:
        SpaceMismatchError: it is not.
    """
    if why := _other_index(there, local):
        raise SpaceMismatchError(why, what=address, hint=REPLACE)
    number, newest = local.snapshot.generation, there.snapshot.generation
    if newest > number or (newest == number and there.data != local.manifest):
        which = "a newer generation" if newest > number else "another generation"
        raise SpaceMismatchError(
            f"{which} of this index is published there: {newest}, of "
            f"{there.contents.committed_at}; the folder has {number}",
            what=address,
            hint="publish from the folder with the newest one; or " + REPLACE,
        )


def _other_index(there: Published, local: _Local) -> str:
    """Return why another index is published; "" if it is an earlier generation, or a later one."""
    ours, theirs = local.contents, there.contents
    spaces = {view.space.task: view.space for view in ours.live.views}
    for published in theirs.live.views:  # the folder may have more views by now
        own = spaces.get(published.space.task, ours.live.space)
        try:
            require_same_space(published.space, own, hint=REPLACE)
        except SpaceMismatchError as error:  # its hint may be about indexing
            return error.reason
    if ours.identity != theirs.identity:
        return (
            f"another index of {theirs.live.documents:,} documents is published there, "
            f"of {theirs.committed_at}: this one is not a later generation of it"
        )
    return ""


def _publish(
    store: Store, there: Published | StoredObject | None, local: _Local, now: datetime
) -> Publication:
    listed = {found.name: found for found in store.listed(FILES) if is_key(found.name)}
    files = local.snapshot.files
    before = there if isinstance(there, Published) else None
    named = {key_of(file) for file in before.snapshot.files.values()} if before else set()
    missing = [file for file in files.values() if not _is_there(listed, key_of(file), named, now)]
    _send(store, local, missing)
    sent, removed = sum(file.size for file in missing), 0
    if before is None or before.data != local.manifest:
        replaced = there.found if isinstance(there, Published) else there
        _put_manifest(store, local.manifest, replaced)
        sent += len(local.manifest)
        named |= {key_of(file) for file in files.values()}
        removed = _remove_old(store, listed.values(), named, now)
    return Publication(
        store.shown(), local.snapshot.generation, len(files), len(missing), sent, removed
    )


def _is_there(listed: Mapping[str, StoredObject], key: str, named: set[str], now: datetime) -> bool:
    found = listed.get(key)
    if found is None or found.size != int(key.rpartition(".")[2]):
        return False
    return key in named or now - found.modified < TRUSTED


def _send(store: Store, local: _Local, files: Iterable[StoredFile]) -> None:
    files = list(files)
    total = sum(file.size for file in files)
    with doing("sending", unit="bytes", total=total) as step:
        for file in files:
            with ExitStack() as brief:
                parts = _checked(local.folder, file, local.opened(file, brief), step)
                if file.size <= PART_BYTES:
                    store.put(key_of(file), b"".join(parts))
                else:
                    store.upload(key_of(file), parts)


def _checked(folder: Path, file: StoredFile, stream: BinaryIO, step: Step) -> Iterator[bytes]:
    """Yield the bytes of a file.

    Raises:
        IndexDamagedError: they are not those that were written; the object is then not made.
    """
    checksum = size = 0
    stream.seek(0)
    while part := stream.read(CHUNK_BYTES):
        checksum, size = zlib.crc32(part, checksum), size + len(part)
        step.done += len(part)
        if size == file.size and checksum != file.crc32:
            break
        yield part
    if (size, checksum) != (file.size, file.crc32):
        raise damaged(folder, Damage(file.name, "its checksum does not match"))


def _put_manifest(store: Store, manifest: bytes, replaced: StoredObject | None) -> None:
    """Put the manifest in the place of the one that was read.

    Raises:
        IndexBusyError: another process has put one.
    """
    try:
        store.put_if(MANIFEST, manifest, replaces=replaced)
    except ChangedError:
        # a put whose answer was lost is tried again, and is then in its own way
        if store.get(MANIFEST, at_most=len(manifest) + 2**20)[0] != manifest:
            raise IndexBusyError(
                "another process published there at the same time, and this one did not",
                what=store.shown(),
                hint="run the same command again; only one process should publish to an address",
            ) from None


def _remove_old(
    store: Store, listed: Iterable[StoredObject], named: set[str], now: datetime
) -> int:
    """Remove what neither the new generation nor the one before names; return how many."""
    old = [
        found.name for found in listed if found.name not in named and now - found.modified > KEPT
    ]
    try:
        store.remove(old)
    except AccessDeniedError as error:
        raise AccessDeniedError(
            "the index was published, but the server does not permit to remove old files",
            what=error.what,
            hint="let the publisher delete objects below the address",
        ) from None
    return len(old)
