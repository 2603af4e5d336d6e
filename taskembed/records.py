"""Reading records: files of JSONL, Parquet, CSV and TSV become fields, each with its position.

Plain, gzip or zstd; files, folders, stdin. Memory is bounded by one record (one small batch, for
Parquet). docs/input.md has a table of what is accepted.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import orjson

from taskembed.errors import (
    BadInputError,
    BadRecordError,
    NotFoundError,
    TaskembedError,
    UsageError,
    from_os_error,
)

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

DEFAULT_MAX_RECORD_BYTES = 64 * 2**20
ZSTD_READ_BYTES = 2048  # may become 32,000 times as many, which are in memory at once
PARQUET_ROWS = 64  # are in memory at once
SHOWN_CHARACTERS = 200  # of a record that is too large

_FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
}
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_LONG_NUMBER = re.compile(rb"[0-9]{19}")  # may be more than 64 bits
_BOM = b"\xef\xbb\xbf"

Record = Mapping[str, object]
OnBad = Callable[[BadRecordError], None]


@dataclass(frozen=True, slots=True)
class Input:
    """A file, or stdin, and what it is."""

    path: Path | None  # None: stdin
    format: str  # "jsonl", "parquet", "csv", "tsv"
    compression: str | None  # "gzip", "zstd"

    @property
    def name(self) -> str:
        """What messages call it."""
        return "stdin" if self.path is None else str(self.path)


def stop_at_first(error: BadRecordError) -> None:
    """Raise: what `on_bad` is where every record must be good."""
    raise error


def find_inputs(arguments: Sequence[str], *, format_name: str | None = None) -> list[Input]:
    """Return the inputs that are meant: files, the corpus files of folders, "-" for stdin.

    A folder stands for its files called corpus.*, or, when there is none, for every file below it
    with a known name, sorted.

    Raises:
        NotFoundError: there is no such file or folder, or nothing to read in a folder.
        UsageError: the name does not say what a file is.
    """
    if arguments.count("-") > 1:
        raise UsageError("stdin can be read only once")
    inputs: list[Input] = []
    for argument in arguments:
        path = Path(argument)
        if argument == "-":
            inputs.append(Input(None, format_name or "jsonl", None))
        elif path.is_dir():
            inputs += _folder_inputs(path, format_name)
        elif not path.exists():
            raise NotFoundError(f"no such file or folder: {argument}", hint="check the path")
        else:
            inputs.append(_file_input(path, format_name))
    return inputs


def _folder_inputs(folder: Path, format_name: str | None) -> list[Input]:
    def known(path: Path) -> bool:
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        return path.is_file() and not hidden and _split_name(path)[0] is not None

    paths = sorted(path for path in folder.glob("corpus.*") if known(path))
    paths = paths or sorted(path for path in folder.rglob("*") if known(path))
    if not paths:
        raise NotFoundError(
            f"no corpus in the folder {folder}", hint=f"known names end in {' '.join(_FORMATS)}"
        )
    return [_file_input(path, format_name) for path in paths]


def _file_input(path: Path, format_name: str | None) -> Input:
    known, compression = _split_name(path)
    chosen = format_name or known
    if chosen is None:
        raise UsageError(
            f"{path}: the name does not say what it is",
            hint="--format jsonl|parquet|csv|tsv",
        )
    if chosen == "parquet" and compression:
        raise UsageError(f"{path}: Parquet is compressed inside", hint="decompress the file")
    return Input(path, chosen, compression)


def _split_name(path: Path) -> tuple[str | None, str | None]:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compression = _COMPRESSIONS.get(suffixes[-1]) if suffixes else None
    if compression:
        suffixes.pop()
    return (_FORMATS.get(suffixes[-1]) if suffixes else None), compression


def read_records(
    item: Input, on_bad: OnBad, max_record_bytes: int
) -> Iterator[tuple[str, Record, bytes | None]]:
    """Yield the position, the fields and, where there is one, the line of each record.

    Args:
        item: what to read.
        on_bad: called with what is no record; raises to stop, returns to go on.
        max_record_bytes: a larger record is a bad one.

    Raises:
        BadInputError: the file is not what its name says, or is damaged.
        StorageError: it cannot be read.
    """
    max_record_bytes = min(max_record_bytes, sys.maxsize - 8)  # what readline takes
    if item.format == "jsonl":
        yield from _jsonl_records(item, on_bad, max_record_bytes)
    elif item.format == "parquet":
        yield from _parquet_records(item, on_bad, max_record_bytes)
    elif item.format == "tsv":
        yield from _tsv_records(item, on_bad, max_record_bytes)
    else:
        yield from _csv_records(item, on_bad, max_record_bytes)


def _jsonl_records(
    item: Input, on_bad: OnBad, max_record_bytes: int
) -> Iterator[tuple[str, Record, bytes | None]]:
    for source, line in read_lines(item, on_bad, max_record_bytes):
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            on_bad(BadRecordError(source, _json_reason(error, line), raw=as_text(line)))
            continue
        if _LONG_NUMBER.search(line) and (reason := _wide_integer(line)):
            on_bad(BadRecordError(source, reason, raw=as_text(line)))
        elif isinstance(record, dict):
            yield source, record, line
        else:
            on_bad(BadRecordError(source, "it is not a JSON object", raw=as_text(line)))


def _wide_integer(line: bytes) -> str | None:
    """Return what is wrong with a line that has a whole number which orjson makes a float of."""
    import json

    def exact(digits: str) -> int:
        if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:  # noqa: PLR2004  # of 2**64
            raise ValueError(f"the number {digits[:40]} has more than 64 bits; write it as text")
        return int(digits)

    try:
        json.loads(line, parse_int=exact)
    except RecursionError:
        return "it has a long number, and is nested too deep to read it exactly"
    except ValueError as error:
        return str(error)
    return None


def _json_reason(error: orjson.JSONDecodeError, line: bytes) -> str:
    if line[:2] in {b"\xff\xfe", b"\xfe\xff"} or b"\0" in line[:4]:
        return "it looks like UTF-16, not UTF-8; convert it: iconv -f UTF-16 -t UTF-8"
    try:
        line.decode()
    except UnicodeDecodeError as failure:
        return f"not UTF-8 at byte {failure.start + 1}"
    return f"not JSON at column {error.colno}: {error.msg}"


def read_lines(item: Input, on_bad: OnBad, max_record_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Yield the position and the bytes of each line that is not blank; only a newline ends one."""
    name = item.name
    number = 0
    with _opened(item) as stream, _reading(item, lambda: number):
        while line := stream.readline(max_record_bytes + 2):
            number += 1
            if number == 1 and line.startswith(_BOM):
                line = line[len(_BOM) :]
            if len(line) > max_record_bytes and line[max_record_bytes:].strip(b"\r\n"):
                start = line[:SHOWN_CHARACTERS]
                while line and not line.endswith(b"\n"):
                    line = stream.readline(max_record_bytes)
                reason = (
                    f"the record is larger than {max_record_bytes:,} bytes (--max-record-bytes)"
                )
                on_bad(BadRecordError(f"{name}:{number}", reason, raw=as_text(start)))
                continue
            line = line.rstrip(b"\r\n")
            if line and not line.isspace():
                yield f"{name}:{number}", line


