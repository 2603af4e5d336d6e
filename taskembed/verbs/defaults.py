"""Defaults and choices that the command line shows in its help: nothing is imported for them."""

from __future__ import annotations

from enum import StrEnum

COMMIT_EVERY = 20_000  # documents; one second of them is lost with the fastest model
PRUNE_LIMIT = 20.0  # per cent; an input that was cut short lacks more than that
DEDUP_THRESHOLD = 0.95  # of the cosine of near duplicates; see docs/how-to/find-duplicates.md


class OnDuplicate(StrEnum):
    """What to do when one run has an id twice: the last stays, the first stays, it is an error."""

    LAST = "last"
    FIRST = "first"
    ERROR = "error"


class HeadName(StrEnum):
    """How a label is chosen: by the better of knn and centroid, or one that is named."""

    AUTO = "auto"
    KNN = "knn"
    CENTROID = "centroid"
    LOGREG = "logreg"
