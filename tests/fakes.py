"""Fakes that read like the real thing: an encoder without a model, and file systems that fail."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from taskembed.index.fs import Folder, Fs
from taskembed.space import EmbeddingSpace, PromptType, Task
from taskembed.vectors import Encoded, Rows

SPACE = EmbeddingSpace(
    model="hash",
    revision="",
    weights_digest="0" * 64,
    query_adapter="",
    document_adapter="",
    adapter_digest="",
    task=Task.RETRIEVAL,
    query_prompt="query: ",
    document_prompt="passage: ",
    suffix="",
    pooling="mean",
    max_length=32,
    dim=16,
    truncation="none",
    normalize=True,
    metric="cosine",
    template="{title?} {text}",
)

SLICE = 8  # texts that the fake encodes at once


class HashEncoder:
    """Encodes a text as the sum of one random vector a word: texts that share words are near.

    It reads at most `space.max_length` words, and remembers every text as it was prompted.
    """

    def __init__(self, space: EmbeddingSpace = SPACE, **changes: object) -> None:
        self.space = replace(space, **changes)  # type: ignore[arg-type]  # fields of the space
        self.prompted: list[str] = []
        self._words: dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]] = {}

    @property
    def made_by(self) -> Mapping[str, str]:
        return {"engine": "hash", "precision": "fp32", "taskembed": "test"}

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        self.prompted += [self.space.prompt(prompt_type) + text for text in texts]
        vectors = np.empty((len(texts), self.space.dim), np.float32)
        for row, text in enumerate(texts):
            words = text.lower().split()[: self.space.max_length]
            vectors[row] = sum((self._word(word) for word in words), start=self._word("") * 0.01)
        if self.space.normalize:
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        truncated = np.array([len(text.split()) > self.space.max_length for text in texts])
        return Encoded(vectors, truncated.astype(np.bool_))

    def encode_slices(
        self, texts: Sequence[str], prompt_type: PromptType
    ) -> Iterator[tuple[Rows, Encoded]]:
        """Encode the longest texts first, a few at a time, as the real one does."""
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]), reverse=True)
        for start in range(0, len(order), SLICE):
            rows = order[start : start + SLICE]
            yield np.array(rows, np.int64), self.encode([texts[row] for row in rows], prompt_type)

    def _word(self, word: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        if word not in self._words:
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
            vector = np.random.default_rng(seed).standard_normal(self.space.dim)
            self._words[word] = vector.astype(np.float32)
        return self._words[word]


class StepFs(Fs):
    """A real file system that calls `step(number, name)` before each call that changes anything."""

    def __init__(self, step: Callable[[int, str], None]) -> None:
        self.steps: list[str] = []
        self._step = step

    def _next(self, name: str) -> None:
        self.steps.append(name)
        self._step(len(self.steps), name)

    def make_folder(self, path: Path) -> None:
        self._next("make_folder")
        super().make_folder(path)

    def open_new(self, folder: Folder, name: str) -> int:
        self._next("open_new")
        return super().open_new(folder, name)

    def write(self, descriptor: int, data: memoryview) -> int:
        self._next("write")
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self._next("sync")
        super().sync(descriptor)

    def close(self, descriptor: int) -> None:
        super().close(descriptor)
        self._next("close")

    def rename(self, folder: Folder, source: str, target: str) -> None:
        self._next("rename")
        super().rename(folder, source, target)

    def overwrite(self, descriptor: int, data: bytes) -> None:
        self._next("overwrite")
        super().overwrite(descriptor, data)

    def sync_folder(self, folder: Folder) -> None:
        self._next("sync_folder")
        super().sync_folder(folder)

    def unlink(self, folder: Folder, name: str) -> None:
        self._next("unlink")
        super().unlink(folder, name)


def fail_at(number: int, code: int = errno.EIO) -> Callable[[int, str], None]:
    """Return a step that fails once, at the call of that number."""

    def step(current: int, _name: str) -> None:
        if current == number:
            raise OSError(code, os.strerror(code))

    return step


def kill_at(number: int) -> Callable[[int, str], None]:
    """Return a step that kills the process as `kill -9` does, at the call of that number."""

    def step(current: int, _name: str) -> None:
        if current == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return step


class ShortWritesFs(Fs):
    """Writes at most seven bytes at once, as a full pipe or a signal would."""

    def write(self, descriptor: int, data: memoryview) -> int:
        return super().write(descriptor, data[:7])
