"""Opens inputs, decompresses and decodes them, and splits them into lines, one at a time."""

from __future__ import annotations

import codecs
import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO, cast

from taskembed.errors import (
    BadInputError,
    BadRecordError,
    UsageError,
    first_line,
    from_os_error,
    os_errors,
)
from taskembed.reading.bounds import BLANK_BYTES, SHOWN_BYTES, SKIP_BYTES
from taskembed.reading.meter import Meter
from taskembed.reading.places import Place

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BOM = b"\xef\xbb\xbf"
DAMAGED = "the file is damaged, or not what its name says"
_READ_BYTES = 64 * 2**10
# codecs of Python that are not encodings of files; some take quadratic time
_NO_ENCODINGS = {"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape"}

OnBad = Callable[[BadRecordError], None]


@dataclass(frozen=True, slots=True)
class Shape:
    r"""The delimiter, encoding and columns of a CSV or TSV file.

    Attributes:
        delimiter: the character between cells; None for a comma, or a tab in TSV.
        encoding: name of the encoding in Python; None for UTF-8.
        columns: names of the columns if the first row is data; None if the first row is a header.
    """

    delimiter: str | None = None
    encoding: str | None = None
    columns: tuple[str, ...] | None = None

    @classmethod
    def parse(cls, delimiter: str | None, encoding: str | None, columns: str | None) -> Shape:
        r"""Return the shape from the values of options: ";" or "\t", "latin-1", "id,text".

        Raises:
            UsageError: an option has an invalid value.
        """
        names = None if columns is None else tuple(name.strip() for name in columns.split(","))
        if names is not None and (not all(names) or len(set(names)) < len(names)):
            raise UsageError(
                f"--columns {columns!r}: each column needs a name of its own",
                hint="for example --columns id,text",
            )
        return cls(_delimiter(delimiter), _encoding(encoding), names)


def _delimiter(spelling: str | None) -> str | None:
    known = {"\\t": "\t", "tab": "\t"}
    delimiter = known.get(spelling, spelling) if spelling is not None else None
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise UsageError(
            f"--delimiter {delimiter!r} is not a single character that can separate cells",
            hint=r"for example ';' or '\t'",
        )
    return delimiter


def _encoding(name: str | None) -> str | None:
    if name is None:
        return None
    try:
        known = codecs.lookup(name).name.replace("-", "_")
        "".encode(name)  # fails for codecs from bytes to bytes
    except (LookupError, ValueError):
        known = ""
    if not known or known in _NO_ENCODINGS:
        raise UsageError(
            f"--encoding {name!r} is unknown", hint="for example latin-1, cp1252 or utf-16"
        )
    return None if known in {"utf_8", "utf_8_sig"} else name


@dataclass(frozen=True, slots=True)
class Input:
    """An input file, or stdin, with its format.

    Attributes:
        path: where the file is; None for stdin.
        format: "jsonl", "parquet", "csv", "tsv", "text" or "code".
        compression: "gzip", "zstd", or None.
        shape: delimiter, encoding and columns of CSV and TSV.
        partitions: names and values from folders of the path, such as year=2024.
        path_in_input: for a file of text or of source code: its path relative to the folder named
            by the user, with "/" as separator. It is the id of the document.
        id_folder: the folder named by the user; None if the user named the file itself, so that
            its id is its name.
        meter: counts the bytes that have been read.
    """

    path: Place | None
    format: str
    compression: str | None
    shape: Shape = field(default_factory=Shape)
    partitions: tuple[tuple[str, str | None], ...] = ()
    path_in_input: str = ""
    id_folder: Place | None = None
    meter: Meter = field(default_factory=Meter, compare=False)

    @property
    def name(self) -> str:
        """The name of the input in messages."""
        return "stdin" if self.path is None else str(self.path)


def stop_at_first(error: BadRecordError) -> None:
    """Raise the error; pass as `on_bad` to stop at the first bad record.

    Raises:
        BadRecordError: always.
    """
    raise error


def read_lines(
    item: Input, on_bad: OnBad, max_record_bytes: int, *, keep_space: bool = False
) -> Iterator[tuple[str, bytes]]:
    """Yield the position and the bytes of each line that is not blank; only a newline ends a line.

    At most one line is in memory: the iterator keeps no reference to the line it returned.

    Args:
        item: the input.
        on_bad: called with each line that is too large; raises to stop, returns to continue.
        max_record_bytes: size in bytes above which a line is a bad record.
        keep_space: also yield lines of only white space.

    Raises:
        BadInputError: the file is damaged, or a line or a run of blank lines is too long to skip.
        StorageError: the file cannot be read.
    """
    with opened(item) as stream:
        lines = _Lines(item.name, stream, on_bad, max_record_bytes, keep_space=keep_space)
        with translated(item, lambda: lines.number):
            yield from iter(lines.next, None)


class _Lines:
    """The lines of a stream; `number` is the number of the last line."""

    def __init__(
        self, name: str, stream: BinaryIO, on_bad: OnBad, limit: int, *, keep_space: bool
    ) -> None:
        self.number = 0
        self._name = name
        self._stream = stream
        self._on_bad = on_bad
        self._limit = min(limit, sys.maxsize - 8)  # the largest size that readline takes
        self._keep_space = keep_space

    def next(self) -> tuple[str, bytes] | None:
        """Return the position and the bytes of the next line that is not blank; None at the end."""
        blank = 0
        while line := self._stream.readline(self._limit + 2):
            self.number += 1
            source = f"{self._name}:{self.number}"
            if self.number == 1 and line.startswith(BOM):
                line = line[len(BOM) :]
            if len(line) > self._limit and _is_larger(line, self._limit):
                self._on_bad(too_large(source, self._limit, line))
                _skip_line(self._stream, line, source)
                continue
            content = line.rstrip(b"\r\n")
            if content and (self._keep_space or not content.isspace()):
                return source, content
            blank = counted_blank(blank + len(line), source)
        return None


