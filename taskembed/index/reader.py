"""An index as a reader sees it: one generation, opened once, answering until it is closed."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from types import TracebackType

import numpy as np

from taskembed.activity import doing
from taskembed.arguments import is_utf8, require_string
from taskembed.english import counted
from taskembed.errors import IndexDamagedError
from taskembed.index._best import nearest_rows
from taskembed.index._files import DAMAGED_HINT, Damage, allow_handles, damaged, open_file
from taskembed.index.generations import Body, Check, Snapshot, manifest_name, open_newest, verify
from taskembed.index.remembered import Reading
from taskembed.index.segments import (
    Segment,
    SegmentInfo,
    StoredDocument,
    check_documents,
    check_vectors,
    read_deletions,
    read_metadata,
    require_listed,
    segment_infos,
)
from taskembed.reading.documents import Document
from taskembed.space import EmbeddingSpace
from taskembed.vectors import FloatRows

HANDLES_PER_SEGMENT = 4  # vectors, deletions, documents, and SQLite's own of these


@dataclass(frozen=True, slots=True)
class Hit:
    """A document that was found.

    Attributes:
        rank: 1 for the best.
        doc_id: the document's id.
        score: inner product of the two vectors: the cosine, -1 to 1, where the space's metric is
            that; of any size where it is "dot".
        text: what was embedded, without the prompt.
        metadata: the document's other fields.
        rerank_score: the reranker's, 0 to 1, which then is what `rank` goes by; None without one.
    """

    rank: int
    doc_id: str
    score: float
    text: str
    metadata: Mapping[str, object] = field(hash=False)
    rerank_score: float | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A set of segments in one space, and how they were made: what a manifest's body holds.

    Attributes:
        space: where the vectors live.
        segments: oldest first.
        made_by: what made the vectors, for people: the engine, its precision, the version. Two
            engines differ in the last digits only, so this is no part of the space.
        reading: how the input is read; None when that was never said.
    """

    space: EmbeddingSpace
    segments: tuple[SegmentInfo, ...] = ()
    made_by: Mapping[str, str] = field(default_factory=dict)
    reading: Reading | None = None

    @property
    def is_new(self) -> bool:
        """Whether it never had a document: its space binds nobody."""
        return not self.segments and not self.made_by

    @property
    def documents(self) -> int:
        """How many documents it has."""
        return sum(info.live_rows for info in self.segments)

    @property
    def files(self) -> list[str]:
        """Every file that it needs."""
        return [name for segment in self.segments for name in segment.files]

    def to_json(self) -> dict[str, object]:
        """Return the part as what JSON can hold."""
        return {
            "space": self.space.to_json(),
            "segments": [asdict(segment) for segment in self.segments],
            "made_by": dict(self.made_by),
        }

    @classmethod
    def from_json(cls, values: object) -> Part:
        """Read what `to_json` gave.

        Raises:
            ValueError: it is not that.
        """
        if not isinstance(values, dict) or values.keys() != {"space", "segments", "made_by"}:
            raise ValueError("a part without its exact fields")
        space = EmbeddingSpace.from_json(values["space"])
        if space.dim < 1 or space.max_length < 0:
            raise ValueError("a space of a size that cannot be")
        segments = tuple(segment_infos(values["segments"]))
        if len({info.name for info in segments}) != len(segments):
            raise ValueError("a segment stands in it twice")
        made_by = values["made_by"]
        if not isinstance(made_by, dict) or {str} < {str, *map(type, made_by.values())}:
            raise ValueError("made_by is not texts by name")
        return cls(space, segments, made_by)


@dataclass(frozen=True, slots=True)
class Contents:
    """The body of a manifest: what is answered from, and what is being made to replace it."""

    live: Part
    building: Part | None = None
    committed_at: str = ""  # ISO 8601, UTC

    def to_json(self) -> dict[str, object]:
        """Return the contents as what JSON can hold."""
        parts = {"live": self.live, "building": self.building}
        reading = {
            name: part.reading.to_json() for name, part in parts.items() if part and part.reading
        }
        return {
            **{name: part.to_json() if part else None for name, part in parts.items()},
            "committed_at": self.committed_at,
            # beside the parts, whose fields are fixed: a version that does not know it reads on
            **({"reading": reading} if reading else {}),
        }

    @classmethod
    def of(cls, folder: Path, snapshot: Snapshot) -> Contents:
        """Read the body of a generation.

        Raises:
            IndexDamagedError: it is not what was written.
        """
        body = snapshot.body
        try:
            building = body["building"]
            contents = cls(
                _part(body, "live"),
                None if building is None else _part(body, "building"),
                require_string(body["committed_at"], "committed_at"),
            )
        except (KeyError, TypeError, ValueError) as error:
            name = manifest_name(snapshot.generation)
            raise damaged(folder, Damage(name, str(error))) from error
        for part in contents.parts:
            for info in part.segments:
                require_listed(folder, snapshot, info, part.space.dim)
        return contents

    @property
    def parts(self) -> list[Part]:
        """The parts that there are."""
        return [self.live, *([self.building] if self.building else [])]


