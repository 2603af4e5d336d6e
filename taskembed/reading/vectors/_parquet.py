"""Writes vectors as Parquet: fixed-size lists, compressed, in row groups of bounded size."""

from __future__ import annotations

import json
from typing import Any, BinaryIO

import numpy as np

from taskembed.reading.vectors.rows import NumberType, VectorHeader, VectorRows, as_type
from taskembed.vectors import Rows
from taskembed.version import __version__

# bytes of texts, metadata and vectors in a row group, which is held in memory
GROUP_BYTES = 32 * 2**20
KEYS = ("space", "side", "index", "version")  # keys of the schema's metadata, after "taskembed."


class ParquetVectors:
    """Writes documents with their vectors; a context manager that completes the file on exit.

    Args:
        stream: the stream to write to; it need not be seekable.
        header: properties of all vectors.
    """

    def __init__(self, stream: BinaryIO, header: VectorHeader) -> None:
        import pyarrow as pa  # 0.1 s
        import pyarrow.parquet as pq

        self._header = header
        self._schema = _schema(header)
        self._waiting: list[Any] = []  # record batches of the next row group
        self._waiting_bytes = 0
        self._writer = pq.ParquetWriter(
            pa.PythonFile(stream, mode="w"),
            self._schema,
            compression="zstd",
            use_dictionary=False,
            # DuckDB reads this encoding for 32-bit numbers only
            use_byte_stream_split=(
                ["vector.list.element"] if header.dtype is NumberType.FLOAT32 else False
            ),
            # minima and maxima are useless for vectors and texts
            write_statistics=["doc_id"],
        )

    def __enter__(self) -> ParquetVectors:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._write_group()
            self._writer.close()
        else:
            self._writer.is_open = False  # otherwise its destructor would complete the file

    def write(self, rows: VectorRows) -> None:
        """Write some documents."""
        import pyarrow as pa

        numbers = as_type(rows, self._header.dtype)
        columns = _columns(rows)
        values = pa.array(np.ascontiguousarray(numbers).ravel())
        columns["vector"] = pa.FixedSizeListArray.from_arrays(
            values, type=self._schema.field("vector").type
        )
        batch = pa.record_batch(
            [
                pa.array(columns[field.name], type=field.type)
                if field.name != "vector"
                else columns["vector"]
                for field in self._schema
            ],
            schema=self._schema,
        )
        self._waiting.append(batch)
        self._waiting_bytes += batch.nbytes
        if self._waiting_bytes >= GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        import pyarrow as pa

        if self._waiting:
            table = pa.Table.from_batches(self._waiting, self._schema)
            self._waiting, self._waiting_bytes = [], 0
            self._writer.write_table(table, row_group_size=max(1, table.num_rows))


def _schema(header: VectorHeader) -> Any:  # noqa: ANN401  # pyarrow publishes no types
    import pyarrow as pa

    number = pa.float16() if header.dtype is NumberType.FLOAT16 else pa.float32()
    element = pa.field("element", number, nullable=False)
    fields = [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("metadata", pa.string(), nullable=False),
        pa.field("vector", pa.list_(element, header.space.dim), nullable=False),
        pa.field("truncated", pa.bool_(), nullable=False),
    ]
    if header.is_chunked:
        fields += [
            pa.field("start", pa.int64(), nullable=False),
            pa.field("end", pa.int64(), nullable=False),
            pa.field("document", pa.string()),
        ]
    values = (header.space.to_json(), header.side.value, dict(header.index), __version__)
    said = {
        f"taskembed.{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in zip(KEYS, values, strict=True)
        if value
    }
    return pa.schema(fields, metadata=said)


def _columns(rows: VectorRows) -> dict[str, Any]:
    """Return the columns other than the vectors: one row for each document, or each chunk."""
    if rows.cuts is None:
        return {
            "doc_id": rows.doc_ids,
            "text": rows.texts,
            "metadata": rows.metadata,
            "truncated": rows.truncated,
        }
    counts = [len(cuts) for cuts in rows.cuts]
    owners = np.repeat(np.arange(len(counts)), counts)
    places: Rows = np.concatenate([np.empty((0, 2), np.int64), *rows.cuts])
    is_first = np.diff(owners, prepend=-1) > 0
    each = list(zip(owners.tolist(), places.tolist(), is_first.tolist(), strict=True))
    return {
        "doc_id": [rows.doc_ids[owner] for owner in owners.tolist()],
        "text": [rows.texts[owner][begin:end] for owner, (begin, end), _ in each],
        "metadata": [rows.metadata[owner] for owner in owners.tolist()],
        "truncated": rows.truncated[owners],
        "start": places[:, 0],
        "end": places[:, 1],
        "document": [rows.texts[owner] if first else None for owner, _, first in each],
    }
