"""Reads files of vectors, Parquet or .npy with its ids, in bounded memory.

In Parquet, vectors may be lists of any kind, of floats of 16, 32 or 64 bits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from taskembed.errors import BadInputError, NotFoundError, os_errors
from taskembed.reading._parsers.parquet import require_footer
from taskembed.reading._parsers.parquet_plan import plan_of
from taskembed.reading._parsers.parquet_rows import ParquetRows
from taskembed.reading.bounds import DEFAULT_MAX_RECORD_BYTES
from taskembed.reading.streams import OnBad, unreadable
from taskembed.reading.vectors.files import NPY, files_beside, require_vector_name
from taskembed.space import EmbeddingSpace, PromptType
from taskembed.vectors import FloatRows

VECTOR_FIELDS = ("vector", "embedding", "embeddings")
_NPY_ROWS = 4_096
_MAX_HEADER_BYTES = 2**20  # bytes of the companion file of .npy that has the space
_SAMPLED_GROUPS = 20  # row groups of Parquet; each is decoded up to the last row of the sample


class VectorRecord(NamedTuple):
    """A row of a file of vectors.

    Attributes:
        where: the file and the number of the row, from 1: "vectors.parquet:row 17".
        record: its fields other than the vector.
        vector: float32[dim]; None if the row has no valid vector.
        reason: why there is no vector; "" if there is one.
    """

    where: str
    record: dict[str, object]
    vector: Any
    reason: str = ""


@dataclass(frozen=True, slots=True)
class VectorSource:
    """A file of vectors of which the header has been read.

    Attributes:
        path: the path of the file.
        space: the embedding space in the header; None if there is none.
        index: the settings of the index that the file was exported from; empty if unknown.
        dim: the dimension of the vectors.
        columns: the names of the fields other than the vector.
        vector_field: the name of the column of the vectors.
        name: what messages call the file; "" for its path.
    """

    path: Path
    space: EmbeddingSpace | None
    index: Mapping[str, object]
    dim: int
    columns: tuple[str, ...] = ("id",)
    vector_field: str = field(default="vector")
    name: str = ""

    def __str__(self) -> str:
        return self.name or str(self.path)

    @property
    def is_chunked(self) -> bool:
        """Whether a row is a chunk of a document, as in an export of an index with chunks."""
        return self.space is not None and {"start", "end", "document"} <= set(self.columns)

    def records(self, on_bad: OnBad) -> Iterator[VectorRecord]:
        """Yield the rows, in order.

        Args:
            on_bad: called with each row that cannot be decoded; raises to stop.

        Raises:
            BadInputError: the file is damaged, or cannot be decoded in little memory.
            StorageError: the file cannot be read.
        """
        return _npy_records(self) if self.path.suffix == NPY else _parquet_records(self, on_bad)

    def sample(self, count: int) -> Iterator[VectorRecord]:
        """Yield about `count` rows, spread over the whole file; all rows if there are fewer.

        Rows that cannot be decoded are left out. At most 20 row groups of Parquet are read.

        Raises:
            BadInputError, StorageError: as `records`.
        """
        if self.path.suffix == NPY:
            rows = set(_spread(len(_npy(self.path)), count))
            records = enumerate(_npy_records(self))
            return (record for row, record in records if row in rows)
        return _parquet_sample(self, count)


def find_vectors(path: Path, vector_field: str | None = None, *, name: str = "") -> VectorSource:
    """Return a file of vectors; only its header is read.

    Args:
        path: the path of a .parquet or .npy file.
        vector_field: the column of the vectors; None for "vector", "embedding" or "embeddings".
        name: what messages call the file; "" for its path.

    Raises:
        UsageError: the name has another suffix.
        NotFoundError: the file, or the file of its ids, does not exist.
        BadInputError: the file has another format, is damaged, or has no vectors.
    """
    require_vector_name("the file", path)
    if not path.is_file():
        raise NotFoundError("no such file", what=str(path), hint="check the path")
    if path.suffix == NPY:
        return _npy_source(path)
    import pyarrow as pa

    shown = name or str(path)
    with _translated(shown), _opened(path) as file:
        schema = file.schema_arrow
        names = [vector_field] if vector_field else list(VECTOR_FIELDS)
        column = next((name for name in names if name in schema.names), None)
        if column is None:
            raise BadInputError(
                f"it has no column {names[0]!r}; its columns are {', '.join(schema.names)}",
                what=shown,
                hint="--vector-field NAME",
            )
        kind = schema.field(column).type
        if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or _is_fixed(kind)) or (
            not pa.types.is_floating(kind.value_type)
        ):
            raise BadInputError(
                f"the column {column!r} has no lists of floats, but {kind}", what=shown
            )
        header = {key.decode(): value for key, value in (schema.metadata or {}).items()}
        _require_documents(shown, header.get("taskembed.side", b"document").decode())
        space, index = _parse_header(
            shown, header.get("taskembed.space"), header.get("taskembed.index")
        )
        dim = kind.list_size if _is_fixed(kind) else _first_size(file, column)
        columns = tuple(other for other in schema.names if other != column)
    return VectorSource(path, space, index, dim, columns, column, name)


def _is_fixed(kind: Any) -> bool:  # noqa: ANN401  # pyarrow publishes no types
    import pyarrow as pa

    return bool(pa.types.is_fixed_size_list(kind))


def _require_documents(name: str, side: str) -> None:
    if side != PromptType.DOCUMENT.value:
        raise BadInputError(
            "its vectors are those of queries, but an index holds vectors of documents",
            what=name,
            hint="taskembed encode --side document",
        )


def _parse_header(
    name: str, space: bytes | str | None, index: bytes | str | None
) -> tuple[EmbeddingSpace | None, Mapping[str, object]]:
    try:
        values = json.loads(index) if index else {}
        if not isinstance(values, dict):
            raise TypeError("it is not an object")  # noqa: TRY301
        return (EmbeddingSpace.from_json(json.loads(space)) if space else None), values
    except (ValueError, TypeError, RecursionError) as error:
        reason = f"its space cannot be read: {error}"
        raise BadInputError(reason, what=name) from error


def _first_size(file: Any, name: str) -> int:  # noqa: ANN401
    for batch in file.iter_batches(1, columns=[name]):
        if batch.num_rows and batch.column(0).is_valid()[0].as_py():
            return len(batch.column(0)[0])
    return 0


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with path.open("rb") as stream:
        require_footer(stream, str(path))
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=2**20) as file:
        yield file


@contextmanager
def _translated(name: str, rows: ParquetRows | None = None) -> Iterator[None]:
    import pyarrow as pa

    try:
        with os_errors(name):
            try:
                yield
            except OSError as error:
                if error.errno:
                    raise
                raise unreadable(name, rows.number if rows else 0, error) from error
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise unreadable(name, rows.number if rows else 0, error) from error


def _parquet_records(source: VectorSource, on_bad: OnBad) -> Iterator[VectorRecord]:
    rows = ParquetRows(str(source), on_bad, DEFAULT_MAX_RECORD_BYTES)
    with _parquet(source, rows) as (file, raw):
        for group in range(file.num_row_groups):
            plan = plan_of(file, group, raw, str(source))
            for batch in file.iter_batches(plan.rows, row_groups=[group]):
                first = rows.number
                yield from _decoded(source, rows, batch)
                rows.number = first + batch.num_rows  # also where there is no other column


def _parquet_sample(source: VectorSource, count: int) -> Iterator[VectorRecord]:
    rows = ParquetRows(str(source), lambda _: None, DEFAULT_MAX_RECORD_BYTES)
    with _parquet(source, rows) as (file, raw):
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        starts = np.cumsum([0, *sizes])
        groups = [group for group in range(len(sizes)) if sizes[group]]
        groups = [groups[place] for place in _spread(len(groups), _SAMPLED_GROUPS)]
        for group in groups:
            wanted = starts[group] + np.array(_spread(sizes[group], -(-count // len(groups))))
            plan, begin = plan_of(file, group, raw, str(source)), int(starts[group])
            for batch in file.iter_batches(plan.rows, row_groups=[group]):
                here = wanted[(wanted >= begin) & (wanted < begin + batch.num_rows)]
                for row in here.tolist():
                    rows.number = row
                    yield from _decoded(source, rows, batch.slice(row - begin, 1))
                begin += batch.num_rows
                if begin > wanted[-1]:
                    break


def _spread(total: int, count: int) -> list[int]:
    """Return at most `count` numbers below `total`, evenly spread."""
    return sorted(set(np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist()))


@contextmanager
def _parquet(source: VectorSource, rows: ParquetRows) -> Iterator[tuple[Any, BinaryIO]]:
    with (
        _translated(str(source), rows),
        _opened(source.path) as file,
        source.path.open("rb") as raw,
    ):
        yield file, raw


def _decoded(
    source: VectorSource,
    rows: ParquetRows,
    batch: Any,  # noqa: ANN401
) -> Iterator[VectorRecord]:
    """Yield the rows of a batch; the number of its first row follows `rows.number`."""
    first = rows.number
    vectors, reasons = _vectors(batch.column(source.vector_field), source.dim)
    for number, record in rows.of(batch.drop_columns([source.vector_field])):
        row = number - first - 1
        yield VectorRecord(f"{source}:row {number}", record, vectors[row], reasons.get(row, ""))


def _vectors(column: Any, dim: int) -> tuple[FloatRows, dict[int, str]]:  # noqa: ANN401
    """Return float32[n, dim], and the reason for each row that has no valid vector."""
    vectors = np.full((len(column), dim), np.nan, np.float32)
    reasons: dict[int, str] = {}
    missing = column.is_null().to_numpy(zero_copy_only=False)
    if _is_fixed(column.type):
        sizes = np.full(len(column), dim)
    else:
        sizes = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    for row in np.flatnonzero(missing).tolist():
        reasons[row] = "it has no vector"
    for row in np.flatnonzero(~missing & (sizes != dim)).tolist():
        reasons[row] = f"its vector has {sizes[row]:,} numbers, but the first vector has {dim:,}"
    good = np.flatnonzero(~missing & (sizes == dim))
    if len(good) and dim:
        chosen = column if len(good) == len(column) else column.take(_indices(good))
        with np.errstate(over="ignore"):
            numbers = chosen.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
        vectors[good] = numbers.reshape(len(good), dim)
    return vectors, reasons


def _indices(rows: Any) -> Any:  # noqa: ANN401
    import pyarrow as pa

    return pa.array(rows)


def _npy_source(path: Path) -> VectorSource:
    ids, space_file = files_beside(path)
    vectors = _npy(path)
    if not ids.is_file():
        raise NotFoundError(
            "no such file",
            what=str(ids),
            hint="create it with the ids of the vectors, one on each line",
        )
    space: EmbeddingSpace | None = None
    if space_file.is_file():
        with os_errors(space_file):
            text = space_file.read_bytes()[:_MAX_HEADER_BYTES]
        try:
            value = json.loads(text)
            space = EmbeddingSpace.from_json(value["space"])
            _require_documents(str(path), value.get("side", "document"))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise BadInputError(
                f"the space cannot be read: {error}", what=str(space_file)
            ) from error
    return VectorSource(path, space, {}, vectors.shape[1])


def _npy(path: Path) -> Any:  # noqa: ANN401
    try:
        with os_errors(path):
            vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise BadInputError(
            f"it is not a .npy file, or is damaged: {error}", what=str(path)
        ) from error
    if vectors.ndim != 2 or vectors.dtype.kind != "f":  # noqa: PLR2004  # rows and numbers
        raise BadInputError(
            f"it has {vectors.dtype}{list(vectors.shape)}, not rows of floats", what=str(path)
        )
    return vectors


def _npy_records(source: VectorSource) -> Iterator[VectorRecord]:
    vectors = _npy(source.path)
    ids = files_beside(source.path)[0]
    row = -1
    try:
        with os_errors(ids), ids.open(encoding="utf-8", newline="\n") as lines:
            some: FloatRows = np.empty((0, 0), np.float32)
            for row, line in enumerate(lines):
                if row == len(vectors):
                    raise BadInputError(f"it has more ids than the {row:,} vectors", what=str(ids))
                if row % _NPY_ROWS == 0:
                    with np.errstate(over="ignore"):
                        some = np.asarray(vectors[row : row + _NPY_ROWS], np.float32)
                record: dict[str, object] = {"id": line.rstrip("\r\n")}
                yield VectorRecord(f"{ids}:{row + 1}", record, some[row % _NPY_ROWS])
    except UnicodeDecodeError as error:
        raise BadInputError("an id is not UTF-8", what=f"{ids}:{row + 2}") from error
    if row + 1 < len(vectors):
        raise BadInputError(f"it has {row + 1:,} ids for {len(vectors):,} vectors", what=str(ids))
