"""Deletes documents by id or by a filter; and checks how many documents --prune may delete."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from math import ceil
from pathlib import Path

from taskembed.arguments import is_utf8, require_texts
from taskembed.english import counted
from taskembed.errors import BadInputError, NotFoundError, UsageError
from taskembed.index.contents import Contents
from taskembed.index.disk.commit import open_writer
from taskembed.index.outcomes import Outcome
from taskembed.index.reader import Index
from taskembed.index.writer import IndexWriter


def require_ids(doc_ids: Iterable[object]) -> list[str]:
    """Return ids as a list, after checking that an index can contain such ids.

    Raises:
        TypeError: `doc_ids` is a string instead of an iterable; or an id is not a string.
        UsageError: an id is not UTF-8.
    """
    if not isinstance(doc_ids, str | bytes):
        doc_ids = list(doc_ids)
        for doc_id in doc_ids:
            if isinstance(doc_id, str) and not is_utf8(doc_id):
                raise UsageError(f"the id {doc_id!r} is not UTF-8, so no index has it")
    return require_texts(doc_ids, "doc_ids")


def delete_documents(
    folder: str | Path,
    doc_ids: Iterable[str],
    *,
    wait_seconds: float = 0,
    uninterrupted: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> tuple[int, list[str]]:
    """Delete documents by id; return how many were deleted, and the ids that were not found.

    Args:
        folder: the folder of the index.
        doc_ids: ids of documents; a repeated id is deleted once.
        wait_seconds: how long to wait for another process that writes to the index.
        uninterrupted: returns a context in which no signal raises an exception.

    Raises:
        NotFoundError: there is no index.
        UsageError: an id is not UTF-8.
        IndexBusyError: another process is writing.
        TypeError: `doc_ids` is a string instead of an iterable; or an id is not a string.
    """
    doc_ids = require_ids(doc_ids)
    with open_for_deletion(Path(folder), wait_seconds) as writer, uninterrupted():
        deleted = writer.delete(doc_ids)
        writer.commit({})
    there = set(deleted)
    return len(deleted), [doc_id for doc_id in dict.fromkeys(doc_ids) if doc_id not in there]


def delete_where(
    folder: str | Path,
    where: str,
    *,
    wait_seconds: float = 0,
    uninterrupted: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> int:
    """Delete the documents that match a filter; return their number.

    Args:
        folder: the folder of the index.
        where: the filter; see docs/how-to/filter.md.
        wait_seconds: how long to wait for another process that writes to the index.
        uninterrupted: returns a context in which no signal raises an exception.

    Raises:
        NotFoundError: there is no index.
        UsageError: `where` is not a filter, or names a field that the index does not have.
        IndexBusyError: another process is writing.
    """
    path = Path(folder)
    with open_for_deletion(path, wait_seconds) as writer:
        with Index.open(path) as index:  # while the lock is held, no generation is added
            doc_ids = list(index.ids(where))
        if doc_ids:
            with uninterrupted():
                writer.delete(doc_ids)
                writer.commit({})
    return len(doc_ids)


def count_where(folder: str | Path, where: str) -> tuple[int, int]:
    """Return the number of documents that match a filter, and the number of all documents.

    Raises:
        NotFoundError: there is no index.
        UsageError: `where` is not a filter, or names a field that the index does not have.
    """
    with Index.open(folder) as index:
        return index.count(where), len(index)


@contextmanager
def open_for_deletion(path: Path, wait_seconds: float) -> Iterator[IndexWriter]:
    """Hold the lock of an existing index, and yield its writer.

    Args:
        path: the folder of the index.
        wait_seconds: how long to wait for another process that writes to the index.

    Raises:
        NotFoundError: there is no index.
        IndexBusyError: another process is writing.
    """
    if not path.exists():
        raise NotFoundError(f"no index at {path}", hint="check --index")
    with open_writer(path, wait_seconds=wait_seconds) as store:
        if store.snapshot is None:
            raise NotFoundError(f"no index at {path}", hint="check --index")
        writer = IndexWriter(store, Contents.of(path, store.snapshot), rebuilding=False)
        try:
            yield writer
        finally:
            writer.close()


def require_prune_limit(tally: Mapping[Outcome, int], limit: float) -> None:
    """Check that --prune may delete the documents that are not in the input.

    Args:
        tally: the number of documents of each outcome; unseen ones are not in the input.
        limit: the largest share that may be deleted, in per cent of the documents before the run.

    Raises:
        BadInputError: the share is larger; the input may be incomplete.
    """
    unseen = tally[Outcome.UNSEEN]
    before = unseen + tally[Outcome.UNCHANGED] + tally[Outcome.UPDATED]
    if unseen * 100 <= limit * before:
        return
    share = ceil(unseen * 100 / before)
    raise BadInputError(
        f"--prune would delete {unseen:,} of {counted(before, 'document')}, {share} %: "
        f"more than --prune-limit {limit:g}",
        hint=f"nothing was deleted; if the input is complete, use --prune-limit {share}, or --yes",
    )