def _part(body: Body, name: str) -> Part:
    """Read a part, and how its input is read.

    Raises:
        ValueError: it is not what was written.
    """
    part = Part.from_json(body[name])
    readings = body.get("reading", {})
    if not isinstance(readings, dict):
        raise ValueError("how its input is read is not an object")
    if name not in readings:
        return part
    return replace(part, reading=Reading.from_json(readings[name]))


class Index:
    """One whole generation of an index, for as long as it is open.

    It takes no lock and writes nothing, so it works on a read-only folder, and while a writer runs.
    Every file that it opens is checked; vectors are read at the first search.

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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; whatever is asked from then on is a ValueError."""
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

    def load(self) -> None:
        """Read and check all vectors now rather than at the first search.

        Raises:
            ValueError: the index is closed.
            IndexDamagedError: a file is not what was written.
        """
        self._require_open()
        with doing("reading the index"):
            for segment in self._segments:
                segment.vectors()

    def nearest(self, queries: FloatRows, k: int) -> list[list[Hit]]:
        """Return the k best documents of each query, best first; equal scores by document id.

        It searches whatever it is given: `searching.search_index` is where a query proves that it
        lives in the space.

        Args:
            queries: float32[n, dim], as the space has them.
            k: how many; fewer when the index holds fewer.

        Returns:
            A list of hits for each query.

        Raises:
            ValueError: the index is closed.
            IndexDamagedError: a file is not what was written.
        """
        self.load()
        best = nearest_rows(self._segments, queries, k)
        documents = [
            segment.documents(int(row) for row in best.row[best.segment == number])
            for number, segment in enumerate(self._segments)
        ]
        found: list[list[tuple[float, StoredDocument]]] = [[] for _ in queries]
        for query, score, number, row in best.tolist():
            found[query].append((score, documents[number][row]))
        return [_best(candidates, k) for candidates in found]


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

    def checks_of(snapshot: Snapshot) -> dict[str, Check]:
        checks: dict[str, Check] = {}
        for part in Contents.of(path, snapshot).parts:
            for info in part.segments:
                checks |= _checks(info, part.space.dim)
        return checks

    return verify(path, checks_of)


def _checks(info: SegmentInfo, dim: int) -> dict[str, Check]:
    """Return what looks into each file of a segment; its deletions are looked at first."""
    dead = np.zeros(info.rows, dtype=np.bool_)

    def check_deletions(data: bytearray) -> None:
        dead[:] = read_deletions(data, info)

    return {
        **({info.deletions: check_deletions} if info.deletions else {}),
        info.documents_file: lambda data: check_documents(data, info, dead),
        info.vectors_file: lambda data: check_vectors(data, info, dim),
    }


def open_segments(folder: Path, snapshot: Snapshot, part: Part) -> list[Segment]:
    """Open the segments of a part; the caller checks them, where they are not yet, and closes them.

    Where the process may open too few files, each segment is checked and loaded at once, which
    leaves one open file a segment.

    Raises:
        FileNotFoundError: a file is not there (any more): a newer generation may be.
        IndexDamagedError: a file is not what was written.
    """
    with ExitStack() as stack:
        segments = []
        is_roomy = allow_handles(HANDLES_PER_SEGMENT * len(part.segments))
        for info in part.segments:
            segment = Segment(folder, snapshot, info, part.space.dim)
            stack.callback(segment.close)
            segments.append(segment)
            if not is_roomy:
                segment.check()
                segment.vectors()
        stack.pop_all()
    return segments


def _best(found: list[tuple[float, StoredDocument]], k: int) -> list[Hit]:
    ordered = sorted(found, key=lambda item: (-item[0], item[1].doc_id))[:k]
    return [
        Hit(rank, document.doc_id, score, document.text, _metadata(document))
        for rank, (score, document) in enumerate(ordered, start=1)
    ]


def _as_document(stored: StoredDocument) -> Document:
    return Document(stored.doc_id, stored.text, _metadata(stored))


def _metadata(document: StoredDocument) -> Mapping[str, object]:
    try:
        return read_metadata(document)
    except ValueError as error:
        raise IndexDamagedError(f"the index is damaged: {error}", hint=DAMAGED_HINT) from error
