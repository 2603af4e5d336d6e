"""What a run does with each stored document, and where a document was found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from taskembed.index._segments.info import SegmentInfo
from taskembed.index._segments.segment import Segment
from taskembed.index.documents import StoredDocument
from taskembed.vectors import Flags


class Outcome(IntEnum):
    """What the current run did with a stored document."""

    UNSEEN = 0
    UNCHANGED = 1
    ADDED = 2
    UPDATED = 3


@dataclass
class OpenSegment:
    """A segment and what the current run does to its documents.

    Attributes:
        info: the segment's entry in the newest manifest.
        dead: bool[rows]: the rows that are deleted now.
        outcomes: uint8[rows]: the Outcome of each row.
        segment: the open files; None until they are committed.
    """

    info: SegmentInfo
    dead: Flags
    outcomes: npt.NDArray[np.uint8]
    segment: Segment | None = None

    @classmethod
    def untouched(cls, info: SegmentInfo) -> OpenSegment:
        """Return a committed segment before the run does anything to it."""
        rows = info.rows
        return cls(info, np.zeros(rows, dtype=np.bool_), np.zeros(rows, dtype=np.uint8))

    @property
    def opened(self) -> Segment:
        """The open files.

        Raises:
            RuntimeError: the segment is not committed yet.
        """
        if self.segment is None:
            raise RuntimeError("the segment is not committed yet")
        return self.segment


class Found(NamedTuple):  # half the time of a dataclass, and one is made for each document
    """A stored document, and its segment: None for a document that is not committed yet."""

    document: StoredDocument
    segment: OpenSegment | None
    outcome: Outcome
