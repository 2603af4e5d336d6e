"""The tokens of a long text, from no more of it than is read.

    LongTextTokenizer(tokenizer).encode([text], 510)    # all the ids, or at least the first 510

A text is cut at a seam, "word| next": a place of which it is known that the tokenizer splits there,
and that nothing on one side changes what becomes of the other. So the tokens before the cut are
those of the whole text, exactly. What a tokenizer consists of is looked at when the first long text
comes; one with a part that is not known here reads every text whole. A tokenizer takes up to 200
bytes for each that it is given, so what would have to be read of a text in one piece is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tokenizers import Tokenizer

from taskembed.encoding._seams import Seams, find_seams
from taskembed.errors import TextTooLongError

SHORTEST_CHARS = 4_096  # a text of less than twice that is read whole
CHARS_PER_TOKEN = 8  # of a first try: prose has four to five
GROWTH = 4  # of the part that is read, where a try had too few tokens
LONGEST_BYTES = 4 * 2**20  # of UTF-8 that are tokenised at once: 0.8 GB
MARGIN = 16  # tokens more than are kept, for good measure


class LongTextTokenizer:
    """A tokenizer that reads of a long text no more than is needed. Safe to use from threads.

    Args:
        tokenizer: with neither truncation nor padding of its own.
        shortest: characters: a text of less than twice that is read whole.
        longest: bytes of UTF-8: no more of a text is tokenised in one piece.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        shortest: int = SHORTEST_CHARS,
        longest: int = LONGEST_BYTES,
    ) -> None:
        self._tokenizer = tokenizer
        self._shortest = shortest
        self._longest = longest
        self._found: Seams | None = None

    def encode(self, texts: Sequence[str], room: int, *, from_end: bool = False) -> list[list[int]]:
        """Return the ids of each text without special tokens, or of a long text a part of them.

        A part is more than `room` ids, of which the first `room` are those of the whole text; with
        `from_end`, the last `room`.

        Raises:
            TextTooLongError: no part of a text is known to do, and the whole is too long.
        """
        return [ids for _, ids in self._read(texts, room, from_end=from_end)]

    def shortened(self, texts: Sequence[str], room: int) -> list[str]:
        """Return each text, or of a long one the beginning, of more than `room` tokens.

        They are the tokens of the whole text.

        Raises:
            TextTooLongError: no part of a text is known to do, and the whole is too long.
        """
        return [text for text, _ in self._read(texts, room, from_end=False)]

    def _read(
        self, texts: Sequence[str], room: int, *, from_end: bool
    ) -> list[tuple[str, list[int]]]:
        """Return what is read of each text, and its ids."""
        found: dict[int, tuple[str, list[int]]] = {}
        readable = texts
        size = min(max(self._shortest, CHARS_PER_TOKEN * room), self._longest)
        while True:
            for parts in grouped(
                self._parts(readable, found, size, from_end=from_end), lambda part: part.text
            ):
                found.update(self._found_in(parts, room, from_end=from_end))
            if len(found) == len(texts):
                return [found[row] for row in range(len(texts))]
            if readable is texts:  # words of a million letters, or as many blanks
                readable = [
                    text if row in found else self._seams.squeezed(text)
                    for row, text in enumerate(texts)
                ]
            elif size == self._longest:
                raise TextTooLongError(
                    texts, [row for row in range(len(texts)) if row not in found]
                )
            size = min(size * GROWTH, self._longest)

    def _found_in(
        self, parts: Sequence[_Part], room: int, *, from_end: bool
    ) -> Iterator[tuple[int, tuple[str, list[int]]]]:
        """Yield the row of each part that is long enough, what is read, and as many ids."""
        ids = self._ids([part.text for part in parts])
        extra = self._ids([part.doubtful for part in parts]) if from_end else [[]] * len(parts)
        for part, kept, doubtful in zip(parts, ids, extra, strict=True):
            enough = room + MARGIN
            if part.is_whole or len(kept) - len(doubtful) > enough:
                end = slice(-enough - 1, None) if from_end else slice(enough + 1)
                yield part.row, (part.text, kept[end])

    def _parts(
        self,
        texts: Sequence[str],
        found: Container[int],
        size: int,
        *,
        from_end: bool,
    ) -> list[_Part]:
        """Return about `size` characters of each text that is not found, where it has a seam."""
        parts = []
        for row, text in enumerate(texts):
            if row in found:
                continue
            if (len(text) <= 2 * size or not self._seams.pattern) and self._fits(text):
                parts.append(_Part(row, text, is_whole=True))
            elif from_end:
                parts += self._end_part(row, text, size)
            elif cut := self._seams.last(text, 0, size):
                parts.append(_Part(row, text[:cut]))
        return [part for part in parts if self._fits(part.text)]

    def _fits(self, text: str) -> bool:
        """Tell whether a text may be tokenised in one piece."""
        if len(text) > self._longest:
            return False
        return _size(text) <= self._longest or len(text.encode()) <= self._longest

    def _end_part(self, row: int, text: str, size: int) -> list[_Part]:
        """Return the end of a text: nothing, where it has no two seams there.

        The tokens before the second seam are doubtful: they may be others than the whole text's.
        """
        if not self._seams.from_end:
            return [_Part(row, text, is_whole=True)]
        begin = self._seams.last(text, 0, len(text) - size)
        second = self._seams.last(text, begin + 1, begin + size // 2) if begin else 0
        return [_Part(row, text[begin:], text[begin:second])] if begin and second else []

    def _ids(self, texts: list[str]) -> list[list[int]]:
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    @property
    def _seams(self) -> Seams:
        if self._found is None:
            self._found = find_seams(self._tokenizer)
        return self._found


_Item = TypeVar("_Item")


def grouped(
    items: Sequence[_Item], text_of: Callable[[_Item], str], longest: int = LONGEST_BYTES
) -> Iterator[list[_Item]]:
    """Yield items in order, no more at once than have so long texts; a longer one alone."""
    group: list[_Item] = []
    total = 0
    for item in items:
        size = _size(text_of(item))
        total += size
        if group and total > longest:
            yield group
            group, total = [], size
        group.append(item)
    if group:
        yield group


def _size(text: str) -> int:
    """Return no less than the bytes that a text takes as UTF-8."""
    return len(text) if text.isascii() else 4 * len(text)


@dataclass(frozen=True, slots=True)
class _Part:
    row: int
    text: str
    doubtful: str = ""
    is_whole: bool = False
