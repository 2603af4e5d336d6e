"""Distributes work to workers; a dead one is replaced, and others get its work.

A few shards are in flight at a time, so that memory is bounded. What kills workers again and
again ends the run, with an error that names it.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Protocol

from taskembed.activity import doing
from taskembed.errors import ExitCode, ModelUnavailableError, TaskembedError, UsageError
from taskembed.guard import require_same_space
from taskembed.verbs.workers.job import Job
from taskembed.verbs.workers.worker import Done, Failed, Opened
from taskembed.version import __version__

IN_FLIGHT = 2  # shards of a worker: one is encoded while the next one waits there
MOST_DEATHS = 3  # workers that die of a shard, or before their first one, until the run ends
START_SECONDS = 900.0  # until the first worker is ready: it may compile its model
TICK_SECONDS = 0.5
OTHER_SPACE_HINT = "copy the model's files to that machine again; nothing of it was used"


class WorkerDiedError(Exception):
    """The process of a worker, or its machine, has ended."""


class WorkerError(TaskembedError):
    """An error in a worker, with the exit code that it would have in this process."""

    def __init__(self, reason: str, *, host: str, exit_code: int, hint: str | None) -> None:
        super().__init__(reason, what=f"a worker on {host}", hint=hint)
        self.exit_code = ExitCode(exit_code)


class Backend(Protocol):
    """Starts workers and gives them work; a future stands for a result that is to come."""

    def start_worker(self, job: Job) -> tuple[Hashable, Hashable]:
        """Start a worker, which opens its model; return it, and the future for `Opened`."""

    def submit(self, worker: Hashable, texts: Sequence[str]) -> Hashable:
        """Let a worker encode texts; return the future for `Done`."""

    def wait(self, futures: Sequence[Hashable], seconds: float) -> Sequence[Hashable]:
        """Return the futures that are done, once there is one or the time is over."""

    def result(self, future: Hashable) -> Opened | Done | Failed:
        """Return the result of a future that is done.

        Raises:
            WorkerDiedError: the worker died.
        """

    def stop_worker(self, worker: Hashable) -> None:
        """End a worker that died, as far as anything of it is left."""


class Pool:
    """Workers of one job.

    Args:
        backend: starts workers.
        job: their job.
        count: the number of workers.
        clock: returns the time in seconds.
    """

    def __init__(
        self, backend: Backend, job: Job, count: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._backend = backend
        self._job = job
        self._count = count
        self._clock = clock
        self._opening: dict[Hashable, Hashable] = {}  # futures -> workers
        self._ready: list[Hashable] = []
        self._busy: dict[Hashable, tuple[Hashable, int]] = {}  # futures -> workers, shards
        self._lost_early = 0  # workers that died before their first shard, since one was finished
        self._waiting_since = clock()

    def run(self, shards: Sequence[Sequence[str]]) -> Iterator[tuple[int, Done]]:
        """Yield the number of each shard when it is done, in any order.

        Raises:
            TaskembedError: workers die again and again; or one has an error.
            SpaceMismatchError: the model of a worker is in another space.
        """
        self._busy = {future: (worker, -1) for future, (worker, _) in self._busy.items()}
        queue, deaths = deque(range(len(shards))), Counter[int]()
        left = len(shards)
        self._waiting_since = self._clock()
        self._open_first()
        while left:
            self._start_workers()
            self._submit(queue, shards)
            for future in self._backend.wait([*self._opening, *self._busy], TICK_SECONDS):
                if future in self._opening:
                    self._accept(future)
                elif future in self._busy:  # and not lost with its worker a moment ago
                    done = self._finished(future, queue, deaths, shards)
                    if done is not None:
                        left -= 1
                        yield done

    def _open_first(self) -> None:
        """Wait for the first worker: a cluster may have no free CPUs, or may be adding machines."""
        with doing("waiting for the first worker"):
            while not self._ready:
                self._start_workers()
                for future in self._backend.wait([*self._opening], TICK_SECONDS):
                    self._accept(future)

    def _start_workers(self) -> None:
        while len(self._ready) + len(self._opening) < self._count:
            worker, future = self._backend.start_worker(self._job)
            self._opening[future] = worker
        waited = self._clock() - self._waiting_since
        if not self._ready and waited > START_SECONDS:
            raise ModelUnavailableError(
                f"no worker was ready within {waited / 60:.0f} minutes",
                hint="does the cluster have free CPUs? `ray status` tells; ask for fewer: "
                "--workers 1 --threads 1",
            )

    def _submit(self, queue: deque[int], shards: Sequence[Sequence[str]]) -> None:
        load = Counter(worker for worker, _ in self._busy.values())
        for depth in range(IN_FLIGHT):  # the first to all, then the second
            for worker in self._ready:
                if queue and load[worker] == depth:
                    number = queue.popleft()
                    self._busy[self._backend.submit(worker, shards[number])] = (worker, number)
                    load[worker] += 1

    def _accept(self, future: Hashable) -> None:
        """Use a worker from now on, if it is in the right space."""
        worker = self._opening.pop(future)
        try:
            opened = self._backend.result(future)
        except WorkerDiedError as error:
            self._backend.stop_worker(worker)
            self._lost_early += 1
            if self._lost_early >= MOST_DEATHS * self._count:
                raise ModelUnavailableError(
                    f"{self._lost_early} workers died before they had encoded anything: {error}",
                    hint="is there enough memory for a model in each? --workers takes fewer",
                ) from None
            return
        if isinstance(opened, Failed):
            raise _error(opened)
        assert isinstance(opened, Opened)  # noqa: S101  # the result of `start_worker`
        require_fit(opened, self._job)
        self._ready.append(worker)

    def _finished(
        self,
        future: Hashable,
        queue: deque[int],
        deaths: Counter[int],
        shards: Sequence[Sequence[str]],
    ) -> tuple[int, Done] | None:
        """Return the result of a shard; None if its worker died, so that others encode it."""
        try:
            done = self._backend.result(future)
        except WorkerDiedError as error:
            self._reassign(self._busy[future][0], queue, deaths, shards, error)
            return None
        _, number = self._busy.pop(future)
        if isinstance(done, Failed):
            raise _error(done)
        assert isinstance(done, Done)  # noqa: S101  # the result of `submit`
        self._lost_early = 0
        return None if number < 0 else (number, done)

    def _reassign(
        self,
        worker: Hashable,
        queue: deque[int],
        deaths: Counter[int],
        shards: Sequence[Sequence[str]],
        error: WorkerDiedError,
    ) -> None:
        """Give the work of a dead worker to others; it died while it encoded its oldest shard."""
        lost = {future: number for future, (owner, number) in self._busy.items() if owner == worker}
        for future in lost:
            del self._busy[future]
        self._ready.remove(worker)
        self._backend.stop_worker(worker)
        self._waiting_since = self._clock()
        numbers = [number for number in lost.values() if number >= 0]
        queue.extendleft(reversed(numbers))
        if not numbers:
            return
        deaths[numbers[0]] += 1
        if deaths[numbers[0]] >= MOST_DEATHS:
            texts = shards[numbers[0]]
            raise WorkerError(
                f"{MOST_DEATHS} workers died while they encoded the same {len(texts):,} texts, "
                f"the first of which begins {texts[0][:40]!r}: {error}",
                host="the cluster",
                exit_code=ExitCode.MODEL_UNAVAILABLE,
                hint="is there enough memory? What was committed is safe; with --engine local "
                "the same texts are encoded here",
            )


def require_fit(opened: Opened, job: Job) -> None:
    """Refuse a worker of another version, of another space, or without the folder.

    Raises:
        ModelUnavailableError: its taskembed is another.
        UsageError: it does not see the folder for shards.
        SpaceMismatchError: its model has other weights, or another space for any other reason.
    """
    if opened.version != __version__:
        raise ModelUnavailableError(
            f"the worker on {opened.host} has taskembed {opened.version}, and this is "
            f"{__version__}",
            hint="install the same version on every machine of the cluster",
        )
    for ours, theirs in zip(job.spaces, opened.spaces, strict=True):
        require_same_space(ours, theirs, hint=OTHER_SPACE_HINT, what=f"the worker on {opened.host}")
    if not opened.sees_folder:
        raise UsageError(
            f"the worker on {opened.host} does not see the folder {job.folder}",
            hint="put the index into a folder that all machines share: --index FOLDER",
        )


def _error(failed: Failed) -> WorkerError:
    return WorkerError(
        failed.reason, host=failed.host, exit_code=failed.exit_code, hint=failed.hint
    )
