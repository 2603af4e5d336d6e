"""Checks of every byte of an index: which of its files are damaged."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from taskembed.errors import IndexDamagedError
from taskembed.index._opening import HANDLES_PER_SEGMENT, HANDLES_PER_VIEW, open_segment
from taskembed.index._segments.info import SegmentInfo
from taskembed.index._segments.segment import Segment
from taskembed.index.contents import Contents
from taskembed.index.disk.files import Damage, allow_handles
from taskembed.index.disk.generations import Check, verify
from taskembed.index.disk.manifests import Snapshot


def verify_index(folder: str | Path) -> tuple[Snapshot, list[Damage]]:
    """Read every byte of the newest generation, and check the contents of every file.

    Returns:
        The generation, and its damaged files.

    Raises:
        NotFoundError: there is no index.
        IndexDamagedError: the manifest itself cannot be read.
        NewerFormatError: the index was written by a newer taskembed.
    """
    path = Path(folder)
    with ExitStack() as stack:

        def checks_of(snapshot: Snapshot) -> list[Check]:
            stack.close()  # files that an earlier attempt opened
            contents = Contents.of(path, snapshot)
            infos = [(info, part.dims) for part in contents.parts for info in part.segments]
            views = sum(len(dims) - 1 for _, dims in infos)
            handles = HANDLES_PER_SEGMENT * len(infos) + HANDLES_PER_VIEW * views
            if not allow_handles(handles + len(snapshot.files)):
                return [partial(_damages_of, path, snapshot, info, dims) for info, dims in infos]
            return [partial(_damages, _held(path, snapshot, *item, stack)) for item in infos]

        return verify(path, checks_of)


def _held(
    folder: Path, snapshot: Snapshot, info: SegmentInfo, dims: Sequence[int], stack: ExitStack
) -> Segment | IndexDamagedError:
    """Open a segment now, so that a writer may remove its files before they are checked."""
    try:
        segment = open_segment(folder, snapshot, info, *dims)
    except IndexDamagedError as error:
        return error
    stack.callback(segment.close)
    return segment


def _damages_of(
    folder: Path, snapshot: Snapshot, info: SegmentInfo, dims: Sequence[int]
) -> list[Damage]:
    with ExitStack() as stack:
        return _damages(_held(folder, snapshot, info, dims, stack))


def _damages(segment: Segment | IndexDamagedError) -> list[Damage]:
    """Return the damage of a segment, or the reason why it could not be opened."""
    try:
        if isinstance(segment, IndexDamagedError):
            raise segment
        segment.check()
        return list(segment.check_contents())
    except IndexDamagedError as error:
        return [Damage(error.name, error.reason)]
