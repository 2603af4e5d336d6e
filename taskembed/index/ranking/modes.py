"""What a search goes by, and how two lists of hits become one: names that are cheap to import."""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """What a search goes by."""

    DENSE = "dense"  # the vectors
    WORDS = "words"  # BM25
    HYBRID = "hybrid"  # both


class Method(StrEnum):
    """How two lists become one."""

    CONVEX = "convex"
    RRF = "rrf"
