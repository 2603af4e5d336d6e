"""A segment: vectors and documents that were written together, and never change.

    seg-00000007.faiss   vectors: an IndexFlatIP, or one of fp16; vector i is of row i
    seg-00000007.sum     the CRC-32 of each vector, little-endian
    seg-00000007.codes   one bit a number of each vector (`kinds.rabitq`), where there are many rows
    seg-00000007.db      SQLite: documents(row, doc_id, text, metadata, truncated, checksum)
    seg-00000007.fields  SQLite: the scalar fields of the metadata, for filters
    del-00000009-00000007.bin   one bit a row, little-endian: the rows of seg-00000007 that were
                                deleted as of generation 9

The name of a segment is the generation that it was written for. This module turns the files of a
segment into documents and scores. A search reads few of their bytes, and checks what it reads: the
small files whole, vectors and documents one by one. A writer checks every byte.
"""

from __future__ import annotations

import errno
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from taskembed.errors import IndexDamagedError, from_os_error, os_errors
from taskembed.index._fields import SCHEMA, check_fields
from taskembed.index._files import (
    Damage,
    StoredFile,
    damaged,
    open_file,
    read_file,
    stream_damage,
)
from taskembed.index.contents import SegmentInfo, listed
from taskembed.index.documents import (
    HEADER_BYTES,
    Documents,
    StoredDocument,
    connect,
    read_metadata,
    require_schema,
)
from taskembed.index.generations import Snapshot
from taskembed.index.kinds import rows as stored_rows
from taskembed.index.kinds.flat import MATRIX_NUMBERS, Flat
from taskembed.index.kinds.rabitq import CODED_ROWS, Codes, inner_products
from taskembed.index.kinds.rows import RawRows, RowDamageError, RowsFile, Sums
from taskembed.index.storage import Kind
from taskembed.vectors import Flags, FloatRows, Rows

LEAST_CANDIDATES = 200  # of one query, whose vectors are read; see docs/adr/0013
CANDIDATES_OF_A_HIT = 20
_SOUND = "PRAGMA quick_check(1)"
_NOT_FINITE = "a vector has a number that is not finite"

Found = tuple[FloatRows, npt.NDArray[np.int64]]  # scores and rows, [n, k]


