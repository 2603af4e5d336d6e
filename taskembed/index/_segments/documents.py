"""The documents of a segment that are not deleted; errors of SQLite become TaskembedErrors.

Each document has a checksum, which is compared when the document is read. A lookup of an id that
may be absent first checks the whole file, since a damaged file could hide the document.
"""

from __future__ import annotations

import errno
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from taskembed.errors import IndexDamagedError, TaskembedError, from_os_error
from taskembed.index._segments.files import SegmentFiles
from taskembed.index._segments.info import SegmentInfo
from taskembed.index.disk.files import open_file, stream_damage
from taskembed.index.documents import HEADER_BYTES, Documents, StoredDocument
from taskembed.index.stored_metadata import read_metadata
from taskembed.vectors import Flags

_SOUND = "PRAGMA quick_check(1)"


class SegmentDocuments:
    """The documents of a segment.

    Its methods raise IndexDamagedError if the file is damaged, ValueError if the index is closed,
    and another TaskembedError if the operating system cannot read the file.

    Attributes:
        file: the open SQLite file.
        dead: bool[rows]: the rows that are deleted; empty before `check`.
    """

    def __init__(
        self, files: SegmentFiles, info: SegmentInfo, *, is_format_1: bool = False
    ) -> None:
        self._files = files
        self._info = info
        self._lock = threading.Lock()
        self._has_schema = False  # whether `check` found the tables of an index
        self._is_whole = False  # whether every byte of the file was checked
        self.dead: Flags = np.zeros(0, dtype=np.bool_)
        name = info.documents_file
        # Subtle: not within `stream`, which reports a missing file as damage. Here a missing file
        # means that a writer has just removed it; the reader then opens the newer generation.
        self.file = Documents(
            files.opened(name), files.path(name), info.rows, is_format_1=is_format_1
        )

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def check(self, dead: Flags, *, is_whole: bool) -> None:
        """Check the tables of the file, and remember which rows are deleted.

        Args:
            dead: bool[rows].
            is_whole: whether the caller has checked every byte of the file.
        """
        self.dead = dead
        self._is_whole = is_whole
        with self._files.stream(self._info.documents_file) as stream:
            header = stream.read(HEADER_BYTES)
        with self._translated():
            try:
                self.file.require_schema(header)
            except sqlite3.Error:
                self.file.require_schema(header)  # again, since the first read may have failed
            self._has_schema = True
            self.file.require_rows()
        if is_whole:
            self.file.trust()

    def require_whole(self) -> None:
        """Check every byte of the file, unless that was done before."""
        with self._lock:
            self._files.require_open()
            if not self._is_whole:
                self._files.check(self._info.documents_file)
                self._is_whole = True

    # --- live documents ---

    def find(self, doc_ids: Sequence[str], *, sure: bool = True) -> Iterator[StoredDocument]:
        """Yield the documents with these ids that are stored here and not deleted.

        Args:
            doc_ids: the ids to look up.
            sure: check every byte first, so that an id that is not found is certainly not there.
        """
        if sure:
            self.require_whole()
        with self._translated():
            for document in self.file.of_ids(doc_ids):
                if not self._is_dead(document.row):
                    yield document

    def has_generated_ids(self) -> bool:
        """Return whether a document that is not deleted has a sha256 as its id."""
        self.require_whole()
        with self._translated():
            return any(map(self._is_live, self.file.rows_with_generated_ids()))

    def count_truncated(self) -> int:
        """Return the number of documents, without deleted ones, that the model truncated."""
        self.require_whole()
        with self._translated():
            rows = self.file.truncated_rows()
        return sum(map(self._is_live, rows))

    def live_by_row(self) -> Iterator[StoredDocument]:
        """Yield every document that is not deleted, ordered by row."""
        with self._translated():
            for document in self.file.by_row():
                if not self._is_dead(document.row):
                    yield document

    def live_by_id(
        self, *, passing: Flags | None = None, after: str = ""
    ) -> Iterator[StoredDocument]:
        """Yield the documents that are not deleted, ordered by id; a few are in memory at a time.

        Args:
            passing: bool[rows]: only these rows; None for all.
            after: only ids that come after this one.
        """
        if after:  # earlier documents are not read, so a missing one cannot be noticed by counting
            self.require_whole()
        expected = self._info.live_rows if passing is None else int(passing.sum())
        count = 0
        with self._translated():
            stored = (
                self.file.by_id(after)
                if passing is None
                else self.file.chosen_by_id(passing, after)
            )
            for document in stored:
                if not self._is_dead(document.row):
                    count += 1
                    yield document
            if count != expected and not after:
                raise ValueError("a document of a vector is missing")

    # --- all documents ---

    def of_rows(self, rows: Iterable[int]) -> dict[int, StoredDocument]:
        """Return the documents of these rows, by row."""
        with self._translated():
            return self.file.of_rows(rows)

    def metadata(self, rows: Sequence[int]) -> Iterator[tuple[int, dict[str, object]]]:
        """Yield each of these rows with the metadata of its document."""
        with self._translated():
            for row, document in self.file.of_rows(rows).items():
                yield row, read_metadata(document)

    def all_by_row(self) -> Iterator[StoredDocument]:
        """Yield every stored document, ordered by row, also those that are deleted."""
        with self._translated():
            yield from self.file.by_row()

    @contextmanager
    def copied(self) -> Iterator[None]:
        """Translate the errors of SQLite while a writer copies the documents."""
        with self._translated():
            try:
                yield
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                    raise
                raise from_os_error(OSError(errno.ENOSPC, ""), str(self._files.folder)) from error

    def check_contents(self) -> None:
        """Read every document; check that each live row has one, and that its metadata is JSON."""
        with self._translated():
            self.file.require_integrity()
            missing = ~self.dead
            for document in self.file.by_row():
                read_metadata(document)
                missing[document.row] = False
            if missing.any():
                raise ValueError("a document of a vector is missing")

    def _is_live(self, row: int) -> bool:
        return 0 <= row < self._info.rows and not self.dead[row]

    def _is_dead(self, row: int) -> bool:
        if not 0 <= row < self._info.rows:
            raise ValueError(f"there is no row {row}")
        return bool(self.dead[row])

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn errors of SQLite into TaskembedErrors: an index from elsewhere may be hostile."""
        self._files.require_open()
        try:
            yield
        except UnicodeEncodeError:
            # the caller asked for an id that no index can hold: the file is not damaged
            raise
        except (sqlite3.Error, ValueError) as error:
            self._files.require_open()  # another thread may have closed it meanwhile
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code == sqlite3.SQLITE_IOERR or (
                code == sqlite3.SQLITE_CORRUPT and self._is_sound()
            ):
                raise read_failure(self._files.path(self._info.documents_file)) from error
            raise self._files.damaged(self._info.documents_file, str(error)) from error

    def _is_sound(self) -> bool:
        """Return whether a file that SQLite reported as malformed has the right checksum.

        Subtle: SQLite reports the same when a read fails with EIO (SQLITE_IOERR_CORRUPTFS).

        Raises:
            TaskembedError: a read fails again.
        """
        file = self._files[self._info.documents_file]
        with (
            suppress(FileNotFoundError, IndexDamagedError),
            open_file(self._files.folder, file) as again,
        ):
            if stream_damage(self._files.folder, file, again):
                return False
        try:
            database = self.file.database
            return self._has_schema and database.execute(_SOUND).fetchone() == ("ok",)
        except sqlite3.Error:
            return False


def read_failure(path: Path) -> TaskembedError:
    """Return the error for a file that SQLite could not read from the disk."""
    return from_os_error(OSError(errno.EIO, ""), str(path))
