"""A segment: vectors and documents that were written together, and never change.

    seg-00000007.faiss   vectors: an IndexFlatIP, or one of fp16; vector i is of row i
    seg-00000007.sum     the CRC-32 of each vector, little-endian
    seg-00000007.codes   one bit a number of each vector (`kinds.rabitq`), where there are many rows
    seg-00000007.db      SQLite: documents(row, doc_id, text, metadata, truncated, checksum)
    seg-00000007.words   the words of the texts, where they are kept (`_words`)
    seg-00000007.fields  SQLite: the scalar fields of the metadata, for filters
    del-00000009-00000007.bin   one bit a row, little-endian: the rows of seg-00000007 that were
                                deleted as of generation 9

The name of a segment is the generation that it was written for. This module turns the files of a
segment into documents and scores. A search reads few of their bytes, and checks what it reads: the
small files whole, vectors and documents one by one. A writer checks every byte.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np

from taskembed.errors import IndexDamagedError, from_os_error, os_errors
from taskembed.index._fields import check_fields, open_fields
from taskembed.index._files import (
    Damage,
    open_file,
    stream_damage,
)
from taskembed.index._filter_rows import FieldTable
from taskembed.index._segment_files import SegmentFiles
from taskembed.index._segment_vectors import Found, SegmentVectors
from taskembed.index._words import Postings, by_row, require_words
from taskembed.index.contents import SegmentInfo, listed
from taskembed.index.documents import (
    HEADER_BYTES,
    Documents,
    StoredDocument,
    read_metadata,
)
from taskembed.index.field_types import Fields, Value
from taskembed.index.filters import Filter
from taskembed.index.generations import Snapshot
from taskembed.index.kinds.rows import RawRows, Sums
from taskembed.index.word_tokens import WordTokenizer
from taskembed.vectors import Flags, FloatRows, Rows

_SOUND = "PRAGMA quick_check(1)"


class Segment:
    """The open files of a segment; a writer that removes them does not disturb it.

    Its sizes are checked when it is opened, and all else by `check`, which comes before anything is
    asked: a reader opens every segment first, so that a slow disk gives a writer no time between.

    Raises:
        FileNotFoundError: a file is not there (any more).
        IndexDamagedError: a file is not what was written.
    """

    is_format_1 = False
    _vectors_class: type[SegmentVectors] = SegmentVectors

    def __init__(self, folder: Path, snapshot: Snapshot, info: SegmentInfo, dim: int) -> None:
        self.info = info
        self.dead: Flags = np.zeros(0, dtype=np.bool_)  # until `check`
        self.is_checked = False
        self._lock = threading.Lock()
        self._fields: FieldTable | None = None
        self._postings: Postings | None = None
        self._has_schema = False  # which `check` finds
        self._is_whole = False  # whether every byte of the documents was checked
        files = [listed(folder, snapshot, name) for name in info.files]
        with ExitStack() as stack:
            self._files = SegmentFiles(folder, files)
            stack.callback(self._files.close)
            self._vectors = self._vectors_class(self._files, info, dim)
            name = info.documents_file
            with self._files.stream(name) as stream:
                self._documents = Documents(
                    stream, self._files.path(name), info.rows, is_format_1=self.is_format_1
                )
            stack.pop_all()

    def check(self, *, whole: bool = False) -> None:
        """Check the small files, and the beginnings of the others; or every byte, if `whole`.

        Raises:
            IndexDamagedError: a file is not what was written; the segment is closed.
        """
        try:
            self.dead = self._read_deletions()
            self._vectors.open()
            if whole:
                self._files.check_all()
            self._is_whole = whole
            self._check_documents()
            if whole:
                self._documents.trust()
            self.is_checked = True
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the files."""
        self._files.close()
        self._documents.close()
        if self._fields:
            self._fields.close()

    def spare_handles(self) -> None:
        """Read now what can be read ahead, and close every file that is then not needed."""
        self.load()
        self._require_whole()
        kept = [] if self._vectors.are_in_memory else [self.info.vectors_file]
        self._files.close_but(*kept, self.info.words_file)

    @property
    def live_rows(self) -> int:
        """How many of its documents were not deleted."""
        return self.info.live_rows

    # --- filters ---

    def fields(self) -> Fields:
        """Return the types of each field of the metadata, by its name as filters spell it."""
        with self._fields_read() as table:
            return table.fields

    def examples(self) -> dict[str, list[Value]]:
        """Return a few values of each field, of documents that are not deleted."""
        with self._fields_read() as table:
            return {name: table.examples(name, ~self.dead) for name in table.fields}

    def passing(self, filter_: Filter) -> Flags:
        """Return bool[rows]: the rows that are not deleted and of which a filter is true."""
        with self._fields_read() as table:
            return table.rows(filter_) & ~self.dead

    # --- words ---

    def postings(self) -> Postings:
        """Return the words of the texts; their dictionary is checked now, all else when it is read.

        Raises:
            IndexDamagedError: the file is not what was written.
            ValueError: words are not kept, or the index is closed.
        """
        if not self.info.words:
            raise ValueError("the words of the texts are not kept")
        with self._lock:
            if self._postings is None:
                size = self._files[self.info.words_file].size
                self._postings = Postings(self._read_words, size, self._damaged_words)
            return self._postings

    def texts(self) -> Iterator[tuple[int, str]]:
        """Yield the row and the text of every document that is stored, by row."""
        for document in self._documents.by_row():
            yield document.row, document.text

    def _read_words(self, at: int, size: int) -> bytes:
        self._files.require_open()
        name, parts = self.info.words_file, []
        descriptor = self._files.descriptor(name)
        with os_errors(self._files.path(name)):
            while size > 0 and (part := os.pread(descriptor, size, at)):
                parts.append(part)
                at, size = at + len(part), size - len(part)
        return b"".join(parts)

    def _damaged_words(self, reason: str) -> IndexDamagedError:
        return self._files.damaged(self.info.words_file, reason)

    # --- vectors ---

    def load(self, *, exact: bool = False) -> None:
        """Read and check now what every search needs.

        Raises:
            IndexDamagedError: a file is not what was written.
        """
        self._vectors.load(exact=exact)

    def search(
        self,
        queries: FloatRows,
        k: int,
        *,
        exact: bool = False,
        candidates: int | None = None,
        passing: Flags | None = None,
    ) -> Found:
        """Return scores and rows of the best that are not deleted: see `SegmentVectors.search`.

        `passing` is what the method of that name gives: only these rows are answered.
        """
        alive = ~self.dead if passing is None and self.dead.any() else passing
        return self._vectors.search(queries, k, alive, exact=exact, candidates=candidates)

    def vectors(self, rows: Rows) -> FloatRows:
        """Return the vectors of rows, float32[len(rows), dim]."""
        return self._vectors.read(rows)

    def blocks(self, *, keep: Flags) -> Iterator[tuple[RawRows, Sums]]:
        """Yield the bytes of the vectors of some rows, and their checksums, block by block."""
        return self._vectors.blocks(keep=keep)

    def release(self) -> None:
        """Give memory back that can be filled again."""
        self._vectors.release()

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
                raise from_os_error(OSError(errno.ENOSPC, ""), str(self._files.folder)) from error

    # --- checks ---

    def check_contents(self) -> Iterator[Damage]:
        """Look into every file, as `verify` does, whose bytes are those that were written.

        Yields:
            What is wrong behind a right checksum, for each file.
        """
        documents = [self._check_every_document, self._check_fields, self._check_words]
        checks = [[self._vectors.check_contents], documents]
        for some in checks:
            try:
                for check in some:  # the fields and the words are those of the documents
                    check()
            except IndexDamagedError as error:
                yield Damage(error.name, error.reason)

    def _check_every_document(self) -> None:
        with self._translated():
            self._documents.require_integrity()
            alive = ~self.dead
            for document in self._documents.by_row():
                read_metadata(document)
                alive[document.row] = False
            if alive.any():
                raise ValueError("a document of a vector is missing")

    def _check_words(self) -> None:
        if not self.info.words:
            return
        postings = self.postings()
        try:
            tokenizer = WordTokenizer.of(self.info.words)
            require_words(postings, by_row(self.texts(), self.info.rows, tokenizer))
        except ValueError as error:
            raise self._damaged_words(str(error)) from error

    def _check_fields(self) -> None:
        with self._fields_read() as table:
            check_fields(table.database, self._documents.by_row(), self.info.rows)

    @contextmanager
    def _fields_read(self) -> Iterator[FieldTable]:
        """Give the table of the fields; its whole file is checked the first time.

        Raises:
            IndexDamagedError: the file is not what was written.
        """
        self._files.require_open()
        name = self.info.fields_file
        try:
            with self._lock:
                self._fields = self._fields or self._open_fields()
            yield self._fields
        except (sqlite3.Error, ValueError) as error:
            self._files.require_open()  # another thread may have closed it meanwhile
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_IOERR:
                path = str(self._files.path(name))
                raise from_os_error(OSError(errno.EIO, ""), path) from error
            raise self._files.damaged(name, str(error)) from error

    def _open_fields(self) -> FieldTable:
        name = self.info.fields_file
        self._files.check(name)
        with self._files.stream(name) as stream:
            database = open_fields(stream, self._files.path(name))
        return FieldTable(database, self.info.rows, self._metadata_of)

    def _metadata_of(self, rows: Sequence[int]) -> Iterator[tuple[int, dict[str, object]]]:
        """Yield some rows with the metadata of their documents."""
        with self._translated():
            for row, document in self._documents.of_rows(rows).items():
                yield row, read_metadata(document)

    def _read_deletions(self) -> Flags:
        if not self.info.deletions:
            return np.zeros(self.info.rows, dtype=np.bool_)
        try:
            return read_deletions(self._files.read(self.info.deletions), self.info)
        except ValueError as error:
            raise self._files.damaged(self.info.deletions, str(error)) from error

    def _check_documents(self) -> None:
        with self._files.stream(self.info.documents_file) as stream:
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
            self._files.require_open()
            if not self._is_whole:
                self._files.check(self.info.documents_file)
                self._is_whole = True

    def _is_dead(self, row: int) -> bool:
        if not 0 <= row < self.info.rows:
            raise ValueError(f"there is no row {row}")
        return bool(self.dead[row])

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Damage behind a valid checksum is a hostile file: SQLite says so without crashing."""
        self._files.require_open()
        try:
            yield
        except UnicodeEncodeError:
            # what was asked for cannot be in any index: no fault of the file
            raise
        except (sqlite3.Error, ValueError) as error:
            self._files.require_open()  # another thread may have closed it meanwhile
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code == sqlite3.SQLITE_IOERR or (
                code == sqlite3.SQLITE_CORRUPT and self._is_sound()
            ):
                path = self._files.path(self.info.documents_file)
                raise from_os_error(OSError(errno.EIO, ""), str(path)) from error
            raise self._files.damaged(self.info.documents_file, str(error)) from error

    def _is_sound(self) -> bool:
        """Say whether a file that SQLite called malformed is not.

        Subtle: that is also what it says when a read failed with EIO (SQLITE_IOERR_CORRUPTFS).

        Raises:
            TaskembedError: a read fails again.
        """
        file = self._files[self.info.documents_file]
        with (
            suppress(FileNotFoundError, IndexDamagedError),
            open_file(self._files.folder, file) as again,
        ):
            if stream_damage(self._files.folder, file, again):
                return False
        try:
            database = self._documents.database
            return self._has_schema and database.execute(_SOUND).fetchone() == ("ok",)
        except sqlite3.Error:
            return False


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
