"""An index as a reader sees it: one generation, opened once, answering until it is closed."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from taskembed.activity import doing
from taskembed.arguments import is_utf8, require_string
from taskembed.batches import batched
from taskembed.english import counted
from taskembed.errors import IndexDamagedError
from taskembed.index._best import Best, Searched, nearest_rows
from taskembed.index._files import DAMAGED_HINT, Damage, allow_handles, open_file
from taskembed.index._opening import HANDLES_PER_SEGMENT, open_segment, open_segments
from taskembed.index._segment_vectors import Found, candidates_for
from taskembed.index.contents import Contents, SegmentInfo
from taskembed.index.documents import StoredDocument, read_metadata
from taskembed.index.field_types import FieldType
from taskembed.index.filters import (
    EXAMPLES,
    FieldDescription,
    named_types,
    require_fields,
    written,
)
from taskembed.index.fusion import Fusion, Sides, best_by_words, fuse, listed
from taskembed.index.generations import Check, Snapshot, open_newest, verify
from taskembed.index.segments import Segment
from taskembed.index.word_tokens import WordTokenizer
from taskembed.reading.documents import Document
from taskembed.space import EmbeddingSpace
from taskembed.vectors import Flags, FloatRows

_IDS_AT_ONCE = 1024  # documents that are in memory


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that was found.

    Attributes:
        rank: 1 for the best.
        doc_id: the document's id.
        score: what `rank` goes by: inner product of the two vectors (the cosine, -1 to 1, where the
            space's metric is that; of any size where it is "dot"), BM25, or the sum of `sides`.
        text: what was embedded, without the prompt.
        metadata: the document's other fields.
        rerank_score: the reranker's, 0 to 1, which then is what `rank` goes by; None without one.
        sides: of a hybrid search, what the score is made of; None of another.
    """

    rank: int
    doc_id: str
    score: float
    text: str
    metadata: Mapping[str, object] = field(hash=False)
    rerank_score: float | None = None
    sides: Sides | None = None


