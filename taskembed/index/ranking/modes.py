"""The modes of a search and the methods of fusion, in a module that is cheap to import."""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """What a search compares."""

    DENSE = "dense"  # the vectors
    WORDS = "words"  # BM25
    HYBRID = "hybrid"  # both


class Method(StrEnum):
    """How the two lists of hits of a hybrid search are combined."""

    CONVEX = "convex"
    RRF = "rrf"