def _csv_records(
    item: Input, on_bad: OnBad, max_record_bytes: int
) -> Iterator[tuple[str, Record, bytes | None]]:
    # The standard library rather than pyarrow: that guesses types, and "007" would become 7.
    csv.field_size_limit(min(max_record_bytes, sys.maxsize))
    line_number = 0
    with _opened(item) as stream, _reading(item, lambda: line_number):
        lines = _CsvLines(item.name, stream, max_record_bytes)
        rows = csv.reader(lines, strict=True)
        header: list[str] | None = None
        while True:
            lines.left = max_record_bytes
            try:
                row = next(rows, None)
            except csv.Error as error:
                raise BadInputError(f"{item.name}:{rows.line_num}: {error}") from error
            line_number = rows.line_num
            if row is None:
                break
            source = f"{item.name}:{line_number}"
            if header is None:
                header = _header(row, source)
            elif len(row) == len(header):
                yield source, dict(zip(header, row, strict=True)), None
            elif row:
                on_bad(_other_width(row, header, source, ","))


def _tsv_records(
    item: Input, on_bad: OnBad, max_record_bytes: int
) -> Iterator[tuple[str, Record, bytes | None]]:
    """Yield the rows of a file where a tab parts cells and a quote is a character as any other."""
    header: list[str] | None = None
    for source, line in read_lines(item, on_bad, max_record_bytes):
        try:
            row = line.decode().split("\t")
        except UnicodeDecodeError as error:
            reason = f"not UTF-8 at byte {error.start + 1}"
            on_bad(BadRecordError(source, reason, raw=as_text(line)))
            continue
        if header is None:
            header = _header(row, source)
        elif len(row) == len(header):
            yield source, dict(zip(header, row, strict=True)), line
        else:
            on_bad(_other_width(row, header, source, "\t"))


