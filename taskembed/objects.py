"""Files in object stores: S3, Google Cloud Storage, Azure, and HTTP servers.

    store = open_store("s3://bucket/folder")
    for found in store.listed():
        print(found.name, found.size)
    store.stream("part-1.jsonl").read(100)

The library obstore takes credentials from the environment: the AWS_*, GOOGLE_* and AZURE_*
variables, or the machine's identity. Only an https address may contain secrets, which `shown`
hides. The time of each request is limited: it is retried for up to RETRY_SECONDS, and an attempt
takes at most REQUEST_SECONDS.
"""

from __future__ import annotations

import base64
import contextlib
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import unquote

from taskembed.errors import BadInputError, ServerUnavailableError, TaskembedError, UsageError
from taskembed.interruptible import interruptible
from taskembed.object_errors import (
    TRY_LATER,
    ChangedError,
    NoPartsError,
    Operation,
    is_beyond_end,
    refusal,
)
from taskembed.secrets import HIDDEN, shown_address, userinfo_of, without_userinfo

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
PART_TRIES = 4  # where a connection breaks within an answer
RETRY_SECONDS = 60  # after the first try; none is begun later
PART_BYTES = 8 * 2**20  # of a file that is sent or read in parts
PARTS_AT_ONCE = 2  # while a file is sent: so much of it is in memory
# What the library reads itself unless it is told how long to wait; then these are passed on.
_CLIENT_OPTIONS = ("allow_http", "allow_invalid_certificates", "proxy_url", "proxy_excludes")


def is_address(text: str | Path) -> bool:
    """Return whether text is an address: "s3://bucket/corpus.jsonl", "https://host/index"."""
    scheme, found, _ = str(text).partition("://")
    return bool(found) and scheme.lower() in SCHEMES


def address_in(place: Path) -> str | None:
    """Return the address in a path, in which "//" has become "/"; None for other paths."""
    scheme, colon, rest = str(place).partition(":/")
    address = f"{scheme}://{rest.lstrip('/')}"
    return address if colon and is_address(address) else None


def shown(address: str) -> str:
    """Return an address in its printable form, without password and query.

    The query may be a signature that gives access: "https://host/a.jsonl?***".
    """
    before, question, _ = address.partition("?")
    return shown_address(before) + (question and f"?{HIDDEN}")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """The properties of an object in a store.

    Attributes:
        name: the name relative to the address of the store; "" for the object at the address.
        size: size in bytes.
        modified: time of the last modification.
        etag: an identifier that changes with the bytes; None if the server sends none.
        version: the version on Google Cloud Storage; None elsewhere.
    """

    name: str
    size: int
    modified: datetime
    etag: str | None
    version: str | None = None

    def is_same(self, other: StoredObject) -> bool:
        """Return whether two objects have the same bytes, as far as the server tells."""
        if self.etag is not None and other.etag is not None:
            return (self.etag, self.size) == (other.etag, other.size)
        return (self.modified, self.size) == (other.modified, other.size)


