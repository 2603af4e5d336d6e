"""Addresses of collections: "milvus://localhost:19530/notes", "milvus:notes.db/notes".

An address may be given as a path, in which "//" has become "/".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from taskembed.errors import UsageError
from taskembed.secrets import shown_address

TLS_SCHEME, SCHEME = "milvus+https", "milvus"
FILE_ENDING = ".db"  # a folder with this ending is a Milvus Lite database, as for the library
FORMS = f"milvus://HOST:PORT/COLLECTION, milvus+https://HOST/COLLECTION or {SCHEME}:FILE.db/NAME"
TOKEN = "MILVUS_TOKEN"  # noqa: S105  # the name of the environment variable
NO_USERINFO = f"leave the password out, and set {TOKEN}=USER:PASSWORD or to an API key"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")  # what Milvus permits


@dataclass(frozen=True, slots=True)
class CollectionAddress:
    """Where a collection is.

    Attributes:
        uri: of the server, "http://localhost:19530"; or the path of a Milvus Lite database, which
            ends in ".db".
        name: the name of the collection.

    Raises:
        UsageError: Milvus does not permit the name, or the URI has another form or a password.
    """

    uri: str
    name: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f"{self.name!r} is not a name of a collection",
                hint="use letters, digits and '_', at most 255, and no digit first",
            )
        if not self.is_file and not re.match(r"https?://[^/]", self.uri):
            raise UsageError(
                "it is neither the URI of a Milvus server nor a file that ends in .db",
                what=shown_address(self.uri),
                hint="http://localhost:19530, https://HOST, or ./FILE.db for Milvus Lite",
            )
        if not self.is_file and "@" in self.uri:
            raise UsageError(
                "a password does not belong in it", what=shown_address(self.uri), hint=NO_USERINFO
            )

    @property
    def is_file(self) -> bool:
        """Whether the collection is in a Milvus Lite database on this machine."""
        return self.uri.endswith(FILE_ENDING) and "://" not in self.uri

    def __str__(self) -> str:
        """Return the address as `search --index` takes it."""
        if self.is_file:
            return f"{SCHEME}:{self.uri}/{self.name}"
        scheme, _, place = self.uri.partition("://")
        return f"{TLS_SCHEME if scheme == 'https' else SCHEME}://{place.rstrip('/')}/{self.name}"


def is_collection(text: str | Path) -> bool:
    """Return whether a text or a path is the address of a collection, well-formed or not."""
    return str(text).partition(":")[0].lower() in {SCHEME, TLS_SCHEME} and ":" in str(text)


def collection_address(text: str | Path) -> CollectionAddress:
    """Return the address that a text or a path contains.

    Raises:
        UsageError: it has another form, or contains a password.
    """
    scheme, _, rest = str(text).partition(":")
    place, _, name = rest.rpartition("/")
    if not name or not place.strip("/"):
        raise UsageError("it names no collection", what=shown_address(str(text)), hint=FORMS)
    if scheme.lower() == SCHEME and place.endswith(FILE_ENDING):
        return CollectionAddress(place, name)
    protocol = "https" if scheme.lower() == TLS_SCHEME else "http"
    return CollectionAddress(f"{protocol}://{place.lstrip('/')}", name)
