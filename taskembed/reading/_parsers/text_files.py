"""Reads files of text and of source code: each is one document; its id is its path.

The record of a file has the fields id, title, text and modified, and language if it is source code.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from taskembed.errors import AccessDeniedError, BadRecordError, NotFoundError, from_os_error
from taskembed.reading._parsers.html import read_page
from taskembed.reading._parsers.titles import markdown_title, rst_title
from taskembed.reading.formats import InputFormat
from taskembed.reading.languages import language_of
from taskembed.reading.places import Place
from taskembed.reading.rows import Record, Row
from taskembed.reading.streams import BOM, Input, OnBad, opened, translated

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_REASONS = {  # errors that concern one file rather than the disk
    errno.ENOENT: "the file was deleted, or is a broken link",
    errno.ELOOP: "it is a link that points back to itself",
}
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFSOCK: "a socket", stat.S_IFIFO: "a named pipe"}


class _RefusedError(ValueError):
    """The reason why a file cannot be a document, and a hint."""

    def __init__(self, reason: str, hint: str | None = None) -> None:
        super().__init__(reason)
        self.hint = hint


def text_records(item: Input, on_bad: OnBad, max_record_bytes: int) -> Iterator[Row]:
    """Yield the record of a file; nothing if it is bad, or has no text.

    Args:
        item: a file of text or of source code.
        on_bad: called if the file is bad; raises to stop, returns to continue.
        max_record_bytes: size in bytes above which a file is bad.

    Raises:
        StorageError: the device fails.
        BadInputError: a compressed file is damaged.
    """
    path: Place = item.path or Path(item.name)
    try:
        modified = _modified(path)
        text = _decoded(_content(item, max_record_bytes), item.shape.encoding)
    except _RefusedError as error:
        on_bad(BadRecordError(item.name, str(error), hint=error.hint))
        return
    text, title = _text_and_title(path, text)
    if text.strip():
        record: Record = {"id": item.path_in_input or path.name, "title": title or path.name}
        record |= {"text": text, "modified": modified}
        if item.format == InputFormat.CODE and (language := language_of(path)):
            record["language"] = language
        yield Row(item.name, record, None)


def _modified(path: Place) -> str:
    """Return when a file was modified: "2026-01-31T12:00:00+00:00"."""
    try:
        status = path.stat()
    except OSError as error:
        if reason := _REASONS.get(error.errno or 0):
            raise _RefusedError(reason) from error
        raise from_os_error(error, str(path)) from error
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:  # opening a named pipe, for example, would wait for a writer
        raise _RefusedError(f"it is {_KINDS.get(kind, 'a device')}, not a file of text")
    return datetime.fromtimestamp(int(status.st_mtime), UTC).isoformat()


def _content(item: Input, limit: int) -> bytes:
    try:
        with opened(item) as stream, translated(item, lambda: 0):
            content = stream.read(limit + 1)
    except (AccessDeniedError, NotFoundError) as error:
        raise _RefusedError(error.reason) from error
    if len(content) > limit:
        raise _RefusedError(f"the file is larger than {limit:,} bytes (--max-record-bytes)")
    return content


def _decoded(content: bytes, encoding: str | None) -> str:
    if encoding is None and content.startswith(_UTF_16):
        raise _RefusedError("it looks like UTF-16, not UTF-8", "--encoding utf-16")
    try:
        text = content.removeprefix(BOM).decode(encoding or "utf-8")
    except UnicodeError as error:
        # binary files nearly always contain a NUL byte; the command `file` uses the same test
        if b"\0" in content:
            raise _RefusedError("it is a binary file, not text") from error
        where = f" at byte {error.start + 1}" if isinstance(error, UnicodeDecodeError) else ""
        name = encoding or "UTF-8"
        raise _RefusedError(f"not {name}{where}", f"--encoding {_other(encoding)}") from error
    if "\0" in text:
        raise _RefusedError("it is a binary file, not text")
    return text.replace("\r\n", "\n")


def _other(encoding: str | None) -> str:
    return "utf-8" if encoding else "latin-1"


def _text_and_title(path: Place, text: str) -> tuple[str, str]:
    """Return the text of a file without mark-up, and its first heading; "" if it has none."""
    endings = {suffix.lower() for suffix in path.suffixes[-2:]}  # before .gz, too
    if endings & {".html", ".htm"}:
        page = read_page(text)
        return page.text, page.title
    if endings & {".md", ".markdown"}:
        return text, markdown_title(text)
    return text, rst_title(text) if ".rst" in endings else ""
