"""Exports an index: writes its documents, metadata and vectors to a file for other tools."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from taskembed.activity import doing
from taskembed.arguments import require_kind
from taskembed.index.documents import StoredDocument
from taskembed.index.ranking.positions import Positions
from taskembed.index.reader import Index
from taskembed.reading.vectors.files import vector_writer
from taskembed.reading.vectors.rows import NumberType, VectorHeader, VectorRows
from taskembed.vectors import Rows

_BATCH_BYTES = 8 * 2**20  # of texts, metadata and vectors that are read together
_BATCH_DOCUMENTS = 4_096


def export_index(
    index: Index,
    output: str | Path | BinaryIO,
    *,
    where: str | None = None,
    dtype: NumberType | str = NumberType.FLOAT32,
) -> int:
    """Write the documents of an index with their vectors to a file, in index order.

    A few megabytes are in memory at a time. The file also says how the index is stored, so that
    `import_vectors` makes an equal one.

    Args:
        index: an open index; with several views, the view that was opened is exported.
        output: the path of a .parquet or .npy file, which gets its name once it is complete; or a
            stream, for Parquet.
        where: a filter, which the documents must match; None for all documents.
        dtype: the type of the numbers: "float32" or "float16".

    Returns:
        The number of documents that were written.

    Raises:
        UsageError: the file name has another ending; `where` is not a filter; or the file is .npy
            and the documents are cut into chunks, whose texts .npy cannot store.
        BadVectorError: a number is too large for float16.
        IndexDamagedError: a file differs from what was written.
        StorageError: the disk is full or fails.
        TypeError: the index is not an `Index`.
        ValueError: the index is closed, or there is no such type.
    """
    require_kind(index, Index, "index")
    total, batches = exported_rows(index, where=where)
    part = index.contents.live
    # paths are useless to another index, and would reveal how this machine is set up
    reading = replace(part.reading, id_folders=None) if part.reading else None
    header = VectorHeader(
        index.space,
        dtype=NumberType(dtype),
        is_chunked=index.chunking is not None,
        index={
            "storage": part.storage.to_json(),
            "made_by": dict(part.made_by),
            **({"declared": dict(part.declared)} if part.declared else {}),
            **({"reading": reading.to_json()} if reading else {}),
        },
    )
    place = Path(output) if isinstance(output, str) else output
    with (
        vector_writer(place, header) as writer,
        doing("exporting", unit="documents", total=total) as step,
    ):
        for rows in batches:
            writer.write(rows)
            step.done += len(rows.doc_ids)
    return total


def exported_rows(index: Index, *, where: str | None = None) -> tuple[int, Iterator[VectorRows]]:
    """Return the documents of an index with their vectors, in index order.

    Args:
        index: an open index.
        where: a filter, which the documents must match; None for all documents.

    Returns:
        The number of documents, and an iterator over batches of a few megabytes.

    Raises:
        UsageError: `where` is not a filter, or names a field that the index does not have.
        ValueError: the index is closed.
        IndexDamagedError: a file of the index differs from what was written.
    """
    positions = index.by_position(where=where)
    return len(positions), _rows(positions, is_chunked=index.chunking is not None)


def _rows(positions: Positions, *, is_chunked: bool) -> Iterator[VectorRows]:
    done = 0
    for documents in _batches(positions):
        places = np.arange(done, done + len(documents))
        done += len(documents)
        cuts: list[Rows] | None = None
        if is_chunked:
            found = [positions.chunks_of(place) for place in places.tolist()]
            vectors = np.concatenate([some for some, _ in found])
            cuts = [where for _, where in found]
        else:
            vectors = positions.vectors_at(places)
        yield VectorRows(
            [document.doc_id for document in documents],
            [document.text for document in documents],
            [document.metadata for document in documents],
            np.array([document.truncated for document in documents], np.bool_),
            vectors,
            cuts,
        )


def _batches(positions: Positions) -> Iterator[list[StoredDocument]]:
    """Yield batches of documents; the longer the documents, the smaller the batch."""
    documents = positions.documents()
    while first := next(documents, None):
        batch, size = [first], _size(first, positions.dim)
        for document in islice(documents, _BATCH_DOCUMENTS - 1):
            batch.append(document)
            size += _size(document, positions.dim)
            if size >= _BATCH_BYTES:
                break
        yield batch


def _size(document: StoredDocument, dim: int) -> int:
    return len(document.text) + len(document.metadata) + 4 * dim
