"""The body of a manifest: an index's spaces and segments, how they are stored and were made."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from taskembed.arguments import require_string
from taskembed.index._segments.info import SegmentInfo, require_listed, segment_infos
from taskembed.index.disk.files import Damage, damaged, open_file
from taskembed.index.disk.generations import open_newest
from taskembed.index.disk.manifests import Body, Snapshot, manifest_name
from taskembed.index.remembered import Reading
from taskembed.index.storage import DEFAULT_STORAGE, Storage
from taskembed.space import EmbeddingSpace, Task

_IDENTITY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class View:
    """One set of vectors of the documents of an index, for one task.

    Attributes:
        space: the embedding space of the vectors.
        made_by: what made the vectors, for people.
    """

    space: EmbeddingSpace
    made_by: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Return the view as a JSON object."""
        return {"space": self.space.to_json(), "made_by": dict(self.made_by)}

    @classmethod
    def from_json(cls, values: object) -> View:
        """Read the output of `to_json`.

        Raises:
            ValueError: `values` has another form.
        """
        if not isinstance(values, dict) or values.keys() != {"space", "made_by"}:
            raise ValueError("a view has missing or unknown fields")
        return cls(_space(values["space"]), _made_by(values["made_by"]))


@dataclass(frozen=True, slots=True)
class Part:
    """A set of segments with the same views; a manifest has one or two such parts.

    Attributes:
        space: the embedding space of the first view.
        segments: the segments, oldest first.
        made_by: what made the vectors, for people: the engine, its precision, the version. Two
            engines differ in the last digits only, so this is not part of the space.
        reading: the options about how the input was read; None if there were none.
        storage: how new segments are stored.
        further: the views after the first, which is `space` and `made_by`.
        declared: for imported vectors whose space the user declared: how many of them were
            `compared` with the model's own, and the `least_cosine` of these; otherwise empty.
    """

    space: EmbeddingSpace
    segments: tuple[SegmentInfo, ...] = ()
    made_by: Mapping[str, str] = field(default_factory=dict)
    reading: Reading | None = None
    storage: Storage = DEFAULT_STORAGE
    further: tuple[View, ...] = ()
    declared: Mapping[str, object] = field(default_factory=dict)

    @property
    def views(self) -> tuple[View, ...]:
        """The views, one for each task; the first has `space` and `made_by`."""
        return (View(self.space, self.made_by), *self.further)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks of the views."""
        return tuple(view.space.task for view in self.views)

    @property
    def dims(self) -> tuple[int, ...]:
        """The dimension of each view."""
        return tuple(view.space.dim for view in self.views)

    def with_views(self, numbers: Sequence[int]) -> Part:
        """Return the part with only the views of these positions, in this order."""
        first, *others = (self.views[number] for number in numbers)
        return replace(
            self,
            space=first.space,
            made_by=first.made_by,
            further=tuple(others),
            segments=tuple(info.with_views(numbers) for info in self.segments),
        )

    def renamed(self, spaces: Sequence[EmbeddingSpace]) -> Part:
        """Return the part with other spaces for its views, which may differ in model names only."""
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
        """The number of documents."""
        return sum(info.live_rows for info in self.segments)

    @property
    def files(self) -> list[str]:
        """The name of every file of the part."""
        return [name for segment in self.segments for name in segment.files]

    def to_json(self) -> dict[str, object]:
        """Return the part as a JSON object."""
        return {
            "space": self.space.to_json(),
            "segments": [segment.to_json() for segment in self.segments],
            "made_by": dict(self.made_by),
        }

    @classmethod
    def from_json(cls, values: object) -> Part:
        """Read the output of `to_json`.

        Raises:
            ValueError: `values` has another form.
        """
        if not isinstance(values, dict) or values.keys() != {"space", "segments", "made_by"}:
            raise ValueError("a part has missing or unknown fields")
        space = _space(values["space"])
        segments = tuple(segment_infos(values["segments"]))
        if len({info.name for info in segments}) != len(segments):
            raise ValueError("a segment is listed twice")
        return cls(space, segments, _made_by(values["made_by"]))

    def read_views(self, values: object) -> Part:
        """Return the part with its further views, read from the values of a manifest.

        Raises:
            ValueError: the values have another form, or do not fit the segments.
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
    """The body of a manifest: the part that is searched, and one that is built to replace it.

    Attributes:
        live: the part that is searched.
        building: the part that `index --recreate` builds; None if there is none.
        committed_at: ISO 8601, UTC.
        tuning: what `tune` measured last: figures by name, and the task of the view.
        last_run: the time and the counts of the last run of `index` that was completed; empty if
            none is known.
        identity: 32 hexadecimal digits, unique to the index; "" before its first publication.
    """

    live: Part
    building: Part | None = None
    committed_at: str = ""
    tuning: Mapping[str, object] = field(default_factory=dict)
    last_run: Mapping[str, object] = field(default_factory=dict)
    identity: str = ""

    def to_json(self) -> dict[str, object]:
        """Return the contents as a JSON object."""
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
        declared = {name: dict(part.declared) for name, part in parts.items() if part.declared}
        return {
            **{name: part.to_json() if part else None for name, part in self._named.items()},
            "committed_at": self.committed_at,
            # beside the parts, whose fields are fixed: older versions ignore these
            **({"reading": reading} if reading else {}),
            **({"storage": storage} if storage else {}),
            **({"views": views} if views else {}),
            **({"declared": declared} if declared else {}),
            **({"tuning": dict(self.tuning)} if self.tuning else {}),
            **({"last_run": dict(self.last_run)} if self.last_run else {}),
            **({"identity": self.identity} if self.identity else {}),
        }

    @classmethod
    def of(cls, folder: Path, snapshot: Snapshot) -> Contents:
        """Read the body of a generation.

        Raises:
            IndexDamagedError: it is damaged.
        """
        body = snapshot.body
        try:
            building = body["building"]
            contents = cls(
                _part(body, "live"),
                None if building is None else _part(body, "building"),
                require_string(body["committed_at"], "committed_at"),
                _object(body, "tuning", "the measurement of its searches"),
                _object(body, "last_run", "the summary of its last run"),
                _identity(body),
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
        """The live part, and the one that is being built, if any."""
        return [part for part in self._named.values() if part]

    @property
    def _named(self) -> dict[str, Part | None]:
        return {"live": self.live, "building": self.building}


def read_index(folder: str | Path) -> tuple[Snapshot, Contents]:
    """Return the newest generation and its contents, after checking that its files exist.

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
    """Read a part, with the values about it that are beside it in the body.

    Raises:
        ValueError: a value has another form.
    """
    part = Part.from_json(body[name])
    reading = _object(body, "reading", "the settings of its input")
    storage = _object(body, "storage", "the settings of its storage")
    views = _object(body, "views", "its views")
    declared = _object(body, "declared", "the declaration of its vectors")
    if name in declared:
        part = replace(part, declared=_object(declared, name, "the declaration of its vectors"))
    if name in reading:
        part = replace(part, reading=Reading.from_json(reading[name]))
    if name in storage:
        part = replace(part, storage=Storage.from_json(storage[name]))
    return part.read_views(views.get(name, []))


def _identity(body: Body) -> str:
    identity = require_string(body.get("identity", ""), "identity")
    if identity and not _IDENTITY.fullmatch(identity):  # it is the name of a folder of the cache
        raise ValueError(f"{identity!r} is not the identity of an index")
    return identity


def _object(body: Mapping[str, object], name: str, what: str) -> dict[str, object]:
    value = body.get(name, {})
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not an object")
    return value
