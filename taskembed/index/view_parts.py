"""Files of the vectors that `add_view` has encoded so far, so that a stopped run loses few.

    part-00000003-similarity.vectors    the CRC-32 of the rest; a hash of the space, 32 bytes; a
                                        hash of each text, 16 bytes; its vector, as float32

No manifest lists these files, so readers and older versions ignore them. The next run for the same
space finds vectors by their texts, even if the index was changed in between. The files are removed
when the view is committed.
"""

from __future__ import annotations

import hashlib
import json
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from taskembed.errors import StorageError, TaskembedError
from taskembed.index.disk.commit import StoreWriter
from taskembed.index.disk.generations import names_in
from taskembed.index.disk.manifests import PART
from taskembed.space import EmbeddingSpace, Task
from taskembed.vectors import Flags, FloatRows, Rows

PART_ROWS = 4_096  # largest number of vectors in a file
PART_SECONDS = 30.0  # a file is written at least this often: the most work that a kill loses
_DIGEST_BYTES = 16  # long enough that different texts practically never have the same hash
_HEAD_BYTES = 4 + 32

Digests = npt.NDArray[np.bytes_]  # bytes[n, 16]
# (texts, ids of their documents) -> blocks of positions int64[m] and vectors float32[m, dim]
Encode = Callable[[Sequence[str], Sequence[str]], Iterable[tuple[Rows, FloatRows]]]


