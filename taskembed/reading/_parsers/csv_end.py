"""Finding the end of a CSV record that is too large to hold in memory."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable


def end_of_record(
    start: bytes, read: Callable[[], bytes], *, delimiter: str, is_open: bool, limit: int
) -> tuple[bytes, int]:
    """Return the bytes read after the end of a record, and the number of lines up to its end.

    Args:
        start: bytes of the record, starting at the beginning of a cell or inside quotes.
        read: returns more bytes; b"" at the end of the file.
        delimiter: the character between cells.
        is_open: whether `start` begins inside quotes.
        limit: the largest number of bytes to search.

    Raises:
        ValueError: the record has no end (a quote is not closed), or is not CSV.
    """
    text = _Text(start, read, limit)
    # patterns of: whole cells; the rest of a cell; a quoted text up to its closing quote
    mark = re.escape(delimiter)
    plain, within = f'[^"\r\n{mark}][^\r\n{mark}]*+', '[^"]*+(?:""[^"]*+)*+'
    cells = re.compile(f'(?:(?:{plain}|"{within}")?{mark})*+')
    cell = re.compile(f"[^\r\n{mark}]*+")
    quoted = re.compile(within)
    while True:
        if not is_open:
            text.skip(cells)
            if text.next() != '"':
                text.skip(cell)
                if text.next() == delimiter:
                    continue
                return text.left()
            text.at += 1
        text.skip(quoted)
        if not text.next():
            raise ValueError("a quote is not closed")
        text.at += 1
        is_open = text.next() == '"'  # two quotes are an escaped quote
        if is_open or text.next() == delimiter:
            text.at += 1
        elif text.next() in {"\r", "\n", ""}:
            return text.left()
        else:
            raise ValueError(f"{delimiter!r} expected after '\"'")


class _Text:
    """A text that is read piece by piece; `at` is the current position."""

    def __init__(self, start: bytes, read: Callable[[], bytes], limit: int) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._text = self._decoder.decode(start)
        self.at = 0
        self._read = read
        self._left = limit - len(start)
        self._lines = 0

    def next(self) -> str:
        """Return the next character; "" at the end."""
        if self.at >= len(self._text):
            self._more()
        return self._text[self.at : self.at + 1]

    def skip(self, pattern: re.Pattern[str]) -> None:
        """Move past everything that matches, however long it is."""
        while True:
            match = pattern.match(self._text, self.at)
            self.at = match.end() if match else self.at
            # a match that reaches the end of the text may continue in the next piece
            if self.at < len(self._text) or not self._more():
                return

    def left(self) -> tuple[bytes, int]:
        """Return the bytes after the end of the line, and the number of lines passed."""
        for end in ("\r", "\n"):
            if self.next() == end:
                self.at += 1
        self._count()
        left = self._text[self.at :].encode(errors="surrogateescape")
        return left + self._decoder.getstate()[0], self._lines

    def _more(self) -> bool:
        self._count()
        raw = self._read()
        self._left -= len(raw)
        if self._left < 0:
            raise ValueError("the record has no end")
        self._text = self._text[self.at :] + self._decoder.decode(raw, final=not raw)
        self.at = 0
        return bool(raw)

    def _count(self) -> None:
        passed = self._text[: self.at]
        self._lines += passed.count("\n") + passed.count("\r") - passed.count("\r\n")
