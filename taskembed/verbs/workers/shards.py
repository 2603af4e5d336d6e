"""Shards: files of encoded texts, kept until the index has them.

A shard is named by the digest of its texts and their space, so that the same work has the same
name. Its texts are found again by their own digests, however the next run cuts its shards.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from taskembed.errors import os_errors
from taskembed.vectors import Encoded, Rows

ENDING = ".shard"  # Parquet; but by that name, it could be taken for a file to index
JOB = "job"  # a file with the digest of the job, by which a worker proves that it sees the folder
SAID = b"taskembed.job"  # a key of a file's metadata


def text_digest(text: str) -> bytes:
    """Return the sha256 of a text."""
    return hashlib.sha256(text.encode()).digest()


def shard_name(job: str, digests: Sequence[bytes]) -> str:
    """Return the name of a shard.

    Args:
        job: the digest of the space.
        digests: of its texts, in their order.
    """
    return hashlib.sha256(job.encode() + b"".join(digests)).hexdigest()[:32] + ENDING


def write_shard(folder: Path, job: str, texts: Sequence[str], encoded: Encoded) -> str:
    """Write encoded texts as a file, whole or not at all; return its name.

    Raises:
        TaskembedError: the disk is full, or the folder may not be written to.
    """
    import pyarrow as pa  # 0.1 s
    import pyarrow.parquet as pq

    digests = [text_digest(text) for text in texts]
    name = shard_name(job, digests)
    vectors = np.ascontiguousarray(encoded.vectors, np.float32)
    columns = {
        "text_sha256": pa.array(digests, pa.binary(32)),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1]),
        "truncated": pa.array(encoded.truncated),
    }
    table = pa.table(columns).replace_schema_metadata({SAID: job.encode()})
    temporary = folder / f"tmp-{secrets.token_hex(8)}"
    try:
        with os_errors(folder / name), temporary.open("xb") as stream:
            pq.write_table(
                table,
                stream,
                compression="none",
                use_dictionary=False,
                write_statistics=False,
                write_page_checksum=True,
            )
            stream.flush()
            os.fsync(stream.fileno())
            temporary.replace(folder / name)
    finally:
        temporary.unlink(missing_ok=True)
    return name


def read_shard(path: Path, job: str) -> tuple[list[bytes], Encoded] | None:
    """Return the digests of the texts of a shard, and the encoded texts; None if it is damaged.

    Args:
        path: of the file.
        job: the digest of the space; a shard of another one is none.
    """
    table = _table(path, job)
    if table is None:
        return None
    vectors = table["vector"].combine_chunks()
    flat = vectors.flatten().to_numpy(zero_copy_only=False)
    rows = np.ascontiguousarray(flat.reshape(len(vectors), -1), np.float32)
    truncated = table["truncated"].to_numpy().astype(np.bool_)
    return table["text_sha256"].to_pylist(), Encoded(rows, truncated)


def _table(path: Path, job: str, columns: Sequence[str] | None = None) -> Any:  # noqa: ANN401
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            said = file.schema_arrow.metadata or {}
            if said.get(SAID) != job.encode():
                return None
            return file.read(columns=columns)
    except (OSError, ValueError, pa.ArrowException):
        return None


class _Place(NamedTuple):
    """Where the vector of a text is kept."""

    name: str
    row: int


class ShardFolder:
    """The shards that were not yet committed, of this run and of those before it.

    Args:
        path: the folder, which is made when the first shard is looked for.
        job: the digest of the space; what was kept for another one is removed.
    """

    def __init__(self, path: Path, job: str) -> None:
        self.path = path
        self._job = job
        self._kept: dict[bytes, _Place] = {}  # of earlier runs
        self._left: dict[str, int] = {}  # texts of a kept shard that were not yet asked for
        self._taken: list[tuple[str, int]] = []  # shards that may be removed, and since which call
        self._call = 0

    def open(self) -> None:
        """Make the folder, or find what an earlier run left in it.

        Raises:
            TaskembedError: the folder cannot be made or read.
        """
        with os_errors(self.path):
            self.path.mkdir(exist_ok=True)
            names = [path.name for path in self.path.iterdir()]
            (self.path / JOB).write_text(self._job, encoding="ascii")
            for name in names:
                table = None
                if name.endswith(ENDING):
                    table = _table(self.path / name, self._job, ["text_sha256"])
                if table is None:
                    if name != JOB:
                        (self.path / name).unlink(missing_ok=True)
                    continue
                digests = table["text_sha256"].to_pylist()
                self._kept |= {digest: _Place(name, row) for row, digest in enumerate(digests)}
        for place in self._kept.values():
            self._left[place.name] = self._left.get(place.name, 0) + 1

    def kept(self, digests: Sequence[bytes]) -> dict[str, tuple[Rows, Rows]]:
        """Return which of some texts earlier runs have encoded, by the names of their shards.

        Returns:
            For each shard int64[n] twice: the positions of the texts, and their rows there.
        """
        self._call += 1
        found: dict[str, list[tuple[int, int]]] = {}
        for position, digest in enumerate(digests):
            if place := self._kept.get(digest):
                found.setdefault(place.name, []).append((position, place.row))
        return {
            name: (pairs[:, 0], pairs[:, 1])
            for name, pairs in ((name, np.array(pairs, np.int64)) for name, pairs in found.items())
        }

    def take_kept(self, name: str, rows: Rows) -> Encoded | None:
        """Return some texts of a shard of an earlier run; None if it is damaged, and so forgotten.

        Args:
            name: of the shard.
            rows: int64[n]: of the texts.
        """
        read = read_shard(self.path / name, self._job)
        if read is None:
            self._kept = {key: place for key, place in self._kept.items() if place.name != name}
            (self.path / name).unlink(missing_ok=True)
            return None
        digests, encoded = read
        for digest in {digests[row] for row in rows.tolist()}:
            if self._kept.pop(digest, None):
                self._left[name] -= 1
        if not self._left[name]:
            self._taken.append((name, self._call))
        return Encoded(encoded.vectors[rows], encoded.truncated[rows])

    def take(self, name: str) -> Encoded | None:
        """Return all texts of a shard that a worker has just written; None if it is damaged."""
        read = read_shard(self.path / name, self._job)
        self._taken.append((name, self._call))
        return read and read[1]

    def committed(self, *, whole: bool) -> None:
        """Remove shards that the index has by now.

        Args:
            whole: the index has all that was taken; otherwise, what was taken before the last call
                of `kept`.
        """
        gone = [name for name, call in self._taken if whole or call < self._call]
        self._taken = [item for item in self._taken if item[0] not in gone]
        for name in gone:
            (self.path / name).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder: the index has all that it was for."""
        if self.path.is_dir():
            for path in self.path.iterdir():
                path.unlink(missing_ok=True)
            self.path.rmdir()
