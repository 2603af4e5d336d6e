"""What a manifest says of an index: its space, its segments, how they are stored and were made."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from taskembed.arguments import require_string
from taskembed.index._files import Damage, StoredFile, damaged, open_file
from taskembed.index.generations import open_newest
from taskembed.index.manifests import Body, Snapshot, manifest_name
from taskembed.index.remembered import Reading
from taskembed.index.storage import DEFAULT_STORAGE, Kind, Storage, VectorType
from taskembed.space import EmbeddingSpace, Task

_NAME = re.compile(r"seg-\d{8}")
_STEM = re.compile(r"(vec-\d{8}-\d{8}-[a-z]+)?")
_DELETIONS = re.compile(r"(del-\d{8}-\d{8}\.bin)?")
_OF_FORMAT_1 = {"name": str, "rows": int, "deletions": str, "deleted_rows": int}
_OF_FORMAT_2 = {**_OF_FORMAT_1, "kind": str, "vectors": str, "words": str}
_OPTIONAL = {"chunks": int, "stem": str, "views": list}


def stem_of(segment: str, generation: int, task: str) -> str:
    """Return the name, without ending, of the files of a further view of a segment.

    Args:
        segment: the name of the segment.
        generation: for which the files are written.
        task: of the view.
    """
    return f"vec-{generation:08d}-{segment.removeprefix('seg-')}-{task}"


@dataclass(frozen=True, slots=True)
class ViewFiles:
    """The vectors that a segment has of one further view.

    Attributes:
        stem: the name of their files, without the ending.
        kind: how they are searched.
        vectors: how their numbers are stored.
    """

    stem: str
    kind: Kind = Kind.FLAT
    vectors: VectorType = VectorType.FP32

    def to_json(self) -> dict[str, object]:
        """Return it as what JSON can hold."""
        return {"stem": self.stem, "kind": self.kind.value, "vectors": self.vectors.value}

    @classmethod
    def from_json(cls, values: object) -> ViewFiles:
        """Read what `to_json` gave.

        Raises:
            ValueError: it is not that.
        """
        if not isinstance(values, dict) or values.keys() != {"stem", "kind", "vectors"}:
            raise ValueError("a view of a segment has missing or unknown fields")
        stem = require_string(values["stem"], "stem")
        files = cls(stem, Kind(values["kind"]), VectorType(values["vectors"]))
        if not stem or not _STEM.fullmatch(stem) or files.kind is Kind.FORMAT_1:
            raise ValueError(f"{stem!r} is not the name of the vectors of a view")
        return files


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """What a manifest says of a segment."""

    name: str
    rows: int
    deletions: str = ""  # the file that says which rows were deleted; "" when none were
    deleted_rows: int = 0
    kind: Kind = Kind.FLAT
    vectors: VectorType = VectorType.FP32
    words: str = ""  # the name of the tokenizer that made its words; "" when it has none
    chunks: int = 0  # how many chunks its documents were cut into; 0 where they were not
    stem: str = ""  # the name of the files of its vectors; "" for that of the segment
    views: tuple[ViewFiles, ...] = ()  # the vectors of further views, in the order of the part's

    @property
    def vector_rows(self) -> int:
        """How many vectors it has: one for each chunk, or else for each document."""
        return self.chunks or self.rows

    @property
    def vectors_file(self) -> str:
        """The file of its vectors."""
        return f"{self.stem or self.name}.faiss"

    @property
    def sums_file(self) -> str:
        """The file of the checksums of its vectors."""
        return f"{self.stem or self.name}.sum"

    @property
    def codes_file(self) -> str:
        """The file of the codes of its vectors."""
        return f"{self.stem or self.name}.codes"

    @property
    def documents_file(self) -> str:
        """The file of its documents."""
        return f"{self.name}.db"

    @property
    def fields_file(self) -> str:
        """The file of the scalar fields of its metadata."""
        return f"{self.name}.fields"

    @property
    def words_file(self) -> str:
        """The file of the words of its texts."""
        return f"{self.name}.words"

    @property
    def chunks_file(self) -> str:
        """The file that says where its vectors were cut from."""
        return f"{self.name}.chunks"

    @property
    def vector_files(self) -> list[str]:
        """The files of the vectors of its first view."""
        names = [self.vectors_file]
        if self.kind is not Kind.FORMAT_1:
            names.append(self.sums_file)
        return [*names, *([self.codes_file] if self.kind is Kind.RABITQ else [])]

    @property
    def files(self) -> list[str]:
        """Every file that it needs."""
        names = [self.vectors_file, self.documents_file]
        if self.kind is not Kind.FORMAT_1:
            names += [self.sums_file, self.fields_file]
        if self.kind is Kind.RABITQ:
            names.append(self.codes_file)
        if self.words:
            names.append(self.words_file)
        if self.chunks:
            names.append(self.chunks_file)
        for view in map(self.of_view, range(1, len(self.views) + 1)):
            names += view.vector_files
        return [*names, *([self.deletions] * bool(self.deletions))]

    def of_view(self, number: int) -> SegmentInfo:
        """Return the segment with the vectors of one view only; 0 is the first view."""
        if number == 0:
            return replace(self, views=()) if self.views else self
        files = self.views[number - 1]
        return replace(self, stem=files.stem, kind=files.kind, vectors=files.vectors, views=())

    def with_views(self, numbers: Sequence[int]) -> SegmentInfo:
        """Return the segment with only these of its views, in this order."""
        first, *others = (self.of_view(number) for number in numbers)
        files = (ViewFiles(item.stem or self.name, item.kind, item.vectors) for item in others)
        return replace(first, views=tuple(files))

    @property
    def live_rows(self) -> int:
        """How many of its documents were not deleted."""
        return self.rows - self.deleted_rows

    @property
    def live_vectors(self) -> int:
        """About how many of its vectors are of documents that were not deleted."""
        return self.vector_rows * self.live_rows // self.rows if self.rows else 0

    def to_json(self) -> dict[str, object]:
        """Return it as what JSON can hold."""
        values = {**asdict(self), "kind": self.kind.value, "vectors": self.vectors.value}
        values["views"] = [view.to_json() for view in self.views]
        for name in ("chunks", "stem", "views"):  # as it was written before there were any
            if not values[name]:
                del values[name]
        return values


@dataclass(frozen=True, slots=True)
class View:
    """One set of vectors of the documents of an index, for one task.

    Attributes:
        space: where the vectors live.
        made_by: what made them, for people.
    """

    space: EmbeddingSpace
    made_by: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Return the view as what JSON can hold."""
        return {"space": self.space.to_json(), "made_by": dict(self.made_by)}

    @classmethod
    def from_json(cls, values: object) -> View:
        """Read what `to_json` gave.

        Raises:
            ValueError: it is not that.
        """
        if not isinstance(values, dict) or values.keys() != {"space", "made_by"}:
            raise ValueError("a view has missing or unknown fields")
        return cls(_space(values["space"]), _made_by(values["made_by"]))


