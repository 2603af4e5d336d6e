"""Adding a view to an index, from the stored texts, and removing one; each in one commit.

    add_view(folder, space, encode, made_by)
    drop_view(folder, Task.SIMILARITY)

The vectors of the other views stay as they are. Until the commit nothing changes for a reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from taskembed.activity import Step
from taskembed.batches import batched
from taskembed.errors import NotFoundError, UsageError
from taskembed.index._opening import open_segments
from taskembed.index._segments.info import SegmentInfo, ViewFiles, stem_of
from taskembed.index._segments.segment import Segment
from taskembed.index.contents import Contents, Part, View
from taskembed.index.disk.commit import StoreWriter, open_writer
from taskembed.index.disk.fs import Fs
from taskembed.index.kinds import rows as stored_rows
from taskembed.index.kinds.rabitq import SAMPLE_ROWS, CodesBuilder
from taskembed.index.storage import Kind, VectorType
from taskembed.index.view_parts import Encode, ViewParts, remove_parts
from taskembed.space import EmbeddingSpace, Task
from taskembed.vectors import FloatRows

AT_ONCE = 4_096  # texts that are encoded together


def add_view(  # noqa: PLR0913  # all but the first four are optional and named
    folder: Path,
    space: EmbeddingSpace,
    encode: Encode,
    made_by: Callable[[], Mapping[str, str]],
    *,
    step: Step | None = None,
    wait_seconds: float = 0,
    fs: Fs | None = None,
) -> int:
    """Encode every stored text for one more task; return the number of documents.

    Args:
        folder: the folder of the index.
        space: the space of the new view; its template is replaced by that of the index.
        encode: yields positions of texts, int64[m], and their vectors, float32[m, dim]. Its errors
            are passed on; the index is then unchanged, and the next run reuses these vectors.
        made_by: returns what made the vectors, for people; called before and after encoding.
        step: progress; its `done` is the number of documents encoded so far.
        wait_seconds: how long to wait for another writer.
        fs: writes the files; None for the real file system.

    Raises:
        NotFoundError: there is no index.
        UsageError: the index already has a view for the task, or has segments of format 1.
        IndexBusyError: another process is writing.
        IndexDamagedError: a file is damaged.
        BadVectorError: a vector has a number that fp16 cannot hold.
    """
    with _contents(folder, wait_seconds, fs) as (store, contents):
        part = contents.live
        if space.task in part.tasks:
            raise UsageError(f"{folder} has a view for the task {space.task.value!r}")
        if any(info.kind is Kind.FORMAT_1 for info in part.segments):
            raise UsageError(
                f"{folder} has segments of an old format, which have no views",
                hint=f"taskembed compact --index {folder}",
            )
        space = replace(space, template=part.space.template)
        parts = ViewParts(store, space, made_by().get("precision", ""))
        infos = []
        for segment in _opened(store, part):
            blocks = _blocks(segment, parts, encode, step)
            files = _write(store, segment, space, blocks, part.storage.vectors)
            infos.append(replace(segment.info, views=(*segment.info.views, files)))
        further = (*part.further, View(space, dict(made_by())))
        part = replace(part, further=further, segments=tuple(infos))
        _commit(store, replace(contents, live=part))
        remove_parts(store)
        return part.documents


def drop_view(
    folder: Path, task: Task, *, wait_seconds: float = 0, fs: Fs | None = None
) -> tuple[Task, ...]:
    """Remove a view; return the tasks of the others. The next commit frees its disk space.

    What a stopped `add_view` for the task left is removed too, and if that is all, nothing else.

    Raises:
        NotFoundError: there is no index.
        UsageError: the index has no view for the task, or no other view.
        IndexBusyError: another process is writing.
        IndexDamagedError: the manifest is damaged.
    """
    with _contents(folder, wait_seconds, fs) as (store, contents):
        part = contents.live
        listed = ", ".join(other.value for other in part.tasks)
        if remove_parts(store, [task]) and task not in part.tasks:
            return part.tasks
        if task not in part.tasks:
            raise UsageError(f"{folder} has no view for the task {task.value!r}: it has {listed}")
        kept = [number for number, other in enumerate(part.tasks) if other is not task]
        if not kept:
            raise UsageError(f"{task.value} is the only view of {folder}")
        # without a task, they were written when `tune` measured only the first view
        measured = contents.tuning.get("task", part.tasks[0].value)
        tuning = {} if measured == task.value else contents.tuning
        _commit(store, replace(contents, live=part.with_views(kept), tuning=tuning))
        return tuple(part.tasks[number] for number in kept)


@contextmanager
def _contents(
    folder: Path, wait_seconds: float, fs: Fs | None
) -> Iterator[tuple[StoreWriter, Contents]]:
    """Take the lock of an index, and yield the store and the contents of its newest generation."""
    if not folder.exists():
        raise NotFoundError(f"no index at {folder}", hint="check --index")
    with open_writer(folder, wait_seconds=wait_seconds, fs=fs) as store:
        if store.snapshot is None:
            raise NotFoundError(f"no index at {folder}", hint="check --index")
        contents = Contents.of(folder, store.snapshot)
        remove_parts(store, contents.live.tasks)  # of a run that was killed after its commit
        yield store, contents


def _commit(store: StoreWriter, contents: Contents) -> None:
    names = [name for part in contents.parts for name in part.files]
    store.commit(contents.to_json(), names)


def _opened(store: StoreWriter, part: Part) -> Iterator[Segment]:
    """Open and yield the segments one by one, after checking every byte of each."""
    if store.snapshot is None:
        raise RuntimeError("there is no index to add a view to")
    for info in part.segments:
        with ExitStack() as stack:
            alone = replace(part, segments=(info,))
            for segment in open_segments(store.folder, store.snapshot, alone):
                stack.callback(segment.close)
                segment.check(whole=True)
                yield segment


def _write(
    store: StoreWriter,
    segment: Segment,
    space: EmbeddingSpace,
    blocks: Iterable[FloatRows],
    stored: VectorType,
) -> ViewFiles:
    """Write the vectors of a segment for a new view."""
    rows = segment.info.vector_rows
    kind = Kind.RABITQ if segment.info.kind is Kind.RABITQ else Kind.FLAT
    stem = stem_of(segment.info.name, store.next_generation, space.task.value)
    info = replace(segment.info, stem=stem, kind=kind, vectors=stored, views=())
    sums = [np.empty(0, "<u4")]
    with store.new_file(info.vectors_file) as file:
        file.write(stored_rows.header(rows, space.dim, stored))
        for block in blocks:
            stored_rows.require_storable(block, stored)
            raw = stored_rows.to_raw(block, stored)
            file.write(raw.reshape(-1).data)
            sums.append(stored_rows.sums_of(raw))
    store.write(info.sums_file, np.concatenate(sums).astype("<u4").tobytes())
    if kind is Kind.RABITQ:
        _write_codes(store, info, space.dim)
    return ViewFiles(stem, kind, stored)


def _blocks(
    segment: Segment, parts: ViewParts, encode: Encode, step: Step | None
) -> Iterator[FloatRows]:
    """Yield the vectors of a segment, float32[n, dim] a block; zeros for deleted documents."""
    filled = 0
    for batch in batched(_texts(segment), AT_ONCE):
        numbers = np.array([number for number, _, _ in batch], np.int64)
        doc_ids = [doc_id for _, _, doc_id in batch]
        vectors = parts.vectors([text for _, text, _ in batch], doc_ids, encode)
        block = np.zeros((int(numbers[-1]) + 1 - filled, vectors.shape[1]), np.float32)
        block[numbers - filled] = vectors
        filled += len(block)
        if step:
            step.done += len({doc_id for _, _, doc_id in batch})
        yield block
    yield np.zeros((segment.info.vector_rows - filled, parts.dim), np.float32)


def _texts(segment: Segment) -> Iterator[tuple[int, str, str]]:
    """Yield the number of each vector, ascending, with its text and the id of its document."""
    for document in segment.live_documents():
        if segment.chunks is None:
            yield document.row, document.text, document.doc_id
            continue
        for number in segment.chunks.vectors_of(document.row).tolist():
            begin, end = segment.chunks.cuts[number].tolist()
            yield number, document.text[begin:end], document.doc_id


def _write_codes(store: StoreWriter, info: SegmentInfo, dim: int) -> None:
    """Write the codes of vectors that were just written, which need the mean of all of them."""
    step = max(1, info.vector_rows // SAMPLE_ROWS)
    some, at = [], 0
    for block in _read_back(store, info, dim):
        some.append(block[-at % step :: step])
        at += len(block)
    codes = CodesBuilder(np.concatenate(some))
    for block in _read_back(store, info, dim):
        codes.add(block)
    with store.new_file(info.codes_file) as file:
        codes.write(file.write)


def _read_back(store: StoreWriter, info: SegmentInfo, dim: int) -> Iterator[FloatRows]:
    row_bytes = dim * info.vectors.bytes
    with (store.folder / info.vectors_file).open("rb") as file:
        file.seek(stored_rows.header_bytes(info.vectors))
        while data := file.read(row_bytes * AT_ONCE):
            raw = np.frombuffer(data, np.uint8).reshape(-1, row_bytes)
            yield stored_rows.to_vectors(raw, info.vectors)
