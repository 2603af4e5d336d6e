"""Defaults and choices that the command line shows in its help; this module imports nothing."""

from __future__ import annotations

from enum import StrEnum

COMMIT_EVERY = 20_000  # documents; about one second of work with the fastest model
PRUNE_LIMIT = 20.0  # per cent; a truncated input usually lacks more of the documents
DEDUP_THRESHOLD = 0.95  # least cosine of near duplicates; see docs/how-to/find-duplicates.md


class OnDuplicate(StrEnum):
    """Which of two documents with the same id is kept; or a repeated id is an error."""

    LAST = "last"
    FIRST = "first"
    ERROR = "error"


class HeadName(StrEnum):
    """How a label is chosen: by the better of knn and centroid, or one that is named."""

    AUTO = "auto"
    KNN = "knn"
    CENTROID = "centroid"
    LOGREG = "logreg"