@dataclass(frozen=True, slots=True)
class Part:
    """A set of segments in one space, and how they were made: what a manifest's body holds.

    Attributes:
        space: where the vectors live.
        segments: oldest first.
        made_by: what made the vectors, for people: the engine, its precision, the version. Two
            engines differ in the last digits only, so this is no part of the space.
        reading: the options about the input; None if there were none.
        storage: how new segments are stored.
        further: the views after the first, which is `space` and `made_by`.
    """

    space: EmbeddingSpace
    segments: tuple[SegmentInfo, ...] = ()
    made_by: Mapping[str, str] = field(default_factory=dict)
    reading: Reading | None = None
    storage: Storage = DEFAULT_STORAGE
    further: tuple[View, ...] = ()

    @property
    def views(self) -> tuple[View, ...]:
        """The sets of vectors that its documents have, one for each task; the first is `space`."""
        return (View(self.space, self.made_by), *self.further)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks of the views."""
        return tuple(view.space.task for view in self.views)

    @property
    def dims(self) -> tuple[int, ...]:
        """How many numbers a vector of each view has."""
        return tuple(view.space.dim for view in self.views)

    def with_views(self, numbers: Sequence[int]) -> Part:
        """Return the part with only these of its views, in this order."""
        first, *others = (self.views[number] for number in numbers)
        return replace(
            self,
            space=first.space,
            made_by=first.made_by,
            further=tuple(others),
            segments=tuple(info.with_views(numbers) for info in self.segments),
        )

    def renamed(self, spaces: Sequence[EmbeddingSpace]) -> Part:
        """Return the part with these spaces of its views, which differ in names only."""
        views = zip(self.further, spaces[1:], strict=True)
        further = tuple(replace(view, space=space) for view, space in views)
        return replace(self, space=spaces[0], further=further)

    def of_task(self, task: Task | None) -> Part:
        """Return the part with one view only: that of a task if there is one, else the first."""
        if not self.further:
            return self
        return self.with_views([self.tasks.index(task) if task in self.tasks else 0])

    @property
    def is_new(self) -> bool:
        """Whether the part never had a document, so its space does not matter."""
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
            "segments": [segment.to_json() for segment in self.segments],
            "made_by": dict(self.made_by),
        }

    @classmethod
    def from_json(cls, values: object) -> Part:
        """Read what `to_json` gave.

        Raises:
            ValueError: it is not that.
        """
        if not isinstance(values, dict) or values.keys() != {"space", "segments", "made_by"}:
            raise ValueError("a part has missing or unknown fields")
        space = _space(values["space"])
        segments = tuple(segment_infos(values["segments"]))
        if len({info.name for info in segments}) != len(segments):
            raise ValueError("a segment is listed twice")
        return cls(space, segments, _made_by(values["made_by"]))

    def read_views(self, values: object) -> Part:
        """Return the part with its further views, as a manifest holds them.

        Raises:
            ValueError: they are not what is written, or do not fit the segments.
        """
        if not isinstance(values, list):
            raise ValueError("its views are not a list")
        part = replace(self, further=tuple(map(View.from_json, values)))
        if len(set(part.tasks)) != len(part.tasks):
            raise ValueError("two views are for one task")
        if any(len(info.views) != len(values) for info in self.segments):
            raise ValueError("a segment does not have the views of its index")
        return part


def _space(values: object) -> EmbeddingSpace:
    space = EmbeddingSpace.from_json(values)
    if space.dim < 1 or space.max_length < 0:
        raise ValueError("a space has an impossible size")
    return space


def _made_by(values: object) -> Mapping[str, str]:
    if not isinstance(values, dict) or {str} < {str, *map(type, values.values())}:
        raise ValueError("made_by is not an object of texts")
    return values


@dataclass(frozen=True, slots=True)
class Contents:
    """The body of a manifest: what is answered from, and what is being made to replace it.

    Attributes:
        live: the part that is answered from.
        building: the part that `index --recreate` builds beside it.
        committed_at: ISO 8601, UTC.
        tuning: what `tune` measured last: figures by name.
        last_run: when the last run of `index` that came to its end ended, and its counts; empty if
            none is known.
    """

    live: Part
    building: Part | None = None
    committed_at: str = ""
    tuning: Mapping[str, object] = field(default_factory=dict)
    last_run: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Return the contents as what JSON can hold."""
        parts = {name: part for name, part in self._named.items() if part}
        reading = {name: part.reading.to_json() for name, part in parts.items() if part.reading}
        storage = {
            name: part.storage.to_json()
            for name, part in parts.items()
            if part.storage != DEFAULT_STORAGE
        }
        views = {
            name: [view.to_json() for view in part.further]
            for name, part in parts.items()
            if part.further
        }
        return {
            **{name: part.to_json() if part else None for name, part in self._named.items()},
            "committed_at": self.committed_at,
            # beside the parts, whose fields are fixed: a version that does not know it reads on
            **({"reading": reading} if reading else {}),
            **({"storage": storage} if storage else {}),
            **({"views": views} if views else {}),
            **({"tuning": dict(self.tuning)} if self.tuning else {}),
            **({"last_run": dict(self.last_run)} if self.last_run else {}),
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
                _object(body, "tuning", "what was measured of it"),
                _object(body, "last_run", "what is known of its last run"),
            )
        except (KeyError, TypeError, ValueError) as error:
            name = manifest_name(snapshot.generation)
            raise damaged(folder, Damage(name, str(error))) from error
        for part in contents.parts:
            for info in part.segments:
                if bool(info.chunks) is not bool(part.storage.chunks):
                    reason = f"the segment {info.name} does not have the index's chunks"
                    raise damaged(folder, Damage(manifest_name(snapshot.generation), reason))
                for number, dim in enumerate(part.dims):
                    require_listed(folder, snapshot, info.of_view(number), dim)
        return contents

    @property
    def parts(self) -> list[Part]:
        """The parts that there are."""
        return [part for part in self._named.values() if part]

    @property
    def _named(self) -> dict[str, Part | None]:
        return {"live": self.live, "building": self.building}


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


