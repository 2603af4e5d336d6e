"""`--index s3://bucket/index`: reads a published index from its copy in the cache."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from taskembed.cli._process.stopping import Stopper
from taskembed.cli.printing.output import message
from taskembed.errors import UsageError
from taskembed.objects import address_in, shown

_KEPT = "what was fetched is kept: run the same command again to continue"
READERS = frozenset(
    {
        *("search", "similar", "dedup", "classify", "cluster", "get", "list", "count"),
        *("info", "verify", "export", "explain", "evaluate"),
    }
)


def fetch_published(command: str, given: dict[str, Any], names: Iterable[str]) -> dict[str, Path]:
    """Update the copies of published indexes, and replace their addresses by the copies' folders.

    Args:
        command: the name of the command.
        given: the parameters of the command by name, which are changed.
        names: the names of the parameters that name an index.

    Returns:
        The folders of the copies, by address.

    Raises:
        UsageError: the command writes to an index.
        TaskembedError: an index cannot be fetched.
    """
    copies = {}
    for name in names:
        if isinstance(place := given.get(name), Path) and (address := address_in(place)):
            if command not in READERS or given.get("apply"):
                raise UsageError(
                    f"{command} changes an index, but a published index can only be read",
                    what=shown(address),
                    hint="change the index in its folder, then: taskembed publish ADDRESS",
                )
            copies[address] = given[name] = local_folder(place, given)
    return copies


def damage_hint(message: str, copies: Mapping[str, Path]) -> str | None:
    """Return what to do about damage in one of the copies; None if it is elsewhere.

    Args:
        message: of the error; it has the path of what is damaged.
        copies: the folders of the copies, by address.
    """
    for address, folder in copies.items():
        if str(folder) in message:
            plain = shown(address).partition("?")[0]
            return f"delete the copy, so that it is fetched again: taskembed cache clear {plain}"
    return None


def local_folder(place: Path, given: Mapping[str, Any]) -> Path:
    """Return the folder of an index; for an address, the folder of its copy.

    Args:
        place: a folder, or an address as a path.
        given: the parameters of the command: `cache`, `offline` and `quiet`.

    Raises:
        TaskembedError: it cannot be fetched.
    """
    address = address_in(place)
    if address is None:
        return place
    from taskembed.verbs.publishing.fetch import fetch_index

    cache = given.get("cache") or os.environ.get("TASKEMBED_CACHE")
    offline = given.get("offline", os.environ.get("TASKEMBED_OFFLINE", "0") not in {"", "0"})
    with Stopper(_KEPT):
        copy = fetch_index(address, cache=Path(cache) if cache else None, offline=offline)
    if not given.get("quiet"):
        if offline:
            when = f"{copy.fetched_at:%Y-%m-%d %H:%M} UTC"
            message(f"note: offline: generation {copy.generation} of {copy.address}, as of {when}")
        elif copy.bytes_fetched:
            files = f"{copy.files_fetched:,} files, {copy.bytes_fetched:,} bytes"
            message(f"fetched generation {copy.generation} of {copy.address}: {files}")
    return copy.folder


def name_in(text: str) -> str:
    """Return the last name in an address: "notes" of "s3://bucket/notes"; "" if it is a path."""
    address = address_in(Path(text))
    return shown(address).partition("?")[0].rstrip("/").rpartition("/")[2] if address else ""
