"""The vectors of a segment: searched exactly or by their codes, and read by position."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from taskembed.errors import os_errors
from taskembed.index._segments.files import SegmentFiles
from taskembed.index._segments.info import SegmentInfo
from taskembed.index.kinds import rows as stored_rows
from taskembed.index.kinds.flat import MATRIX_NUMBERS, Flat, scores_of
from taskembed.index.kinds.rabitq import CODED_ROWS, Codes
from taskembed.index.kinds.rows import RawRows, RowDamageError, RowsFile, Sums
from taskembed.index.storage import Kind
from taskembed.vectors import Flags, FloatRows, Floats, Rows, largest

SCORED_TOGETHER = 16_384  # rows in memory while candidates are scored: 24 MiB at 384 dimensions
READ_ROWS = 10_000  # rows that pass a filter; up to so many are scored exactly: docs/adr/0017
_FEW = 20  # they are scored exactly only if they are also at most one row in 20
NOT_FINITE = "a vector has a number that is not finite"

Found = tuple[FloatRows, npt.NDArray[np.int64]]  # scores and rows, [n, k]


class SegmentVectors:
    """The vectors of a segment; only a small segment holds them in memory.

    Its methods raise IndexDamagedError if a file is damaged, and ValueError if the index is closed.
    """

    def __init__(self, files: SegmentFiles, info: SegmentInfo, dim: int) -> None:
        self._files = files
        self._info = info
        self._dim = dim
        self._lock = threading.Lock()  # guards the data that the first search of any thread loads
        self._flat: Flat | None = None
        self._codes: Codes | None = None
        self._rows: RowsFile | None = None

    @property
    def are_in_memory(self) -> bool:
        """Whether all vectors are in memory, so that their file may be closed."""
        return self._flat is not None

    def open(self) -> None:
        """Read the checksums of the vectors, and check the header of their file."""
        sums = self._files.read(self._info.sums_file)
        if len(sums) != self._info.vector_rows * 4:
            raise self._files.damaged(self._info.sums_file, "it does not fit its segment")
        name = self._info.vectors_file
        size = stored_rows.file_bytes(self._info.vector_rows, self._dim, self._info.vectors)
        if self._files[name].size != size:
            shape = f"{self._info.vector_rows:,} vectors of {self._dim} numbers"
            reason = f"it is not a flat index of {shape}"
            raise self._files.damaged(name, reason)
        self._rows = RowsFile(
            self._files.descriptor(name),
            self._info.vector_rows,
            self._dim,
            self._info.vectors,
            np.frombuffer(sums, "<u4"),
            self._files[name].crc32,
        )
        with self._rows_read() as file:
            file.require_header()

    def load(self, *, exact: bool = False) -> None:
        """Read and check now what every search needs.

        Raises:
            IndexDamagedError: a file is damaged.
        """
        with self._lock:
            self._files.require_open()
            if self._is_small and self._flat is None:
                self._flat = Flat(self._all_vectors())
            elif self._info.kind is Kind.RABITQ and not exact and self._codes is None:
                self._codes = self._read_codes()

    def search(self, queries: FloatRows, k: int, alive: Flags | None) -> Found:
        """Return exact scores float32[n, k'] and rows int64[n, k'] of the best k' <= k, best first.

        Args:
            queries: float32[n, dim].
            k: the number of rows for each query.
            alive: bool[rows]: only these rows are returned; None for all.

        Raises:
            IndexDamagedError: the data that was read is damaged.
        """
        self.load(exact=True)
        most = self._most(alive)
        k = min(k, most)
        if self._flat:
            scores, rows = self._flat.search(queries, k, alive)
        elif alive is not None and self._are_few(most):
            scores, rows = self._score_rows(queries, k, np.flatnonzero(alive))
        else:
            scores, rows = self._scan(queries, k, alive)
        if not np.isfinite(scores).all() or (rows < 0).any():
            raise self._files.damaged(self._info.vectors_file, NOT_FINITE)
        return scores, rows

    def can_estimate(self, queries: FloatRows, depth: int, alive: Flags | None) -> bool:
        """Return whether codes choose `depth` (alive) rows faster than all can be scored."""
        self.load()
        most = self._most(alive)
        if self._codes is None or self._are_few(most) or depth * 2 > most:
            return False
        return queries.size < MATRIX_NUMBERS or self._codes.scans_together(len(queries))

    def estimates(self, queries: FloatRows, depth: int, alive: Flags | None) -> Found:
        """Return estimates float32[n, depth] and rows int64[n, depth] by the codes, best first.

        No row that is returned equals one that is not, unless it has the lowest estimate.

        Args:
            queries: float32[n, dim].
            depth: the number of rows for each query, at most the number of (alive) rows.
            alive: bool[rows]: only these rows are returned; None for all.

        Raises:
            IndexDamagedError: the codes are damaged.
            ValueError: there are no codes.
        """
        self.load()
        if self._codes is None:
            raise ValueError(f"{self._info.name} has no codes")
        try:
            return self._codes.search(queries, depth, alive)
        except ValueError as error:
            raise self._files.damaged(self._info.codes_file, str(error)) from error

    def scores(self, queries: FloatRows, query: Rows, row: Rows) -> Floats:
        """Return the scores of some rows for some queries, float32[m]; each row is read once.

        Args:
            queries: float32[n, dim].
            query: int64[m]: which of the queries.
            row: int64[m]: the row to score for it.

        Raises:
            IndexDamagedError: a vector is damaged.
        """
        scores = scores_of(queries, query, row, self.read, at_once=SCORED_TOGETHER)
        if not np.isfinite(scores).all():
            raise self._files.damaged(self._info.vectors_file, NOT_FINITE)
        return scores

    def read(self, rows: Rows) -> FloatRows:
        """Return the vectors of rows, float32[len(rows), dim]."""
        with self._rows_read() as file:
            return file.read(rows)

    def blocks(self, *, keep: Flags) -> Iterator[tuple[RawRows, Sums]]:
        """Yield the stored bytes and checksums of the rows in `keep`, bool[rows], in blocks."""
        with self._rows_read() as file:
            for start, raw in file.blocks():
                kept = keep[start : start + len(raw)]
                yield raw[kept], file.sums[start : start + len(raw)][kept]

    def _most(self, alive: Flags | None) -> int:
        return self._info.vector_rows if alive is None else int(alive.sum())

    def _are_few(self, rows: int) -> bool:
        """Return whether reading so many rows is faster than any way to search all of them."""
        return rows <= min(READ_ROWS, self._info.vector_rows // _FEW)

    @property
    def _is_small(self) -> bool:
        return self._info.kind is Kind.FLAT and self._info.vector_rows < CODED_ROWS

    def _all_vectors(self) -> FloatRows:
        width = self._dim * self._info.vectors.bytes
        raw = np.empty((self._info.vector_rows, width), np.uint8)
        with self._rows_read() as file:
            for _ in file.blocks(into=raw):
                pass
        return stored_rows.to_vectors(raw, self._info.vectors)

    def _scan(self, queries: FloatRows, k: int, alive: Flags | None) -> Found:
        """Score every vector; one block of them is in memory at a time."""
        count = len(queries)
        scores = np.empty((count, 0), np.float32)
        rows = np.empty((count, 0), np.int64)
        with self._rows_read() as file:
            for start, raw in file.blocks():
                here = None if alive is None else alive[start : start + len(raw)]
                held = len(raw) if here is None else int(here.sum())
                vectors = Flat(stored_rows.to_vectors(raw, file.kind))
                some, its_rows = vectors.search(queries, min(k, held), here)
                if not np.isfinite(some).all() or (its_rows < 0).any():
                    raise RowDamageError(NOT_FINITE)
                scores = np.concatenate([scores, some], axis=1)
                rows = np.concatenate([rows, its_rows + start], axis=1)
                scores, rows = largest(scores, rows, k)
        return scores, rows

    def _score_rows(self, queries: FloatRows, k: int, wanted: Rows) -> Found:
        """Score the vectors of some rows."""
        scores, places = Flat(self.read(wanted)).search(queries, k)
        return scores, np.where(places < 0, -1, wanted[places]) if k else places

    def release(self) -> None:
        """Free memory whose contents can be read again; does nothing for this kind."""

    def check_contents(self) -> None:
        """Check every vector and the codes, after the checksums of the files were compared."""
        fits = True
        with self._rows_read() as file:
            for start, raw in file.blocks():
                if not np.isfinite(stored_rows.to_vectors(raw, file.kind)).all():
                    raise RowDamageError(NOT_FINITE)
                sums = file.sums[start : start + len(raw)]
                fits = fits and bool((stored_rows.sums_of(raw) == sums).all())
        if not fits:  # the vectors' file has the right checksum, so the sums are wrong
            raise self._files.damaged(self._info.sums_file, "it does not fit the vectors")
        if self._info.kind is Kind.RABITQ:
            self._read_codes()

    def _read_codes(self) -> Codes:
        name = self._info.codes_file
        try:
            return Codes(self._files.read(name), rows=self._info.vector_rows, dim=self._dim)
        except ValueError as error:
            raise self._files.damaged(name, str(error)) from error

    @contextmanager
    def _rows_read(self) -> Iterator[RowsFile]:
        self._files.require_open()
        if self._rows is None:
            raise RuntimeError("a segment is checked before it is searched")
        name = self._info.vectors_file
        try:
            with os_errors(self._files.path(name)):
                yield self._rows
        except RowDamageError as error:
            self._files.require_open()  # another thread may have closed it meanwhile
            raise self._files.damaged(name, str(error)) from error