def _part(body: Body, name: str) -> Part:
    """Read a part, and how its input is read and it is stored.

    Raises:
        ValueError: it is not what was written.
    """
    part = Part.from_json(body[name])
    reading = _object(body, "reading", "how its input is read")
    storage = _object(body, "storage", "how it is stored")
    views = _object(body, "views", "its views")
    if name in reading:
        part = replace(part, reading=Reading.from_json(reading[name]))
    if name in storage:
        part = replace(part, storage=Storage.from_json(storage[name]))
    return part.read_views(views.get(name, []))


def _object(body: Body, name: str, what: str) -> dict[str, object]:
    value = body.get(name, {})
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not an object")
    return value


def segment_infos(values: object) -> list[SegmentInfo]:
    """Read the segments of a manifest.

    Raises:
        ValueError: they are not what a manifest holds.
    """
    if not isinstance(values, list):
        raise ValueError("its segments are not a list")
    return [_segment_info(value) for value in values]


def _segment_info(value: object) -> SegmentInfo:
    types = {key: type(item) for key, item in value.items()} if isinstance(value, dict) else {}
    optional = {name: types[name] for name in _OPTIONAL if name in types}
    shapes = (_OF_FORMAT_1, {**_OF_FORMAT_2, **optional})
    if (
        not isinstance(value, dict)
        or types not in shapes
        or any(_OPTIONAL[name] is not type_ for name, type_ in optional.items())
    ):
        raise ValueError("a segment has missing or unknown fields")
    kind = Kind(value.get("kind", Kind.FORMAT_1))
    vectors = VectorType(value.get("vectors", VectorType.FP32))
    views = tuple(map(ViewFiles.from_json, value.get("views", ())))
    info = SegmentInfo(**{**value, "kind": kind, "vectors": vectors, "views": views})
    if not _STEM.fullmatch(info.stem):
        raise ValueError(f"{info.stem!r} is not the name of the vectors of a view")
    if info.kind is Kind.FORMAT_1 and (info.stem or info.views):
        raise ValueError(f"the segment {info.name} of format 1 cannot have views")
    if not _NAME.fullmatch(info.name) or not _DELETIONS.fullmatch(info.deletions):
        raise ValueError(f"{info.name!r} is not the name of a segment")
    if not 0 <= info.deleted_rows <= info.rows or bool(info.deletions) != bool(info.deleted_rows):
        raise ValueError(f"the segment {info.name} cannot have these numbers of rows")
    if "chunks" in value and info.chunks < max(1, info.rows):
        raise ValueError(f"the segment {info.name} cannot have {info.chunks} chunks")
    return info


def require_listed(folder: Path, snapshot: Snapshot, info: SegmentInfo, dim: int) -> None:
    """Check that a manifest lists the files of a segment, with sizes that can be.

    Raises:
        IndexDamagedError: one is not listed, or the vectors cannot be in a file of that size.
    """
    files = {name: listed(folder, snapshot, name) for name in info.files}
    size = files[info.vectors_file].size
    if info.vector_rows * dim * info.vectors.bytes > size:  # before memory is taken for the rows
        reason = f"{size:,} bytes cannot hold {info.vector_rows:,} vectors of {dim:,} numbers"
        raise damaged(folder, Damage(info.vectors_file, reason))


def listed(folder: Path, snapshot: Snapshot, name: str) -> StoredFile:
    """Return what a manifest says of a file.

    Raises:
        IndexDamagedError: it does not list it.
    """
    try:
        return snapshot.files[name]
    except KeyError:
        raise damaged(folder, Damage(name, "the manifest does not list it")) from None
