"""The deletions file of a segment: one bit for each row, set where the document was deleted."""

from __future__ import annotations

import numpy as np

from taskembed.index._segments.info import SegmentInfo
from taskembed.vectors import Flags


def read_deletions(data: bytes | memoryview, info: SegmentInfo) -> Flags:
    """Return bool[rows] from the bytes that `deletions_bytes` returned.

    Raises:
        ValueError: the bytes are not a deletions file of that segment.
    """
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    flags = bits[: info.rows].astype(np.bool_)
    is_whole = len(flags) == info.rows and deletions_bytes(flags) == data
    if not is_whole or int(flags.sum()) != info.deleted_rows:
        raise ValueError("it does not fit its segment")
    return flags


def deletions_bytes(dead: Flags) -> bytes:
    """Return the bytes of a deletions file; bit i is set if row i is deleted."""
    return np.packbits(dead, bitorder="little").tobytes()
