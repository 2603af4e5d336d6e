"""Opening the segments of a part: the class that reads each kind, and the limit of open files."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from taskembed.index._segments.info import SegmentInfo
from taskembed.index._segments.segment import Segment
from taskembed.index.contents import Part
from taskembed.index.disk.files import allow_handles
from taskembed.index.disk.manifests import Snapshot
from taskembed.index.storage import Kind

HANDLES_PER_SEGMENT = 9  # eight files, one opened a second time by SQLite; four stay open
HANDLES_PER_VIEW = 3  # of each view after the first


def open_segment(folder: Path, snapshot: Snapshot, info: SegmentInfo, *dims: int) -> Segment:
    """Open a segment; the caller calls its `check` before anything else.

    Args:
        folder: the folder of the index.
        snapshot: the generation.
        info: the segment's entry in the manifest.
        dims: the dimension of each of its views.

    Raises:
        FileNotFoundError: a file is missing; a writer may have removed it with its generation.
        IndexDamagedError: a file is damaged.
    """
    if info.kind is Kind.FORMAT_1:
        from taskembed.index.legacy.segment import SegmentOfFormat1  # hardly any index has one

        return SegmentOfFormat1(folder, snapshot, info, *dims)
    return Segment(folder, snapshot, info, *dims)


def open_segments(folder: Path, snapshot: Snapshot, part: Part) -> list[Segment]:
    """Open the segments of a part; the caller checks those that are not checked, and closes all.

    If the process may not open all files at the same time, each segment is checked and loaded
    immediately, so that some of its files can be closed.

    Raises:
        FileNotFoundError: a file is missing; a writer may have removed it with its generation.
        IndexDamagedError: a file is damaged.
    """
    with ExitStack() as stack:
        segments = []
        is_roomy = allow_handles(HANDLES_PER_SEGMENT * len(part.segments))
        for info in part.segments:
            segment = open_segment(folder, snapshot, info, *part.dims)
            stack.callback(segment.close)
            segments.append(segment)
            if not is_roomy:
                segment.check()
                segment.release_handles()
        stack.pop_all()
    return segments