class Index:
    """One whole generation of an index, for as long as it is open.

    It takes no lock and writes nothing, so it works on a read-only folder, and while a writer runs.
    What it reads is checked; vectors are read when they are searched.

    Example:
        with Index.open("taskembed-index") as index:
            print(len(index), index.space.task)
            print("moon" in index, index.get("moon"))
            for document in index:
                print(document.doc_id, document.text)
    """

    def __init__(
        self, folder: Path, snapshot: Snapshot, contents: Contents, segments: Sequence[Segment]
    ) -> None:
        self.folder = folder
        self.snapshot = snapshot
        self.contents = contents
        self._segments = segments
        self._selected: tuple[str, list[Flags]] | None = None  # of the last filter
        self._closed = False

    @classmethod
    def open(cls, folder: str | Path) -> Index:
        """Open the newest generation.

        Raises:
            NotFoundError: there is no index.
            IndexDamagedError: a file is not what was written.
            NewerFormatError: it was written by a newer taskembed.
        """
        path = Path(folder)

        def opened(snapshot: Snapshot) -> Index:
            contents = Contents.of(path, snapshot)
            segments = open_segments(path, snapshot, contents.live)
            return cls(path, snapshot, contents, segments)

        index = open_newest(path, opened)
        index.check()  # when all is open: a slow disk gives a writer no time in between
        return index

    def check(self) -> None:
        """Check every file that is open but the vectors; `open` has done it."""
        try:
            for segment in self._segments:
                if not segment.is_checked:
                    segment.check()
        except BaseException:
            self.close()
            raise

    @property
    def space(self) -> EmbeddingSpace:
        """The space that every vector of the index lives in."""
        return self.contents.live.space

    @property
    def generation(self) -> int:
        """The number of the generation that answers."""
        return self.snapshot.generation

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"generation {self.generation}"
        held = counted(len(self), "document")
        return f"<Index {self.folder}: {held} for {self.space.task}, {state}>"

    def __len__(self) -> int:
        """Return how many documents it has."""
        return sum(info.live_rows for info in self.contents.live.segments)

    def __contains__(self, doc_id: str) -> bool:
        """Say whether there is a document of that id; otherwise as `get`."""
        return self.get(doc_id) is not None

    def get(self, doc_id: str) -> Document | None:
        """Return the document of an id; None when there is none.

        Raises:
            TypeError: the id is no text.
            ValueError: the index is closed.
            IndexDamagedError: what is stored cannot be read.
        """
        self._require_open()
        if not is_utf8(require_string(doc_id, "doc_id")):
            return None
        for segment in reversed(self._segments):
            for stored in segment.find([doc_id]):
                return _as_document(stored)
        return None

    def __iter__(self) -> Iterator[Document]:
        """Yield every document, in the order of their ids; a few are in memory at a time.

        Raises:
            ValueError: the index is closed, also in between.
            IndexDamagedError: what is stored cannot be read.
        """
        self._require_open()
        segments = [segment.documents_by_id() for segment in self._segments]
        return map(_as_document, heapq.merge(*segments, key=attrgetter("doc_id")))

    def _require_open(self) -> None:
        if self._closed:
            raise ValueError(f"the index {self.folder} is closed")

    def __enter__(self) -> Index:
        self._require_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; any later use is a ValueError."""
        self._closed = True
        for segment in self._segments:
            segment.close()

    def count_truncated(self) -> int:
        """Return how many documents the model did not read whole; every document is looked at.

        Raises:
            ValueError: the index is closed.
            IndexDamagedError: what is stored cannot be read.
        """
        self._require_open()
        return sum(segment.count_truncated() for segment in self._segments)

    def load(self, *, exact: bool = False) -> None:
        """Read and check now, rather than at the first search, what every search needs.

        Raises:
            ValueError: the index is closed.
            IndexDamagedError: a file is not what was written.
        """
        self._require_open()
        with doing("reading the index"):
            for segment in self._segments:
                segment.load(exact=exact)

    def fields(self) -> dict[str, set[FieldType]]:
        """Return the types of each field of the metadata, by its name as filters spell it.

        Those of deleted documents stay until their segment is merged.

        Raises:
            ValueError: the index is closed.
            IndexDamagedError: a file is not what was written.
        """
        self._require_open()
        types: dict[str, set[FieldType]] = {}
        for segment in self._segments:
            for name, kinds in segment.fields().items():
                types.setdefault(name, set()).update(kinds)
        return types

    def select(self, where: str) -> None:
        """Find the documents that a filter is true of, for the searches with that filter.

        Raises:
            UsageError: it is no filter, or not of fields that the index has.
            ValueError: the index is closed.
            IndexDamagedError: a file is not what was written.
        """
        self._passing(where)

    def count(self, where: str) -> int:
        """Return of how many documents a filter is true; raises as `select`."""
        return sum(int(passing.sum()) for passing in self._passing(where))

    def describe_fields(self) -> list[FieldDescription]:
        """Return the fields of the metadata, by name, with three values of each.

        Raises:
            ValueError: the index is closed.
            IndexDamagedError: a file is not what was written.
        """
        examples: dict[str, list[str]] = {}
        for segment in self._segments:
            for name, values in segment.examples().items():
                known = examples.setdefault(name, [])
                new = [text for text in map(written, values) if text not in known]
                known.extend(new[: EXAMPLES - len(known)])
        return [
            FieldDescription(name, named_types(types), tuple(examples.get(name, ())))
            for name, types in sorted(self.fields().items())
        ]

    def ids(self, where: str) -> Iterator[str]:
        """Yield the ids of the documents that a filter is true of; raises as `select`."""
        for segment, passing in zip(self._segments, self._passing(where), strict=True):
            rows = np.flatnonzero(passing).tolist()
            for some in batched(rows, _IDS_AT_ONCE):
                for document in segment.documents(some).values():
                    yield document.doc_id

    def _passing(self, where: str) -> list[Flags]:
        """Return the rows of each segment that a filter is true of, and keep those of the last."""
        self._require_open()
        last = self._selected
        if last is not None and last[0] == where:
            return last[1]
        # lark: 50 ms
        from taskembed.index.filter_grammar import parse_filter

        filter_ = parse_filter(where)
        with doing("filtering"):
            require_fields(filter_, self.fields())
            passing = [segment.passing(filter_) for segment in self._segments]
        self._selected = (where, passing)
        return passing

    def candidates(self, k: int) -> int:
        """Return how many vectors the codes of a segment choose for a query of k hits."""
        return candidates_for(k)

    def sample(self, count: int) -> tuple[list[str], FloatRows]:
        """Return the ids and vectors of some documents, drawn from all: always the same.

        Args:
            count: how many; fewer when the index holds fewer.

        Raises:
            ValueError: the index is closed.
            IndexDamagedError: what is stored is not what was written.
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

    def nearest(
        self,
        queries: FloatRows,
        k: int,
        *,
        exact: bool = False,
        candidates: int | None = None,
        where: str | None = None,
    ) -> list[list[Hit]]:
        """Return the k best documents of each query, best first; equal scores by document id.

        It searches whatever it is given: `searching.search_index` is where a query proves that it
        lives in the space.

        Args:
            queries: float32[n, dim], as the space has them.
            k: how many; fewer when the index holds fewer.
            exact: score every vector, and not only those that codes choose.
            candidates: how many vectors the codes of a segment choose for a query; None for as
                many as are right.
            where: a filter: only documents that it is true of; None for all.

        Returns:
            A list of hits for each query.

        Raises:
            UsageError: `where` is no filter, or not of fields that the index has.
            ValueError: the index is closed.
            IndexDamagedError: a file is not what was written.
        """
        self.load(exact=exact)
        searched = self._searched(where)
        best = nearest_rows(searched, queries, k, exact=exact, candidates=candidates)
        return self._hits(best, len(queries), k)

    @property
    def words(self) -> str:
        """The name of the tokenizer that made the words of all texts; "" where words are not kept.

        Where some texts have none, which is so until all segments are written anew, it is "".
        """
        names = {info.words for info in self.contents.live.segments}
        return names.pop() if len(names) == 1 else ""

    def by_words(
        self, texts: Sequence[str], k: int, *, where: str | None = None
    ) -> list[list[Hit]]:
        """Return the k best documents of each query by BM25, best first; equal scores by id.

        Args:
            texts: the queries.
            k: how many; fewer when fewer documents have any of a query's words.
            where: a filter: only documents that it is true of; None for all.

        Raises:
            ValueError: the index is closed, or keeps no words.
            IndexDamagedError: a file is not what was written.
        """
        return self._hits(self._best_by_words(texts, k, where), len(texts), k)

    def hybrid(
        self,
        queries: FloatRows,
        texts: Sequence[str],
        k: int,
        fusion: Fusion,
        *,
        exact: bool = False,
        where: str | None = None,
    ) -> list[list[Hit]]:
        """Return the k best documents of each query by vectors and words; equal scores by id.

        Args:
            queries: float32[n, dim], as the space has them.
            texts: the same queries.
            k: how many; fewer when the index holds fewer.
            fusion: how the two lists become one.
            exact: score every vector, and not only those that codes choose.
            where: a filter: only documents that it is true of; None for all.

        Raises:
            ValueError: the index is closed, or keeps no words.
            IndexDamagedError: a file is not what was written.
        """
        self.load(exact=exact)
        depth = listed(k)
        dense = nearest_rows(self._searched(where), queries, depth, exact=exact)
        best, sides = fuse(dense, self._best_by_words(texts, depth, where), len(texts), k, fusion)
        return self._hits(best, len(texts), k, sides)

    def _best_by_words(self, texts: Sequence[str], k: int, where: str | None) -> Best:
        self._require_open()
        if not self.words and len(self):
            raise ValueError(f"the index {self.folder} keeps no words")
        tokenizer = WordTokenizer.of(self.words) if self.words else WordTokenizer()
        postings = [segment.postings() for segment in self._segments]
        hidden = [segment.dead for segment in self._segments]
        if where is not None:
            hidden = [~passing for passing in self._passing(where)]
        return best_by_words(postings, hidden, [tokenizer.words(text) for text in texts], k)

    def _hits(
        self, best: Best, count: int, k: int, sides: Sequence[Sides] | None = None
    ) -> list[list[Hit]]:
        """Return the hits of each query: their documents are read, once."""
        documents = [
            segment.documents(int(row) for row in best.row[best.segment == number])
            for number, segment in enumerate(self._segments)
        ]
        found: list[list[_Scored]] = [[] for _ in range(count)]
        for item, side in zip(best.tolist(), sides or repeat(None), strict=False):
            query, score, number, row = item
            found[query].append(_Scored(score, documents[number][row], side))
        return [_best(candidates, k) for candidates in found]

    def _searched(self, where: str | None) -> Sequence[Searched]:
        if where is None:
            return self._segments
        parts = zip(self._segments, self._passing(where), strict=True)
        return [_Filtered(segment, passing, int(passing.sum())) for segment, passing in parts]


