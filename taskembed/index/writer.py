"""An index as its one writer sees it: documents are found, put and deleted, and then committed.

A writer works on one part of the index: on the live one; or, to re-create an index, on a part that
is built beside it and takes its place at the end, so that readers are answered by the old one
until the new one is whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from taskembed.errors import IndexDamagedError, NotFoundError
from taskembed.guard import require_same_space
from taskembed.index._building import SegmentBuilder
from taskembed.index._deletions import deletions_bytes
from taskembed.index._files import Damage, allow_handles, damaged
from taskembed.index._merging import MERGE_ROWS, Source, choose, merge
from taskembed.index._opening import HANDLES_PER_SEGMENT, open_segment
from taskembed.index.commit import StoreWriter, open_writer
from taskembed.index.contents import Contents, Part, SegmentInfo
from taskembed.index.documents import StoredDocument
from taskembed.index.fs import Fs
from taskembed.index.generations import Snapshot
from taskembed.index.remembered import Reading, require_same_ids
from taskembed.index.segments import Segment
from taskembed.index.storage import Kind, Storage
from taskembed.space import EmbeddingSpace
from taskembed.vectors import Flags, FloatRows


class Outcome(IntEnum):
    """What this run has done with a stored document."""

    UNSEEN = 0
    UNCHANGED = 1
    ADDED = 2
    UPDATED = 3


@dataclass
class OpenSegment:
    """A segment and what this run does to it; `segment` is None until its files are committed."""

    info: SegmentInfo
    dead: Flags  # as of now; those of `info` are as of its generation
    outcomes: npt.NDArray[np.uint8]  # uint8[rows], of Outcome
    segment: Segment | None = None

    @property
    def opened(self) -> Segment:
        """The open files."""
        if self.segment is None:
            raise RuntimeError("a segment is opened when it is committed")
        return self.segment


class Found(NamedTuple):  # made in half the time of a dataclass, for each document
    """A document that the index has, and where: `segment` None is what is not committed yet."""

    document: StoredDocument
    segment: OpenSegment | None
    outcome: Outcome


@dataclass
class _Unwritten:
    """What was put since the last commit."""

    builder: SegmentBuilder
    rows: dict[str, int]
    dead: list[int]
    outcomes: list[Outcome]

    @classmethod
    def empty(cls, part: Part) -> _Unwritten:
        return cls(SegmentBuilder(part.space.dim, part.storage), {}, [], [])


class IndexWriter:
    """The changes of one run. Nothing exists until `commit`; `finish` ends the run."""

    def __init__(
        self,
        store: StoreWriter,
        contents: Contents,
        *,
        rebuilding: bool,
        reading: Reading | None = None,
        space: EmbeddingSpace | None = None,
        storage: Storage | None = None,
    ) -> None:
        self._store = store
        self._reading = reading
        # The same weights may have another name by now, which is the one to find them by.
        renamed = space is not None and not rebuilding and space != contents.live.space
        if space and renamed:
            contents = replace(contents, live=replace(contents.live, space=space))
        self._contents = contents
        self._rebuilding = rebuilding
        is_other = storage is not None and storage != self._part.storage
        if storage and is_other:
            self._replace_part(storage=storage)
        self._segments = [_untouched(info) for info in self._part.segments]
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        self._unwritten = _Unwritten.empty(self._part)
        self._changed = renamed or is_other
        self.has_failed = False  # a commit did: what is on disk is known again only to a new writer

    @property
    def space(self) -> EmbeddingSpace:
        """The space that the documents are put into."""
        return self._part.space

    @property
    def unwritten_documents(self) -> int:
        """How many documents were put since the last commit."""
        return self._unwritten.builder.rows

    @property
    def unwritten_bytes(self) -> int:
        """How much memory they take, about."""
        return self._unwritten.builder.size_bytes

    @property
    def _part(self) -> Part:
        building = self._contents.building
        return building if self._rebuilding and building else self._contents.live

    def _replace_part(self, **changes: Any) -> None:  # noqa: ANN401  # fields of a part
        part = replace(self._part, **changes)
        if self._rebuilding and self._contents.building:
            self._contents = replace(self._contents, building=part)
        else:
            self._contents = replace(self._contents, live=part)

    def __len__(self) -> int:
        committed = sum(int((~item.dead).sum()) for item in self._segments)
        return committed + len(self._unwritten.rows)

    @property
    def committed_documents(self) -> int:
        """How many documents a reader finds in what this run works on."""
        return sum(info.live_rows for info in self._part.segments)

    def tally(self) -> dict[Outcome, int]:
        """Return how many documents this run left, added and updated; all is committed."""
        counts = np.zeros(len(Outcome), dtype=np.int64)
        for item in self._segments:
            counts += np.bincount(item.outcomes[~item.dead], minlength=len(Outcome))
        return {outcome: int(counts[outcome]) for outcome in Outcome}

    def find(self, doc_ids: Sequence[str]) -> dict[str, Found]:
        """Return those of the documents that the index has, by id."""
        found: dict[str, Found] = {}
        missing = []
        for doc_id in doc_ids:
            row = self._unwritten.rows.get(doc_id)
            if row is None:
                missing.append(doc_id)
            else:
                document = self._unwritten.builder.document(row)
                found[doc_id] = Found(document, None, self._unwritten.outcomes[row])
        # A nightly run reads documents in the order in which they were written: the segment that
        # had the last ones is asked first, and most often it has all of them.
        for item in list(self._segments):
            if not missing:
                break
            for document in item.opened.find(missing):
                if not item.dead[document.row]:
                    outcome = Outcome(int(item.outcomes[document.row]))
                    found[document.doc_id] = Found(document, item, outcome)
            before = len(missing)
            missing = [doc_id for doc_id in missing if doc_id not in found]
            if len(missing) < before:
                self._segments.remove(item)
                self._segments.insert(0, item)
        return found

    def mark(self, found: Found, outcome: Outcome) -> None:
        """Say what this run did with a stored document."""
        if found.segment is None:
            self._unwritten.outcomes[found.document.row] = outcome
        else:
            found.segment.outcomes[found.document.row] = outcome

    def vector(self, found: Found) -> FloatRows:
        """Return the vector of a stored document, float32[1, dim]."""
        if found.segment is None:
            return self._unwritten.builder.vector(found.document.row)
        rows = np.array([found.document.row], dtype=np.int64)
        with self._explained():
            return found.segment.opened.vectors(rows)

    def put(
        self,
        documents: Sequence[StoredDocument],
        vectors: FloatRows,
        *,
        replaced: Sequence[Found | None],
        outcomes: Sequence[Outcome],
    ) -> None:
        """Add documents.

        Args:
            documents: no id twice; their `row` is ignored.
            vectors: row i belongs to documents[i].
            replaced: what `find` gave for documents[i] since the last commit.
            outcomes: what this run did with documents[i].
        """
        for found in replaced:
            if found:
                self._bury(found)
        first = self._unwritten.builder.rows
        self._unwritten.builder.add(documents, vectors)
        self._unwritten.outcomes.extend(outcomes)
        for row, document in enumerate(documents, start=first):
            self._unwritten.rows[document.doc_id] = row
        self._changed = self._changed or bool(documents)

    def delete(self, doc_ids: Sequence[str]) -> list[str]:
        """Delete documents; return the ids that were there."""
        found = self.find(doc_ids)
        for item in found.values():
            self._bury(item)
        return [doc_id for doc_id in dict.fromkeys(doc_ids) if doc_id in found]

    def prune(self) -> int:
        """Delete every document that this run has not seen; return how many."""
        count = 0
        for item in self._segments:
            unseen = (item.outcomes == Outcome.UNSEEN) & ~item.dead
            item.dead |= unseen
            count += int(unseen.sum())
        self._changed = self._changed or count > 0
        return count

    def commit(self, made_by: Mapping[str, str]) -> bool:
        """Make what was put and deleted a generation; return whether there was anything."""
        if not self._changed:
            return False
        self.has_failed = True  # until it has not
        self._make()
        self._add_unwritten()
        self._write(made_by)
        while group := _to_merge(self._segments, self._part.storage):
            self._merge(group)
            self._write(made_by)
        self.has_failed = False
        return True

    def compact(self) -> None:
        """Make one segment of all, without the deleted documents; all was committed before."""
        if len(self._segments) == 1:
            (item,) = self._segments
            if not self._is_outdated(item) and not item.dead.any():
                return
        if not self._segments:
            return
        self.has_failed = True
        self._merge(sorted(self._segments, key=lambda item: item.info.name))
        self._write({})
        self.has_failed = False

    def finish(self, made_by: Mapping[str, str]) -> None:
        """Commit, and let a part that was built beside the live one take its place."""
        self._changed = self._changed or self._said != self._part.reading or self._is_mixed
        self.commit(made_by)
        self._make()
        if self._rebuilding:
            self.has_failed = True
            self._commit_contents(Contents(self._part))
            self._rebuilding = False
            self.has_failed = False

    @property
    def _is_mixed(self) -> bool:
        """Whether a run that rewrites segments, of format 1 for example, was stopped."""
        outdated = [self._is_outdated(item) for item in self._segments]
        return any(outdated) and not all(outdated)

    def _is_outdated(self, item: OpenSegment) -> bool:
        return _is_outdated(item, self._part.storage)

    def has_made_ids(self) -> bool:
        """Say whether a document of the index is named by a sha256: its record had no id."""
        return any(item.opened.has_made_ids() for item in self._segments)

    @property
    def _said(self) -> Reading | None:
        return self._part.reading if self._reading is None else self._reading

    def _make(self) -> None:
        """Make the index, when there is none: from then on, no manifest means damage.

        Not before the first document is there: a run that failed has nothing in the next one's way.
        """
        if self._store.snapshot is None or not self._store.snapshot.body:
            new = Part(self.space, storage=self._part.storage)
            self._commit_contents(replace(self._contents, live=new))

    def close(self) -> None:
        """Close the files."""
        for item in self._segments:
            if item.segment:
                item.segment.close()

    def _bury(self, found: Found) -> None:
        if found.segment is None:
            self._unwritten.dead.append(found.document.row)
            del self._unwritten.rows[found.document.doc_id]
        else:
            found.segment.dead[found.document.row] = True
        self._changed = True

    def _add_unwritten(self) -> None:
        unwritten, self._unwritten = self._unwritten, _Unwritten.empty(self._part)
        if unwritten.rows:
            dead = np.zeros(unwritten.builder.rows, dtype=np.bool_)
            dead[unwritten.dead] = True
            outcomes = np.array(unwritten.outcomes, dtype=np.uint8)
            self._add_segment(unwritten.builder, dead, outcomes)

    def _add_segment(
        self, builder: SegmentBuilder, dead: Flags, outcomes: npt.NDArray[np.uint8]
    ) -> None:
        storage = self._part.storage
        info = SegmentInfo(
            self._new_name,
            builder.rows,
            kind=builder.kind,
            vectors=storage.vectors,
            words=storage.words,
        )
        for suffix, parts in builder.files(dead):
            self._store.write(f"{info.name}.{suffix}", *parts)
        self._segments.append(OpenSegment(info, dead, outcomes))

    @property
    def _new_name(self) -> str:
        return f"seg-{self._store.next_generation:08d}"

    def _merge(self, group: list[OpenSegment]) -> None:
        """Put the documents of several segments, without the deleted, into one."""
        sources = [Source(item.opened, ~item.dead) for item in group]
        with self._explained():
            info = merge(self._store, self._new_name, sources, self.space.dim, self._part.storage)
        outcomes = np.concatenate([item.outcomes[~item.dead] for item in group])
        for item in group:
            item.opened.close()
            self._segments.remove(item)
        self._segments.append(OpenSegment(info, np.zeros(info.rows, dtype=np.bool_), outcomes))

    def _write(self, made_by: Mapping[str, str]) -> None:
        """Commit the segments as they are now, without those that hold nothing any more."""
        empty = [item for item in self._segments if item.dead.all()]
        for item in empty:
            self._segments.remove(item)
            if item.segment:
                item.segment.close()
        for item in self._segments:
            item.info = self._with_deletions(item)
        infos = sorted((item.info for item in self._segments), key=lambda info: info.name)
        part = replace(
            self._part,
            segments=tuple(infos),
            made_by=dict(made_by) or self._part.made_by,
            reading=self._said,
        )
        if self._rebuilding:
            self._commit_contents(replace(self._contents, building=part))
        else:
            self._commit_contents(replace(self._contents, live=part))
        self._open()
        self._changed = False

    def _with_deletions(self, item: OpenSegment) -> SegmentInfo:
        count = int(item.dead.sum())
        if count == item.info.deleted_rows:
            return item.info
        number = item.info.name.removeprefix("seg-")
        name = f"del-{self._store.next_generation:08d}-{number}.bin"
        self._store.write(name, deletions_bytes(item.dead))
        return replace(item.info, deletions=name, deleted_rows=count)

    def _commit_contents(self, contents: Contents) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        contents = replace(contents, committed_at=now)
        parts = [contents.live, contents.building]
        needed = [name for part in parts if part for name in part.files]
        self._store.commit(contents.to_json(), needed)
        self._contents = contents

    def _open(self) -> None:
        for item in self._segments:
            if item.segment is None and self._store.snapshot:
                item.segment = self._opened(self._store.snapshot, item.info)
                item.dead = item.segment.dead.copy()

    def _opened(self, snapshot: Snapshot, info: SegmentInfo) -> Segment:
        """Open a segment with every byte of it checked: damage is found before any work is done."""
        folder = self._store.folder
        allow_handles(HANDLES_PER_SEGMENT * len(self._segments))
        try:
            segment = open_segment(folder, snapshot, info, self.space.dim)
            segment.check(whole=True)
        except (FileNotFoundError, IndexDamagedError) as error:
            self._store.require_lock()  # or it is another folder by now
            if isinstance(error, IndexDamagedError) or self._store.held is None:
                raise  # without the lock, a writer may have removed what is missing
            raise damaged(folder, Damage(Path(error.filename).name, "it is missing")) from error
        return segment

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say that the folder is another one by now, where that is why files are damaged."""
        try:
            yield
        except IndexDamagedError:
            self._store.require_lock()
            raise