@dataclass(frozen=True)
class Store:
    """The objects at and below an address; `open_store` makes it.

    Every method raises the errors that `object_errors.refusal` describes. Names are relative to the
    address, and "" is the object at the address itself.
    """

    address: str = field(repr=False)  # as given, with its secrets: print `shown(address)`
    _requests: ObjectStore = field(repr=False)
    _streams: ObjectStore = field(repr=False)

    def shown(self, name: str = "") -> str:
        """Return the address of an object in its printable form."""
        address = shown(self.address)
        return f"{address.partition('?')[0].rstrip('/')}/{name}" if name else address

    @contextlib.contextmanager
    def asked(self, name: str = "", operation: Operation = "read") -> Iterator[None]:
        """Turn errors of the library within the context into TaskembedErrors about an object."""
        try:
            yield
        except (TaskembedError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001  # the library's errors have no common root
            # "from None": the library's error contains the address with its secrets
            scheme = self.address.partition("://")[0].lower()
            raise refusal(error, self.shown(name), scheme, operation) from None

    def listed(self, below: str = "") -> Iterator[StoredObject]:
        """Yield all objects below the address, or below one of its folders, ordered by name.

        Plain HTTP servers cannot list objects.
        """
        import obstore

        with self.asked(below, "list"):
            pages = obstore.list(self._requests, below or None, chunk_size=1000)
            while page := interruptible(lambda: next(pages, [])):
                yield from map(_stored, page)

    def about(self, name: str = "") -> StoredObject:
        """Return the size and etag of an object."""
        import obstore

        with self.asked(name):
            return _stored(interruptible(lambda: obstore.head(self._requests, name)), name)

    def get(self, name: str = "", *, at_most: int) -> tuple[bytes, StoredObject]:
        """Return the bytes and the properties of a small object.

        Raises:
            BadInputError: the object has more than `at_most` bytes.
        """
        import obstore

        with self.asked(name):
            result = interruptible(lambda: obstore.get(self._requests, name))
            if result.meta["size"] > at_most:
                reason = f"it has {result.meta['size']:,} bytes, more than {at_most:,}"
                raise BadInputError(reason, what=self.shown(name))
            return bytes(interruptible(result.bytes)), _stored(result.meta, name)

    def stream(self, name: str = "") -> BinaryIO:
        """Return an object's bytes, to be read once from the beginning; in bounded memory.

        A broken connection is resumed at the same position, unless the object has changed.
        """
        import obstore

        with self.asked(name):
            result = interruptible(lambda: obstore.get(self._streams, name))
            parts = iter(result.stream(min_chunk_size=PART_BYTES // 8))
        return io.BufferedReader(_Parts(self, name, parts))

    def part(
        self, name: str, start: int, stop: int, *, of: StoredObject | None = None
    ) -> tuple[bytearray, StoredObject]:
        """Return a range of bytes of an object, fewer at its end, and the object's properties.

        An answer that breaks off, or takes longer than REQUEST_SECONDS, is continued where it
        ended, PART_TRIES times in all.

        Args:
            name: the name of the object.
            start: the position of the first byte.
            stop: the position after the last byte.
            of: the object as it was read before; None if it was not read before.

        Raises:
            ChangedError: the object is no longer `of`.
            NoPartsError: the server does not support range requests.
        """
        data = bytearray()
        try:
            with self.asked(name):
                for _ in range(PART_TRIES):
                    more, found = interruptible(partial(self._part, name, start + len(data), stop))
                    if of is not None and not found.is_same(of):
                        raise ChangedError("")  # noqa: TRY301  # said below
                    of, wanted = found, max(0, min(stop, found.size) - start)
                    if len(data) + len(more) <= wanted:  # a server may send more than was asked
                        data += more
                    if len(data) == wanted:
                        return data, found
        except ChangedError:  # also where it is shorter now, and has no such position
            reason = "it was changed while it was read"
            hint = "run the same command again"
            raise ChangedError(reason, what=self.shown(name), hint=hint) from None
        raise ServerUnavailableError(
            "the connection broke again and again", what=self.shown(name), hint=TRY_LATER
        )

    def _part(self, name: str, start: int, stop: int) -> tuple[bytearray, StoredObject]:
        """Return a range of bytes of an object, incomplete if the connection broke."""
        import obstore
        from obstore.exceptions import GenericError, NotSupportedError, PreconditionError

        try:
            result = obstore.get(self._requests, name, options={"range": (start, stop)})
        except NotSupportedError:
            raise NoPartsError("its server cannot send parts", what=self.shown(name)) from None
        except GenericError as error:
            if start == 0 and is_beyond_end(error):  # there is no first byte
                found = self.about(name)
                if found.size == 0:
                    return bytearray(), found
            raise
        data = bytearray()
        # the library makes a broken connection again only where the server gives an etag
        with contextlib.suppress(GenericError, PreconditionError):
            for piece in result.stream(min_chunk_size=2**16):  # less than that is lost
                data += piece
                if len(data) > stop - start:  # whatever the server sends, it is not kept
                    break
        return data, _stored(result.meta, name)

    def put(self, name: str, data: bytes) -> None:
        """Write a small object; an existing object is replaced."""
        import obstore

        with self.asked(name, "write"):
            interruptible(lambda: obstore.put(self._requests, name, data, use_multipart=False))

    def put_if(self, name: str, data: bytes, *, replaces: StoredObject | None) -> None:
        """Replace an object if it has not changed, or create it if it does not exist.

        Args:
            name: the name of the object.
            data: its new bytes.
            replaces: the object as it was read; None if there was none.

        Raises:
            ChangedError: the object was changed or created in the meantime.
        """
        import obstore

        with self.asked(name, "write"):
            mode: Any = "create"
            if replaces is not None:
                known = {"e_tag": replaces.etag, "version": replaces.version}
                mode = {key: value for key, value in known.items() if value is not None}
            interruptible(lambda: obstore.put(self._requests, name, data, mode=mode))

    def upload(self, name: str, parts: Iterable[bytes]) -> None:
        """Write an object of any size in parts; it appears when all parts are sent."""
        import obstore

        with self.asked(name, "write"):
            send = partial(obstore.put, self._requests, name, parts)
            interruptible(lambda: send(chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE))

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects; missing objects are ignored."""
        import obstore

        for name in names:
            with self.asked(name, "remove"), contextlib.suppress(FileNotFoundError):
                interruptible(partial(obstore.delete, self._requests, name))


def require_objects() -> None:
    """Check that the library for object stores is installed, before anything slow is done.

    Raises:
        MissingLibraryError: the library is not installed.
    """
    from taskembed.extras import OBJECTS, require_installed  # which no search needs

    require_installed("obstore", OBJECTS)


def open_store(address: str) -> Store:
    """Return the store at an address; no request is sent yet.

    Raises:
        UsageError: the text is not an address, or contains a password in the wrong place.
        MissingLibraryError: the library is not installed.
    """
    from taskembed.extras import OBJECTS, require_extra

    stores = require_extra("obstore.store", OBJECTS)
    scheme, _, rest = address.partition("://")
    scheme = scheme.lower()
    if not is_address(address):
        raise UsageError("it is not an address of objects", what=shown(address), hint=_HINT)
    if scheme in SERVERS:
        kind, place, key = stores.HTTPStore.from_url, without_userinfo(address), None
    else:
        place, _, key = rest.partition("/")
        if not place or "@" in place:
            reason = "a password does not belong in it" if "@" in place else "it names no bucket"
            raise UsageError(reason, what=shown(address), hint=_HINT)
        kind = {"s3": stores.S3Store, "gs": stores.GCSStore, "az": stores.AzureStore}[scheme]
    more = {"prefix": key.strip("/")} if key else {}
    try:
        opened = [
            kind(place, client_options=_client(address, seconds), retry_config=_retries(), **more)
            for seconds in (REQUEST_SECONDS, STREAM_SECONDS)
        ]
    except Exception as error:  # noqa: BLE001  # the library's errors have no common root
        raise refusal(error, shown(address), scheme) from None
    return Store(address, *opened)


_HINT = "write s3://BUCKET/KEY, gs://BUCKET/KEY, az://CONTAINER/KEY or https://HOST/PATH"


def _client(address: str, seconds: int) -> ClientConfig:
    """Return the time limits of requests, and the connection settings of the environment."""
    scheme = address.partition("://")[0].lower()
    own: dict[str, Any] = {
        name: value
        for name in _CLIENT_OPTIONS
        if (value := os.environ.get(f"{CLOUDS.get(scheme, '-')}_{name.upper()}"))
    }
    if scheme == "http":
        own["allow_http"] = "true"  # the address says http
    if scheme in SERVERS and (userinfo := userinfo_of(address)):
        key = base64.b64encode(unquote(userinfo).encode()).decode()
        # not sent on to another host, if the server redirects to one
        own["default_headers"] = {"authorization": f"Basic {key}"}
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
                self._rest = memoryview(interruptible(lambda: next(self._parts, b"")))
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count