@dataclass(frozen=True, slots=True)
class _Filtered:
    """What a filter leaves of a segment."""

    segment: Segment
    passing: Flags
    live_rows: int

    def search(self, queries: FloatRows, k: int, *, exact: bool, candidates: int | None) -> Found:
        return self.segment.search(
            queries, k, exact=exact, candidates=candidates, passing=self.passing
        )


def read_index(folder: str | Path) -> tuple[Snapshot, Contents]:
    """Return the newest generation and what is in it; its files are there, with their sizes.

    Raises:
        NotFoundError: there is no index.
        IndexDamagedError: a file is missing or has another size, or the manifest is damaged.
        NewerFormatError: it was written by a newer taskembed.
    """
    path = Path(folder)

    def read(snapshot: Snapshot) -> tuple[Snapshot, Contents]:
        contents = Contents.of(path, snapshot)
        for file in snapshot.files.values():
            open_file(path, file).close()
        return snapshot, contents

    return open_newest(path, read)


def verify_index(folder: str | Path) -> tuple[Snapshot, list[Damage]]:
    """Read every byte of the newest generation back, and look into every file as a search does.

    Returns:
        The generation, and what of it is damaged.
    """
    path = Path(folder)
    with ExitStack() as stack:

        def checks_of(snapshot: Snapshot) -> list[Check]:
            stack.close()  # what an earlier attempt opened
            contents = Contents.of(path, snapshot)
            infos = [(info, part.space.dim) for part in contents.parts for info in part.segments]
            if not allow_handles(HANDLES_PER_SEGMENT * len(infos) + len(snapshot.files)):
                return [partial(_damages_of, path, snapshot, info, dim) for info, dim in infos]
            return [partial(_damages, _held(path, snapshot, *item, stack)) for item in infos]

        return verify(path, checks_of)


