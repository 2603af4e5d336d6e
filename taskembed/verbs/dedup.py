"""Duplicates within an index: documents that have the same meaning as another one.

The index is for the task "similarity". Documents with the same text are exact duplicates; others
are near duplicates if the cosine of their vectors reaches a threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from taskembed.activity import doing
from taskembed.batches import batched
from taskembed.errors import IndexBusyError
from taskembed.index.neighbours import Neighbourhood, rows_of_sample
from taskembed.index.ranking.positions import Positions
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.vectors import Flags, Rows
from taskembed.verbs.deduplicating.duplicates import (
    Duplicate,
    Keep,
    KeepRule,
    read_texts,
    require_dedup_index,
    require_threshold,
)
from taskembed.verbs.deduplicating.leaders import Leaders
from taskembed.verbs.defaults import DEDUP_THRESHOLD
from taskembed.verbs.delete import open_for_deletion

_AT_ONCE = 512  # documents that are read together


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Documents connected by pairs of near duplicates; two of them may not be near each other.

    Attributes:
        doc_ids: the ids of all members, in the order in which they were indexed.
        kept: the ids of the members that are kept.
    """

    doc_ids: list[str]
    kept: list[str]


@dataclass(frozen=True, slots=True)
class Duplicates:
    """The duplicates of an index.

    Attributes:
        documents: the number of documents in the index.
        threshold: the least cosine of near duplicates.
        generation: the number of the index's generation.
        dropped: the documents that are not kept, in the order in which they were indexed.
        groups: connected documents; empty if they were not asked for.
        pairs: the number of pairs of different texts that are near duplicates.
        is_kept: bool[documents]: whether the document at a position is kept.
    """

    documents: int
    threshold: float
    generation: int
    dropped: list[Duplicate]
    groups: tuple[DuplicateGroup, ...]
    pairs: int
    is_kept: Flags

    @property
    def kept(self) -> int:
        """The number of documents that are kept."""
        return self.documents - len(self.dropped)

    @property
    def exact(self) -> int:
        """The number of dropped documents with the same text as the one that is kept for them."""
        return sum(item.exact for item in self.dropped)

    @property
    def near(self) -> int:
        """The number of dropped documents whose text differs from that of the kept document."""
        return len(self.dropped) - self.exact


def find_duplicates(
    index: Index,
    *,
    threshold: float = DEDUP_THRESHOLD,
    keep: Keep | str = KeepRule.FIRST,
    groups: bool = False,
) -> Duplicates:
    """Find the duplicates of an index; nothing is changed, and no model runs.

    The cosine of each dropped document and the one that is kept for it reaches the threshold.

    Args:
        index: an open index for the task "similarity".
        threshold: the lowest cosine of near duplicates, above 0, at most 1.
        keep: which of several duplicates is kept: "first", "longest" or "newest:FIELD".
        groups: whether to find the groups of connected documents too.

    Raises:
        SpaceMismatchError: the index is for another task.
        UsageError: `keep` is none of these, or the values of its field cannot be ordered; or the
            metric of the index is "dot", whose scores have no fixed scale.
        IndexDamagedError: a file differs from what was written.
        TypeError: `index` is not an `Index`.
        ValueError: the threshold is not between 0 and 1, or the index is closed.
    """
    keep = keep if isinstance(keep, Keep) else Keep.parse(keep)
    require_threshold(threshold)
    require_dedup_index(index)
    positions = index.by_position()
    digests, order = read_texts(positions, keep)
    leaders = Leaders(len(positions), with_groups=groups)
    # of documents with equal texts, only the preferred one is compared
    numbers = np.unique(digests[order], return_index=True, return_inverse=True)[1:]
    first, text_number = order[numbers[0]], numbers[1].reshape(-1)
    best = order[np.sort(numbers[0])]
    leaders.choose(best, _neighbourhood(positions, best), positions.vectors_at, threshold)
    best_of = np.empty(len(positions), np.int64)
    best_of[order] = first[text_number]
    copies = np.flatnonzero(best_of != np.arange(len(positions)))
    leaders.keeper[copies] = leaders.keeper[best_of[copies]]
    leaders.score[copies] = leaders.score[best_of[copies]]
    for copy in copies.tolist() if groups else ():
        leaders.join(copy, best_of[[copy]])
    return Duplicates(
        documents=len(positions),
        threshold=threshold,
        generation=index.generation,
        dropped=_dropped(positions, leaders, best_of),
        groups=tuple(_groups(positions, leaders)),
        pairs=leaders.pairs,
        is_kept=leaders.keeper == np.arange(len(positions)),
    )


