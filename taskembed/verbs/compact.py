"""Compacts an index: merges its segments into one, without the deleted documents."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from taskembed.activity import doing
from taskembed.errors import NotFoundError
from taskembed.index.contents import Contents
from taskembed.index.disk.commit import StoreWriter, open_writer
from taskembed.index.writer import IndexWriter


@dataclass(frozen=True, slots=True)
class Compacted:
    """The result of compacting an index.

    Attributes:
        documents: the number of documents in the index.
        segments_before: the number of segments before.
        segments: the number of segments now.
        deleted_rows: the number of deleted documents that were removed.
    """

    documents: int
    segments_before: int
    segments: int
    deleted_rows: int


def compact_index(
    folder: str | Path,
    *,
    wait_seconds: float = 0,
    uninterrupted: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Compacted:
    """Rewrite an index as one segment, in the newest format; nothing is encoded.

    Args:
        folder: the folder of the index.
        wait_seconds: how long to wait for another writer.
        uninterrupted: returns a context in which no signal raises an exception.

    Raises:
        NotFoundError: there is no index.
        IndexBusyError: another process is writing.
        IndexDamagedError: a file differs from what was written.
        StorageError: the disk is full; free space of about the size of the index is needed.
    """
    path = Path(folder)
    if not path.exists():
        raise NotFoundError(f"no index at {path}", hint="check --index")
    with open_writer(path, wait_seconds=wait_seconds) as store:
        if store.snapshot is None:
            raise NotFoundError(f"no index at {path}", hint="check --index")
        before = Contents.of(path, store.snapshot).live
        after = _compacted(store, uninterrupted).live
    return Compacted(
        documents=after.documents,
        segments_before=len(before.segments),
        segments=len(after.segments),
        deleted_rows=sum(info.deleted_rows for info in before.segments)
        - sum(info.deleted_rows for info in after.segments),
    )


def _compacted(
    store: StoreWriter, uninterrupted: Callable[[], AbstractContextManager[None]]
) -> Contents:
    if store.snapshot is None:
        raise RuntimeError("there is no index to compact")
    writer = IndexWriter(store, Contents.of(store.folder, store.snapshot), rebuilding=False)
    try:
        with doing("compacting the index"), uninterrupted():
            writer.compact()
    finally:
        writer.close()
    return Contents.of(store.folder, store.snapshot)
