"""The documents of one open generation of an index: by id, in order, by a filter, with vectors."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import repeat
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from taskembed.arguments import is_utf8, require_string
from taskembed.english import counted
from taskembed.errors import UsageError
from taskembed.index._opening import open_segments
from taskembed.index._segments.segment import Segment
from taskembed.index.chunking import Chunking
from taskembed.index.contents import Contents
from taskembed.index.disk.generations import open_newest
from taskembed.index.disk.manifests import Snapshot
from taskembed.index.filtering.field_types import FieldType
from taskembed.index.filtering.filters import FieldDescription
from taskembed.index.ranking.hits import as_document
from taskembed.index.ranking.selection import Selector
from taskembed.reading.document import Document
from taskembed.space import EmbeddingSpace, Task
from taskembed.vectors import FloatRows

if TYPE_CHECKING:
    from taskembed.index.ranking.positions import Positions


class IndexDocuments:
    """One generation of an index, open for reading its documents; `Index` also searches them."""

    def __init__(
        self,
        folder: Path,
        snapshot: Snapshot,
        contents: Contents,
        segments: Sequence[Segment],
        tasks: Sequence[Task] = (),
    ) -> None:
        self.folder = folder
        self.snapshot = snapshot
        self.contents = contents  # its live part has only the view that answers
        self.tasks = tuple(tasks) or contents.live.tasks
        self._segments = segments
        self._selector = Selector(segments)
        self._closed = False

    @classmethod
    def open(cls, folder: str | Path, *, task: Task | str | None = None) -> Self:
        """Open the newest generation.

        Args:
            folder: the folder of the index.
            task: the task whose view is opened, if the index has one for it; otherwise the first
                view is opened. `space` is the space of that view, and `tasks` lists all views.

        Raises:
            NotFoundError: there is no index.
            IndexDamagedError: a file is damaged.
            NewerFormatError: the index was written by a newer taskembed.
            ValueError: there is no such task.
        """
        path = Path(folder)
        wanted = None if task is None else Task(task)
        index: Self = open_newest(
            path,
            lambda snapshot: cls._of(path, snapshot, wanted),
            task=wanted or Task.RETRIEVAL,
        )
        index.check()  # after all are open: a writer may remove files while others are checked
        return index

    @classmethod
    def _of(cls, folder: Path, snapshot: Snapshot, task: Task | None) -> Self:
        contents = Contents.of(folder, snapshot)
        part = contents.live.of_task(task)
        segments = open_segments(folder, snapshot, part)
        return cls(folder, snapshot, replace(contents, live=part), segments, contents.live.tasks)

    def check(self) -> None:
        """Check every open file except the vectors; `open` calls this.

        Raises:
            IndexDamagedError: a file is damaged; the index is then closed.
        """
        try:
            for segment in self._segments:
                if not segment.is_checked:
                    segment.check()
        except BaseException:
            self.close()
            raise

    @property
    def space(self) -> EmbeddingSpace:
        """The embedding space of the vectors of the open view."""
        return self.contents.live.space

    @property
    def made_by(self) -> Mapping[str, str]:
        """What made the newest vectors: the engine, its precision, the version of taskembed."""
        return self.contents.live.made_by

    @property
    def declared(self) -> Mapping[str, object]:
        """For imported vectors whose space was declared: how many were compared; else empty."""
        return self.contents.live.declared

    @property
    def generation(self) -> int:
        """The number of the generation that is open."""
        return self.snapshot.generation

    @property
    def chunking(self) -> Chunking | None:
        """How the documents are cut into chunks; None if each has one vector."""
        return self.contents.live.storage.chunks

    @property
    def words(self) -> str:
        """The name of the tokenizer that made the words of all texts; "" if words are not kept.

        It is also "" while only some segments have words, until all segments are rewritten.
        """
        names = {info.words for info in self.contents.live.segments}
        return names.pop() if len(names) == 1 else ""

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"generation {self.generation}"
        held = counted(len(self), "document")
        return f"<Index {self.folder}: {held} for {self.space.task}, {state}>"

    def __len__(self) -> int:
        """Return the number of documents."""
        return sum(info.live_rows for info in self.contents.live.segments)

    def __contains__(self, doc_id: str) -> bool:
        """Return whether the index has a document with this id; raises the errors of `get`."""
        return self.get(doc_id) is not None

    def get(self, doc_id: str) -> Document | None:
        """Return the document with an id; None if there is none.

        Raises:
            TypeError: the id is not a string.
            ValueError: the index is closed.
            IndexDamagedError: what is stored cannot be read.
        """
        return self.find([require_string(doc_id, "doc_id")]).get(doc_id)

    def find(self, doc_ids: Iterable[str]) -> dict[str, Document]:
        """Return the documents with these ids, by id; ids that the index lacks are left out.

        If the index has all ids, few bytes are read. To be certain that an id is missing, every
        byte of the documents is checked, once.

        Raises:
            TypeError: `doc_ids` is a single string, or an id is not a string.
            ValueError: the index is closed.
            IndexDamagedError: what is stored cannot be read.
        """
        self._require_open()
        if isinstance(doc_ids, str | bytes):
            raise TypeError(f"doc_ids must be a list of ids: [{doc_ids!r}] for one")
        wanted = dict.fromkeys(require_string(doc_id, "an id") for doc_id in doc_ids)
        missing = {doc_id for doc_id in wanted if is_utf8(doc_id)}
        found: dict[str, Document] = {}
        for sure in (False, True):
            for segment in reversed(self._segments):
                for stored in segment.find(sorted(missing), sure=sure) if missing else ():
                    if stored.doc_id in missing:
                        missing.discard(stored.doc_id)
                        found[stored.doc_id] = as_document(stored)
        return {doc_id: found[doc_id] for doc_id in wanted if doc_id in found}

    def __iter__(self) -> Iterator[Document]:
        """Yield every document, in the order of their ids; a few are in memory at a time.

        Raises:
            ValueError: the index is closed, before or during the iteration.
            IndexDamagedError: what is stored cannot be read.
        """
        return self.documents()

    def documents(self, *, where: str | None = None, after: str = "") -> Iterator[Document]:
        """Yield documents in the order of their ids; a few are in memory at a time.

        Args:
            where: a filter: only documents that match it; None for all.
            after: only ids that come after this one, which need not exist; "" for all.

        Raises:
            UsageError: `where` is not a filter, or names a field that the index does not have; or
                `after` is not UTF-8.
            ValueError: the index is closed, before or during the iteration.
            IndexDamagedError: what is stored cannot be read.
        """
        self._require_open()
        if not is_utf8(require_string(after, "after")):
            raise UsageError(f"the id {after!r} is not UTF-8, so no index has it")
        passing = repeat(None) if where is None else self._selector.passing(where)
        parts = zip(self._segments, passing, strict=False)  # `repeat` has no end
        segments = [segment.documents_by_id(passing=some, after=after) for segment, some in parts]
        return map(as_document, heapq.merge(*segments, key=attrgetter("doc_id")))

    def count_truncated(self) -> int:
        """Return how many documents were longer than the model reads; every document is looked at.

        Raises:
            ValueError: the index is closed.
            IndexDamagedError: what is stored cannot be read.
        """
        self._require_open()
        return sum(segment.count_truncated() for segment in self._segments)

    def fields(self) -> dict[str, set[FieldType]]:
        """Return the types of each metadata field, by its name as filters spell it.

        The fields of deleted documents stay until their segment is merged.

        Raises:
            ValueError: the index is closed.
            IndexDamagedError: a file is damaged.
        """
        self._require_open()
        return self._selector.fields()

    def describe_fields(self) -> list[FieldDescription]:
        """Return the metadata fields, by name, with up to three values of each.

        Raises:
            ValueError: the index is closed.
            IndexDamagedError: a file is damaged.
        """
        self._require_open()
        return self._selector.describe_fields()

    def select(self, where: str) -> None:
        """Find the documents that match a filter now, so that later searches with it need not.

        Raises:
            UsageError: `where` is not a filter, or names a field that the index does not have.
            ValueError: the index is closed.
            IndexDamagedError: a file is damaged.
        """
        self._require_open()
        self._selector.passing(where)

    def count(self, where: str) -> int:
        """Return how many documents match a filter; raises the errors of `select`."""
        self._require_open()
        return sum(int(passing.sum()) for passing in self._selector.passing(where))

    def ids(self, where: str) -> Iterator[str]:
        """Yield the ids of the documents that match a filter; raises the errors of `select`."""
        self._require_open()
        return self._selector.ids(where)

    def sample(self, count: int) -> tuple[list[str], FloatRows]:
        """Return the ids and vectors of a random sample of documents, the same in every call.

        Args:
            count: how many documents; fewer if the index has fewer.

        Returns:
            The ids, and float32[n, dim]: row i belongs to id i.

        Raises:
            ValueError: the index is closed.
            IndexDamagedError: what is stored is damaged.
        """
        self._require_open()
        places = np.cumsum([0, *(segment.live_rows for segment in self._segments)])
        drawn = np.random.default_rng(0).permutation(len(self))[:count]
        ids: list[str] = []
        vectors = [np.empty((0, self.space.dim), np.float32)]
        for segment, first, end in zip(self._segments, places[:-1], places[1:], strict=True):
            mine = np.sort(drawn[(drawn >= first) & (drawn < end)]) - first
            rows = np.flatnonzero(~segment.dead)[mine]
            documents = segment.documents(rows.tolist())
            ids += [documents[row].doc_id for row in rows.tolist()]
            if len(rows):
                vectors.append(segment.vectors(rows))
        return ids, np.concatenate(vectors)

    def by_position(self, *, where: str | None = None) -> Positions:
        """Return the documents and vectors in the order in which they were indexed.

        Args:
            where: a filter: only documents that match it; None for all.

        Raises:
            UsageError: `where` is not a filter, or names a field that the index does not have.
            ValueError: the index is closed.
            IndexDamagedError: a file is damaged.
        """
        self._require_open()
        from taskembed.index.ranking.positions import Positions  # a search does without

        if where is None:
            return Positions(self._segments, self.space.dim)
        rows = [np.flatnonzero(passing) for passing in self._selector.passing(where)]
        return Positions(self._segments, self.space.dim, rows)

    def vectors_of(self, doc_ids: Sequence[str]) -> tuple[list[Document], FloatRows]:
        """Return the documents of those ids that the index has, and their vectors.

        Args:
            doc_ids: the ids, in any order.

        Returns:
            The documents, in the order of `doc_ids`, and float32[n, dim]: row i belongs to
            document i.

        Raises:
            ValueError: the index is closed.
            IndexDamagedError: what is stored is damaged.
        """
        self._require_open()
        found: dict[str, tuple[Document, FloatRows]] = {}
        wanted = [doc_id for doc_id in dict.fromkeys(doc_ids) if is_utf8(doc_id)]
        for segment in self._segments:
            stored = list(segment.find(wanted))
            vectors = segment.vectors(np.array([item.row for item in stored], np.int64))
            found.update(
                {item.doc_id: (as_document(item), vectors[[at]]) for at, item in enumerate(stored)}
            )
        documents = [found[doc_id][0] for doc_id in wanted if doc_id in found]
        rows = [found[document.doc_id][1] for document in documents]
        return documents, np.concatenate([np.empty((0, self.space.dim), np.float32), *rows])

    def __enter__(self) -> Self:
        self._require_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; any later use is a ValueError."""
        self._closed = True
        for segment in self._segments:
            segment.close()

    def _require_open(self) -> None:
        if self._closed:
            raise ValueError(f"the index {self.folder} is closed")
