"""What the codes of an index cost in recall, and gain in time, measured on its own vectors."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from taskembed.activity import doing
from taskembed.arguments import require_positive
from taskembed.errors import AccessDeniedError, BadInputError
from taskembed.index.hits import Hit
from taskembed.index.reader import Index
from taskembed.index.update import remember_tuning
from taskembed.vectors import FloatRows

SAMPLE = 400  # queries; from some 330 on, a million documents are scored in seconds
TIMED = 20  # queries that are timed, one at a time
DEPTHS = (50, 100, 200, 500, 1_000)  # candidates of a query
_HITS = 10


@dataclass(frozen=True, slots=True)
class Tried:
    """What a search finds and takes with one number of candidates.

    Attributes:
        candidates: of a query in each segment; None for all rows, which is an exact search.
        recall: the share of the exact best ten that it finds.
        milliseconds: the median of one query at a time.
    """

    candidates: int | None
    recall: float
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was measured of an index.

    Attributes:
        queries: vectors of the index that were the queries; none finds itself.
        documents: in the index then.
        default: the candidates of a search as it is.
        tried: what was measured, the exact search last.
        measured_at: ISO 8601, UTC.
        is_remembered: whether it could be written beside the index.
    """

    queries: int
    documents: int
    default: int
    tried: list[Tried]
    measured_at: str
    is_remembered: bool = False

    def to_json(self) -> dict[str, object]:
        """Return it as what JSON can hold."""
        return asdict(self)


def tune_index(
    folder: str | Path,
    *,
    sample: int = SAMPLE,
    wait_seconds: float = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> Tuning:
    """Measure recall@10 and time by the number of candidates; the index remembers the default's.

    Args:
        folder: the index.
        sample: how many of its vectors are queries.
        wait_seconds: how long to wait for another writer.
        clock: returns seconds.

    Raises:
        NotFoundError: there is no index.
        BadInputError: it has fewer than eleven documents.
        IndexDamagedError: a file is not what was written.
        IndexBusyError: another process is writing.
        ValueError: sample is below 1.
    """
    require_positive(sample, "sample")
    with Index.open(folder) as index, doing("measuring the index"):
        if len(index) <= _HITS:
            raise BadInputError(
                f"{len(index)} documents are too few to measure",
                what=str(folder),
                hint="an index of so few documents is searched exactly",
            )
        ids, vectors = index.sample(sample)
        best = index.nearest(vectors, _HITS + 1, exact=True)
        exact = [_others(hits, doc_id) for hits, doc_id in zip(best, ids, strict=True)]
        tried = [_tried(index, ids, vectors, exact, depth, clock) for depth in DEPTHS]
        tried.append(_tried(index, ids, vectors, exact, None, clock))
        default = index.candidates(_HITS)
        documents = len(index)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    measured = next((item for item in tried if item.candidates == default), tried[-1])
    figures = {
        "recall_at_10": measured.recall,
        "milliseconds": measured.milliseconds,
        "exact_milliseconds": tried[-1].milliseconds,
        "documents": documents,
        "measured_at": now,
    }
    is_remembered = False
    with suppress(AccessDeniedError):  # of a folder that may only be read
        remember_tuning(Path(folder), figures, wait_seconds=wait_seconds)
        is_remembered = True
    return Tuning(len(ids), documents, default, tried, now, is_remembered)


def _tried(
    index: Index,
    ids: list[str],
    vectors: FloatRows,
    exact: list[set[str]],
    depth: int | None,
    clock: Callable[[], float],
) -> Tried:
    seconds, shares = [], []
    count = min(TIMED, len(ids)) if depth is None else len(ids)
    for row in range(count):
        began = clock()
        hits = index.nearest(
            vectors[row : row + 1], _HITS + 1, exact=depth is None, candidates=depth
        )[0]
        seconds.append(clock() - began)
        shares.append(len(_others(hits, ids[row]) & exact[row]) / _HITS)
    recall = 1.0 if depth is None else float(np.mean(shares))
    return Tried(depth, round(recall, 4), round(float(np.median(seconds)) * 1000, 2))


def _others(hits: list[Hit], doc_id: str) -> set[str]:
    """Return the best ten ids without the query's own."""
    return set([hit.doc_id for hit in hits if hit.doc_id != doc_id][:_HITS])