class Segment:
    """The open files of a segment; a writer that removes them does not disturb it.

    Its sizes are checked when it is opened, and all else by `check`, which comes before anything is
    asked: a reader opens every segment first, so that a slow disk gives a writer no time between.

    Raises:
        FileNotFoundError: a file is not there (any more).
        IndexDamagedError: a file is not what was written.
    """

    is_format_1 = False

    def __init__(self, folder: Path, snapshot: Snapshot, info: SegmentInfo, dim: int) -> None:
        self.info = info
        self.dim = dim
        self.dead: Flags = np.zeros(0, dtype=np.bool_)  # until `check`
        self.is_checked = False
        self._folder = folder
        self._files = {name: listed(folder, snapshot, name) for name in info.files}
        self._lock = threading.Lock()  # for what is read at the first call, whichever thread's
        self._is_closed = False
        self._has_schema = False  # which `check` finds
        self._is_whole = False  # whether every byte of the documents was checked
        self._flat: Flat | None = None
        self._codes: Codes | None = None
        self._rows: RowsFile | None = None
        with ExitStack() as stack:
            self._streams = {
                name: stack.enter_context(open_file(folder, file))
                for name, file in self._files.items()
            }
            self._documents = Documents(
                self._streams[info.documents_file],
                folder / info.documents_file,
                info.rows,
                is_format_1=self.is_format_1,
            )
            stack.callback(self._documents.close)
            stack.pop_all()

    def check(self, *, whole: bool = False) -> None:
        """Check the small files, and the beginnings of the others; or every byte, if `whole`.

        Raises:
            IndexDamagedError: a file is not what was written; the segment is closed.
        """
        try:
            self.dead = self._read_deletions()
            self._open_rows()
            if whole:
                for name in list(self._streams):
                    self._check_whole(name)
                self._is_whole = True
            self._check_documents()
            self.is_checked = True
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the files."""
        self._is_closed = True
        self._documents.close()
        for stream in self._streams.values():
            stream.close()
        self._streams = {}

    def spare_handles(self) -> None:
        """Read now what can be read ahead, and close every file that is then not needed."""
        self.load()
        self._require_whole()
        for name in list(self._streams):
            if self._flat or name != self.info.vectors_file:
                self._streams.pop(name).close()

    @property
    def live_rows(self) -> int:
        """How many of its documents were not deleted."""
        return self.info.live_rows

    # --- documents ---

    def find(self, doc_ids: Sequence[str]) -> Iterator[StoredDocument]:
        """Yield the documents of those ids that are stored here and not deleted."""
        self._require_whole()
        with self._translated():
            for document in self._documents.of_ids(doc_ids):
                if not self._is_dead(document.row):
                    yield document

    def has_made_ids(self) -> bool:
        """Say whether a document that is not deleted is named by a sha256."""
        self._require_whole()
        with self._translated():
            return any(
                0 <= row < self.info.rows and not self.dead[row]
                for row in self._documents.rows_with_made_ids()
            )

    def count_truncated(self) -> int:
        """Return how many of its live documents the model did not read whole."""
        self._require_whole()
        with self._translated():
            rows = self._documents.truncated_rows()
        return sum(0 <= row < self.info.rows and not self.dead[row] for row in rows)

    def documents(self, rows: Iterable[int]) -> dict[int, StoredDocument]:
        """Return the documents of those rows, by row."""
        with self._translated():
            return self._documents.of_rows(rows)

    def live_documents(self) -> Iterator[StoredDocument]:
        """Yield every document that was not deleted, by row."""
        with self._translated():
            for document in self._documents.by_row():
                if not self._is_dead(document.row):
                    yield document

    def documents_by_id(self) -> Iterator[StoredDocument]:
        """Yield every document that was not deleted, in the order of their ids.

        One is in memory at a time, however many there are.
        """
        count = 0
        with self._translated():
            for document in self._documents.by_id():
                if not self._is_dead(document.row):
                    count += 1
                    yield document
            if count != self.info.live_rows:
                raise ValueError("a document of a vector is missing")

    def moved_documents(self, rows: Sequence[int | None]) -> Iterator[tuple[int, StoredDocument]]:
        """Yield new rows and documents: rows[i] is that of row i; None leaves it out."""
        for document in self._documents.by_row():
            row = rows[document.row]
            if row is not None:
                yield row, document

    @contextmanager
    def read_documents(self) -> Iterator[None]:
        """Raise what SQLite says while a writer copies the documents as the error that it is."""
        with self._translated():
            try:
                yield
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                    raise
                raise from_os_error(OSError(errno.ENOSPC, ""), str(self._folder)) from error

    # --- vectors ---

    def load(self, *, exact: bool = False) -> None:
        """Read and check now what every search needs.

        Raises:
            IndexDamagedError: a file is not what was written.
        """
        with self._lock:
            self._require_open()
            if self._is_small and self._flat is None:
                self._flat = Flat(self._all_vectors())
            elif self.info.kind is Kind.RABITQ and not exact and self._codes is None:
                self._codes = self._read_codes()

    def search(
        self, queries: FloatRows, k: int, *, exact: bool = False, candidates: int | None = None
    ) -> Found:
        """Return scores float32[n, k'] and rows int64[n, k'] of the best k' <= k, best first.

        Args:
            queries: float32[n, dim].
            k: how many.
            exact: score every vector, and not only those that the codes choose. Many queries are
                always scored so, since that is as fast.
            candidates: how many the codes choose for a query; None for as many as are right.

        Raises:
            IndexDamagedError: what was read is not what was written.
        """
        self.load(exact=exact)
        k = min(k, self.info.live_rows)
        depth = min(max(candidates or candidates_for(k), k), self.info.live_rows)
        alive = ~self.dead if self.dead.any() else None
        if self._flat:
            scores, rows = self._flat.search(queries, k, alive)
        elif (
            exact
            or self._codes is None
            or queries.size >= MATRIX_NUMBERS
            or depth * 2 > self.info.live_rows
        ):
            scores, rows = self._scan(queries, k, alive)
        else:
            scores, rows = self._score_candidates(self._codes, queries, k, depth)
        if not np.isfinite(scores).all() or (rows < 0).any():
            raise self._damaged(self.info.vectors_file, _NOT_FINITE)
        return scores, rows

    def vectors(self, rows: Rows) -> FloatRows:
        """Return the vectors of rows, float32[len(rows), dim]."""
        with self._rows_read() as file:
            return file.read(rows)

    def blocks(self, *, keep: Flags) -> Iterator[tuple[RawRows, Sums]]:
        """Yield the bytes of the vectors of some rows, and their checksums, block by block."""
        with self._rows_read() as file:
            for start, raw in file.blocks():
                kept = keep[start : start + len(raw)]
                yield raw[kept], file.sums[start : start + len(raw)][kept]

    @property
    def _is_small(self) -> bool:
        return self.info.kind is Kind.FLAT and self.info.rows < CODED_ROWS

    def _all_vectors(self) -> FloatRows:
        vectors = np.empty((self.info.rows, self.dim), np.float32)
        with self._rows_read() as file:
            for start, raw in file.blocks():
                vectors[start : start + len(raw)] = stored_rows.to_vectors(raw, file.kind)
        return vectors

    def _scan(self, queries: FloatRows, k: int, alive: Flags | None) -> Found:
        """Score every vector, without holding them all."""
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
                    raise RowDamageError(_NOT_FINITE)
                scores = np.concatenate([scores, some], axis=1)
                rows = np.concatenate([rows, its_rows + start], axis=1)
                order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
                scores = np.take_along_axis(scores, order, axis=1)
                rows = np.take_along_axis(rows, order, axis=1)
        return scores, rows

    def _score_candidates(self, codes: Codes, queries: FloatRows, k: int, depth: int) -> Found:
        """Score the vectors that the codes choose.

        Subtle: equal vectors have equal estimates, so where the last candidate has the estimate of
        one that is answered, more are asked for: which of equals are answered must not depend on k.
        """
        alive = ~self.dead if self.dead.any() else None
        while True:
            try:
                estimates, rows = codes.search(queries, depth, alive)
            except ValueError as error:
                raise self._damaged(self.info.codes_file, str(error)) from error
            wanted, places = np.unique(rows, return_inverse=True)
            scores = inner_products(queries, self.vectors(wanted), places.reshape(rows.shape))
            order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            least = np.take_along_axis(estimates, order, axis=1).min(axis=1, initial=np.inf)
            if depth >= self.info.live_rows or bool((least > estimates[:, -1]).all()):
                chosen = np.take_along_axis(scores, order, axis=1)
                return chosen, np.take_along_axis(rows, order, axis=1)
            depth = min(depth * 2, self.info.live_rows)

    def release(self) -> None:
        """Give memory back that can be filled again."""

    # --- checks ---

    def check_contents(self) -> Iterator[Damage]:
        """Look into every file, as `verify` does, whose bytes are those that were written.

        Yields:
            What is wrong behind a right checksum, for each file.
        """
        checks = [[self._check_rows], [self._check_every_document, self._check_fields]]
        for some in checks:
            try:
                for check in some:  # the fields are those of the documents
                    check()
            except IndexDamagedError as error:
                yield Damage(error.name, error.reason)

    def _check_rows(self) -> None:
        fits = True
        with self._rows_read() as file:
            for start, raw in file.blocks():
                if not np.isfinite(stored_rows.to_vectors(raw, file.kind)).all():
                    raise RowDamageError(_NOT_FINITE)
                sums = file.sums[start : start + len(raw)]
                fits = fits and bool((stored_rows.sums_of(raw) == sums).all())
        if not fits:  # and the vectors are what was written
            raise self._damaged(self.info.sums_file, "it does not fit the vectors")
        if self.info.kind is Kind.RABITQ:
            self._read_codes()

    def _check_every_document(self) -> None:
        with self._translated():
            self._documents.require_integrity()
            alive = ~self.dead
            for document in self._documents.by_row():
                read_metadata(document)
                alive[document.row] = False
            if alive.any():
                raise ValueError("a document of a vector is missing")

    def _check_fields(self) -> None:
        name = self.info.fields_file
        with self._stream(name) as stream:
            header = stream.read(HEADER_BYTES)
            database = connect(stream, self._folder / name)
        try:
            require_schema(database, header, SCHEMA)
            check_fields(database, self._documents.by_row(), self.info.rows)
        except (sqlite3.Error, ValueError) as error:
            raise self._damaged(name, str(error)) from error
        finally:
            database.close()

    def _open_rows(self) -> None:
        """Read the checksums of the vectors, and what stands before them."""
        sums = self._read(self.info.sums_file)
        if len(sums) != self.info.rows * 4:
            raise self._damaged(self.info.sums_file, "it does not fit its segment")
        name = self.info.vectors_file
        size = stored_rows.file_bytes(self.info.rows, self.dim, self.info.vectors)
        if self._files[name].size != size:
            shape = f"{self.info.rows:,} vectors of {self.dim} numbers"
            reason = f"it is not a flat index of {shape}"
            raise self._damaged(name, reason)
        self._rows = RowsFile(
            self._streams[name].fileno(),
            self.info.rows,
            self.dim,
            self.info.vectors,
            np.frombuffer(sums, "<u4"),
            self._files[name].crc32,
        )
        with self._rows_read() as file:
            file.require_header()

    def _read_codes(self) -> Codes:
        name = self.info.codes_file
        try:
            return Codes(self._read(name), rows=self.info.rows, dim=self.dim)
        except ValueError as error:
            raise self._damaged(name, str(error)) from error

    def _read_deletions(self) -> Flags:
        if not self.info.deletions:
            return np.zeros(self.info.rows, dtype=np.bool_)
        try:
            return read_deletions(self._read(self.info.deletions), self.info)
        except ValueError as error:
            raise self._damaged(self.info.deletions, str(error)) from error

    def _read(self, name: str) -> bytearray:
        """Read a file whole, check it and close it."""
        with self._stream(name) as stream:
            data = read_file(self._folder, self._files[name], stream)
        self._streams.pop(name).close()
        return data

    @contextmanager
    def _stream(self, name: str) -> Iterator[BinaryIO]:
        """Give an open file, from its beginning; one that was read and closed is opened again."""
        self._require_open()
        if name not in self._streams:
            try:
                self._streams[name] = open_file(self._folder, self._files[name])
            except FileNotFoundError:
                raise self._damaged(name, "it is missing") from None
        stream = self._streams[name]
        with os_errors(self._folder / name):
            stream.seek(0)
            yield stream

    @contextmanager
    def _rows_read(self) -> Iterator[RowsFile]:
        self._require_open()
        if self._rows is None:
            raise RuntimeError("a segment is checked before it is searched")
        name = self.info.vectors_file
        try:
            with os_errors(self._folder / name):
                yield self._rows
        except RowDamageError as error:
            self._require_open()  # another thread may have closed it meanwhile
            raise self._damaged(name, str(error)) from error

    def _check_documents(self) -> None:
        with self._stream(self.info.documents_file) as stream:
            header = stream.read(HEADER_BYTES)
        with self._translated():
            try:
                self._documents.require_schema(header)
            except sqlite3.Error:
                self._documents.require_schema(header)  # it may be that a read failed: see below
            self._has_schema = True
            self._documents.require_rows()

    def _require_whole(self) -> None:
        """Check every byte of the documents: only so is an id that is not found not there."""
        with self._lock:
            self._require_open()
            if not self._is_whole:
                self._check_whole(self.info.documents_file)
                self._is_whole = True

    def _check_whole(self, name: str) -> None:
        with self._stream(name) as stream:
            damage = stream_damage(self._folder, self._files[name], stream)
        if damage:
            raise damaged(self._folder, damage)

    def _is_dead(self, row: int) -> bool:
        if not 0 <= row < self.info.rows:
            raise ValueError(f"there is no row {row}")
        return bool(self.dead[row])

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Damage behind a valid checksum is a hostile file: SQLite says so without crashing."""
        self._require_open()
        try:
            yield
        except UnicodeEncodeError:
            # what was asked for cannot be in any index: no fault of the file
            raise
        except (sqlite3.Error, ValueError) as error:
            self._require_open()  # another thread may have closed it meanwhile
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code == sqlite3.SQLITE_IOERR or (
                code == sqlite3.SQLITE_CORRUPT and self._is_sound()
            ):
                path = self._folder / self.info.documents_file
                raise from_os_error(OSError(errno.EIO, ""), str(path)) from error
            raise self._damaged(self.info.documents_file, str(error)) from error

    def _is_sound(self) -> bool:
        """Say whether a file that SQLite called malformed is not.

        Subtle: that is also what it says when a read failed with EIO (SQLITE_IOERR_CORRUPTFS).

        Raises:
            TaskembedError: a read fails again.
        """
        file: StoredFile = self._files[self.info.documents_file]
        with suppress(FileNotFoundError, IndexDamagedError), open_file(self._folder, file) as again:
            if stream_damage(self._folder, file, again):
                return False
        try:
            database = self._documents.database
            return self._has_schema and database.execute(_SOUND).fetchone() == ("ok",)
        except sqlite3.Error:
            return False

    def _require_open(self) -> None:
        if self._is_closed:
            raise ValueError(f"the index {self._folder} is closed")

    def _damaged(self, name: str, reason: str) -> IndexDamagedError:
        return damaged(self._folder, Damage(name, reason))


def candidates_for(k: int) -> int:
    """Return how many candidates the codes choose for a query of k hits."""
    return max(LEAST_CANDIDATES, CANDIDATES_OF_A_HIT * k)


def read_deletions(data: bytes | bytearray, info: SegmentInfo) -> Flags:
    """Read what `deletions_bytes` gave.

    Raises:
        ValueError: it is not that, or not of that segment.
    """
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    flags = bits[: info.rows].astype(np.bool_)
    is_whole = len(flags) == info.rows and deletions_bytes(flags) == data
    if not is_whole or int(flags.sum()) != info.deleted_rows:
        raise ValueError("it does not fit its segment")
    return flags


def deletions_bytes(dead: Flags) -> bytes:
    """Return the bytes of a deletions file: bit i says that row i is deleted."""
    return np.packbits(dead, bitorder="little").tobytes()
