"""Describes an index: its space, its documents, its files, and how its input is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from taskembed.activity import doing
from taskembed.english import counted
from taskembed.errors import IndexDamagedError, NotFoundError
from taskembed.index.chunking import require_same_rule
from taskembed.index.contents import Part, read_index
from taskembed.index.disk.generations import names_in
from taskembed.index.disk.manifests import Snapshot, generations_of
from taskembed.index.filtering.filters import FieldDescription
from taskembed.index.reader import Index
from taskembed.index.remembered import Reading, require_same_ids
from taskembed.index.storage import IndexType, VectorType
from taskembed.index.view_parts import added_views
from taskembed.space import EmbeddingSpace, Task
from taskembed.verbs._indexing.view_encoders import shortest
from taskembed.verbs.options import IndexOptions, task_of_input


@dataclass(frozen=True, slots=True)
class ViewDescription:
    """The vectors that an index has for one task.

    Attributes:
        space: the space of the vectors.
        size_bytes: the size of the files of the vectors, their checksums and their codes.
        made_by: the engine, its precision and the version that made the newest vectors.
    """

    space: EmbeddingSpace
    size_bytes: int
    made_by: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class IndexDescription:
    """The facts about an index that `taskembed info` prints.

    Attributes:
        folder: the folder of the index.
        space: the space of its vectors; with several views, that of the first.
        documents: the number of documents.
        truncated: the number of documents that the model truncated; None if it cannot be counted.
        deleted_rows: the number of deleted documents that a later merge will remove.
        segments: the number of segments.
        size_bytes: the size of all files of the newest generation.
        generation: the number of the newest generation.
        generations_kept: the numbers of all generations in the folder.
        committed_at: when the newest generation was written: ISO 8601, UTC.
        made_by: the engine, its precision and the version that made the vectors.
        reading: how the input is read, as the index remembers it.
        is_being_recreated: whether a run with --recreate was stopped before its end.
        notes: sentences for people, such as how to continue a stopped run.
        index_type: how new segments are searched: "auto", "flat", "rabitq".
        vectors: how new vectors are stored: "fp32", "fp16".
        words: the tokenizer, the language and the size in bytes of the stored words; empty if the
            index stores no words.
        tuning: the figures that `tune` measured last; empty if it was never run.
        last_run: the end (`finished_at`: ISO 8601, UTC) and the counts of the last run of `index`
            that was completed; empty if none is known.
        chunking: how documents are cut into chunks, such as "128:25"; "" for no chunks.
        cut_at: the method that chooses where to cut, such as "sentences-1"; "" for no chunks.
        chunks: the number of chunks; 0 if documents are not cut.
        declared: for imported vectors whose space was declared: how many were `compared` with
            those of the model, and their `least_cosine`; empty for other indexes.
        views: for each task, the space and the size of its vectors.
    """

    folder: Path
    space: EmbeddingSpace
    documents: int
    truncated: int | None
    deleted_rows: int
    segments: int
    size_bytes: int
    generation: int
    generations_kept: list[int]
    committed_at: str
    made_by: Mapping[str, str]
    reading: Mapping[str, str]
    is_being_recreated: bool
    notes: tuple[str, ...] = ()
    index_type: str = IndexType.AUTO
    vectors: str = VectorType.FP32
    words: Mapping[str, object] = field(default_factory=dict)
    tuning: Mapping[str, object] = field(default_factory=dict)
    last_run: Mapping[str, object] = field(default_factory=dict)
    chunking: str = ""
    cut_at: str = ""
    chunks: int = 0
    declared: Mapping[str, object] = field(default_factory=dict)
    views: Mapping[Task, ViewDescription] = field(default_factory=dict)

    def seconds_since_run(self, now: datetime) -> float | None:
        """Return the seconds since the last run ended; None if no run is known.

        Args:
            now: the time, with its zone. If the clock was set back, the result may be negative.
        """
        try:
            return (now - datetime.fromisoformat(str(self.last_run["finished_at"]))).total_seconds()
        except (KeyError, ValueError, TypeError):  # a newer version may write it otherwise
            return None

    def to_json(self) -> dict[str, object]:
        """Return the description as a JSON object."""
        return {
            "index": str(self.folder),
            "documents": self.documents,
            "truncated": self.truncated,
            "deleted_rows": self.deleted_rows,
            "segments": self.segments,
            "bytes": self.size_bytes,
            "generation": self.generation,
            "generations_kept": self.generations_kept,
            "committed_at": self.committed_at,
            "last_run": dict(self.last_run),
            "made_by": dict(self.made_by),
            "declared": dict(self.declared),
            "reading": dict(self.reading),
            "being_recreated": self.is_being_recreated,
            "index_type": self.index_type,
            "vectors": self.vectors,
            "chunking": self.chunking,
            "cut_at": self.cut_at,
            "chunks": self.chunks,
            "words": dict(self.words),
            "tuning": dict(self.tuning),
            "views": {
                task.value: {"bytes": view.size_bytes, "made_by": dict(view.made_by)}
                for task, view in self.views.items()
            },
            "space": self.space.to_json(),
            **(
                {
                    "further_spaces": {
                        task.value: view.space.to_json()
                        for task, view in self.views.items()
                        if task is not self.space.task
                    }
                }
                if len(self.views) > 1
                else {}
            ),
        }


def describe_index(folder: str | Path) -> IndexDescription:
    """Describe the newest generation of an index; no lock is taken and no model is loaded.

    Args:
        folder: the folder of the index.

    Raises:
        NotFoundError: there is no index.
        IndexDamagedError: a file is missing or has another size, or the manifest is damaged.
        NewerFormatError: the index was written by a newer taskembed.
    """
    path = Path(folder)
    snapshot, contents = read_index(path)
    live, building = contents.live, contents.building
    truncated, notes = _count_truncated(path)
    return IndexDescription(
        folder=path,
        space=live.space,
        documents=live.documents,
        truncated=truncated,
        deleted_rows=sum(segment.deleted_rows for segment in live.segments),
        segments=len(live.segments),
        size_bytes=sum(file.size for file in snapshot.files.values()),
        generation=snapshot.generation,
        generations_kept=generations_of(names_in(path)),
        committed_at=contents.committed_at,
        made_by=live.made_by,
        reading=live.reading.to_json() if live.reading else {},
        is_being_recreated=building is not None,
        index_type=live.storage.index_type.value,
        vectors=live.storage.vectors.value,
        words=_words(live, snapshot),
        tuning=contents.tuning,
        last_run=contents.last_run,
        chunking=str(live.storage.chunks or ""),
        cut_at=live.storage.chunks.method if live.storage.chunks else "",
        chunks=sum(segment.chunks for segment in live.segments),
        notes=(
            *notes,
            *([half_built(building.documents)] if building else []),
            *map(half_added, sorted(added_views(path) - set(live.tasks))),
        ),
        declared=live.declared,
        views=_views(live, snapshot),
    )


def _views(live: Part, snapshot: Snapshot) -> dict[Task, ViewDescription]:
    described = {}
    for number, view in enumerate(live.views):
        infos = [segment.of_view(number) for segment in live.segments]
        names = [name for info in infos for name in info.vector_files]
        size = sum(snapshot.files[name].size for name in names)
        described[view.space.task] = ViewDescription(view.space, size, view.made_by)
    return described


def _words(live: Part, snapshot: Snapshot) -> dict[str, object]:
    tokenizer = live.storage.words
    if not tokenizer:
        return {}
    names = [segment.words_file for segment in live.segments if segment.words]
    size = sum(snapshot.files[name].size for name in names)
    language = tokenizer.partition(":")[2]
    return {"tokenizer": tokenizer, "language": language, "bytes": size}


def _count_truncated(folder: Path) -> tuple[int | None, list[str]]:
    """Return how many documents the model truncated; or None, and a note with the reason."""
    try:
        with doing("counting the truncated documents"), Index.open(folder) as index:
            return index.count_truncated(), []
    except IndexDamagedError as error:
        return None, [f"the truncated documents cannot be counted: {error.message}"]


def half_built(documents: int) -> str:
    """Return a note about a stopped --recreate, and how to continue it.

    Args:
        documents: the number of documents that the new index has so far.
    """
    return (
        f"a run with --recreate was stopped after {counted(documents, 'document')}: the same "
        "command with --recreate continues it; until then its files are kept"
    )


def half_added(task: Task) -> str:
    """Return a note about a stopped --add-view, and how to continue it."""
    return (
        f"a run with --add-view {task.value} was stopped: the same command continues it; until "
        f"then its vectors are kept, which --drop-view {task.value} removes"
    )


@dataclass(frozen=True, slots=True)
class Existing:
    """The settings of an existing index that a new run continues to use.

    Attributes:
        part: the index's contents; None if there is no index, or it never had a document.
        notes: sentences for people, such as how to continue a stopped run.
    """

    part: Part | None = None
    notes: tuple[str, ...] = ()

    @property
    def space(self) -> EmbeddingSpace | None:
        """The space of its vectors."""
        return self.part.space if self.part else None

    @property
    def words(self) -> str:
        """The name of the tokenizer of the stored words; "" if the index stores no words."""
        return self.part.storage.words if self.part else ""

    @property
    def made_by(self) -> Mapping[str, str]:
        """What made its newest vectors; empty for none."""
        return self.part.made_by if self.part else {}

    def require_chunks(self, options: IndexOptions) -> None:
        """Check that a run may cut documents as requested.

        Raises:
            UsageError: the documents of the index are cut in another way.
            MissingLibraryError: a parser needed for cutting is not installed.
        """
        if self.part and self.part.segments:
            before = self.part.storage
            reads = shortest([view.space for view in self.part.views])
            after = options.storage(before, reads, task_of_input(self.part.tasks))
            require_same_rule(before.chunks, after.chunks)

    def reading(self, asked: Reading, *, recreate: bool = False) -> Reading:
        """Return how the input is read: by the options given, and otherwise as the index remembers.

        Args:
            asked: the options given.
            recreate: whether the index is to be replaced, so that ids from another field do no
                harm.

        Raises:
            UsageError: the ids of the index come from another field.
        """
        if self.part is None:
            return asked
        reading = asked.over(self.part.reading)
        if self.part.documents and not recreate:
            require_same_ids(self.part.reading, reading)
        return reading


def read_existing(folder: str | Path, *, recreate: bool = False) -> Existing:
    """Return the settings of the index in a folder, if there is one, for the next run.

    Args:
        folder: the folder of the index, which may not exist yet.
        recreate: whether the index is to be replaced, so that damage does not matter.

    Raises:
        IndexDamagedError: the index cannot be read, and is not to be replaced.
    """
    try:
        contents = read_index(folder)[1]
    except NotFoundError:
        return Existing()
    except IndexDamagedError:
        if recreate:
            return Existing()
        raise
    notes = (half_built(contents.building.documents),) if contents.building and not recreate else ()
    return Existing(None if contents.live.is_new else contents.live, notes)


def describe_fields(folder: str | Path) -> list[FieldDescription]:
    """Return the fields of the documents' metadata, which filters can name.

    Raises:
        NotFoundError: there is no index.
        IndexDamagedError: a file differs from what was written.
    """
    with Index.open(folder) as index:
        return index.describe_fields()
