"""A worker: opens a model, returns its spaces, then encodes texts into shards."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from taskembed.encoding.load import load_encoder_of
from taskembed.errors import TaskembedError, TextTooLongError, from_os_error
from taskembed.space import EmbeddingSpace, PromptType
from taskembed.vectors import gathered
from taskembed.verbs._indexing.view_encoders import encoder_of_views
from taskembed.verbs.protocols import Encoder
from taskembed.verbs.workers.job import Job, digest_of
from taskembed.verbs.workers.shards import (
    JOB,
    read_shard,
    shard_name,
    text_digest,
    write_shard,
)
from taskembed.version import __version__


@dataclass(frozen=True, slots=True)
class Opened:
    """The state of a worker that has opened its model.

    Attributes:
        host: the name of its machine.
        version: its version of taskembed.
        spaces: the spaces of its encoders, one for each view.
        sees_folder: whether it sees the folder for shards of this run.
    """

    host: str
    version: str
    spaces: tuple[EmbeddingSpace, ...]
    sees_folder: bool


@dataclass(frozen=True, slots=True)
class Done:
    """The result of a shard.

    Attributes:
        name: the name of its file in the folder for shards; "" if no text could be encoded.
        refused: positions of texts that are too long to be tokenised; the file has the others.
        made_by: the engine and its precision.
    """

    name: str
    refused: tuple[int, ...]
    made_by: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Failed:
    """An error of a worker, in a form that can be sent; the fields are those of the error."""

    host: str
    reason: str
    hint: str | None
    exit_code: int


class Worker:
    """Encodes the texts of one job.

    Errors are returned, not raised, so that they differ from the death of the worker.
    """

    def __init__(self) -> None:
        self._job: Job | None = None
        self._digest = ""
        self._encoder: Encoder | None = None

    def open(self, job: Job) -> Opened | Failed:
        """Open the model, and return its spaces."""
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        try:
            for prepare in job.prepare:
                prepare()
            encoders = [load_encoder_of(space, job.settings) for space in job.spaces]
            spaces = tuple(one.space for one in encoders)
            self._job, self._encoder = job, encoder_of_views(encoders)
            self._digest = digest_of(spaces, job.precision)
            folder = job.folder / JOB
            seen = folder.read_text(encoding="ascii") if folder.is_file() else ""
            return Opened(socket.gethostname(), __version__, spaces, seen == job.digest())
        except (TaskembedError, OSError, MemoryError) as error:
            return _failed(error)

    def encode(self, texts: Sequence[str]) -> Done | Failed:
        """Encode texts, and write them as a shard, unless a worker that died has done so."""
        assert self._job  # noqa: S101  # `open` was called
        assert self._encoder  # noqa: S101
        name = shard_name(self._digest, [text_digest(text) for text in texts])
        if read_shard(self._job.folder / name, self._digest):
            return Done(name, (), dict(self._encoder.made_by))
        left = np.arange(len(texts))
        dim = sum(space.dim for space in self._job.spaces)
        try:
            while len(left):
                some = [texts[row] for row in left.tolist()]
                try:
                    encoded = gathered(
                        self._encoder.encode_slices(some, PromptType.DOCUMENT), len(some), dim
                    )
                except TextTooLongError as error:
                    left = np.delete(left, list(error.reasons))
                    continue
                name = write_shard(self._job.folder, self._digest, some, encoded)
                return Done(name, _without(len(texts), left), dict(self._encoder.made_by))
        except (TaskembedError, OSError, MemoryError) as error:
            return _failed(error)
        return Done("", tuple(range(len(texts))), {})


def _without(count: int, left: np.ndarray[tuple[int], np.dtype[np.int64]]) -> tuple[int, ...]:
    return tuple(np.setdiff1d(np.arange(count), left).tolist())


def _failed(error: Exception) -> Failed:
    if isinstance(error, MemoryError):
        error = TaskembedError("out of memory", hint="give it fewer threads, or more memory")
    if isinstance(error, OSError):
        error = from_os_error(error, str(error.filename or "a file"))
    known = error if isinstance(error, TaskembedError) else TaskembedError(str(error))
    return Failed(socket.gethostname(), known.message, known.hint, int(known.exit_code))
