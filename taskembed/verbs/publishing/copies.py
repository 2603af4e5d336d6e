"""The copies of published indexes in the user's cache: their folders, listing and deleting them.

CACHE/indexes/DIGEST/address             the address whose digest is DIGEST
                     used                its modification time is when the copy was last used
                     IDENTITY/           the copy: the folder of an index
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from taskembed.errors import NotFoundError, os_errors
from taskembed.index.disk.generations import names_in
from taskembed.index.disk.manifests import generations_of, manifest_name
from taskembed.objects import shown

INDEXES = "indexes"
ADDRESS, USED = "address", "used"
_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ACCOUNT_NAME")  # whose address


@dataclass(frozen=True, slots=True)
class Fetched:
    """A copy of a published index.

    Attributes:
        folder: the folder of the copy, which can be opened like any index.
        address: the address it was fetched from, without secrets.
        generation: the number of the generation.
        fetched_at: when this generation was fetched.
        files_fetched: the number of files fetched by this call.
        bytes_fetched: the number of bytes fetched by this call, including the manifest.
    """

    folder: Path
    address: str
    generation: int
    fetched_at: datetime
    files_fetched: int = 0
    bytes_fetched: int = 0


def newest_copy(place: Path) -> Fetched | None:
    """Return the copy that was fetched last into a folder of the cache; None if there is none."""
    copies = []
    for folder in place.glob("*/"):
        for number in generations_of(names_in(folder))[-1:]:
            with suppress(OSError):
                seconds = (folder / manifest_name(number)).stat().st_mtime
                address = (place / ADDRESS).read_text(encoding="utf-8").strip()
                copies.append(
                    Fetched(folder, address, number, datetime.fromtimestamp(seconds, UTC))
                )
    return max(copies, key=lambda copy: copy.fetched_at, default=None)


def place_of(cache: Path, address: str) -> Path:
    """Return the cache folder for an address; a signature is not part of the address."""
    told = [os.environ.get(name, "") for name in _ENDPOINTS]
    key = "\0".join([shown(address).partition("?")[0].rstrip("/"), *told])
    return cache / INDEXES / hashlib.sha256(key.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class CachedIndex:
    """A copy of a published index, as `taskembed cache list` shows it.

    Attributes:
        path: its folder in the cache.
        copy: the copy.
        size: its size in bytes.
        used: when it was last used, in seconds since 1970.
    """

    path: Path
    copy: Fetched
    size: int
    used: float


def list_copies(cache: Path) -> list[CachedIndex]:
    """Return the copies of published indexes in a cache folder, in the order of addresses."""
    copies = []
    for place in (cache / INDEXES).glob("*/"):
        copy = newest_copy(place)
        if copy is not None:
            with suppress(OSError):
                size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
                copies.append(CachedIndex(place, copy, size, (place / USED).stat().st_mtime))
    return sorted(copies, key=lambda cached: (cached.copy.address, str(cached.path)))


def delete_copies(
    cache: Path, *, address: str | None = None, unused_before: float | None = None
) -> list[CachedIndex]:
    """Delete copies of published indexes.

    Args:
        cache: the folder.
        address: delete only the copy of this address; None for all copies.
        unused_before: delete only copies last used before this time, in seconds since 1970.

    Raises:
        NotFoundError: there is no copy of that address.
        AccessDeniedError: there is no permission to delete a file.
    """
    chosen = [
        cached
        for cached in list_copies(cache)
        if (address is None or cached.copy.address.rstrip("/") == shown(address).rstrip("/"))
        and (unused_before is None or cached.used <= unused_before)
    ]
    if address is not None and not chosen:
        raise NotFoundError(
            f"there is no copy of {shown(address)}", hint="`taskembed cache list` lists them"
        )
    for cached in chosen:
        with os_errors(cached.path):
            shutil.rmtree(cached.path)
    return chosen
