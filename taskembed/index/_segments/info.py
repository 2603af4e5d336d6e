"""The entry of a segment in a manifest: its files, its rows and how its vectors are stored."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from taskembed.arguments import require_string
from taskembed.index.disk.files import Damage, StoredFile, damaged
from taskembed.index.disk.manifests import Snapshot
from taskembed.index.storage import Kind, VectorType

_NAME = re.compile(r"seg-\d{8}")
_STEM = re.compile(r"(vec-\d{8}-\d{8}-[a-z]+)?")
_DELETIONS = re.compile(r"(del-\d{8}-\d{8}\.bin)?")
_OF_FORMAT_1 = {"name": str, "rows": int, "deletions": str, "deleted_rows": int}
_OF_FORMAT_2 = {**_OF_FORMAT_1, "kind": str, "vectors": str, "words": str}
_OPTIONAL = {"chunks": int, "stem": str, "views": list}


def stem_of(segment: str, generation: int, task: str) -> str:
    """Return the name, without the suffix, of the files of a further view of a segment.

    Args:
        segment: the name of the segment.
        generation: the generation that the files are written for.
        task: the task of the view.
    """
    return f"vec-{generation:08d}-{segment.removeprefix('seg-')}-{task}"


@dataclass(frozen=True, slots=True)
class ViewFiles:
    """The vectors of a segment for one view after the first.

    Attributes:
        stem: the name of their files, without the suffix.
        kind: how they are searched.
        vectors: how their numbers are stored.
    """

    stem: str
    kind: Kind = Kind.FLAT
    vectors: VectorType = VectorType.FP32

    def to_json(self) -> dict[str, object]:
        """Return the vectors as a JSON object."""
        return {"stem": self.stem, "kind": self.kind.value, "vectors": self.vectors.value}

    @classmethod
    def from_json(cls, values: object) -> ViewFiles:
        """Read the output of `to_json`.

        Raises:
            ValueError: `values` has another form.
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
    """The entry of a segment in a manifest."""

    name: str
    rows: int
    deletions: str = ""  # the name of the deletions file; "" if no row was deleted
    deleted_rows: int = 0
    kind: Kind = Kind.FLAT
    vectors: VectorType = VectorType.FP32
    words: str = ""  # the name of the tokenizer of its words; "" if it has no words
    chunks: int = 0  # the number of chunks of its documents; 0 if they are not cut
    stem: str = ""  # the name of the files of its vectors; "" for the segment's name
    views: tuple[ViewFiles, ...] = ()  # the vectors of views after the first, in the index's order

    @property
    def vector_rows(self) -> int:
        """The number of its vectors: one for each chunk, or else for each document."""
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
        """The file with the document and the range of characters of each chunk."""
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
        """The names of all its files."""
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
        """The number of its documents that are not deleted."""
        return self.rows - self.deleted_rows

    @property
    def live_vectors(self) -> int:
        """About the number of its vectors of documents that are not deleted."""
        return self.vector_rows * self.live_rows // self.rows if self.rows else 0

    def to_json(self) -> dict[str, object]:
        """Return it as what JSON can hold."""
        values = {**asdict(self), "kind": self.kind.value, "vectors": self.vectors.value}
        values["views"] = [view.to_json() for view in self.views]
        for name in (
            "chunks",
            "stem",
            "views",
        ):  # omitted if empty, as in older versions
            if not values[name]:
                del values[name]
        return values


def segment_infos(values: object) -> list[SegmentInfo]:
    """Read the segments of a manifest.

    Raises:
        ValueError: `values` has another form.
    """
    if not isinstance(values, list):
        raise ValueError("the segments are not a list")
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
    """Check that a manifest lists the files of a segment, with possible sizes.

    Raises:
        IndexDamagedError: a file is not listed, or is too small for the vectors.
    """
    files = {name: listed(folder, snapshot, name) for name in info.files}
    size = files[info.vectors_file].size
    if info.vector_rows * dim * info.vectors.bytes > size:  # before memory is allocated
        reason = f"{size:,} bytes cannot hold {info.vector_rows:,} vectors of {dim:,} numbers"
        raise damaged(folder, Damage(info.vectors_file, reason))


def listed(folder: Path, snapshot: Snapshot, name: str) -> StoredFile:
    """Return the entry of a file in a manifest.

    Raises:
        IndexDamagedError: the manifest does not list the file.
    """
    try:
        return snapshot.files[name]
    except KeyError:
        raise damaged(folder, Damage(name, "the manifest does not list it")) from None
