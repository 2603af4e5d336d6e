"""The segments that a writer changes: documents are found, added, deleted; segments merged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from taskembed.errors import IndexDamagedError
from taskembed.index._merge_choice import MERGE_ROWS, choose
from taskembed.index._merging import Source, merge, new_views
from taskembed.index._opening import HANDLES_PER_SEGMENT, HANDLES_PER_VIEW, open_segment
from taskembed.index._segments.building import SegmentBuilder
from taskembed.index._segments.deletions import deletions_bytes
from taskembed.index._segments.info import SegmentInfo, stem_of
from taskembed.index._segments.segment import Segment
from taskembed.index.contents import View
from taskembed.index.disk.commit import StoreWriter
from taskembed.index.disk.files import Damage, allow_handles, damaged
from taskembed.index.disk.manifests import Snapshot
from taskembed.index.outcomes import Found, OpenSegment, Outcome
from taskembed.index.storage import Kind, Storage
from taskembed.vectors import Flags, FloatRows, Rows


class OpenSegments:
    """The segments of one part, as the current run changes them.

    The files of new and merged segments are written at once; a reader sees them only after a commit
    of `infos`.

    Args:
        store: where files are written.
        infos: the committed segments.
        views: the views of the documents.
        storage: how new segments are stored.

    Raises:
        IndexDamagedError: a file is damaged.
    """

    def __init__(
        self,
        store: StoreWriter,
        infos: Sequence[SegmentInfo],
        views: Sequence[View],
        storage: Storage,
    ) -> None:
        self._store = store
        self._views = views
        self._storage = storage
        self._items = [OpenSegment.untouched(info) for info in infos]
        try:
            self.open()
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return sum(int((~item.dead).sum()) for item in self._items)

    def open(self) -> None:
        """Open the segments that were committed since the last call."""
        for item in self._items:
            if item.segment is None and self._store.snapshot:
                item.segment = self._opened(self._store.snapshot, item.info)
                item.dead = item.segment.dead.copy()

    def close(self) -> None:
        """Close the files."""
        for item in self._items:
            if item.segment:
                item.segment.close()

    # --- documents ---

    def find(self, doc_ids: Sequence[str]) -> dict[str, Found]:
        """Return the documents with these ids that are stored and not deleted, by id."""
        found: dict[str, Found] = {}
        missing = list(doc_ids)
        # A nightly run reads documents in the order in which they were written: the segment that
        # had the last ones is asked first, and most often it has all of them.
        for item in list(self._items):
            if not missing:
                break
            for document in item.opened.find(missing):
                if not item.dead[document.row]:
                    outcome = Outcome(int(item.outcomes[document.row]))
                    found[document.doc_id] = Found(document, item, outcome)
            before = len(missing)
            missing = [doc_id for doc_id in missing if doc_id not in found]
            if len(missing) < before:
                self._items.remove(item)
                self._items.insert(0, item)
        return found

    def vectors(self, segment: OpenSegment, row: int) -> tuple[FloatRows, Rows | None]:
        """Return float32[n, dim]: the vectors of a row; and where its chunks were cut, if any."""
        with self._lock_required():
            if segment.info.chunks:
                return segment.opened.chunk_vectors(row)
            return segment.opened.vectors(np.array([row], dtype=np.int64)), None

    def tally(self) -> dict[Outcome, int]:
        """Return how many documents that are not deleted have each outcome."""
        counts = np.zeros(len(Outcome), dtype=np.int64)
        for item in self._items:
            counts += np.bincount(item.outcomes[~item.dead], minlength=len(Outcome))
        return {outcome: int(counts[outcome]) for outcome in Outcome}

    def prune(self) -> int:
        """Delete every document that the current run has not seen; return their number."""
        count = 0
        for item in self._items:
            unseen = (item.outcomes == Outcome.UNSEEN) & ~item.dead
            item.dead |= unseen
            count += int(unseen.sum())
        return count

    def has_generated_ids(self) -> bool:
        """Return whether a committed document has a sha256 as its id: its record had no id."""
        return any(item.opened.has_generated_ids() for item in self._items)

    # --- segments ---

    @property
    def is_mixed(self) -> bool:
        """Whether some segments, but not all, are outdated: a run that rewrote them was stopped."""
        outdated = [self._is_outdated(item) for item in self._items]
        return any(outdated) and not all(outdated)

    def add(self, builder: SegmentBuilder, dead: Flags, outcomes: npt.NDArray[np.uint8]) -> None:
        """Write the files of a new segment; `dead` is bool[rows], `outcomes` uint8[rows]."""
        info = SegmentInfo(
            self._new_name,
            builder.rows,
            kind=builder.kind,
            vectors=self._storage.vectors,
            words=self._storage.words,
            chunks=builder.chunks,
            views=new_views(self._new_name, self._views, builder.kind, self._storage),
        )
        for name, parts in builder.files(dead):
            task, _, suffix = name.rpartition(".")
            stem = stem_of(info.name, self._store.next_generation, task) if task else info.name
            self._store.write(f"{stem}.{suffix}", *parts)
        self._items.append(OpenSegment(info, dead, outcomes))

    def to_merge(self) -> list[OpenSegment]:
        """Return the segments that should become one, oldest first; often there are none."""
        items = sorted(self._items, key=lambda item: item.info.name)
        outdated: list[OpenSegment] = []
        for item in items:
            if not self._is_outdated(item):
                continue
            if not outdated or sum(map(_live, outdated)) + _live(item) <= MERGE_ROWS:
                outdated.append(item)
        return outdated or choose(items, _live, _deleted)

    def to_compact(self) -> list[OpenSegment]:
        """Return all segments, oldest first; none if a single one has no deleted documents."""
        if len(self._items) == 1:
            (item,) = self._items
            if not self._is_outdated(item) and not item.dead.any():
                return []
        return sorted(self._items, key=lambda item: item.info.name)

    def merge(self, group: list[OpenSegment]) -> None:
        """Write some segments, without their deleted documents, as one new segment."""
        sources = [Source(item.opened, ~item.dead) for item in group]
        with self._lock_required():
            info = merge(self._store, self._new_name, sources, self._views, self._storage)
        outcomes = np.concatenate([item.outcomes[~item.dead] for item in group])
        for item in group:
            item.opened.close()
            self._items.remove(item)
        self._items.append(OpenSegment(info, np.zeros(info.rows, dtype=np.bool_), outcomes))

    def infos(self) -> tuple[SegmentInfo, ...]:
        """Write the deletions, drop segments without documents, and return what to commit."""
        for item in [item for item in self._items if item.dead.all()]:
            self._items.remove(item)
            if item.segment:
                item.segment.close()
        for item in self._items:
            item.info = self._with_deletions(item)
        return tuple(sorted((item.info for item in self._items), key=lambda info: info.name))

    @property
    def _new_name(self) -> str:
        return f"seg-{self._store.next_generation:08d}"

    def _is_outdated(self, item: OpenSegment) -> bool:
        """Return whether a segment is to be rewritten: of format 1, or with other or no words."""
        return item.info.kind is Kind.FORMAT_1 or item.info.words != self._storage.words

    def _with_deletions(self, item: OpenSegment) -> SegmentInfo:
        count = int(item.dead.sum())
        if count == item.info.deleted_rows:
            return item.info
        number = item.info.name.removeprefix("seg-")
        name = f"del-{self._store.next_generation:08d}-{number}.bin"
        self._store.write(name, deletions_bytes(item.dead))
        return replace(item.info, deletions=name, deleted_rows=count)

    def _opened(self, snapshot: Snapshot, info: SegmentInfo) -> Segment:
        """Open a segment and check every byte of it: damage is found before any work is done."""
        folder = self._store.folder
        per_segment = HANDLES_PER_SEGMENT + HANDLES_PER_VIEW * (len(self._views) - 1)
        allow_handles(per_segment * len(self._items))
        try:
            segment = open_segment(
                folder, snapshot, info, *(view.space.dim for view in self._views)
            )
            segment.check(whole=True)
        except (FileNotFoundError, IndexDamagedError) as error:
            self._store.require_lock()  # fails if another folder has replaced ours
            if isinstance(error, IndexDamagedError) or self._store.held is None:
                raise  # without the lock: a writer may have removed the missing file
            raise damaged(folder, Damage(Path(error.filename).name, "it is missing")) from error
        return segment

    @contextmanager
    def _lock_required(self) -> Iterator[None]:
        """If a file is damaged because the folder was replaced, report the lost lock instead."""
        try:
            yield
        except IndexDamagedError:
            self._store.require_lock()
            raise


def _live(item: OpenSegment) -> int:
    """Return about how many vectors of a segment belong to documents that are not deleted."""
    return item.info.live_vectors


def _deleted(item: OpenSegment) -> int:
    return item.info.vector_rows - item.info.live_vectors
