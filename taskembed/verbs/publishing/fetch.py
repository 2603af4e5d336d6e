"""Copies the newest generation of a published index into the user's cache, to be read from there.

Only files that the copy lacks are fetched, each is compared with its checksum, and the manifest is
written last, so that a reader of the copy always sees a complete generation.
"""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from taskembed.activity import Step, doing
from taskembed.errors import (
    AccessDeniedError,
    IndexBusyError,
    IndexDamagedError,
    NotFoundError,
    ServerUnavailableError,
    os_errors,
)
from taskembed.files import distrusted, make_folder, own_folder
from taskembed.index.disk.commit import hold_lock
from taskembed.index.disk.files import CHUNK_BYTES, StoredFile, file_damage
from taskembed.index.disk.generations import KEPT_GENERATIONS, names_in
from taskembed.index.disk.manifests import generations_of, manifest_name, read_manifest
from taskembed.index.published import (
    Published,
    damaged_there,
    key_of,
    read_published,
)
from taskembed.objects import Store, open_store, shown
from taskembed.verbs.publishing.copies import ADDRESS, USED, Fetched, newest_copy, place_of

TRIES = 5  # attempts; if a newer generation is published meanwhile, files may be removed
WAIT_SECONDS = 24 * 3600  # for another process that fetches the same index


def fetch_index(address: str, *, cache: Path | None = None, offline: bool = False) -> Fetched:
    """Bring the copy of a published index up to date, and return it.

    Args:
        address: where it is published: "s3://bucket/index", "https://host/index".
        cache: the folder of all copies; None for the user's cache folder.
        offline: use the copy as it is, without a request to the store.

    Raises:
        NotFoundError: nothing is published there; or there is no copy, and `offline` is true.
        IndexDamagedError: the published index is damaged.
        NewerFormatError: it was written by a newer taskembed.
        ServerUnavailableError: the store did not answer.
        AccessDeniedError: the store denies access, or the cache folder cannot be trusted.
        StorageError: the disk is full.
    """
    place = place_of(cache or own_folder(), address)
    if offline:
        copy = newest_copy(place)
        if copy is None:
            raise NotFoundError(
                f"there is no copy of {shown(address)}",
                hint="fetch it once without --offline and TASKEMBED_OFFLINE",
            )
        return copy
    store = open_store(address)
    try:
        return _fetch(store, place)
    except ServerUnavailableError as error:
        if (copy := newest_copy(place)) is not None:
            error.hint = (
                f"TASKEMBED_OFFLINE=1 uses the copy of {copy.fetched_at:%Y-%m-%d %H:%M} UTC"
            )
        raise


class _GoneError(Exception):
    """A file of the published generation is not there; the text is its name there."""


class _ReplacedError(Exception):
    """Another generation was published, and another process has fetched it already."""


def _fetch(store: Store, place: Path) -> Fetched:
    before = None
    for _ in range(TRIES):
        published = read_published(store)
        try:
            return _copied(store, place, published)
        except _ReplacedError:
            continue
        except _GoneError as error:
            if before == published.data:
                raise damaged_there(store, str(error), "it is missing") from error
            before = published.data  # it may have been replaced meanwhile
    raise IndexBusyError(
        "it was replaced by newer generations before it could be fetched",
        what=store.shown(),
        hint="run the same command again",
    )


def _copied(store: Store, place: Path, published: Published) -> Fetched:
    """Return the copy of a generation, after fetching the files that it lacks.

    Raises:
        _GoneError: a file was removed.
        _ReplacedError: there is a copy of a newer generation, which must not be deleted.
    """
    folder = _folder_for(place, published)
    has_other = not folder.exists() and any(place.glob(f"{published.contents.identity}*/"))
    if has_other and read_published(store).data != published.data:
        raise _ReplacedError
    manifest = folder / manifest_name(published.snapshot.generation)
    missing, sent = [], 0
    if not _is_whole(folder, published):
        _prepare(place, store)
        with hold_lock(folder, wait_seconds=WAIT_SECONDS), os_errors(folder):
            if _newest(folder) <= published.snapshot.generation:  # or another was faster
                missing = _missing(folder, published)
                _download(store, folder, missing)
                _write(manifest, [published.data])
                _remove_old(folder)
        sent = len(published.data) + sum(file.size for file in missing)
        for other in place.glob("*/"):
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)
    with suppress(OSError):
        (place / USED).touch()
    generation = _newest(folder)
    seconds = (folder / manifest_name(generation)).stat().st_mtime
    at = datetime.fromtimestamp(seconds, UTC)
    return Fetched(folder, store.shown(), generation, at, len(missing), sent)


