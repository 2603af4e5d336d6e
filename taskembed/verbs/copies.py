"""The copies of published indexes in the user's cache: where they are, what there is of them.

CACHE/indexes/DIGEST/address             the address that DIGEST is of
                     used                its time says when the copy was used last
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
        folder: of the copy, to be opened like any index.
        address: where it was fetched from, without secrets.
        generation: its number.
        fetched_at: when this generation was fetched.
        files_fetched: how many files were fetched now.
        bytes_fetched: the bytes of what was fetched now, the manifest included.
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
    """Return the folder of the cache for an address; a signature is no part of the address."""
    told = [os.environ.get(name, "") for name in _ENDPOINTS]
    key = "\0".join([shown(address).partition("?")[0].rstrip("/"), *told])
    return cache / INDEXES / hashlib.sha256(key.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class CachedIndex:
    """A copy of a published index, as `taskembed cache list` shows it.

    Attributes:
        path: its folder in the cache.
        copy: what it is a copy of.
        size: bytes.
        used: when it was used last, in seconds since 1970.
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
        address: only that of this address.
        unused_before: only those that were last used before this time, in seconds since 1970.

    Raises:
        NotFoundError: there is no copy of that address.
        AccessDeniedError: a file must not be deleted.
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
