"""Reads the documents of an index: some by id, or all ordered by id; or counts them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from taskembed.arguments import require_positive
from taskembed.batches import batched
from taskembed.index.contents import read_index
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.verbs.delete import require_ids

_IDS_AT_ONCE = 16  # documents in memory: a text may have any length


def get_documents(
    folder: str | Path, doc_ids: Iterable[str]
) -> Iterator[tuple[str, Document | None]]:
    """Yield each id with its document, or with None if the index has no such document.

    The order is that of `doc_ids`; a repeated id is yielded once. Only a few documents are in
    memory at a time.

    Args:
        folder: the folder of the index.
        doc_ids: ids of documents.

    Raises:
        NotFoundError: there is no index.
        UsageError: an id is not UTF-8.
        IndexDamagedError: stored data cannot be read.
        TypeError: `doc_ids` is a string instead of an iterable; or an id is not a string.
    """
    wanted = dict.fromkeys(require_ids(doc_ids))
    with Index.open(folder) as index:
        for some in batched(wanted, _IDS_AT_ONCE):
            found = index.find(some)
            for doc_id in some:
                yield doc_id, found.get(doc_id)


def list_documents(
    folder: str | Path, *, where: str | None = None, after: str = "", limit: int | None = None
) -> Iterator[Document]:
    """Yield the documents of an index in the order of their ids; few are in memory at a time.

    Args:
        folder: the folder of the index.
        where: a filter, which the documents must match; see docs/how-to/filter.md.
        after: only documents whose ids come after this one, which need not exist.
        limit: the largest number of documents to yield; None for all.

    Raises:
        NotFoundError: there is no index.
        UsageError: `where` is not a filter, or names a field that the index does not have.
        IndexDamagedError: stored data cannot be read.
        ValueError: limit is below 1.
    """
    stop = None if limit is None else require_positive(limit, "limit")
    with Index.open(folder) as index:
        yield from islice(index.documents(where=where, after=after), stop)


def count_documents(folder: str | Path, *, where: str | None = None) -> int:
    """Return the number of documents in an index, or of those that match a filter.

    Args:
        folder: the folder of the index.
        where: the filter; see docs/how-to/filter.md.

    Raises:
        NotFoundError: there is no index.
        UsageError: `where` is not a filter, or names a field that the index does not have.
        IndexDamagedError: a file differs from what was written.
    """
    if where is None:
        return read_index(folder)[1].live.documents
    with Index.open(folder) as index:
        return index.count(where)
