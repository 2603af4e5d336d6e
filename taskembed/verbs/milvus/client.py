"""The requests to a Milvus server. This is the only module that uses pymilvus.

Every request has a time limit, and every error of the library becomes one of ours. The library's
messages may contain the server's own text, so they go through `redacted`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from taskembed.errors import (
    AccessDeniedError,
    NotFoundError,
    ServerUnavailableError,
    StorageError,
    TaskembedError,
    first_line,
    system_error,
)
from taskembed.extras import MILVUS, require_extra
from taskembed.interruptible import completed, interruptible
from taskembed.object_errors import TRY_LATER
from taskembed.secrets import redacted
from taskembed.vectors import FloatRows
from taskembed.verbs.milvus.addresses import TOKEN, CollectionAddress
from taskembed.verbs.milvus.lite import close_database, open_database

CONNECT_SECONDS = 10
REQUEST_SECONDS = 60
# With 256 candidates, 300 questions to 9,990 abstracts found exactly their 10 nearest; with 64, the
# usual number, 99.0 % of them.
_HNSW = {"M": 16, "efConstruction": 200}
_CANDIDATES = 256
PAGE_ROWS = 8_192  # rows of an answer that lists rows; the server's limit is 16,384
_UNREACHABLE, _ABSENT = 2, 100  # codes of the library: no answer, no such collection
_DENIED = ("auth", "permission", "privilege")
# They log tracebacks of errors that they raise, too. gRPC's server runs for Milvus Lite only.
_LOGGERS = ("pymilvus", "milvus_lite", "grpc._server")


class Client:
    """A connection to a Milvus server, or an open Milvus Lite database, for one collection.

    Every method raises ServerUnavailableError if the server does not answer in time or fails, and
    AccessDeniedError if it denies access.

    Args:
        address: the server and the collection.
        creates: whether a Milvus Lite database that does not exist is created.

    Raises:
        MissingLibraryError: pymilvus is not installed.
        IndexBusyError: another process has the Milvus Lite database open.
        NotFoundError: the Milvus Lite database, or the folder to create it in, does not exist.
    """

    def __init__(self, address: CollectionAddress, *, creates: bool = False) -> None:
        library = require_extra("pymilvus", MILVUS)
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        self.address = address
        self._name = address.name
        self._types = library.DataType
        self._token = os.environ.get(TOKEN, "")
        if address.is_file:
            open_database(Path(address.uri), creates=creates)
        try:
            self._client = self._answer(
                lambda: library.MilvusClient(
                    address.uri, token=self._token, timeout=CONNECT_SECONDS
                )
            )
        except BaseException:
            self._close_database()
            raise

    def close(self) -> None:
        """Close the connection, or the Milvus Lite database."""
        self._client.close()
        self._close_database()

    def _close_database(self) -> None:
        if self.address.is_file:
            close_database(Path(self.address.uri))

    def exists(self) -> bool:
        """Return whether the server has the collection."""
        return bool(
            self._answer(lambda: self._client.has_collection(self._name, timeout=REQUEST_SECONDS))
        )

    def create(self, fields: Mapping[str, Any], dim: int, properties: Mapping[str, str]) -> None:
        """Create the collection, with an HNSW index of its vectors by inner product.

        Args:
            fields: the fields other than "vector": the name of the type, and its parameters; the
                first is the primary key.
            dim: the dimension of the vectors.
            properties: the properties of the collection.
        """
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        for number, (name, (kind, options)) in enumerate(fields.items()):
            schema.add_field(name, self._types[kind], is_primary=number == 0, **options)
        schema.add_field("vector", self._types.FLOAT_VECTOR, dim=dim)
        index = self._client.prepare_index_params()
        index.add_index("vector", index_type="HNSW", metric_type="IP", params=dict(_HNSW))
        self._answer(
            lambda: self._client.create_collection(
                self._name,
                schema=schema,
                index_params=index,
                properties=dict(properties),
                consistency_level="Strong",  # what an export has written, a search finds
                timeout=REQUEST_SECONDS,
            )
        )

    def drop(self) -> None:
        """Delete the collection."""
        self._answer(lambda: self._client.drop_collection(self._name, timeout=REQUEST_SECONDS))

    def load(self) -> None:
        """Let the server load the collection, without which it is not searched."""
        self._answer(lambda: self._client.load_collection(self._name, timeout=REQUEST_SECONDS))

    def properties(self) -> dict[str, str]:
        """Return the properties of the collection.

        Raises:
            NotFoundError: there is no such collection.
        """
        found = self._answer(
            lambda: self._client.describe_collection(self._name, timeout=REQUEST_SECONDS)
        )
        return {str(name): str(value) for name, value in found.get("properties", {}).items()}

    def set_properties(self, properties: Mapping[str, str]) -> None:
        """Set some properties of the collection; the others remain."""
        self._answer(
            lambda: self._client.alter_collection_properties(
                self._name, dict(properties), timeout=REQUEST_SECONDS
            )
        )

    def listed(self, fields: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
        """Yield all rows of the collection, some thousand at a time, with some of their fields."""
        pages = self._answer(
            lambda: self._client.query_iterator(
                self._name,
                batch_size=PAGE_ROWS,
                filter="",
                output_fields=list(fields),
                timeout=REQUEST_SECONDS,
            )
        )
        try:
            while page := self._answer(pages.next):
                yield page
        finally:
            pages.close()

    def count(self) -> int:
        """Return the number of rows of the collection."""
        rows = self._answer(
            lambda: self._client.query(
                self._name, filter="", output_fields=["count(*)"], timeout=REQUEST_SECONDS
            )
        )
        return int(rows[0]["count(*)"])

    def matching(self, filter_: str, fields: Sequence[str], limit: int) -> list[dict[str, Any]]:
        """Return the rows that match a filter of Milvus, at most `limit`."""
        return list(
            self._answer(
                lambda: self._client.query(
                    self._name,
                    filter=filter_,
                    output_fields=list(fields),
                    limit=limit,
                    timeout=REQUEST_SECONDS,
                )
            )
        )

    def upsert(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write rows; those with the same primary key are replaced."""
        self._answer(lambda: self._client.upsert(self._name, list(rows), timeout=REQUEST_SECONDS))

    def delete(self, keys: Sequence[str]) -> None:
        """Delete rows by their primary keys; those that do not exist are ignored."""
        self._answer(
            lambda: self._client.delete(self._name, ids=list(keys), timeout=REQUEST_SECONDS)
        )

    def nearest(
        self,
        vectors: FloatRows,
        limit: int,
        *,
        filter_: str,
        fields: Sequence[str],
        group_by: str | None = None,
    ) -> list[list[tuple[float, dict[str, Any]]]]:
        """Return the rows with the largest inner products, best first, for each vector.

        Args:
            vectors: float32[n, dim].
            limit: how many rows for each vector.
            filter_: a filter of Milvus.
            fields: the fields of the rows to return.
            group_by: a field of which each value is wanted once; None for all rows.
        """
        more = {"group_by_field": group_by} if group_by else {}
        found = self._answer(
            lambda: self._client.search(
                self._name,
                data=vectors,
                anns_field="vector",
                filter=filter_,
                limit=limit,
                output_fields=list(fields),
                search_params={"metric_type": "IP", "params": {"ef": max(_CANDIDATES, limit)}},
                timeout=REQUEST_SECONDS,
                **more,
            )
        )
        return [[(float(hit["distance"]), hit["entity"]) for hit in hits] for hits in found]

    def _answer(self, request: Callable[[], Any]) -> Any:  # noqa: ANN401  # of the library
        """Return the answer to a request; its errors become TaskembedErrors."""
        try:
            # in another thread, since the library would catch what a signal raises
            return (completed if self.address.is_file else interruptible)(request)
        except (TaskembedError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001  # gRPC's errors and the library's have no common root
            raise self._refusal(error) from None

    def _refusal(self, error: Exception) -> TaskembedError:
        what, code = str(self.address), getattr(error, "code", None)
        said = redacted(_said(error), [self._token])
        if refused := system_error(error):
            return StorageError(os.strerror(refused.errno or 0), what=what)
        if code == _ABSENT:
            return NotFoundError(
                "there is no such collection",
                what=what,
                hint="make it: taskembed export --to milvus URI --collection NAME",
            )
        if any(sign in said.lower() for sign in _DENIED):
            return AccessDeniedError(f"the server denies access: {said}", what=what, hint=_TOKEN)
        reason = _NO_ANSWER if code == _UNREACHABLE else f"Milvus failed: {said}"
        hint = _DAMAGED if self.address.is_file else TRY_LATER
        return ServerUnavailableError(reason, what=what, hint=hint)


_TOKEN = f"set {TOKEN}=USER:PASSWORD, or to an API key"
_DAMAGED = f"{TRY_LATER}; if it fails again: taskembed export --to milvus ... --recreate"
_NO_ANSWER = "the server cannot be reached, or does not answer in time"


def _said(error: Exception) -> str:
    """Return the message of an error of the library, or of gRPC."""
    if callable(details := getattr(error, "details", None)):  # gRPC's text has several lines
        return f"{getattr(error, 'code', str)()}: {details()}"
    return str(getattr(error, "message", "")) or first_line(error)