class ViewParts:
    """The encoded texts of a view that is being added, with those of earlier, stopped runs.

    Args:
        store: the writer of the index, which holds its lock.
        space: the space of the view.
        precision: the precision of the model's numbers, which must match that of earlier runs.
    """

    def __init__(self, store: StoreWriter, space: EmbeddingSpace, precision: str) -> None:
        self._store = store
        self._space = space
        made_from = json.dumps([space.to_json(), precision], sort_keys=True)
        self._stamp = hashlib.sha256(made_from.encode()).digest()
        self._names: list[str] = []
        self._known = np.empty(0, f"S{_DIGEST_BYTES}")
        self._places = np.empty(
            (0, 2), np.int64
        )  # for each hash: the number of its file, and its row
        self._last = -1, np.empty((0, space.dim), np.float32)  # the file that was read last
        self._read_all()
        self._new: list[tuple[Digests, FloatRows]] = []  # that no file has
        self._since = time.monotonic()

    @property
    def dim(self) -> int:
        """The dimension of the vectors."""
        return self._space.dim

    def vectors(self, texts: Sequence[str], doc_ids: Sequence[str], encode: Encode) -> FloatRows:
        """Return the vectors of texts, float32[n, dim]; only texts without a vector are encoded.

        If encoding ends with an error, the vectors encoded before it are kept.

        Args:
            texts: n texts.
            doc_ids: the ids of their n documents.
            encode: yields positions of texts, int64[m], and their vectors, float32[m, dim].
        """
        digests = np.array([_digest(text) for text in texts], f"S{_DIGEST_BYTES}")
        has, vectors = self._found(digests)
        lacking = np.flatnonzero(~has)
        if not len(lacking):
            return vectors
        try:
            some = lacking.tolist()
            encoded = encode([texts[row] for row in some], [doc_ids[row] for row in some])
            for rows, block in encoded:
                vectors[lacking[rows]] = block
                self._new.append((digests[lacking[rows]], block))
                if self._is_due():
                    self._write()
        except BaseException:
            with suppress(TaskembedError):  # report the first error, not one of writing
                self._write()
            raise
        return vectors

    def _is_due(self) -> bool:
        held = sum(len(digests) for digests, _ in self._new)
        return held >= PART_ROWS or time.monotonic() - self._since >= PART_SECONDS

    def _write(self) -> None:
        """Write the vectors that no file has yet."""
        if not self._new:
            return
        digests = np.concatenate([digests for digests, _ in self._new]).tobytes()
        vectors = np.concatenate([block for _, block in self._new]).astype("<f4").tobytes()
        sum_ = zlib.crc32(vectors, zlib.crc32(digests, zlib.crc32(self._stamp)))
        name = _name_after(parts_of(self._store), self._space.task)
        self._store.write(name, sum_.to_bytes(4, "little"), self._stamp, digests, vectors)
        # not before the file is written, since a signal may interrupt that
        self._new, self._since = [], time.monotonic()

    def _read_all(self) -> None:
        """Read the hashes of texts that earlier runs encoded; remove files that cannot be used."""
        known: list[Digests] = []
        places = []
        for name in parts_of(self._store, [self._space.task]):
            read = self._read(name)
            if read is None:
                self._store.remove([name])
                continue
            known.append(read[0])
            count = len(read[0])
            places.append(np.column_stack([np.full(count, len(self._names)), np.arange(count)]))
            self._names.append(name)
        if known:
            digests, first = np.unique(np.concatenate(known), return_index=True)
            self._known, self._places = digests, np.concatenate(places)[first]

    def _read(self, name: str) -> tuple[Digests, FloatRows] | None:
        """Return the hashes and vectors of a file; None if it is incomplete or of another space."""
        with self._store.translated(name):
            data = (self._store.folder / name).read_bytes()
        row_bytes = _DIGEST_BYTES + 4 * self._space.dim
        count, rest = divmod(len(data) - _HEAD_BYTES, row_bytes)
        is_whole = not rest and zlib.crc32(data[4:]).to_bytes(4, "little") == data[:4]
        if count < 1 or not is_whole or data[4:_HEAD_BYTES] != self._stamp:
            return None
        digests = np.frombuffer(data, f"S{_DIGEST_BYTES}", count, _HEAD_BYTES)
        vectors = np.frombuffer(data, "<f4", offset=_HEAD_BYTES + digests.nbytes)
        return digests, vectors.reshape(count, -1).astype(np.float32)

    def _found(self, digests: Digests) -> tuple[Flags, FloatRows]:
        """Return bool[n]: which hashes have a vector; and these vectors, float32[n, dim]."""
        vectors = np.empty((len(digests), self._space.dim), np.float32)
        has = np.isin(digests, self._known)
        rows = np.flatnonzero(has)
        places = self._places[np.searchsorted(self._known, digests[rows])]
        for number in np.unique(places[:, 0]).tolist():
            mine = places[:, 0] == number
            vectors[rows[mine]] = self._vectors_of(number)[places[mine, 1]]
        return has, vectors

    def _vectors_of(self, number: int) -> FloatRows:
        if self._last[0] != number:
            read = self._read(self._names[number])
            if read is None:
                raise StorageError(
                    "it changed while this run was reading it",
                    what=str(self._store.folder / self._names[number]),
                    hint="run the same command again",
                )
            self._last = number, read[1]
        return self._last[1]


def parts_of(store: StoreWriter, tasks: Iterable[Task] | None = None) -> list[str]:
    """Return the names of the files of views that are being added.

    Args:
        store: the writer of the index.
        tasks: the tasks of the views; None for all.
    """
    wanted = None if tasks is None else {task.value for task in tasks}
    return [
        name
        for name in store.names()
        if (match := PART.fullmatch(name)) and (wanted is None or match[2] in wanted)
    ]


def added_views(folder: Path) -> set[Task]:
    """Return the tasks of the views that a stopped run began to add."""
    found = filter(None, map(PART.fullmatch, names_in(folder)))
    return {Task(match[2]) for match in found if match[2] in set(Task)}


def remove_parts(store: StoreWriter, tasks: Iterable[Task] | None = None) -> bool:
    """Remove the files of views that are being added; return whether there were any."""
    names = parts_of(store, tasks)
    store.remove(names)
    return bool(names)


def _name_after(names: Iterable[str], task: Task) -> str:
    numbers = [int(match[1]) for name in names if (match := PART.fullmatch(name))]
    return f"part-{max(numbers, default=0) + 1:08d}-{task.value}.vectors"


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()
