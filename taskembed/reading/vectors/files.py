"""Writes files of vectors: Parquet with ids, texts and metadata, or .npy with companion files.

The columns of Parquet are doc_id, text, metadata (JSON), vector and truncated; one row is a
document. If documents were cut into chunks, one row is a chunk: `text` is the chunk's text, `start`
and `end` are its position in the document, in characters, and `document` is the whole text, only in
the row of the first chunk. The metadata of the schema contains the space of the vectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from taskembed.errors import UsageError
from taskembed.outputs import completed_file
from taskembed.reading.vectors._npy import NpyVectors
from taskembed.reading.vectors._parquet import ParquetVectors
from taskembed.reading.vectors.rows import VectorHeader, VectorRows

PARQUET, NPY = ".parquet", ".npy"  # suffixes
IDS, SPACE = ".ids.txt", ".space.json"  # suffixes of the companion files of .npy


class VectorWriter(Protocol):
    """A writer of documents with their vectors, in order."""

    def write(self, rows: VectorRows) -> None:
        """Write some documents.

        Raises:
            BadVectorError: a number is too large for the file's type of numbers.
            OSError: the operating system cannot write.
        """


def require_vector_name(option: str, path: Path) -> None:
    """Check that the name of a file tells its format: .parquet or .npy.

    Args:
        option: the option or argument that names the file, for messages.
        path: the path of the file.

    Raises:
        UsageError: the name has another suffix.
    """
    if path.suffix not in {PARQUET, NPY}:
        raise UsageError(
            f"{option} {path}: the name must end in {PARQUET} or {NPY}",
            hint=f"{option} {path.with_suffix(PARQUET)}" if option.startswith("-") else None,
        )


def files_beside(path: Path) -> list[Path]:
    """Return the companion files of a file of vectors; only .npy has any."""
    return [path.with_suffix(end) for end in (IDS, SPACE)] if path.suffix == NPY else []


@contextmanager
def vector_writer(output: Path | BinaryIO, header: VectorHeader) -> Iterator[VectorWriter]:
    """Yield a writer of vectors; the file appears when the context ends without an error.

    Args:
        output: the path of a .parquet or .npy file; or a stream, for Parquet. Errors of the
            operating system about a stream are raised unchanged.
        header: properties of all vectors.

    Raises:
        UsageError: the name has another suffix, or the documents have chunks, which .npy cannot
            represent.
        AccessDeniedError: the file, or its folder, may not be written to.
        NotFoundError: the folder does not exist.
        StorageError: the disk is full or fails.
    """
    if not isinstance(output, Path):
        with ParquetVectors(output, header) as writer:
            yield writer
        return
    require_vector_name("--output", output)
    if output.suffix == NPY:
        with _npy_files(output, header) as writer:
            yield writer
        return
    with completed_file(output) as stream, ParquetVectors(stream, header) as writer:
        yield writer


@contextmanager
def _npy_files(output: Path, header: VectorHeader) -> Iterator[VectorWriter]:
    if header.is_chunked:
        raise UsageError(
            f"{NPY} has one vector for each id, and these documents were cut into chunks",
            hint=f"--output {output.with_suffix(PARQUET)}",
        )
    ids, space = files_beside(output)
    # the file of the vectors is renamed last, so that it never exists without the other files
    with (
        completed_file(output) as vectors_stream,
        completed_file(ids, "w", encoding="utf-8", newline="\n") as ids_stream,
        completed_file(space, "w", encoding="utf-8", newline="\n") as space_stream,
    ):
        writer = NpyVectors(vectors_stream, ids_stream, header)
        yield writer
        writer.finish(space_stream)
