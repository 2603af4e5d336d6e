"""Updating an index: take its lock, choose the part to write, and refuse another space.

To re-create an index, a new part is built beside the live one and replaces it at the end, so that
readers search the old part until the new one is complete.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from taskembed.errors import IndexDamagedError, NotFoundError, SpaceMismatchError
from taskembed.guard import require_same_space
from taskembed.index.chunking import require_same_rule
from taskembed.index.contents import Contents, Part, View
from taskembed.index.disk.commit import StoreWriter, open_writer
from taskembed.index.disk.fs import Fs
from taskembed.index.remembered import Reading, require_same_ids
from taskembed.index.storage import DEFAULT_STORAGE, Storage
from taskembed.index.view_parts import remove_parts
from taskembed.index.writer import IndexWriter
from taskembed.space import EmbeddingSpace, Task

OTHER_SPACE_HINT = (  # the hint for an index of another space
    "leave out the options that differ to add to this index; or keep it and build another one with "
    "--index OTHER; or replace it with --recreate. Nothing was changed"
)


@contextmanager
def open_index_writer(  # noqa: PLR0913  # all but the first two are optional and named
    folder: Path,
    space: EmbeddingSpace,
    *,
    further: Sequence[EmbeddingSpace] = (),
    recreate: bool = False,
    reading: Reading | None = None,
    storage: Callable[[Storage], Storage] = lambda storage: storage,
    new_storage: Storage = DEFAULT_STORAGE,
    wait_seconds: float = 0,
    fs: Fs | None = None,
) -> Iterator[IndexWriter]:
    """Take the lock of an index and yield its writer, which creates the index if there is none.

    Args:
        folder: the folder of the index.
        space: the embedding space of the vectors.
        further: the spaces of the views after the first, in the order of the index.
        recreate: build a new index beside the live one, which it replaces when it is complete; a
            build that an earlier run began in the same space is continued.
        reading: how the input is read; stored for later runs.
        storage: a function of how segments were stored so far: returns how new ones are stored.
        new_storage: the argument of `storage` if there is no index yet.
        wait_seconds: how long to wait for another writer.
        fs: writes the files; None for the real file system.

    Raises:
        SpaceMismatchError: the index has another space, or other views; nothing was changed.
        UsageError: its ids come from another field, its documents are cut into other chunks, or
            the folder has other files than those of an index.
        IndexBusyError: another process is writing.
        IndexDamagedError: a file is damaged, and `recreate` is false.
    """
    with open_writer(folder, wait_seconds=wait_seconds, over_damage=recreate, fs=fs) as store:
        views = tuple(View(other) for other in further)
        new = Part(space, storage=new_storage, further=views)
        contents, rebuilding = _begin(store, new, reading, storage, recreate=recreate)
        remove_parts(store, contents.live.tasks)
        try:
            part = contents.building if rebuilding and contents.building else contents.live
            writer = IndexWriter(
                store,
                contents,
                rebuilding=rebuilding,
                reading=reading,
                spaces=(space, *further),
                storage=storage(part.storage),
            )
        except IndexDamagedError:
            if not rebuilding:
                raise
            # the files of the unfinished part are damaged: begin it again
            begun = replace(new, storage=storage(contents.live.storage))
            contents = replace(contents, building=begun)
            writer = IndexWriter(store, contents, rebuilding=True, reading=reading)
        try:
            yield writer
        finally:
            writer.close()


def _begin(
    store: StoreWriter,
    new: Part,
    reading: Reading | None,
    storage: Callable[[Storage], Storage],
    *,
    recreate: bool,
) -> tuple[Contents, bool]:
    if store.snapshot is None or (recreate and not store.snapshot.body):
        return Contents(new), False
    try:
        contents = Contents.of(store.folder, store.snapshot)
    except IndexDamagedError:
        if not recreate:
            raise
        store.snapshot = replace(store.snapshot, body={})  # as if it had been empty
        return Contents(new), False
    if not recreate:
        if contents.live.is_new:
            return replace(contents, live=new), False
        _require_same(contents.live, new, reading, storage)
        return contents, False
    begun = contents.building
    if begun is None or not _continues(begun, new, reading, storage):
        contents = replace(contents, building=replace(new, storage=contents.live.storage))
    return contents, True


def _require_same(
    live: Part,
    new: Part,
    reading: Reading | None,
    storage: Callable[[Storage], Storage],
) -> None:
    require_same_space(live.space, new.space, hint=OTHER_SPACE_HINT)
    if live.tasks != new.tasks:
        raise SpaceMismatchError(
            f"the index has the views {_listed(live.tasks)}, not {_listed(new.tasks)}: "
            "the views of an index are updated together",
            hint="give one encoder for each view, in this order. Nothing was changed",
        )
    for ours, theirs in zip(live.further, new.further, strict=True):
        require_same_space(ours.space, theirs.space, hint=OTHER_SPACE_HINT)
    if reading and live.documents:
        require_same_ids(live.reading, reading)
    if live.segments:
        require_same_rule(live.storage.chunks, storage(live.storage).chunks)


def _listed(tasks: Sequence[Task]) -> str:
    return ", ".join(task.value for task in tasks)


def _continues(
    begun: Part,
    new: Part,
    reading: Reading | None,
    storage: Callable[[Storage], Storage],
) -> bool:
    """Return whether a run can continue the part that a stopped --recreate began."""
    is_same = begun.storage.chunks == storage(begun.storage).chunks
    if not is_same or begun.tasks != new.tasks or _other_ids(begun, reading):
        return False
    views = zip(begun.views, new.views, strict=True)
    return not any(ours.space.differences(theirs.space) for ours, theirs in views)


def _other_ids(part: Part, reading: Reading | None) -> bool:
    return bool(reading and part.reading and reading.id_field != part.reading.id_field)


def remember_tuning(folder: Path, tuning: Mapping[str, object], *, wait_seconds: float = 0) -> None:
    """Commit the figures that `tune` measured, as a new generation of the index.

    Raises:
        IndexBusyError: another process is writing.
        NotFoundError: there is no index.
        AccessDeniedError: the folder may not be written to.
    """
    _recommit(folder, lambda contents: replace(contents, tuning=tuning), wait_seconds)


def identify(folder: Path, *, wait_seconds: float = 0) -> None:
    """Give an index that has none an identity, in a new generation.

    Raises:
        NotFoundError: there is no index.
        IndexBusyError: another process is writing.
        AccessDeniedError: the folder may not be written to.
    """

    def identified(contents: Contents) -> Contents:
        if contents.identity:  # another process may have given it one
            return contents
        return replace(contents, identity=secrets.token_hex(16))

    _recommit(folder, identified, wait_seconds)


def _recommit(folder: Path, change: Callable[[Contents], Contents], wait_seconds: float) -> None:
    """Commit a change of the contents as a new generation of the same segments, if there is one."""
    with open_writer(folder, wait_seconds=wait_seconds) as store:
        if store.snapshot is None:
            raise NotFoundError(f"no index at {folder}", hint="check --index")
        contents = Contents.of(folder, store.snapshot)
        changed = change(contents)
        if changed is not contents:
            names = [name for part in changed.parts for name in part.files]
            store.commit(changed.to_json(), names)
