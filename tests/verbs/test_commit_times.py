import pytest

from taskembed.verbs._indexing.commit_times import COMMIT_BYTES, CommitTimes


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("began", "committed", "now", "is_due"),
    [
        (0, 0, 1.9, False),  # the first commit is after two seconds
        (0, 0, 2, True),
        (0, 6, 9, False),  # after 9 s, half of the time so far may be lost: 4.5 s
        (0, 6, 12, True),  # after 12 s: 6 s
        (0, 1_000, 1_059, False),  # never more than a minute
        (0, 1_000, 1_060, True),
    ],
)
def test_a_run_commits_often_at_first_and_then_once_a_minute(
    began: float, committed: float, now: float, is_due: object
) -> None:
    clock = Clock()
    times = CommitTimes(clock, commit_every=20_000)
    clock.now = began
    times.begin()
    clock.now = committed
    times.committed()
    clock.now = now
    assert times.is_due(documents=1, size_bytes=1) is is_due


def test_many_documents_or_bytes_are_committed_at_once_and_nothing_is_not() -> None:
    times = CommitTimes(Clock(), commit_every=10)
    times.begin()
    assert not times.is_due(9, COMMIT_BYTES - 1)
    assert times.is_due(10, 1)
    assert times.is_due(1, COMMIT_BYTES)
    assert not times.is_due(0, COMMIT_BYTES)


def test_only_the_first_beginning_counts() -> None:
    clock = Clock()
    times = CommitTimes(clock, commit_every=10)
    times.begin()
    clock.now += 2
    times.begin()
    assert times.is_due(1, 1)