@contextmanager
def open_index_writer(  # noqa: PLR0913  # all but the first two are optional and named
    folder: Path,
    space: EmbeddingSpace,
    *,
    recreate: bool = False,
    reading: Reading | None = None,
    storage: Callable[[Storage], Storage] = lambda storage: storage,
    wait_seconds: float = 0,
    fs: Fs | None = None,
) -> Iterator[IndexWriter]:
    """Hold the lock of an index and yield its writer, which makes the index if there is none.

    Args:
        folder: where the index is.
        space: where the documents will live.
        recreate: build a new index beside the live one, which it replaces when it is finished; one
            that an earlier run began in the same space is continued.
        reading: how the input is read, to be remembered.
        storage: gives how new segments are stored, of how they were so far.
        wait_seconds: how long to wait for another writer.
        fs: where to write.

    Raises:
        SpaceMismatchError: the index is of another space; nothing was changed.
        UsageError: its documents are named by another field.
        IndexBusyError: another process is writing.
    """
    with open_writer(folder, wait_seconds=wait_seconds, over_damage=recreate, fs=fs) as store:
        contents, rebuilding = _begin(store, space, reading, recreate=recreate)
        try:
            part = contents.building if rebuilding and contents.building else contents.live
            writer = IndexWriter(
                store,
                contents,
                rebuilding=rebuilding,
                reading=reading,
                space=space,
                storage=storage(part.storage),
            )
        except IndexDamagedError:
            if not rebuilding:
                raise
            # what an earlier run began is damaged: begin again
            begun = Part(space, storage=storage(contents.live.storage))
            contents = replace(contents, building=begun)
            writer = IndexWriter(store, contents, rebuilding=True, reading=reading)
        try:
            yield writer
        finally:
            writer.close()


