"""Files of vectors: Parquet with ids, texts and metadata, or NumPy's .npy with files beside it.

The columns of Parquet are doc_id, text, metadata (JSON), vector and truncated; one row is a
document. Of documents that were cut into chunks, one row is a chunk: `text` is the chunk's text,
`start` and `end` say where it was cut, in characters, and `document` is the whole text, in the row
of the first chunk alone. The schema's metadata has the space of the vectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from taskembed.errors import UsageError
from taskembed.outputs import completed_file
from taskembed.reading._npy_vectors import NpyVectors
from taskembed.reading._parquet_vectors import ParquetVectors
from taskembed.reading.vector_rows import VectorHeader, VectorRows

PARQUET, NPY = ".parquet", ".npy"  # the ends of names
IDS, SPACE = ".ids.txt", ".space.json"  # the ends of the names of the files beside .npy


class VectorWriter(Protocol):
    """What writes documents with their vectors, in order."""

    def write(self, rows: VectorRows) -> None:
        """Write some documents.

        Raises:
            BadVectorError: a number is too large for the type of the numbers.
            OSError: the operating system cannot write.
        """


def require_vector_name(option: str, path: Path) -> None:
    """Return when the name of a file says in which form vectors are written.

    Raises:
        UsageError: it does not.
    """
    if path.suffix not in {PARQUET, NPY}:
        raise UsageError(
            f"{option} {path}: the name must end in {PARQUET} or {NPY}",
            hint=f"{option} {path.with_suffix(PARQUET)}" if option.startswith("-") else None,
        )


def files_beside(path: Path) -> list[Path]:
    """Return the other files that belong to a file of vectors: those beside .npy."""
    return [path.with_suffix(end) for end in (IDS, SPACE)] if path.suffix == NPY else []


@contextmanager
def vector_writer(output: Path | BinaryIO, header: VectorHeader) -> Iterator[VectorWriter]:
    """Yield what writes vectors; a file appears under its name when the context ends well.

    Args:
        output: the path of a file, which ends in .parquet or .npy; or a stream, for Parquet. An
            error of the operating system about a stream is raised as it is.
        header: what is said of all vectors.

    Raises:
        UsageError: the name does not say the form, or .npy cannot hold what is to be written.
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
    # the vectors are named last: where they are, the other files are too
    with (
        completed_file(output) as vectors_stream,
        completed_file(ids, "w", encoding="utf-8", newline="\n") as ids_stream,
        completed_file(space, "w", encoding="utf-8", newline="\n") as space_stream,
    ):
        writer = NpyVectors(vectors_stream, ids_stream, header)
        yield writer
        writer.finish(space_stream)
