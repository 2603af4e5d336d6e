"""Reads CSV and TSV: a row becomes a record of the columns' names; every value is a string.

It uses the standard library's csv module, since pyarrow guesses types: "007" would become 7.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from taskembed.english import counted
from taskembed.errors import BadInputError, BadRecordError
from taskembed.reading._parsers.csv_end import end_of_record
from taskembed.reading.bounds import MAX_VALUES, SHOWN_BYTES, SKIP_BYTES
from taskembed.reading.rows import Row
from taskembed.reading.streams import BOM, DAMAGED, OnBad, as_text, counted_blank

TABLES = {"csv": ",", "tsv": "\t"}  # format -> delimiter
_BOMS_16 = (b"\xff\xfe", b"\xfe\xff")
# a lone \r also ends a row, as in files of old spreadsheets
_LONE_RETURN = re.compile(rb"(?<=\r)(?!\n)")
_CHUNK_BYTES = 2**20
_LINE_END_BYTES = 2
_LARGE_BYTES = 2**20
_LOOKED_AT = 1_000  # characters at the start of a row in which delimiters are counted
_QUOTE_HINT = "look for a quote that is never closed"


class Columns:
    """The names of the columns, from an option or the first row; checks rows against them."""

    def __init__(self, on_bad: OnBad, delimiter: str, names: Sequence[str] | None) -> None:
        self.names = None if names is None else list(names)
        self.delimiter = delimiter
        self._on_bad = on_bad
        self._stated = self.names  # None once a row has been read

    def reject(self, error: BadRecordError) -> None:
        """Handle a bad row.

        Raises:
            BadInputError: the row is the header, without which no row can be read.
        """
        if self.names is None:
            reason = f"{error.reason}, in the header"
            raise BadInputError(reason, what=error.source, hint=error.hint)
        self._on_bad(error)

    def record(self, row: list[str], source: str) -> dict[str, object] | None:
        """Return the fields of a row; None if the row is the header, or bad.

        Raises:
            BadInputError: the header has a duplicate name, or repeats the names of --columns.
        """
        if self._stated is not None:
            if [name.lower() for name in self._stated] == [cell.strip().lower() for cell in row]:
                raise BadInputError(
                    "the first row repeats the names of the columns",
                    what=source,
                    hint="--header instead of --no-header and --columns",
                )
            self._stated = None
        if self.names is None:
            if len(set(row)) < len(row):
                raise BadInputError(
                    "duplicate column in the header",
                    what=source,
                    hint=header_hint(row, self.delimiter),
                )
            self.names = row
            return None
        if len(row) != len(self.names):
            self.reject(self.other_width(len(row), source, self.delimiter.join(row)))
            return None
        return dict(zip(self.names, row, strict=True))

    def other_width(self, cells: int, source: str, raw: str) -> BadRecordError:
        """Return the error for a row that does not have as many cells as the header."""
        names = self.names or []
        reason = f"it has {counted(cells, 'cell')}, and the header has {len(names):,}"
        parted = raw if cells == 1 else "".join(names) if len(names) == 1 else ""
        return BadRecordError(source, reason, raw=raw, hint=_delimiter_hint(parted, self.delimiter))


def header_hint(names: Sequence[str], delimiter: str) -> str | None:
    """Return the options to use if a first row does not look like names of columns."""
    if any("\0" in name for name in names):
        return "--encoding utf-16-le, or utf-16-be"
    if names and names[0].startswith('{"'):
        return "the rows look like JSON: --format jsonl"
    hint = _delimiter_hint(names[0], delimiter) if len(names) == 1 else None
    return hint or (no_header_hint(len(names)) if any(map(_is_data, names)) else None)


def no_header_hint(columns: int) -> str:
    """Return the options to use if the first row is data."""
    names = {1: "text", 2: "id,text", 3: "id,title,text"}.get(columns, "NAME,NAME,...")
    return f"if the first row is data: --no-header --columns {names}"


def _delimiter_hint(text: str, delimiter: str) -> str | None:
    """Return the option to use if another delimiter is likelier."""
    marks = {";": "';'", "\t": r"'\t'", "|": "'|'", ",": ","}
    counts = {mark: text[:_LOOKED_AT].count(mark) for mark in marks if mark != delimiter}
    best = max(counts, key=lambda mark: counts[mark])
    return f"--delimiter {marks[best]}" if counts[best] else None


def _is_data(cell: str) -> bool:
    """Return whether a cell looks like data: a number, or more than four words."""
    words = cell.split()
    return not words or len(words) > 4 or cell.strip().lstrip("-").replace(".", "").isdigit()  # noqa: PLR2004  # words


def tsv_record(columns: Columns, source: str, line: bytes) -> dict[str, object] | None:
    """Return the fields of a line of TSV, in which quotes are not special; None for no record.

    Raises:
        BadInputError: the line is a bad header.
    """
    cells = line.count(columns.delimiter.encode()) + 1  # counted before they are created
    if cells > MAX_VALUES:
        reason = f"the record has more than {MAX_VALUES:,} cells"
        columns.reject(BadRecordError(source, reason, raw=as_text(line[:SHOWN_BYTES])))
        return None
    try:
        return columns.record(line.decode().split(columns.delimiter), source)
    except UnicodeDecodeError as error:
        columns.reject(_not_utf_8(error, line, source))
        return None


def _not_utf_8(error: UnicodeDecodeError, line: bytes, source: str) -> BadRecordError:
    """Return the error for a row that is not UTF-8."""
    if line.startswith(_BOMS_16):
        reason, known = "it looks like UTF-16, not UTF-8", "utf-16"
    elif b"\0" in line:
        reason, known = "it looks like UTF-16, not UTF-8", "utf-16-le, or utf-16-be"
    else:
        reason, known = f"not UTF-8 at byte {error.start + 1}", "cp1252 (of Windows) or latin-1"
    return BadRecordError(source, reason, raw=as_text(line), hint=f"--encoding {known}")


class _TooLargeError(Exception):
    """The current record is larger than the limit."""


class _Measured:
    """Measures the current record, without holding its lines."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.start = b""
        self.size = 0  # bytes
        self.lines = 0
        self.cells = 0
        self.bad: UnicodeDecodeError | None = None

    def added(self, line: bytes, delimiter: str) -> str:
        """Count another line of the record, and return it as text.

        Raises:
            _TooLargeError: the record is larger than the limit.
        """
        self.lines += 1
        self.size += len(line)
        self.cells += line.count(delimiter.encode())
        if len(self.start) < SHOWN_BYTES:
            self.start += line[: SHOWN_BYTES - len(self.start)]
        if self.size > self._limit + _LINE_END_BYTES:
            raise _TooLargeError(
                f"the record is larger than {self._limit:,} bytes (--max-record-bytes)"
            )
        if self.cells > MAX_VALUES:
            raise _TooLargeError(f"the record has more than {MAX_VALUES:,} cells")
        if self.lines > MAX_VALUES:
            raise _TooLargeError(f"the record has more than {MAX_VALUES:,} lines")
        try:
            return line.decode()
        except UnicodeDecodeError as error:
            self.bad = self.bad or error
            return line.decode(errors="surrogateescape")