def _begin(
    store: StoreWriter, space: EmbeddingSpace, reading: Reading | None, *, recreate: bool
) -> tuple[Contents, bool]:
    if store.snapshot is None or (recreate and not store.snapshot.body):
        return Contents(Part(space)), False
    try:
        contents = Contents.of(store.folder, store.snapshot)
    except IndexDamagedError:
        if not recreate:
            raise
        store.snapshot = replace(store.snapshot, body={})  # as if it had been empty
        return Contents(Part(space)), False
    if not recreate:
        if contents.live.is_new:
            return replace(contents, live=Part(space)), False
        require_same_space(contents.live.space, space, hint=WAYS_ON)
        if reading and contents.live.documents:
            require_same_ids(contents.live.reading, reading)
        return contents, False
    begun = contents.building
    if begun is None or begun.space.differences(space) or _other_ids(begun, reading):
        contents = replace(contents, building=Part(space, storage=contents.live.storage))
    return contents, True


def _other_ids(part: Part, reading: Reading | None) -> bool:
    return bool(reading and part.reading and reading.id_field != part.reading.id_field)


def remember_tuning(folder: Path, tuning: Mapping[str, object], *, wait_seconds: float = 0) -> None:
    """Write what was measured of an index beside it, as a generation of its own.

    Raises:
        IndexBusyError: another process is writing.
        NotFoundError: there is no index.
        AccessDeniedError: the folder may not be written to.
    """
    with open_writer(folder, wait_seconds=wait_seconds) as store:
        if store.snapshot is None:
            raise NotFoundError(f"no index at {folder}", hint="check --index")
        contents = replace(Contents.of(folder, store.snapshot), tuning=tuning)
        store.commit(contents.to_json(), [name for part in contents.parts for name in part.files])


WAYS_ON = (
    "leave out the options that differ to add to this index; or keep it and build another one with "
    "--index OTHER; or replace it with --recreate. Nothing was changed"
)


def _untouched(info: SegmentInfo) -> OpenSegment:
    rows = info.rows
    return OpenSegment(info, np.zeros(rows, dtype=np.bool_), np.zeros(rows, dtype=np.uint8))


def _to_merge(segments: Sequence[OpenSegment], storage: Storage) -> list[OpenSegment]:
    """Return the segments that should become one, oldest first; none when all is well."""
    items = sorted(segments, key=lambda item: item.info.name)
    outdated: list[OpenSegment] = []
    for item in items:
        if not _is_outdated(item, storage):
            continue
        if not outdated or sum(map(_alive, outdated)) + _alive(item) <= MERGE_ROWS:
            outdated.append(item)
    return outdated or choose(items, _alive, lambda item: item.info.deleted_rows)


def _is_outdated(item: OpenSegment, storage: Storage) -> bool:
    """Say whether a segment is written anew: of format 1, or with other words, or with none."""
    return item.info.kind is Kind.FORMAT_1 or item.info.words != storage.words


def _alive(item: OpenSegment) -> int:
    return item.info.live_rows