def _held(
    folder: Path, snapshot: Snapshot, info: SegmentInfo, dim: int, stack: ExitStack
) -> Segment | IndexDamagedError:
    """Open a segment now, so that a writer may remove its files before they are looked into."""
    try:
        segment = open_segment(folder, snapshot, info, dim)
    except IndexDamagedError as error:
        return error
    stack.callback(segment.close)
    return segment


def _damages_of(folder: Path, snapshot: Snapshot, info: SegmentInfo, dim: int) -> list[Damage]:
    with ExitStack() as stack:
        return _damages(_held(folder, snapshot, info, dim, stack))


def _damages(segment: Segment | IndexDamagedError) -> list[Damage]:
    """Return what is wrong in a segment, where what is open of it could be opened."""
    try:
        if isinstance(segment, IndexDamagedError):
            raise segment
        segment.check()
        return list(segment.check_contents())
    except IndexDamagedError as error:
        return [Damage(error.name, error.reason)]


class _Scored(NamedTuple):
    score: float
    document: StoredDocument
    sides: Sides | None


def _best(found: list[_Scored], k: int) -> list[Hit]:
    ordered = sorted(found, key=lambda item: (-item.score, item.document.doc_id))[:k]
    return [
        Hit(
            rank,
            item.document.doc_id,
            item.score,
            item.document.text,
            _metadata(item.document),
            sides=item.sides,
        )
        for rank, item in enumerate(ordered, start=1)
    ]


def _as_document(stored: StoredDocument) -> Document:
    return Document(stored.doc_id, stored.text, _metadata(stored))


def _metadata(document: StoredDocument) -> Mapping[str, object]:
    try:
        return read_metadata(document)
    except ValueError as error:
        raise IndexDamagedError(f"the index is damaged: {error}", hint=DAMAGED_HINT) from error
