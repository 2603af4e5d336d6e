"""The metadata fields of a segment, for filters: one SQLite file, opened when it is first used."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager

from taskembed.index._segments.documents import SegmentDocuments, read_failure
from taskembed.index._segments.fields_file import check_fields, open_fields
from taskembed.index._segments.files import SegmentFiles
from taskembed.index._segments.filter_rows import FieldTable
from taskembed.index._segments.info import SegmentInfo
from taskembed.index.filtering.field_types import Fields, Value
from taskembed.index.filtering.filters import FieldName, Filter
from taskembed.vectors import Flags


class SegmentFields:
    """The metadata fields of a segment.

    Its methods raise IndexDamagedError if the file is damaged, and ValueError if the index is
    closed.
    """

    def __init__(self, files: SegmentFiles, info: SegmentInfo, documents: SegmentDocuments) -> None:
        self._files = files
        self._info = info
        self._documents = documents
        self._lock = threading.Lock()
        self._table: FieldTable | None = None

    def close(self) -> None:
        """Close the file."""
        if self._table:
            self._table.close()

    def types(self) -> Fields:
        """Return the types of each field, by the field's name in filters."""
        with self._read() as table:
            return table.fields

    def examples(self) -> dict[str, list[Value]]:
        """Return a few values of each field, of documents that are not deleted."""
        alive = ~self._documents.dead
        with self._read() as table:
            return {name: table.examples(name, alive) for name in table.fields}

    def passing(self, filter_: Filter) -> Flags:
        """Return bool[rows]: the rows that are not deleted and that match a filter."""
        with self._read() as table:
            return table.rows(filter_) & ~self._documents.dead

    def group_values(
        self, field: FieldName, rows: Sequence[int] | None
    ) -> Iterator[tuple[int, Hashable]]:
        """Yield rows with the values of a field: see `FieldTable.group_values`."""
        with self._read() as table:
            yield from table.group_values(field, rows)

    def check(self) -> None:
        """Compare every field with the metadata of the documents."""
        with self._read() as table:
            check_fields(table.database, self._documents.all_by_row(), self._info.rows)

    @contextmanager
    def _read(self) -> Iterator[FieldTable]:
        """Yield the tables of the fields; the whole file is checked the first time."""
        self._files.require_open()
        name = self._info.fields_file
        try:
            with self._lock:
                self._table = self._table or self._open_table()
            yield self._table
        except (sqlite3.Error, ValueError) as error:
            self._files.require_open()  # another thread may have closed it meanwhile
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_IOERR:
                raise read_failure(self._files.path(name)) from error
            raise self._files.damaged(name, str(error)) from error

    def _open_table(self) -> FieldTable:
        name = self._info.fields_file
        self._files.check(name)
        with self._files.stream(name) as stream:
            database = open_fields(stream, self._files.path(name))
        return FieldTable(database, self._info.rows, self._documents.metadata)
