"""Measures recall and time of a search by codes, with an index's own vectors as queries."""

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
from taskembed.index.ranking.hits import Hit
from taskembed.index.reader import Index
from taskembed.index.update import remember_tuning
from taskembed.space import Task
from taskembed.vectors import FloatRows
from taskembed.verbs.opening.encoders import require_task

SAMPLE = 400  # queries; above about 330, exact search multiplies matrices, which is much faster
TIMED = 20  # queries whose exact search is timed, one at a time
DEPTHS = (50, 100, 200, 400, 1_000)  # numbers of candidates to measure
_HITS = 10


@dataclass(frozen=True, slots=True)
class Tried:
    """Recall and time of a search with one number of candidates.

    Attributes:
        candidates: the number of candidates; None for an exact search.
        recall: the share of the exact best ten that is found, 0 to 1.
        milliseconds: the median time of a single query.
    """

    candidates: int | None
    recall: float
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Tuning:
    """The measurements of an index.

    Attributes:
        task: the task of the view that was measured.
        queries: the number of the index's vectors that were used as queries.
        documents: the number of documents at the time of the measurement.
        default: the default number of candidates.
        tried: the measurements, the exact search last.
        measured_at: the time of the measurement, ISO 8601, UTC.
        is_remembered: whether the figures could be written to the index.
    """

    task: Task
    queries: int
    documents: int
    default: int
    tried: list[Tried]
    measured_at: str
    is_remembered: bool = False

    def to_json(self) -> dict[str, object]:
        """Return the measurements as a JSON object."""
        return asdict(self)


def tune_index(
    folder: str | Path,
    *,
    task: Task | str | None = None,
    sample: int = SAMPLE,
    wait_seconds: float = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> Tuning:
    """Measure recall@10 and time for several numbers of candidates.

    The figures of the default number are written to the index, if its folder may be written to.

    Args:
        folder: the folder of the index.
        task: the task of the view to measure; None for the first view.
        sample: the number of the index's vectors to use as queries.
        wait_seconds: how long to wait for another writer.
        clock: returns seconds.

    Raises:
        NotFoundError: there is no index.
        SpaceMismatchError: the index is for another task, or has no view for this one.
        BadInputError: the index has fewer than eleven documents.
        IndexDamagedError: a file differs from what was written.
        IndexBusyError: another process is writing.
        ValueError: sample is below 1, or there is no such task.
    """
    require_positive(sample, "sample")
    task = None if task is None else Task(task)
    with Index.open(folder, task=task) as index, doing("measuring the index"):
        require_task(index.folder, index.space, task, views=index.tasks)
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
        documents, measured_task = len(index), index.space.task
    now = datetime.now(UTC).isoformat(timespec="seconds")
    measured = next((item for item in tried if item.candidates == default), tried[-1])
    figures = {
        "task": measured_task.value,
        "recall_at_10": measured.recall,
        "milliseconds": measured.milliseconds,
        "exact_milliseconds": tried[-1].milliseconds,
        "documents": documents,
        "measured_at": now,
    }
    is_remembered = False
    with suppress(AccessDeniedError):  # the folder may be read-only
        remember_tuning(Path(folder), figures, wait_seconds=wait_seconds)
        is_remembered = True
    return Tuning(measured_task, len(ids), documents, default, tried, now, is_remembered)


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
