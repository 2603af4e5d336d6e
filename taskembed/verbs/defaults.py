"""Defaults and choices that the command line shows in its help; this module imports nothing."""

from __future__ import annotations

from enum import StrEnum

COMMIT_EVERY = 20_000  # documents; about one second of work with the fastest model
PRUNE_LIMIT = 20.0  # per cent; a truncated input usually lacks more of the documents
DEDUP_THRESHOLD = 0.95  # least cosine of near duplicates; see docs/how-to/find-duplicates.md


class OnDuplicate(StrEnum):
    """What to do with two documents with the same id: keep one of them, or raise an error."""

    LAST = "last"
    FIRST = "first"
    ERROR = "error"


class HeadName(StrEnum):
    """The classifier head; "auto" is the more accurate of knn and centroid."""

    AUTO = "auto"
    KNN = "knn"
    CENTROID = "centroid"
    LOGREG = "logreg"
