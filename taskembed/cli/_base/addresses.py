"""Which arguments of a command may be addresses: s3://bucket/corpus.jsonl instead of a path."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from taskembed.errors import UsageError
from taskembed.objects import address_in, is_address, shown

# names of parameters of which the value is read: texts as they were typed, and paths
_TEXTS = frozenset({"inputs", "queries", "assign", "labels", "files"})
_PATHS = frozenset({"query_file", "file", "ids"})


def require_readable(
    given: Mapping[str, Any], options: Mapping[str, str], indexes: Collection[str]
) -> None:
    """Return when every address among the parameters of a command can be read, and may be.

    Args:
        given: the parameters by name.
        options: how each is typed, by name: "--output".
        indexes: the names of those of which the value is an index.

    Raises:
        UsageError: an address is in the place of a file of this machine; or the network is not to
            be used.
    """
    for name, value in given.items():
        for address in _addresses(name, value):
            if name not in _TEXTS | _PATHS:
                if name not in indexes:
                    raise UsageError(
                        f"{_said(options.get(name, ''))}a file of this machine, not an address",
                        what=shown(address),
                        hint="use a file, and copy it",
                    )
            elif given.get("offline"):
                raise UsageError(
                    "it is at an address, and the network is not to be used",
                    what=shown(address),
                    hint="leave out --offline, or copy it to this machine",
                )


def refuse_collection(command: str, place: object) -> None:
    """Refuse a collection of a Milvus server as the index of a command that cannot read it.

    Args:
        command: the name of the command.
        place: where its index is: a path, or None.

    Raises:
        UsageError: it is the address of a collection.
    """
    if not isinstance(place, Path) or ":" not in str(place):
        return
    from taskembed.verbs.milvus.addresses import collection_address, is_collection

    if is_collection(place):
        raise UsageError(
            f"only `search` reads a Milvus collection, not `{command}`",
            what=str(collection_address(place)),
            hint="use the index that was exported",
        )


def _addresses(name: str, value: Any) -> Iterator[str]:  # noqa: ANN401
    for one in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(one, Path) and (address := address_in(one)):
            yield address
        elif name in _TEXTS and isinstance(one, str) and is_address(one):
            yield one


def _said(option: str) -> str:
    return f"{option} needs " if option.startswith("-") else "it must be "
