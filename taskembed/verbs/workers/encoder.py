"""An encoder that lets workers encode its texts; finished shards are kept if the process ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from taskembed.activity import doing
from taskembed.errors import StorageError, TextTooLongError
from taskembed.space import EmbeddingSpace, PromptType
from taskembed.vectors import Encoded, Rows
from taskembed.verbs._indexing.view_encoders import spaces_of
from taskembed.verbs.protocols import DocumentTokens, Encoder, document_tokens
from taskembed.verbs.workers.job import Job
from taskembed.verbs.workers.shards import ShardFolder, text_digest
from taskembed.verbs.workers.worker import Done

SHARD_TEXTS = 512  # what a death costs; on one core, a second of work for a small model
SHARD_CHARACTERS = 256 * 2**10
SHARDS_AHEAD = 16  # of each worker in a window: at its end, some have nothing to do
WINDOW_TEXTS = 32_768  # most texts in a window: its texts take 256 MiB at most
WINDOW_BYTES = 256 * 2**20  # of vectors in a window


class Workers(Protocol):
    """Workers that encode shards of texts."""

    def run(self, shards: Sequence[Sequence[str]]) -> Iterator[tuple[int, Done]]:
        """Yield the number of each shard when it is done, in any order."""


class WorkersEncoder:
    """The encoder of an index, whose documents are encoded by workers.

    Args:
        encoder: the encoder of this process, which encodes queries, and says where documents are
            cut.
        job: the job of the workers.
        count: the number of workers; None if the cluster decides.
        start: starts the workers; called when there is a text that no earlier run has encoded.
    """

    def __init__(
        self, encoder: Encoder, job: Job, count: int | None, start: Callable[[Job], Workers]
    ) -> None:
        self._encoder = encoder
        self._job = job
        self._count = count
        self._start = start
        self._workers: Workers | None = None
        self._folder = ShardFolder(job.folder, job.digest())
        self._is_open = False
        self._made_by: Mapping[str, str] = {}
        self._shards_done = 0

    @property
    def space(self) -> EmbeddingSpace:
        """The space of the first view."""
        return self._encoder.space

    @property
    def spaces(self) -> tuple[EmbeddingSpace, ...]:
        """The spaces of all views."""
        return spaces_of(self._encoder)

    @property
    def made_by(self) -> Mapping[str, str]:
        """The engine of the workers and its precision; nothing before they have encoded a text."""
        return self._made_by

    @property
    def texts_at_once(self) -> int:
        """The number of texts to pass together, so that every worker has something to do."""
        width = sum(space.dim for space in self.spaces)
        most = min(WINDOW_TEXTS, WINDOW_BYTES // (4 * width))
        wanted = self._count * SHARD_TEXTS * SHARDS_AHEAD if self._count else most
        return max(SHARD_TEXTS, min(wanted, most))

    def document_tokens(self) -> DocumentTokens:
        """Return an object that locates the tokens of a document."""
        return document_tokens(self._encoder)

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        """Encode texts in this process, since queries are few."""
        return self._encoder.encode(texts, prompt_type)

    def encode_slices(
        self, texts: Sequence[str], prompt_type: PromptType
    ) -> Iterator[tuple[Rows, Encoded]]:
        """Yield each shard when it is done: see `Encoder.encode_slices`."""
        if prompt_type is not PromptType.DOCUMENT:
            yield from self._encoder.encode_slices(texts, prompt_type)
            return
        if not self._is_open:
            self._folder.open()
            self._is_open = True
        left = np.ones(len(texts), np.bool_)
        digests = [text_digest(text) for text in texts]
        for name, (rows, places) in self._folder.kept(digests).items():
            encoded = self._folder.take_kept(name, places)
            if encoded is not None:
                left[rows] = False
                self._shards_done += 1
                yield rows, encoded
        cut = shards_of(texts, np.flatnonzero(left))
        refused: list[int] = []
        if cut:
            yield from self._encoded(texts, cut, refused)
        if refused:
            raise TextTooLongError(texts, refused)

    def _encoded(
        self, texts: Sequence[str], cut: Sequence[Rows], refused: list[int]
    ) -> Iterator[tuple[Rows, Encoded]]:
        """Yield shards when workers have encoded them; add rows that cannot be to `refused`."""
        if self._workers is None:
            self._workers = self._start(self._job)
        with doing("encoding", unit="shards") as step:
            step.done = self._shards_done
            for number, done in self._workers.run([[texts[row] for row in rows] for rows in cut]):
                self._made_by = done.made_by or self._made_by
                rows = np.delete(cut[number], done.refused)
                refused += cut[number][list(done.refused)].tolist()
                self._shards_done += 1
                step.done = self._shards_done
                if done.name:
                    encoded = self._folder.take(done.name)
                    if encoded is None or len(encoded.vectors) != len(rows):
                        raise StorageError(
                            "a worker's file cannot be read on this machine",
                            what=str(self._job.folder / done.name),
                            hint="is the folder shared by all machines, and healthy?",
                        )
                    yield rows, encoded

    def committed(self, *, whole: bool) -> None:
        """Remove shards that the index contains now: see `ShardFolder.committed`."""
        self._folder.committed(whole=whole)

    def finished(self) -> None:
        """Remove all shards: the index is complete."""
        self._folder.remove()


def shards_of(texts: Sequence[str], rows: Rows) -> list[Rows]:
    """Return the rows of each shard, the longest texts first.

    Args:
        texts: of a window.
        rows: int64[n]: those to encode.
    """
    cut: list[Rows] = []
    some: list[int] = []
    characters = 0
    for row in sorted(rows.tolist(), key=lambda row: len(texts[row]), reverse=True):
        if len(some) == SHARD_TEXTS or (some and characters + len(texts[row]) > SHARD_CHARACTERS):
            cut.append(np.array(some, np.int64))
            some, characters = [], 0
        some.append(row)
        characters += len(texts[row])
    return [*cut, np.array(some, np.int64)] if some else cut