def _header(row: list[str], source: str) -> list[str]:
    if len(set(row)) < len(row):
        raise BadInputError(f"{source}: a column stands twice in the header")
    return row


def _other_width(row: list[str], header: list[str], source: str, delimiter: str) -> BadRecordError:
    reason = f"it has {len(row)} cells, and the header has {len(header)}"
    return BadRecordError(source, reason, raw=delimiter.join(row))


class _CsvLines:
    """Lines for csv.reader; no more than `left` bytes until it is set anew, once a record."""

    def __init__(self, name: str, stream: BinaryIO, limit: int) -> None:
        self.left = self._limit = limit
        self._name = name
        self._stream = stream
        self._number = 0
        self._pieces: list[str] = []  # of one line, last first

    def __iter__(self) -> _CsvLines:
        return self

    def __next__(self) -> str:
        if not self._pieces:
            self._read()
        piece = self._pieces.pop()
        self.left -= len(piece.encode())
        if self.left < -2:  # noqa: PLR2004  # the line's end
            self._refuse()
        return piece

    def _read(self) -> None:
        line = self._stream.readline(self._limit + 3)
        if not line:
            raise StopIteration
        self._number += 1
        if len(line) > self._limit + 2:
            self._refuse()
        text = line.decode("utf-8-sig" if self._number == 1 else "utf-8")
        # a lone carriage return ends a row too, as in files of old spreadsheets
        pieces = re.split(r"(?<=\r)(?!\n)", text)
        self._pieces = [piece for piece in reversed(pieces) if piece] or [""]

    def _refuse(self) -> None:
        raise BadInputError(
            f"{self._name}:{self._number}: the record is larger than {self._limit:,} bytes "
            "(--max-record-bytes)",
            hint="look for a quote that is never closed",
        )


def _parquet_records(
    item: Input, on_bad: OnBad, max_record_bytes: int
) -> Iterator[tuple[str, Record, bytes | None]]:
    import pyarrow as pa  # 0.1 s
    import pyarrow.parquet as pq

    number = 0
    try:
        source = io.BytesIO(sys.stdin.buffer.read()) if item.path is None else item.path
        with pq.ParquetFile(source) as file:
            for batch in file.iter_batches(batch_size=PARQUET_ROWS):
                moments = _in_microseconds(batch)
                for row in range(moments.num_rows):
                    one = moments.slice(row, 1)
                    # measured in Arrow's buffers: as Python's objects it takes many times as much
                    if one.nbytes > max_record_bytes:
                        number += 1
                        reason = f"the record is larger than {max_record_bytes:,} bytes"
                        on_bad(BadRecordError(f"{item.name}:row {number}", reason, raw=""))
                        continue
                    record = _plain(one.to_pylist()[0])
                    number += 1
                    yield f"{item.name}:row {number}", record, None
    except OSError as error:
        if error.errno:
            raise from_os_error(error, item.name) from error
        raise _damaged(item, number, error) from error
    except TaskembedError:
        raise
    except (pa.ArrowException, ValueError, OverflowError) as error:
        # the last two: a moment that datetime cannot hold (nanoseconds, the year 30000)
        raise _damaged(item, number, error) from error


