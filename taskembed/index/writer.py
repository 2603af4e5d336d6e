"""The writer of an index: documents are found, put and deleted, and then committed.

A writer works on one part of the index: the live one, or one that is built beside it (`update`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from taskembed.index._open_segments import OpenSegments
from taskembed.index._segments.building import SegmentBuilder
from taskembed.index.chunking import Chunking
from taskembed.index.contents import Contents, Part, View
from taskembed.index.disk.commit import StoreWriter
from taskembed.index.documents import StoredDocument
from taskembed.index.outcomes import Found, Outcome
from taskembed.index.remembered import Reading
from taskembed.index.storage import Storage
from taskembed.space import EmbeddingSpace
from taskembed.vectors import FloatRows, Rows


@dataclass
class _Uncommitted:
    """The documents that were put since the last commit."""

    builder: SegmentBuilder
    rows: dict[str, int]
    dead: list[int]
    outcomes: list[Outcome]

    @classmethod
    def empty(cls, part: Part) -> _Uncommitted:
        views = [(view.space.task.value, view.space.dim) for view in part.further]
        return cls(SegmentBuilder(part.space.dim, part.storage, views=views), {}, [], [])


class IndexWriter:
    """The changes of one run; a reader sees them after `commit`, and `finish` ends the run.

    Its methods raise IndexDamagedError if a file is damaged, and StorageError if the disk is full
    or fails.

    Args:
        store: the store, which holds the lock of the index.
        contents: the body of the newest manifest.
        rebuilding: whether to write the part that is built beside the live one.
        reading: how the input is read, stored for later runs; None keeps what is stored.
        spaces: the space of each view, if the model may have another name now; else empty.
        storage: how new segments are stored; None to store them as the existing ones.

    Attributes:
        has_failed: whether a commit failed; then the state on disk is unknown to this writer.
    """

    def __init__(
        self,
        store: StoreWriter,
        contents: Contents,
        *,
        rebuilding: bool,
        reading: Reading | None = None,
        spaces: Sequence[EmbeddingSpace] = (),
        storage: Storage | None = None,
    ) -> None:
        self._store = store
        self._reading = reading
        # The same model may have a new name; from now on it is looked up by that.
        stored = tuple(view.space for view in contents.live.views)
        renamed = bool(spaces) and not rebuilding and tuple(spaces) != stored
        if renamed:
            contents = replace(contents, live=contents.live.renamed(spaces))
        self._contents = contents
        self._rebuilding = rebuilding
        is_other = storage is not None and storage != self._part.storage
        if storage and is_other:
            self._replace_part(storage=storage)
        part = self._part
        self._segments = OpenSegments(store, part.segments, part.views, part.storage)
        self._uncommitted = _Uncommitted.empty(part)
        self._changed = renamed or is_other
        self.has_failed = False

    @property
    def space(self) -> EmbeddingSpace:
        """The embedding space of the first view."""
        return self._part.space

    @property
    def spaces(self) -> tuple[EmbeddingSpace, ...]:
        """The spaces of all views."""
        return tuple(view.space for view in self._part.views)

    @property
    def width(self) -> int:
        """The columns of the vectors that `put` takes: the sum of the views' dimensions."""
        return sum(self._part.dims)

    @property
    def uncommitted_documents(self) -> int:
        """The number of documents that were put since the last commit."""
        return self._uncommitted.builder.rows

    @property
    def uncommitted_bytes(self) -> int:
        """About how many bytes of memory the uncommitted documents take."""
        return self._uncommitted.builder.size_bytes

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
        return len(self._segments) + len(self._uncommitted.rows)

    @property
    def committed_documents(self) -> int:
        """The number of committed documents of the part that is written."""
        return self._part.documents

    def tally(self) -> dict[Outcome, int]:
        """Return how many documents of the index have each outcome in this run."""
        counts = self._segments.tally()
        for row in self._uncommitted.rows.values():
            counts[self._uncommitted.outcomes[row]] += 1
        return counts

    def find(self, doc_ids: Sequence[str]) -> dict[str, Found]:
        """Return the documents with these ids that the index has, by id."""
        found: dict[str, Found] = {}
        missing = []
        for doc_id in doc_ids:
            row = self._uncommitted.rows.get(doc_id)
            if row is None:
                missing.append(doc_id)
            else:
                document = self._uncommitted.builder.document(row)
                found[doc_id] = Found(document, None, self._uncommitted.outcomes[row])
        return {**found, **self._segments.find(missing)}

    def declare(self, mark: Mapping[str, object]) -> None:
        """Record how the space of imported vectors was declared: see `Part.declared`."""
        if mark != self._part.declared:
            self._replace_part(declared=mark)
            self._changed = True

    def mark(self, found: Found, outcome: Outcome) -> None:
        """Record what this run did with a stored document."""
        if found.segment is None:
            self._uncommitted.outcomes[found.document.row] = outcome
        else:
            found.segment.outcomes[found.document.row] = outcome

    @property
    def chunks(self) -> Chunking | None:
        """How documents are cut into chunks; None if each has one vector."""
        return self._part.storage.chunks

    def vectors(self, found: Found) -> tuple[FloatRows, Rows | None]:
        """Return the vectors of a stored document, float32[n, dim], and its cuts.

        The cuts are int64[n, 2]: where each chunk begins and ends, in characters. They are None,
        and n is 1, if documents are not cut.
        """
        if found.segment is None:
            return self._uncommitted.builder.vectors(found.document.row)
        return self._segments.vectors(found.segment, found.document.row)

    def put(
        self,
        documents: Sequence[StoredDocument],
        vectors: FloatRows,
        *,
        replaced: Sequence[Found | None],
        outcomes: Sequence[Outcome],
        cuts: Sequence[Rows] | None = None,
    ) -> None:
        """Add documents, replacing stored documents with the same ids.

        Args:
            documents: the documents; each id occurs once, and `row` is ignored.
            vectors: float32[n, width]: row i belongs to documents[i], and has its vectors for all
                views side by side; with `cuts`, one row for each chunk, document after document.
            replaced: what `find` returned for documents[i] after the last commit.
            outcomes: what this run did with documents[i].
            cuts: int64[m, 2] for each document: where its m chunks begin and end, in characters;
                None if documents are not cut.

        Raises:
            BadVectorError: a number is too large for the type in which vectors are stored.
        """
        for found in replaced:
            if found:
                self._bury(found)
        first = self._uncommitted.builder.rows
        self._uncommitted.builder.add(documents, vectors, cuts)
        self._uncommitted.outcomes.extend(outcomes)
        for row, document in enumerate(documents, start=first):
            self._uncommitted.rows[document.doc_id] = row
        self._changed = self._changed or bool(documents)

    def delete(self, doc_ids: Sequence[str]) -> list[str]:
        """Delete documents; return the ids that were found, each once."""
        found = self.find(doc_ids)
        for item in found.values():
            self._bury(item)
        return [doc_id for doc_id in dict.fromkeys(doc_ids) if doc_id in found]

    def prune(self) -> int:
        """Delete every committed document that this run has not seen; return their number."""
        count = self._segments.prune()
        self._changed = self._changed or count > 0
        return count

    def commit(self, made_by: Mapping[str, str]) -> bool:
        """Commit the changes as a new generation; return whether there were any.

        Args:
            made_by: what made the vectors, for people; empty to keep the stored values.
        """
        if not self._changed:
            return False
        self.has_failed = True  # unless the lines below succeed
        self._make()
        self._add_uncommitted()
        self._write(made_by)
        while group := self._segments.to_merge():
            self._segments.merge(group)
            self._write(made_by)
        self.has_failed = False
        return True

    def compact(self) -> None:
        """Merge all segments into one, without deleted documents; call `commit` first."""
        group = self._segments.to_compact()
        if group:
            self.has_failed = True
            self._segments.merge(group)
            self._write({})
            self.has_failed = False

    def finish(
        self, made_by: Mapping[str, str], counts: Mapping[str, object] | None = None
    ) -> None:
        """Commit; then replace the live part by the one that was built beside it, if there is one.

        Args:
            made_by: what made the vectors, for people.
            counts: the counts of the run, stored with the time even if nothing changed; None for
                none.
        """
        last_run = self._contents.last_run if counts is None else {"finished_at": _now(), **counts}
        if not self._rebuilding:
            # Subtle: stored in the same commit as the changes. A reader opens some files late, and
            # the files of the previous generation are kept only until the next commit.
            self._contents = replace(self._contents, last_run=last_run)
        is_other_reading = self._new_reading != self._part.reading
        self._changed = self._changed or is_other_reading or self._segments.is_mixed
        is_committed = self.commit(made_by)
        self._make()
        if self._rebuilding or (counts is not None and not is_committed):
            whole = self._contents
            if self._rebuilding:
                whole = Contents(self._part, identity=whole.identity)
            self.has_failed = True
            self._commit_contents(replace(whole, last_run=last_run))
            self._rebuilding = False
            self.has_failed = False

    def has_generated_ids(self) -> bool:
        """Return whether a committed document has a sha256 as its id: its record had no id."""
        return self._segments.has_generated_ids()

    def close(self) -> None:
        """Close the files."""
        self._segments.close()

    @property
    def _new_reading(self) -> Reading | None:
        return self._part.reading if self._reading is None else self._reading

    def _make(self) -> None:
        """Create the index if there is none; from then on, a missing manifest means damage.

        It is created late, so that a run that fails before its first document leaves no index
        behind.
        """
        if self._store.snapshot is None or not self._store.snapshot.body:
            part = self._part
            further = tuple(View(view.space) for view in part.further)
            new = Part(part.space, storage=part.storage, further=further, declared=part.declared)
            last_run = self._contents.last_run  # not committed yet: the run is not finished
            self._commit_contents(replace(self._contents, live=new, last_run={}))
            self._contents = replace(self._contents, last_run=last_run)

    def _bury(self, found: Found) -> None:
        if found.segment is None:
            self._uncommitted.dead.append(found.document.row)
            del self._uncommitted.rows[found.document.doc_id]
        else:
            found.segment.dead[found.document.row] = True
        self._changed = True

    def _add_uncommitted(self) -> None:
        added, self._uncommitted = self._uncommitted, _Uncommitted.empty(self._part)
        if added.rows:
            dead = np.zeros(added.builder.rows, dtype=np.bool_)
            dead[added.dead] = True
            self._segments.add(added.builder, dead, np.array(added.outcomes, dtype=np.uint8))

    def _write(self, made_by: Mapping[str, str]) -> None:
        """Commit the segments as they are now."""
        part = replace(
            self._part,
            segments=self._segments.infos(),
            made_by=dict(made_by) or self._part.made_by,
            further=tuple(
                View(view.space, dict(made_by) or view.made_by) for view in self._part.further
            ),
            reading=self._new_reading,
        )
        if self._rebuilding:
            self._commit_contents(replace(self._contents, building=part))
        else:
            self._commit_contents(replace(self._contents, live=part))
        self._segments.open()
        self._changed = False

    def _commit_contents(self, contents: Contents) -> None:
        contents = replace(contents, committed_at=_now())
        parts = [contents.live, contents.building]
        needed = [name for part in parts if part for name in part.files]
        self._store.commit(contents.to_json(), needed)
        self._contents = contents


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
