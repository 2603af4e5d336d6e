"""Exports an index to a collection of a Milvus server; an update sends only what changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from taskembed.activity import doing
from taskembed.arguments import require_kind
from taskembed.batches import batched
from taskembed.errors import BadInputError
from taskembed.guard import require_same_space
from taskembed.index.reader import Index
from taskembed.verbs.export import exported_rows
from taskembed.verbs.milvus.addresses import CollectionAddress
from taskembed.verbs.milvus.client import Client
from taskembed.verbs.milvus.header import CollectionHeader
from taskembed.verbs.milvus.rows import FIELDS, DocumentRows, StoredRows, rows_of

_REQUEST_BYTES = 8 * 2**20  # of rows in a request; a server takes 64 MiB
_REQUEST_ROWS = 2_048
_DELETED_AT_ONCE = 2_048  # rows
_OTHER_SPACE = "name another collection; or to replace this one: taskembed export ... --recreate"


@dataclass(frozen=True, slots=True)
class MilvusExport:
    """The result of exporting an index to a collection.

    Attributes:
        address: of the collection, as `search --index` takes it.
        documents: the number of documents that the collection has now.
        rows: the number of its rows: documents, or chunks.
        rows_sent: how many of them were sent, since they are new or have changed.
        bytes_sent: the bytes of these rows, about.
        rows_deleted: how many old rows were deleted.
    """

    address: str
    documents: int
    rows: int
    rows_sent: int
    bytes_sent: int
    rows_deleted: int


def export_to_milvus(
    index: Index,
    uri: str,
    collection: str,
    *,
    where: str | None = None,
    recreate: bool = False,
) -> MilvusExport:
    """Write the documents of an index with their vectors to a collection, or update it.

    Rows that are already there and unchanged are not sent again; documents that are no longer in
    the index are deleted. An export that was stopped is continued by the next one. A few megabytes
    are in memory at a time, and 33 bytes for each row of the collection.

    Args:
        index: an open index; with several views, the view that was opened is exported.
        uri: of the server, "http://localhost:19530"; or a path that ends in ".db", for Milvus Lite.
            The environment variable MILVUS_TOKEN has the user and password, or the key.
        collection: the name of the collection, which is created if it does not exist.
        where: a filter, which the documents must match; None for all documents.
        recreate: replace the collection, whatever it contains.

    Raises:
        SpaceMismatchError: the collection has vectors of another space, or does not say of which.
        UsageError: `where` is not a filter, or Milvus does not permit the name.
        BadInputError: a document has more than Milvus can hold; or there are no documents, but the
            collection has some.
        IndexDamagedError: a file of the index differs from what was written.
        IndexBusyError: another process has the Milvus Lite database open.
        ServerUnavailableError: the server does not answer in time, or fails.
        AccessDeniedError: the server denies access.
        MissingLibraryError: pymilvus is not installed.
        TypeError: the index is not an `Index`.
    """
    require_kind(index, Index, "index")
    total, batches = exported_rows(index, where=where)
    header = CollectionHeader(
        index.space, index.made_by, index.declared, index.chunking, index.generation
    )
    address = CollectionAddress(uri, collection)
    with doing("exporting", unit="documents", total=total) as step:
        client = Client(address, creates=True)
        try:
            export = _Export(client, _prepared(client, header, recreate=recreate))
            export.require_documents(total)
            for batch in batches:
                export.update(list(rows_of(batch)))
                step.done += len(batch.doc_ids)
            return export.finished(total)
        finally:
            client.close()


def _prepared(client: Client, header: CollectionHeader, *, recreate: bool) -> CollectionHeader:
    """Create the collection, or check that it has the space of the index.

    Returns:
        The header for the collection: with its present space, in which a model may have another
        name.
    """
    exists = client.exists()
    if exists and recreate:
        client.drop()
    if not exists or recreate:
        client.create(FIELDS, header.space.dim, header.to_properties())
        client.load()
        return header
    client.load()
    known = CollectionHeader.from_properties(client.properties(), str(client.address))
    require_same_space(
        known.space,
        header.space,
        hint=_OTHER_SPACE,
        holder="collection",
        what=str(client.address),
    )
    return replace(header, space=known.space)


class _Export:
    """One update of a collection."""

    def __init__(self, client: Client, header: CollectionHeader) -> None:
        self._client = client
        self._header = header
        self._stored = StoredRows(client.listed(["key", "version"]))
        self._rows = self._sent = self._bytes = 0
        self._has_begun = False

    def require_documents(self, documents: int) -> None:
        """Check that there are documents, or that the collection has none either."""
        if not documents and len(self._stored):
            raise BadInputError(
                "there are no documents to export: every row of the collection would be deleted",
                what=str(self._client.address),
                hint="check the index and --where; or to empty the collection: --recreate",
            )

    def update(self, documents: list[DocumentRows]) -> None:
        """Send those of some documents that are new or have changed."""
        self._rows += sum(len(document.keys) for document in documents)
        current = self._stored.are_current(documents)
        changed = [item for item, is_same in zip(documents, current, strict=True) if not is_same]
        for some in _requests(changed):
            rows = [row for item in some for row in item.for_space(self._header.space_digest)]
            self._begin()
            self._client.upsert(rows)
            self._sent += len(rows)
            self._bytes += sum(item.size for item in some)

    def finished(self, documents: int) -> MilvusExport:
        """Delete the rows of all other documents, and mark the collection as complete."""
        old = self._stored.unmet()
        for keys in batched(old, _DELETED_AT_ONCE):
            self._begin()
            self._client.delete(keys)
        done = replace(self._header, is_complete=True).to_properties()
        if not done.items() <= self._client.properties().items():
            self._client.set_properties(done)
        return MilvusExport(
            str(self._client.address), documents, self._rows, self._sent, self._bytes, len(old)
        )

    def _begin(self) -> None:
        """Say that the collection is incomplete, before the first change."""
        if not self._has_begun:
            self._client.set_properties(replace(self._header, is_complete=False).to_properties())
            self._has_begun = True


def _requests(documents: Iterable[DocumentRows]) -> Iterator[list[DocumentRows]]:
    """Yield documents in lists that one request can send; all rows of a document are together."""
    some: list[DocumentRows] = []
    size = rows = 0
    for document in documents:
        if some and (
            size + document.size > _REQUEST_BYTES or rows + len(document.keys) > _REQUEST_ROWS
        ):
            yield some
            some, size, rows = [], 0, 0
        some.append(document)
        size += document.size
        rows += len(document.keys)
    if some:
        yield some
