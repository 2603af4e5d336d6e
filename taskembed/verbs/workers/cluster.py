"""Workers as actors of a Ray cluster, which is started on this machine if none is named."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from taskembed.activity import doing
from taskembed.errors import (
    ServerUnavailableError,
    TaskembedError,
    UsageError,
    first_line,
    os_errors,
)
from taskembed.extras import RAY, require_extra, require_installed
from taskembed.verbs.workers.job import Job
from taskembed.verbs.workers.pool import WorkerDiedError
from taskembed.verbs.workers.worker import Done, Failed, Opened, Worker

T = TypeVar("T")
AUTO = "auto"
CONNECT_SECONDS = 5.0
THREADS = 4  # of a worker, where more CPUs are not asked for
OBJECTS_BYTES = 128 * 2**20  # shared memory of a local cluster, for texts on their way to workers
LONGEST_FOLDER = 40  # of a path: Ray makes sockets in it, whose paths have at most 107 bytes
CLUSTER_HINT = (
    "start one with `ray start --head`, or leave out --address to start workers on this machine"
)
REFUSED_HINT = (
    "does it want a token? Set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to that of the cluster, or "
    "copy its ~/.ray/auth_token"
)
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # tells nobody
    "RAY_worker_niceness": "0",  # in a cluster that we start, workers are as urgent as this process
}


class RayBackend:
    """Starts workers as actors of Ray.

    Args:
        connection: to the cluster.
        threads: CPUs that each worker takes.
        gpus: GPUs that each worker takes.
    """

    def __init__(self, connection: Connection, *, threads: int, gpus: int) -> None:
        self._ray = ray = connection.ray
        self._call = connection.call
        # A dead worker is replaced by the pool, which counts: Ray would do so for ever.
        self._actor = ray.remote(
            num_cpus=threads, num_gpus=gpus, max_restarts=0, max_task_retries=0
        )(Worker)

    def start_worker(self, job: Job) -> tuple[Hashable, Hashable]:
        """Start an actor; see `Backend`."""
        worker = self._call(self._actor.remote)
        return worker, self._call(lambda: worker.open.remote(job))

    def submit(self, worker: Any, texts: Sequence[str]) -> Hashable:  # noqa: ANN401  # an actor
        """Let an actor encode texts; see `Backend`."""
        future: Hashable = self._call(lambda: worker.encode.remote(list(texts)))
        return future

    def wait(self, futures: Sequence[Hashable], seconds: float) -> Sequence[Hashable]:
        """Return the futures that are done; see `Backend`."""
        return self._call(lambda: self._done(list(futures), seconds))

    def _done(self, futures: list[Hashable], seconds: float) -> list[Hashable]:
        ready, _ = self._ray.wait(futures, num_returns=len(futures), timeout=0)
        if not ready:
            ready, _ = self._ray.wait(futures, num_returns=1, timeout=seconds)
        return list(ready)

    def result(self, future: Hashable) -> Opened | Done | Failed:
        """Return the result of a future; see `Backend`."""
        errors = self._ray.exceptions
        try:
            result: Opened | Done | Failed = self._call(lambda: self._ray.get(future))
        except errors.RayTaskError as error:
            raise TaskembedError(f"this is a bug: {first_line(error.cause)}") from None
        except errors.RayError as error:
            raise WorkerDiedError(_why(error)) from None
        return result

    def stop_worker(self, worker: Any) -> None:  # noqa: ANN401  # an actor
        """End an actor; see `Backend`."""

        def kill() -> None:
            with suppress(Exception):  # it may be dead, or its machine gone
                self._ray.kill(worker)

        self._call(kill)


def _why(error: Exception) -> str:
    """Return why a worker died, from the message of Ray, if it is short."""
    lines = [line.strip() for line in str(error).splitlines() if "is dead because" in line]
    reason = lines[0] if lines else first_line(error)
    return reason.split("Worker exit type")[0].strip().rstrip(".")


def require_ray(address: str | None) -> None:
    """Check, before a model is opened, that the library and the address can be used.

    Raises:
        MissingLibraryError: Ray is not installed.
        UsageError: the address is of a kind that is not supported.
    """
    require_installed("ray", RAY)
    if address and "://" in address:
        raise UsageError(
            f"--address {address}: the command runs on a machine of the cluster, and takes its "
            "address as HOST:PORT",
            hint="--address auto, there; `ray job submit` starts a command there",
        )


class Connection:
    """Ray, connected to a cluster, and the thread that calls it.

    Ray's calls are not interrupted by signals, and raise errors of their own if a signal handler
    raises. So the main thread only waits for them. It must always be the same thread that calls:
    when it ends, the system kills what it has started.

    Attributes:
        ray: the library.
    """

    def __init__(self, ray: Any) -> None:  # noqa: ANN401  # Ray's module
        self.ray = ray
        self._thread = ThreadPoolExecutor(1)

    def call(self, function: Callable[[], T]) -> T:
        """Return the result of a call; what a signal raises meanwhile is raised at once."""
        return self._thread.submit(function).result()

    def close(self) -> None:
        """End the thread when the call that it is in is done."""
        self._thread.shutdown(wait=False)


@contextmanager
def connected(address: str | None, *, cpus: int) -> Iterator[Connection]:
    """Yield a connection to a cluster; a cluster that was started here is stopped at the end.

    Args:
        address: HOST:PORT of a cluster, or "auto" for that which this machine is part of; None to
            start one on this machine.
        cpus: that a cluster which is started here has to give.

    Raises:
        ServerUnavailableError: there is no cluster, or it does not answer.
    """
    with _silence():
        ray = _imported(is_own=address is None)
    with closing(Connection(ray)) as connection:
        if ray.is_initialized():  # by the program that calls us
            yield connection
        elif address is None:
            with _local_cluster(connection, cpus):
                yield connection
        else:
            place = _listening(address)
            with doing(f"connecting to {place}"), _silence():
                _connect(connection, place)
            try:
                yield connection
            finally:
                connection.call(ray.shutdown)


@contextmanager
def _local_cluster(connection: Connection, cpus: int) -> Iterator[None]:
    """Start a cluster on this machine, which only those with its token can use."""
    folder = _folder()
    options = _silent(connection.ray)
    try:
        with doing("starting Ray"), os_errors(folder), _silence():
            connection.call(
                lambda: connection.ray.init(
                    address="local",
                    num_cpus=cpus,
                    include_dashboard=False,
                    object_store_memory=OBJECTS_BYTES,
                    _temp_dir=str(folder),
                    **options,
                )
            )
        yield
    finally:
        with _silence():
            connection.call(connection.ray.shutdown)
        shutil.rmtree(folder, ignore_errors=True)


def _imported(*, is_own: bool) -> Any:  # noqa: ANN401  # Ray's module
    """Import Ray, which reads its settings from the environment, once.

    Args:
        is_own: a cluster will be started: only who has its token can use it.
    """
    settings = QUIET
    if is_own:
        settings = {**QUIET, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    return require_extra("ray", RAY)


def cpus_of_nodes(connection: Connection) -> list[int]:
    """Return how many CPUs each machine of a cluster gives to workers, where it gives any."""
    nodes = [node["Resources"] for node in connection.call(connection.ray.nodes) if node["Alive"]]
    return [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]


def _folder() -> Path:
    """Make a folder for the sockets and logs of a cluster."""
    place = tempfile.gettempdir()
    with os_errors(place):
        return Path(
            tempfile.mkdtemp(
                prefix="taskembed-",
                dir=place if len(place) < LONGEST_FOLDER else "/tmp",  # noqa: S108
            )
        )


def _connect(connection: Connection, address: str) -> None:
    ray, options = connection.ray, _silent(connection.ray)
    try:
        connection.call(lambda: ray.init(address=address, **options))
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise ServerUnavailableError(
            f"the Ray cluster at {address} refuses: {first_line(error).split('. ')[0]}",
            hint=REFUSED_HINT,
        ) from error


@contextmanager
def _silence() -> Iterator[None]:
    """Print nothing on stderr within the context: Ray's libraries write there themselves."""
    with os_errors("stderr"):
        before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


