"""A segment of format 1: two files, each with a single checksum in the manifest.

Since parts of a file cannot be checked, each file is read as a whole, and the vectors stay in
memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import numpy as np

from taskembed.index._segments.fields import SegmentFields
from taskembed.index._segments.fields_file import FieldsBuilder
from taskembed.index._segments.filter_rows import FieldTable
from taskembed.index._segments.segment import Segment
from taskembed.index._segments.vectors import NOT_FINITE, SegmentVectors
from taskembed.index.disk.files import read_file, read_into
from taskembed.index.kinds import flat
from taskembed.index.kinds import rows as stored_rows
from taskembed.index.kinds.rows import RawRows, Sums
from taskembed.index.storage import VectorType
from taskembed.vectors import Flags, FloatRows, Rows

_ROWS_AT_ONCE = 16_384


class VectorsOfFormat1(SegmentVectors):
    """The vectors of a segment of format 1: a FAISS IndexFlatIP of float32, all in memory.

    Its methods raise IndexDamagedError if the file is damaged, and ValueError if the index is
    closed.
    """

    def open(self) -> None:
        """Do nothing: `load` reads all vectors at once."""

    def load(self, *, exact: bool = False) -> None:  # noqa: ARG002  # there are no codes
        """Read all vectors into memory, float32[rows, dim], and compare their checksum.

        Args:
            exact: has no effect: format 1 has no codes, so that every search is exact.

        Raises:
            IndexDamagedError: the file is damaged.
            ValueError: the index is closed.
        """
        with self._lock:
            self._files.require_open()
            if self._flat is None:
                self._flat = self._read_flat()

    def read(self, rows: Rows) -> FloatRows:
        """Return the vectors of rows, float32[len(rows), dim]."""
        return self._loaded().rows(rows)

    def blocks(self, *, keep: Flags) -> Iterator[tuple[RawRows, Sums]]:
        """Yield the rows in `keep`, bool[rows], as uint8[n, 4 * dim], with uint32[n] checksums.

        The checksums are computed here, since the file has none for single rows.
        """
        kept = np.flatnonzero(keep)
        vectors = self._loaded()
        for start in range(0, len(kept), _ROWS_AT_ONCE):
            some = vectors.rows(kept[start : start + _ROWS_AT_ONCE])
            raw = stored_rows.to_raw(some, VectorType.FP32)
            yield raw, stored_rows.sums_of(raw)

    def release(self) -> None:
        """Free the memory of the vectors; `load` reads them again."""
        self._flat = None

    def check_contents(self) -> None:
        """Check that every number of every vector is finite.

        Raises:
            IndexDamagedError: a number is not finite.
        """
        vectors = self._loaded().vectors
        for start in range(0, len(vectors), _ROWS_AT_ONCE):
            if not np.isfinite(vectors[start : start + _ROWS_AT_ONCE]).all():
                raise self._files.damaged(self._info.vectors_file, NOT_FINITE)

    def check_file(self) -> None:
        """Check every byte of the file, without holding the vectors in memory.

        Raises:
            IndexDamagedError: the file is damaged.
        """
        name = self._info.vectors_file
        self._files.check(name)
        with self._files.stream(name) as stream:
            self._require_header(stream.read(flat.HEADER_BYTES))

    def _loaded(self) -> flat.Flat:
        self.load()
        if self._flat is None:
            raise RuntimeError("the vectors were released while they were read")
        return self._flat

    def _require_header(self, header: bytes | bytearray) -> None:
        name = self._info.vectors_file
        try:
            size = self._files[name].size
            flat.require_header(header, size=size, rows=self._info.rows, dim=self._dim)
        except ValueError as error:
            raise self._files.damaged(name, str(error)) from error

    def _read_flat(self) -> flat.Flat:
        file = self._files[self._info.vectors_file]
        header = bytearray(min(flat.HEADER_BYTES, file.size))
        vectors = np.empty((self._info.rows, self._dim), np.float32)
        rest = vectors.data.cast("B") if vectors.size else memoryview(b"")
        with self._files.stream(file.name) as stream:
            if len(header) + len(rest) == file.size:
                read_into(self._files.folder, file, stream, [memoryview(header), rest])
            else:  # the size is wrong; a wrong checksum is reported first
                data = read_file(self._files.folder, file, stream)
                header = bytearray(data[: flat.HEADER_BYTES])
        self._files.close_file(file.name)
        self._require_header(header)
        return flat.Flat(vectors)


class FieldsOfFormat1(SegmentFields):
    """The metadata fields of a segment of format 1, which has no file for them."""

    def check(self) -> None:
        """Do nothing: there is no file to compare with the documents."""

    def _open_table(self) -> FieldTable:
        """Build the table from the metadata of all documents; format 2 stores it in a file."""
        database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        FieldsBuilder(database).add((item.row, item) for item in self._documents.all_by_row())
        return FieldTable(database, self._info.rows, self._documents.metadata)


class SegmentOfFormat1(Segment):
    """The open files of a segment of format 1."""

    is_format_1 = True
    _vectors_class = VectorsOfFormat1
    _fields_class = FieldsOfFormat1
    _vectors: VectorsOfFormat1

    def check(self, *, whole: bool = False) -> None:
        """Check every byte of the documents; the vectors only if `whole`, else in `load`.

        Raises:
            IndexDamagedError: a file is damaged; the segment is closed.
        """
        try:
            self.dead = self._read_deletions()
            self._files.check(self.info.documents_file)
            self._documents.check(self.dead, is_whole=True)
            if whole:
                self._vectors.check_file()
            self.is_checked = True
        except BaseException:
            self.close()
            raise
