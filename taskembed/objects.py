"""Files on object stores: S3, Google Cloud Storage, Azure, and servers of files over HTTP.

    with_files = open_store("s3://bucket/folder")
    for found in with_files.listed():
        print(found.name, found.size)
    with_files.stream("part-1.jsonl").read(100)

Who may read and write is told by the environment, by the rules of the library (obstore): the
AWS_*, GOOGLE_* and AZURE_* variables, or the machine's own identity. An address has no secrets but
those of an https address; `shown` hides them. Every request has an end: it is tried again for up to
RETRY_SECONDS, and a try takes at most REQUEST_SECONDS.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from taskembed.errors import BadInputError, TaskembedError, UsageError
from taskembed.object_errors import refusal
from taskembed.secrets import HIDDEN, shown_address

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

CLOUDS = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}  # and how their variables begin
SERVERS = ("https", "http")
SCHEMES = (*CLOUDS, *SERVERS)
CONNECT_SECONDS = 10
REQUEST_SECONDS = 60  # for a request and its answer, of at most PART_BYTES
STREAM_SECONDS = 24 * 3600  # for the answer of a stream, which may be of any size
RETRIES = 5
RETRY_SECONDS = 60  # after the first try; none is begun later
PART_BYTES = 8 * 2**20  # of a file that is sent or read in parts
PARTS_AT_ONCE = 2  # while a file is sent: so much of it is in memory
# What the library reads itself unless it is told how long to wait; then these are passed on.
_CLIENT_OPTIONS = ("allow_http", "allow_invalid_certificates", "proxy_url", "proxy_excludes")


def is_address(text: str | Path) -> bool:
    """Tell whether text is an address: "s3://bucket/corpus.jsonl", "https://host/index"."""
    scheme, found, _ = str(text).partition("://")
    return bool(found) and scheme.lower() in SCHEMES


def address_in(place: Path) -> str | None:
    """Return the address that was made a path, which has one slash less; None for other paths."""
    scheme, colon, rest = str(place).partition(":/")
    address = f"{scheme}://{rest.lstrip('/')}"
    return address if colon and is_address(address) else None


def shown(address: str) -> str:
    """Return an address as it may be printed and stored: without password and without query.

    A query may be a signature that gives access: "https://host/a.jsonl?***".
    """
    before, question, _ = address.partition("?")
    return shown_address(before) + (question and f"?{HIDDEN}")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a store says of an object.

    Attributes:
        name: relative to the address of the store; "" for the object at the address itself.
        size: bytes.
        modified: when it was written.
        etag: differs when its bytes differ; None where a server does not tell.
        version: the same on Google Cloud Storage; None elsewhere.
    """

    name: str
    size: int
    modified: datetime
    etag: str | None
    version: str | None = None