def _silent(ray: Any) -> dict[str, Any]:  # noqa: ANN401  # Ray's module
    """Return arguments with which Ray prints nothing: our messages say what matters."""
    worker = ray._private.worker  # noqa: SLF001  # there is no public switch for this
    worker.print_to_stdstream = lambda *_args, **_named: None  # "(raylet) A worker died ..."
    return {"log_to_driver": False, "logging_level": logging.CRITICAL}


def _listening(address: str) -> str:
    """Return the address of a cluster; Ray itself would try for minutes where nobody listens.

    Raises:
        ServerUnavailableError: nobody listens there, or no cluster runs on this machine.
        UsageError: it is no address, or several clusters run on this machine.
    """
    place = _running() if address == AUTO else address
    host, _, port = place.rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"--address {place} is not HOST:PORT", hint="--address auto")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ServerUnavailableError(
            f"no Ray cluster at {place}: {first_line(error)}", hint=CLUSTER_HINT
        ) from error
    return place


def _running() -> str:
    """Return the address of the cluster that this machine is part of."""
    from ray._private import services

    named = os.environ.get("RAY_ADDRESS")
    if named and named != AUTO:
        return named
    found: set[str] = services.find_gcs_addresses()  # type: ignore[no-untyped-call]  # Ray's
    if not found:
        raise ServerUnavailableError("no Ray cluster runs on this machine", hint=CLUSTER_HINT)
    if len(found) > 1:
        raise UsageError(
            f"several Ray clusters run on this machine: {', '.join(sorted(found))}",
            hint=f"--address {min(found)}",
        )
    return found.pop()