def kept_documents(index: Index, duplicates: Duplicates) -> Iterator[Document]:
    """Yield the documents of an index that are kept, in the order in which they were indexed.

    Args:
        index: the index that was searched for duplicates, at the same generation.
        duplicates: the result of `find_duplicates` for this index.

    Raises:
        ValueError: the index is of another generation, or closed.
    """
    if index.generation != duplicates.generation:
        raise ValueError("these duplicates are of another generation of the index")
    positions = index.by_position()
    for some in batched(np.flatnonzero(duplicates.is_kept), _AT_ONCE):
        yield from positions.documents_at(np.array(some, np.int64))


def delete_duplicates(
    folder: str | Path,
    duplicates: Duplicates,
    *,
    wait_seconds: float = 0,
    uninterrupted: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> int:
    """Delete the dropped documents from an index in one commit; return their number.

    Args:
        folder: the folder of the index.
        duplicates: the result of `find_duplicates` for this index.
        wait_seconds: how long to wait for another process that writes to the index.
        uninterrupted: returns a context in which no signal raises an exception.

    Raises:
        NotFoundError: there is no index.
        IndexBusyError: another process is writing, or the index has changed since the duplicates
            were found; nothing was deleted.
    """
    path = Path(folder)
    with open_for_deletion(path, wait_seconds) as writer:
        with Index.open(path) as index:  # while the lock is held, no generation is added
            generation = index.generation
        if generation != duplicates.generation:
            raise IndexBusyError(
                f"{folder} has changed since its duplicates were found",
                hint="nothing was deleted; run the same command again",
            )
        if duplicates.dropped:
            with uninterrupted():
                writer.delete([item.doc_id for item in duplicates.dropped])
                writer.commit({})
    return len(duplicates.dropped)


def _neighbourhood(positions: Positions, names: Rows) -> Neighbourhood:
    """Return the vectors at some positions as a set that can be searched."""
    sample = np.random.default_rng(0).permutation(names)[: rows_of_sample(len(names))]
    dim = positions.dim
    with doing("preparing", unit="documents", total=len(names)) as step:
        near = Neighbourhood(len(names), dim, positions.vectors_at(np.sort(sample)))
        for some in batched(np.sort(names), _AT_ONCE * 16):
            here = np.array(some, np.int64)
            near.add([(here, positions.vectors_at(here))])
            step.done += len(here)
    return near


def _dropped(positions: Positions, leaders: Leaders, best_of: Rows) -> list[Duplicate]:
    keeper = leaders.keeper
    found: list[Duplicate] = []
    for some in batched(np.flatnonzero(keeper != np.arange(len(keeper))), _AT_ONCE):
        here = np.array(some, np.int64)
        names = [item.doc_id for item in positions.documents_at(here)]
        kept = [item.doc_id for item in positions.documents_at(keeper[here])]
        exact = best_of[here] == keeper[here]
        found += map(Duplicate, names, kept, leaders.score[here].tolist(), exact.tolist())
    return found


def _groups(positions: Positions, leaders: Leaders) -> Iterator[DuplicateGroup]:
    for members in leaders.groups():
        names = [item.doc_id for item in positions.documents_at(members)]
        is_kept = (leaders.keeper[members] == members).tolist()
        kept = [name for name, kept in zip(names, is_kept, strict=True) if kept]
        yield DuplicateGroup(names, kept)