@dataclass(frozen=True)
class Store:
    """The objects at and below an address; `open_store` makes it.

    Every method raises the errors that `object_errors.refusal` describes. Names are relative to the
    address, and "" is the object at the address itself.
    """

    address: str  # as it was given, with its secrets: print `shown(address)`
    _requests: ObjectStore = field(repr=False)
    _streams: ObjectStore = field(repr=False)

    def shown(self, name: str = "") -> str:
        """Return the address of an object, as it may be printed."""
        address = shown(self.address)
        return f"{address.partition('?')[0].rstrip('/')}/{name}" if name else address

    @contextlib.contextmanager
    def asked(self, name: str = "") -> Iterator[None]:
        """Raise what the library says within as an error of ours about an object."""
        try:
            yield
        except (TaskembedError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001  # the library's errors have no common root
            # "from None": the library's text has the address with its secrets
            scheme = self.address.partition("://")[0].lower()
            raise refusal(error, self.shown(name), scheme) from None

    def listed(self, below: str = "") -> Iterator[StoredObject]:
        """Yield all objects below the address, or below one of its folders, in the order of names.

        Plain servers over HTTP cannot list.
        """
        import obstore

        with self.asked(below):
            for some in obstore.list(self._requests, below or None, chunk_size=1000):
                for found in some:
                    yield _stored(found)

    def about(self, name: str = "") -> StoredObject:
        """Return the size and etag of an object."""
        import obstore

        with self.asked(name):
            return _stored(obstore.head(self._requests, name), name)

    def get(self, name: str = "", *, at_most: int) -> tuple[bytes, StoredObject]:
        """Return the bytes of a small object, and what the server says of it.

        Raises:
            BadInputError: it has more than `at_most` bytes.
        """
        import obstore

        with self.asked(name):
            result = obstore.get(self._requests, name)
            if result.meta["size"] > at_most:
                reason = f"it has {result.meta['size']:,} bytes, more than {at_most:,}"
                raise BadInputError(reason, what=self.shown(name))
            return bytes(result.bytes()), _stored(result.meta, name)

    def stream(self, name: str = "") -> BinaryIO:
        """Return an object's bytes, to be read once from the beginning; in bounded memory.

        A connection that breaks is made again where it broke, as long as the object is the same.
        """
        import obstore

        with self.asked(name):
            result = obstore.get(self._streams, name)
            parts = iter(result.stream(min_chunk_size=PART_BYTES // 8))
        return io.BufferedReader(_Parts(self, name, parts))

    def file(self, name: str = "") -> BinaryIO:
        """Return an object to read at any position, as long as it stays the same.

        For a format that is read from its end, such as Parquet. The server must be able to send
        parts.
        """
        return io.BufferedReader(_Ranges(self, self.about(name)), PART_BYTES)

    def part(self, found: StoredObject, start: int, stop: int) -> bytes:
        """Return some bytes of an object.

        Raises:
            ChangedError: the object is not the same any more.
        """
        import obstore

        with self.asked(found.name):
            result = obstore.get(
                self._requests,
                found.name,
                options={"range": (start, stop), "if_match": found.etag},
            )
            return bytes(result.bytes())

    def put(self, name: str, data: bytes) -> None:
        """Write a small object, whatever was there."""
        import obstore

        with self.asked(name):
            obstore.put(self._requests, name, data, use_multipart=False)

    def put_if(self, name: str, data: bytes, *, replaces: StoredObject | None) -> None:
        """Write a small object in the place of one that was read, or where there was none.

        Args:
            name: of the object.
            data: its bytes.
            replaces: the object as it was read; None if there was none.

        Raises:
            ChangedError: there is another object in its place by now.
        """
        import obstore

        with self.asked(name):
            mode: Any = "create"
            if replaces is not None:
                known = {"e_tag": replaces.etag, "version": replaces.version}
                mode = {key: value for key, value in known.items() if value is not None}
            obstore.put(self._requests, name, data, mode=mode)

    def upload(self, name: str, parts: Iterable[bytes]) -> None:
        """Write an object of any size, part by part; it is there when all of it was sent."""
        import obstore

        with self.asked(name):
            obstore.put(
                self._requests, name, parts, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
            )

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; one that is not there is no error."""
        import obstore

        for name in names:
            with self.asked(name), contextlib.suppress(FileNotFoundError):
                obstore.delete(self._requests, name)


def require_objects() -> None:
    """Refuse an address where the library is missing, before anything slow is done.

    Raises:
        MissingLibraryError: the library is not installed.
    """
    from taskembed.extras import OBJECTS, require_installed  # which no search needs

    require_installed("obstore", OBJECTS)


def open_store(address: str) -> Store:
    """Open what is at and below an address; nothing is asked of the server yet.

    Raises:
        UsageError: it is not an address, or has a password where none belongs.
        MissingLibraryError: the library is not installed.
    """
    from taskembed.extras import OBJECTS, require_extra

    stores = require_extra("obstore.store", OBJECTS)
    scheme, _, rest = address.partition("://")
    scheme = scheme.lower()
    if not is_address(address):
        raise UsageError("it is not an address of objects", what=shown(address), hint=_HINT)
    if scheme in SERVERS:
        kind, place, key = stores.HTTPStore.from_url, address, None
    else:
        place, _, key = rest.partition("/")
        if not place or "@" in place:
            reason = "a password does not belong in it" if "@" in place else "it names no bucket"
            raise UsageError(reason, what=shown(address), hint=_HINT)
        kind = {"s3": stores.S3Store, "gs": stores.GCSStore, "az": stores.AzureStore}[scheme]
    more = {"prefix": key.strip("/")} if key else {}
    try:
        opened = [
            kind(place, client_options=_client(scheme, seconds), retry_config=_retries(), **more)
            for seconds in (REQUEST_SECONDS, STREAM_SECONDS)
        ]
    except Exception as error:  # noqa: BLE001  # the library's errors have no common root
        raise refusal(error, shown(address), scheme) from None
    return Store(address, *opened)


_HINT = "write s3://BUCKET/KEY, gs://BUCKET/KEY, az://CONTAINER/KEY or https://HOST/PATH"


def _client(scheme: str, seconds: int) -> ClientConfig:
    """Return how long a request may take, and what the environment says of connections."""
    own = {
        name: value
        for name in _CLIENT_OPTIONS
        if (value := os.environ.get(f"{CLOUDS.get(scheme, '-')}_{name.upper()}"))
    }
    if scheme == "http":
        own["allow_http"] = "true"  # it was written
    times = {
        "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
        "read_timeout": timedelta(seconds=REQUEST_SECONDS),
        "timeout": timedelta(seconds=seconds),
    }
    return cast("ClientConfig", {**own, **times})


def _retries() -> RetryConfig:
    return {
        "max_retries": RETRIES,
        "retry_timeout": timedelta(seconds=RETRY_SECONDS),
        "backoff": {
            "init_backoff": timedelta(milliseconds=100),
            "max_backoff": timedelta(seconds=5),
            "base": 2,
        },
    }


def _stored(found: ObjectMeta, name: str | None = None) -> StoredObject:
    return StoredObject(
        found["path"] if name is None else name,
        found["size"],
        found["last_modified"],
        found["e_tag"],
        found["version"],
    )


class _Parts(io.RawIOBase):
    """The parts of an answer as a stream of bytes."""

    def __init__(self, store: Store, name: str, parts: Iterator[bytes]) -> None:
        self._store, self._name, self._parts = store, name, parts
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  # as in io
        """Read at most as many bytes as the buffer has; return how many."""
        if not self._rest:
            with self._store.asked(self._name):
                self._rest = memoryview(next(self._parts, b""))
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


class _Ranges(io.RawIOBase):
    """An object that is asked for at the positions where it is read."""

    def __init__(self, store: Store, found: StoredObject) -> None:
        self._store, self._found, self._position = store, found, 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be read at any position."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position; return it."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._found.size}
        self._position = start[whence] + offset
        return self._position

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  # as in io
        """Read at most as many bytes as the buffer has; return how many."""
        stop = min(self._position + min(len(buffer), PART_BYTES), self._found.size)
        if stop <= self._position:
            return 0
        data = self._store.part(self._found, self._position, stop)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
