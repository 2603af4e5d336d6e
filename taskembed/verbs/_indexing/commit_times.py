"""Decides when a run commits: often at its beginning, then once a minute."""

from __future__ import annotations

from collections.abc import Callable

COMMIT_SECONDS = 60.0  # longest time between commits: the work that a kill can lose
FIRST_COMMIT_SECONDS = 2.0  # the first commit is early, so that even a short run makes progress
COMMIT_BYTES = 128 * 2**20  # most bytes of texts, metadata and vectors between two commits


class CommitTimes:
    """Decides when a run commits.

    Args:
        clock: returns seconds.
        commit_every: most documents between two commits.
    """

    def __init__(self, clock: Callable[[], float], commit_every: int) -> None:
        self._clock = clock
        self._commit_every = commit_every
        self._began: float | None = None
        self._committed_at = 0.0

    def begin(self) -> None:
        """Note that the run begins to encode; later calls do nothing."""
        if self._began is None:
            self._began = self._committed_at = self._clock()

    def committed(self) -> None:
        """Note that the run has just committed."""
        self._committed_at = self._clock()

    def is_due(self, documents: int, size_bytes: int) -> bool:
        """Return whether to commit now.

        Args:
            documents: the number of documents encoded since the last commit.
            size_bytes: the bytes of memory that these documents take.
        """
        now = self._clock()
        so_far = now - (now if self._began is None else self._began)
        may_be_lost = min(COMMIT_SECONDS, max(FIRST_COMMIT_SECONDS, so_far / 2))
        return documents > 0 and (
            documents >= self._commit_every
            or size_bytes >= COMMIT_BYTES
            or now - self._committed_at >= may_be_lost
        )
