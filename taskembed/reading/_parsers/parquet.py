"""Reads Parquet files; only as many rows are decoded at once as fit in memory."""

from __future__ import annotations

import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from taskembed.errors import BadInputError, TaskembedError, from_os_error
from taskembed.reading._parsers.parquet_plan import WAY_OUT, plan_of
from taskembed.reading._parsers.parquet_rows import ParquetRows
from taskembed.reading.bounds import BATCH_BYTES, SPOOL_BYTES
from taskembed.reading.places import Place
from taskembed.reading.streams import OnBad, unreadable

MAX_FOOTER_BYTES = 32 * 2**20  # bytes in the file; in memory, a footer takes 30 times as much
_MAGIC = b"PAR1"


def parquet_records(
    path: Place | None,
    name: str,
    on_bad: OnBad,
    max_record_bytes: int,
    on_begin: Callable[[Callable[[], float]], None] = lambda _: None,
) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield the number and the fields of each row, with values that JSON can hold.

    Args:
        path: where the file is; None for stdin.
        name: name of the file in messages.
        on_bad: called with each bad row; raises to stop, returns to continue.
        max_record_bytes: size of a row in bytes, uncompressed, above which the row is bad.
        on_begin: called with a function that returns the fraction of rows read, 0 to 1.

    Raises:
        BadInputError: the file is not Parquet, is damaged, or cannot be decoded in little memory.
        StorageError: the file cannot be read.
    """
    import pyarrow as pa  # 0.1 s

    rows = ParquetRows(name, on_bad, max_record_bytes)
    try:
        with _as_file(path, name) as stream:
            require_footer(stream, name)
            with _Handles(stream) as handles:
                count = max(1, handles.plain.metadata.num_rows)
                on_begin(lambda: rows.number / count)
                for group in range(handles.plain.num_row_groups):
                    plan = plan_of(handles.plain, group, stream, name)
                    file = handles.keeping if plan.keeps_dictionaries else handles.plain
                    for batch in file.iter_batches(plan.rows, row_groups=[group]):
                        yield from rows.of(_in_microseconds(batch))
    except OSError as error:
        if error.errno:
            raise from_os_error(error, name) from error
        raise unreadable(name, rows.number, error) from error
    except TaskembedError:
        raise
    except (pa.ArrowException, ValueError, OverflowError) as error:
        # ValueError, OverflowError: a time that datetime cannot hold (nanoseconds, the year 30000)
        raise unreadable(name, rows.number, error) from error


@contextmanager
def _as_file(path: Place | None, name: str) -> Iterator[BinaryIO]:
    """Open a file; a pipe or stdin is copied into a temporary file first."""
    with sys.stdin.buffer if path is None else path.open("rb") as stream:
        if path is not None and stat.S_ISREG(path.stat().st_mode):
            yield stream
            return
        with tempfile.TemporaryFile(prefix="taskembed-") as copy:
            start = stream.read(len(_MAGIC))
            if start == _MAGIC:
                copy.write(start)
                _copy(stream, cast("BinaryIO", copy), name)
            yield cast("BinaryIO", copy)


def _copy(stream: BinaryIO, copy: BinaryIO, name: str) -> None:
    while piece := stream.read(2**20):
        if copy.tell() + len(piece) > SPOOL_BYTES:
            raise BadInputError(
                f"more than {SPOOL_BYTES:,} bytes of Parquet from a pipe",
                what=name,
                hint="pass the path of the file",
            )
        copy.write(piece)


def require_footer(stream: BinaryIO, name: str) -> None:
    """Return when the footer of a Parquet file is small enough to be read.

    Raises:
        BadInputError: it is not.
    """
    size = stream.seek(0, 2)
    if size >= 2 * len(_MAGIC) + 4:
        stream.seek(-2 * len(_MAGIC), 2)
        footer = int.from_bytes(stream.read(4), "little")
        if stream.read() == _MAGIC and MAX_FOOTER_BYTES < footer < size:
            raise BadInputError(
                f"its footer has {footer:,} bytes, and at most {MAX_FOOTER_BYTES:,} are read",
                what=name,
                hint=WAY_OUT,
            )
    stream.seek(0)


class _Handles:
    """A Parquet file, opened with and without decoding dictionaries."""

    def __init__(self, stream: BinaryIO) -> None:
        import pyarrow.parquet as pq

        self._stream = stream
        self._open = pq.ParquetFile
        self.plain = self._open(stream, pre_buffer=False)
        # each column has its own buffer
        size = max(4096, min(2**20, BATCH_BYTES // max(1, len(self.plain.schema.names))))
        self._options = {"pre_buffer": False, "buffer_size": size}
        self.plain = self._open(stream, **self._options)
        self._keeping: Any = None

    @property
    def keeping(self) -> Any:  # noqa: ANN401  # pyarrow publishes no types
        """The file, opened so that texts stay dictionary-encoded until they are measured."""
        if self._keeping is None:
            names = [self.plain.schema.column(number).path for number in _texts(self.plain.schema)]
            self._keeping = self._open(self._stream, read_dictionary=names, **self._options)
        return self._keeping

    def __enter__(self) -> _Handles:
        return self

    def __exit__(self, *_: object) -> None:
        self.plain.close()


def _texts(schema: Any) -> list[int]:  # noqa: ANN401
    return [
        number
        for number in range(len(schema.names))
        if schema.column(number).physical_type == "BYTE_ARRAY"
    ]


def _in_microseconds(batch: Any) -> Any:  # noqa: ANN401
    """Return a batch with its times in microseconds, which datetime can hold.

    For nanoseconds, pyarrow returns pandas' types if pandas is installed, and fails otherwise.
    Here, a time that is not a whole number of microseconds is an error in either case.
    """
    import pyarrow as pa

    fields = [
        field.with_type(pa.timestamp("us", field.type.tz))
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns"
        else field
        for field in batch.schema
    ]
    schema = pa.schema(fields)
    return batch if schema.equals(batch.schema) else batch.cast(schema)