def _is_larger(line: bytes, limit: int) -> bool:
    is_whole = line.endswith(b"\n") or len(line) < limit + 2
    return not is_whole or len(line.rstrip(b"\r\n")) > limit


def _skip_line(stream: BinaryIO, line: bytes, source: str) -> None:
    skipped = len(line)
    while line and not line.endswith(b"\n"):
        line = stream.readline(2**20)
        skipped += len(line)
        if skipped > SKIP_BYTES:
            raise endless(source)


def too_large(source: str, limit: int, start: bytes) -> BadRecordError:
    """Return the error for a record that is larger than the limit."""
    reason = f"the record is larger than {limit:,} bytes (--max-record-bytes)"
    return BadRecordError(source, reason, raw=as_text(start[:SHOWN_BYTES]))


def endless(source: str) -> BadInputError:
    """Return the error for a record whose end is not found."""
    return BadInputError(
        f"the record has no end within {SKIP_BYTES:,} bytes",
        what=source,
        hint=DAMAGED,
    )


def counted_blank(count: int, source: str) -> int:
    """Return `count`, the bytes of consecutive blank lines, if it is within the limit.

    Raises:
        BadInputError: the number is over the limit.
    """
    if count > BLANK_BYTES:
        raise BadInputError(
            f"more than {BLANK_BYTES:,} bytes of blank lines",
            what=source,
            hint=DAMAGED,
        )
    return count


def as_text(raw: bytes) -> str:
    """Return the bytes of a bad record as text that is valid in JSON."""
    return raw.decode(errors="backslashreplace")


@contextmanager
def opened(item: Input) -> Iterator[BinaryIO]:
    """Open an input; yield its decompressed bytes, transcoded to UTF-8.

    Raises:
        StorageError: the input cannot be read.
    """
    with os_errors(item.name):
        raw = item.path.open("rb") if item.path else cast("io.BufferedReader", sys.stdin.buffer)
    with raw:
        item.meter.begin(item.path, raw.tell)
        stream: BinaryIO = raw
        if item.compression == "gzip":
            stream = cast("BinaryIO", gzip.GzipFile(fileobj=raw))
        # an empty file has no frames, but is not damaged
        elif item.compression == "zstd" and raw.peek(1):
            stream = cast("BinaryIO", _zstd().ZstdFile(raw))
        encoding = item.shape.encoding if item.format in {"csv", "tsv"} else None
        yield _of_chunks(_transcoded(stream, encoding, item.name)) if encoding else stream


def _of_chunks(chunks: Iterator[bytes]) -> BinaryIO:
    return cast("BinaryIO", io.BufferedReader(_Chunks(chunks)))


class _Chunks(io.RawIOBase):
    """A stream over chunks of bytes."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        while not self._ready:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._ready = memoryview(chunk)
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._ready))
        target[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count


def _transcoded(stream: BinaryIO, encoding: str, name: str) -> Iterator[bytes]:
    """Yield the text of a stream, encoded as UTF-8."""
    decoder = codecs.getincrementaldecoder(encoding)()

    def decoded(raw: bytes, *, final: bool = False) -> str:
        try:
            return decoder.decode(raw, final)
        except UnicodeError as error:
            reason = getattr(error, "reason", "") or str(error)
            raise BadInputError(
                f"it is not encoded in {encoding}: {reason}", what=name, hint="another --encoding"
            ) from error

    is_first = True
    while raw := stream.read(_READ_BYTES):
        if is_first and raw.startswith(BOM):
            raise BadInputError(
                f"it begins with the byte order mark of UTF-8, but --encoding is {encoding}",
                what=name,
                hint="--encoding utf-8",
            )
        is_first = False
        yield decoded(raw).encode()
    yield decoded(b"", final=True).encode()


@contextmanager
def translated(item: Input, last: Callable[[], int]) -> Iterator[None]:
    """Translate errors of reading within the context.

    Args:
        item: the input that is read.
        last: returns the number of the last record that was read.

    Raises:
        BadInputError: the input is damaged.
        TaskembedError: the operating system cannot read the input.
    """
    try:
        yield
    except _damages(item) as error:
        raise unreadable(item.name, last(), error) from error
    except OSError as error:
        raise from_os_error(error, item.name) from error


def _damages(item: Input) -> tuple[type[Exception], ...]:
    """Return the exceptions that libraries raise for a damaged input."""
    known = (EOFError, zlib.error, gzip.BadGzipFile, UnicodeError)
    return (*known, _zstd().ZstdError) if item.compression == "zstd" else known


def _zstd() -> ModuleType:
    """Return the zstd library; it is imported only for .zst files, since that takes 0.01 s."""
    return import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")


def unreadable(name: str, position: int, error: Exception) -> BadInputError:
    """Return the error for a file that cannot be read after the record at `position`, from 1."""
    return BadInputError(
        f"it cannot be read after record {position:,}: {first_line(error)}",
        what=name,
        hint="the file is damaged, cut short, or not what its name says",
    )