class CsvRows:
    """The records of a CSV file; `number` is the number of the last line read."""

    def __init__(self, name: str, stream: BinaryIO, columns: Columns, limit: int) -> None:
        self.number = 0
        self._name = name
        self._stream = stream
        self._columns = columns
        self._limit = limit
        self._pieces: list[bytes] = []  # pieces of one line, in reverse order
        self._held = io.BytesIO()  # bytes read but not parsed yet
        self._piece = b""  # the last line that csv.reader was given
        self._record = _Measured(limit)
        self._source = ""  # the position where the record begins
        self._rows = self._reader()

    def records(self) -> Iterator[Row]:
        """Return an iterator over the records, which are read one at a time.

        Raises:
            BadInputError: the file is not CSV: a record has no end, or the header is bad.
        """
        csv.field_size_limit(sys.maxsize)  # the size of a record is checked here instead, in bytes
        return iter(self._next, None)

    def _next(self) -> Row | None:
        blank = 0
        while (row := self._row()) is not None:
            if self._is_blank(row):
                blank = counted_blank(blank + self._record.size, self._source)
                continue
            blank = 0
            record = self._checked(row)
            if record is not None:
                return Row(self._source, record, None)
        return None

    def _row(self) -> list[str] | None:
        """Return the cells of the next record within the limit; None at the end."""
        while True:
            self._record = _Measured(self._limit)
            self._source = f"{self._name}:{self.number + 1}"
            try:
                row = next(self._rows, None)
            except _TooLargeError as error:
                self._reject_large(str(error))
                self._rows = self._reader()
                continue
            except csv.Error as error:
                is_at_end = not self._piece
                hint = _QUOTE_HINT if is_at_end else DAMAGED
                raise BadInputError(str(error), what=self._source, hint=hint) from error
            if self._record.size > _LARGE_BYTES:
                # the old reader keeps a buffer of the largest record's size
                self._rows = self._reader()
            return row

    def _reader(self) -> Iterator[list[str]]:
        return csv.reader(self, strict=True, delimiter=self._columns.delimiter)

    def _is_blank(self, row: list[str]) -> bool:
        is_one_column = self._columns.names is not None and len(self._columns.names) == 1
        return not row or (len(row) == 1 and not is_one_column and not row[0].strip())

    def _checked(self, row: list[str]) -> dict[str, object] | None:
        if self._record.bad is not None:
            self._columns.reject(
                _not_utf_8(self._record.bad, self._record.bad.object, self._source)
            )
            return None
        return self._columns.record(row, self._source)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        """Return the next line, for csv.reader, which asks for more lines inside quotes."""
        self._piece = self._pieces.pop() if self._pieces else self._read()
        if not self._piece:
            raise StopIteration
        self.number += 1
        return self._record.added(self._piece, self._columns.delimiter)

    def _read(self) -> bytes:
        """Return the next line, or the beginning of a line over the limit; b"" at the end."""
        size = self._limit + _LINE_END_BYTES + 1
        line = self._readline(size)
        if self.number == 0:
            line = line.removeprefix(BOM)
        if -1 < line.find(b"\r") < len(line) - _LINE_END_BYTES:
            pieces = _LONE_RETURN.split(line)
            if len(pieces) > 1 and len(line) >= size:
                self._held = io.BytesIO(pieces.pop() + self._held.read())
            self._pieces = [piece for piece in reversed(pieces) if piece]
            return self._pieces.pop()
        return line

    def _readline(self, size: int) -> bytes:
        line = self._held.readline(size)
        if line.endswith(b"\n") or len(line) == size:
            return line
        return line + self._stream.readline(size - len(line))

    def _reject_large(self, reason: str) -> None:
        """Reject a record as too large, and skip the rest of it."""
        is_open = self._record.lines > 1  # csv.reader asks for another line only inside quotes
        hint = _QUOTE_HINT if is_open else None
        raw = as_text(self._record.start)
        self._columns.reject(BadRecordError(self._source, reason, raw=raw, hint=hint))
        start, self._pieces = b"".join([self._piece, *reversed(self._pieces)]), []
        try:
            left, lines = end_of_record(
                start,
                lambda: self._held.read(_CHUNK_BYTES) or self._stream.read(_CHUNK_BYTES),
                delimiter=self._columns.delimiter,
                is_open=is_open,
                limit=SKIP_BYTES,
            )
        except ValueError as error:
            raise BadInputError(str(error), what=self._source, hint=_QUOTE_HINT) from error
        self.number += lines - 1
        self._held = io.BytesIO(left + self._held.read())
