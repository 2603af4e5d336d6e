"""`--engine ray`: workers of a Ray cluster encode; they are started when there is work."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from taskembed.arguments import require_positive
from taskembed.encoding.settings import EngineSettings
from taskembed.errors import UsageError
from taskembed.verbs._indexing.view_encoders import encoder_of_views, spaces_of
from taskembed.verbs.protocols import Encoder
from taskembed.verbs.workers import cluster
from taskembed.verbs.workers.encoder import WorkersEncoder
from taskembed.verbs.workers.job import Job
from taskembed.verbs.workers.pool import Pool

FOLDER = "shards"  # in the folder of the index


@dataclass(frozen=True, slots=True)
class RayEngine:
    """Encodes with the workers of a Ray cluster.

    Attributes:
        address: HOST:PORT of a cluster, or "auto" for that which this machine is part of; None to
            start workers on this machine.
        workers: the number of workers; None for one for every four CPUs.

    Raises:
        ValueError: `workers` is below 1.
        UsageError: the address is of a kind that is not supported.
        MissingLibraryError: Ray is not installed.
    """

    address: str | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.workers is not None:
            require_positive(self.workers, "workers")
        cluster.require_ray(self.address)

    @contextmanager
    def spread(
        self, encoders: Sequence[Encoder], index: Path, settings: EngineSettings
    ) -> Iterator[WorkersEncoder]:
        """Yield one encoder in place of those of all views; its workers end with the context.

        Args:
            encoders: the encoders of the views, opened in this process.
            index: the folder of the index.
            settings: how the models run in each worker.

        Raises:
            UsageError: a model is behind a server.
        """
        encoder = encoder_of_views(encoders)
        job = Job.of(spaces_of(encoder), index / FOLDER, settings)
        for space in job.spaces:
            if space.hosted:
                raise UsageError(
                    f"--engine ray runs a model on several machines, but {space.model} is behind a "
                    "server",
                    hint="leave out --engine",
                )
        with ExitStack() as stack:
            yield WorkersEncoder(
                encoder, job, self.workers, lambda job: self._started(job, settings, stack)
            )

    def _started(self, job: Job, settings: EngineSettings, stack: ExitStack) -> Pool:
        count, threads = self._local_size(settings)
        connection = stack.enter_context(cluster.connected(self.address, cpus=count * threads))
        if self.address is not None:
            count, threads = self._size(cluster.cpus_of_nodes(connection), settings)
        gpus = 0
        if settings.device == "cuda":
            gpus = 1
            resources = connection.call(connection.ray.cluster_resources)
            count = self.workers or max(1, int(resources.get("GPU", 0)))
        backend = cluster.RayBackend(connection, threads=threads, gpus=gpus)
        return Pool(backend, replace(job, threads=threads), count)

    def _local_size(self, settings: EngineSettings) -> tuple[int, int]:
        """Return the number of workers to start on this machine, and the threads of each."""
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        count = self.workers or max(1, cpus // (settings.threads or cluster.THREADS))
        return count, settings.threads or max(1, cpus // count)

    def _size(self, cpus: Sequence[int], settings: EngineSettings) -> tuple[int, int]:
        """Return the number of workers to start on a cluster, and the threads of each."""
        threads = settings.threads or max(1, min([cluster.THREADS, *cpus]))
        return self.workers or max(1, sum(each // threads for each in cpus)), threads