def _folder_for(place: Path, published: Published) -> Path:
    """Return a folder with earlier generations of a published index, or a new folder.

    If a diverged copy of the index was published, its files may have the same names but other
    contents; readers must not find them under an older manifest.
    """
    identity = published.contents.identity
    folders = sorted(place.glob(f"{identity}*/"))
    for folder in folders:
        known = _known(folder)
        newest = _newest(folder)
        differ = any(
            known.get(name, file) != file for name, file in published.snapshot.files.items()
        )
        is_other = newest == published.snapshot.generation and not _has_manifest(folder, published)
        if not differ and not is_other and newest <= published.snapshot.generation:
            return folder
    taken = place / identity in folders  # not a folder that another process has just created
    return place / (f"{identity}-{zlib.crc32(published.data):08x}" if taken else identity)


def _newest(folder: Path) -> int:
    return max(generations_of(names_in(folder)), default=-1)


def _known(folder: Path) -> dict[str, StoredFile]:
    """Return the files that the manifests of a copy name."""
    known: dict[str, StoredFile] = {}
    for number in generations_of(names_in(folder)):
        with suppress(IndexDamagedError, FileNotFoundError):
            known.update(read_manifest(folder, number).files)
    return known


def _has_manifest(folder: Path, published: Published) -> bool:
    try:
        path = folder / manifest_name(published.snapshot.generation)
        return path.read_bytes() == published.data
    except OSError:
        return False


def _is_whole(folder: Path, published: Published) -> bool:
    files = published.snapshot.files.values()
    return _has_manifest(folder, published) and all(_has_size(folder, file) for file in files)


def _has_size(folder: Path, file: StoredFile) -> bool:
    try:
        return (folder / file.name).stat().st_size == file.size
    except OSError:
        return False


def _missing(folder: Path, published: Published) -> list[StoredFile]:
    """Return the files that a copy lacks; one that no manifest names is read and compared."""
    known = _known(folder)
    return [
        file
        for name, file in published.snapshot.files.items()
        if not (_has_size(folder, file) and (name in known or file_damage(folder, file) is None))
    ]


def _prepare(place: Path, store: Store) -> None:
    """Make the folder of an address, writable only by this user.

    Raises:
        AccessDeniedError: another user can write to it, or this one cannot.
    """
    try:
        with os_errors(place):
            make_folder(place)
            _require_trusted(place)
            (place / ADDRESS).write_text(f"{store.shown()}\n", encoding="utf-8")
    except AccessDeniedError as error:
        error.hint = "choose another cache folder with TASKEMBED_CACHE"
        raise


def _require_trusted(place: Path) -> None:
    if why := distrusted(place) or distrusted(place.parent):
        raise AccessDeniedError(why)


def _download(store: Store, folder: Path, files: Iterable[StoredFile]) -> None:
    files = list(files)
    with doing("fetching", unit="bytes", total=sum(file.size for file in files)) as step:
        for file in files:
            _write(folder / file.name, _checked(store, file, step))


def _checked(store: Store, file: StoredFile, step: Step) -> Iterator[bytes]:
    """Yield the bytes of a published file.

    Raises:
        _GoneError: the file does not exist.
        IndexDamagedError: the bytes differ from those that were published.
    """
    checksum = size = 0
    try:
        opened = store.stream(key_of(file))
    except NotFoundError as error:
        raise _GoneError(key_of(file)) from error
    with opened as stream:
        while size <= file.size and (part := stream.read(CHUNK_BYTES)):
            checksum, size = zlib.crc32(part, checksum), size + len(part)
            step.done += len(part)
            yield part
    if (size, checksum) != (file.size, file.crc32):
        raise damaged_there(store, key_of(file), "its checksum does not match")


def _write(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file whole or not at all; the lock of the copy is held."""
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with temporary.open("wb") as out:
            for part in parts:
                out.write(part)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _remove_old(folder: Path) -> None:
    """Remove the files that the two newest generations of a copy do not name."""
    names = names_in(folder)
    generations = generations_of(names)
    dropped = {manifest_name(number) for number in generations[:-KEPT_GENERATIONS]}
    for name in dropped:
        (folder / name).unlink(missing_ok=True)
    kept = {*map(manifest_name, generations), *_known(folder), "LOCK"} - dropped
    for name in names:
        if name not in kept:
            (folder / name).unlink(missing_ok=True)