def _in_microseconds(batch: Any) -> Any:  # noqa: ANN401  # pyarrow publishes no types
    """Return a batch whose moments datetime can hold, whether or not pandas is installed.

    With pandas, pyarrow would make its own moments of nanoseconds; without, an error. A moment
    that is not in whole microseconds is an error here in either case.
    """
    import pyarrow as pa

    fields = [
        field.with_type(pa.timestamp("us", field.type.tz))
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns"
        else field
        for field in batch.schema
    ]
    return batch.cast(pa.schema(fields))


def _plain(record: dict[str, object]) -> Record:
    """Return a row with what JSON can hold: dates and decimals as text, NaN as null."""
    return cast("Record", orjson.loads(orjson.dumps(record, default=_as_text)))


def _as_text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return str(value)


@contextmanager
def _opened(item: Input) -> Iterator[BinaryIO]:
    try:
        raw = sys.stdin.buffer if item.path is None else item.path.open("rb")
    except OSError as error:
        raise from_os_error(error, item.name) from error
    with raw:
        if item.compression == "gzip":
            with gzip.open(raw) as stream:
                yield cast("BinaryIO", stream)
        elif item.compression == "zstd":
            yield cast("BinaryIO", io.BufferedReader(_ZstdFrames(raw)))
        else:
            yield cast("BinaryIO", raw)


class _ZstdFrames(io.RawIOBase):
    """The content of zstd frames, one after another.

    Subtle: zstandard's own stream_reader takes the end of a file within a frame for the end of the
    data, so that a cut file reads as a shorter one. A frame's `eof` tells them apart.
    """

    def __init__(self, raw: BinaryIO) -> None:
        import zstandard

        self._raw = raw
        self._new_frame = zstandard.ZstdDecompressor().decompressobj
        self._frame = self._new_frame()
        self._is_begun = False  # the frame has been given bytes
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        while not self._ready and self._fill():
            pass
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._ready))
        target[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _fill(self) -> bool:
        """Decompress some more; return False at the end."""
        left = self._frame.unused_data if self._frame.eof else b""
        if self._frame.eof:
            self._frame, self._is_begun = self._new_frame(), False
        packed = left or self._raw.read(ZSTD_READ_BYTES)
        if not packed:
            if self._is_begun:
                raise EOFError("the last zstd frame is not whole")
            return False
        self._is_begun = True
        self._ready = memoryview(self._frame.decompress(packed))
        return True


@contextmanager
def _reading(item: Input, last_line: Callable[[], int]) -> Iterator[None]:
    """Translate what reading a file can raise; `last_line` is the last one that was whole."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise _damaged(item, last_line(), error) from error
    except TaskembedError:
        raise
    except OSError as error:
        raise from_os_error(error, item.name) from error
    except Exception as error:
        if type(error).__name__ == "ZstdError":  # known only when zstandard was imported
            raise _damaged(item, last_line(), error) from error
        raise


def _damaged(item: Input, position: int, error: Exception) -> BadInputError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return BadInputError(
        f"{item.name}: it cannot be read after record {position:,}: {reason}",
        hint="the file is damaged, cut short, or not what its name says",
    )


def as_text(raw: bytes) -> str:
    """Return bytes of a bad record as text that JSON can hold."""
    return raw.decode(errors="backslashreplace")
