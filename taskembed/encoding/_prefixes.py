"""Tokenises long texts without tokenising all of them: a model reads only the first tokens.

    LongTextTokenizer(tokenizer).encode([text], 510)    # all token ids, or more than the first 510

A long text is cut at a seam, "word| next": a position at which the tokenizer always splits, and
where the text on one side cannot change the tokens on the other. So the tokens before the cut are
exactly those of the whole text. The components of the tokenizer are examined when the first long
text arrives; if a component is unknown, every text is tokenised whole. A tokenizer needs up to 200
bytes of memory for each byte of text, so the size of a text tokenised in one piece is limited.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tokenizers import Tokenizer

from taskembed.encoding._seams import Seams, find_seams
from taskembed.errors import TextTooLongError

SHORTEST_CHARS = 4_096  # characters; a text of up to twice this length is tokenised whole
CHARS_PER_TOKEN = 8  # characters for each token in the first attempt; prose has four to five
GROWTH = 4  # factor by which the part grows if it has too few tokens
LONGEST_BYTES = 4 * 2**20  # of UTF-8 tokenised at once; takes 0.8 GB of memory
MARGIN = 16  # tokens beyond those that are used, as a safety margin


class LongTextTokenizer:
    """A tokenizer that reads only as much of a long text as is needed. Thread-safe.

    Args:
        tokenizer: the tokenizer; its own truncation and padding must be off.
        shortest: in characters; a text of up to twice this length is tokenised whole.
        longest: in bytes of UTF-8; no longer part of a text is tokenised in one piece.
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
        """Return the token ids of each text, without special tokens; of a long text, only a part.

        Args:
            texts: any number of texts.
            room: the number of tokens that the model reads of a text.
            from_end: whether the model reads the last tokens rather than the first ones.

        Returns:
            A list of ids for each text. A part has more than `room` ids, and its first `room` ids
            (with `from_end`, its last) are those of the whole text.

        Raises:
            TextTooLongError: a text has no seam where one is needed, and is too long to be
                tokenised whole.
        """
        return [ids for _, ids in self._read(texts, room, from_end=from_end)]

    def shortened(self, texts: Sequence[str], room: int) -> list[str]:
        """Return each text, or the beginning of a long one, with more than `room` tokens.

        The first `room` tokens of a beginning are those of the whole text.

        Raises:
            TextTooLongError: a text has no seam where one is needed, and is too long to be
                tokenised whole.
        """
        return [text for text, _ in self._read(texts, room, from_end=False)]

    def _read(
        self, texts: Sequence[str], room: int, *, from_end: bool
    ) -> list[tuple[str, list[int]]]:
        """Return the part of each text that is tokenised, and its token ids."""
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
            # retry: a text may have words of a million letters, or that many spaces
            if readable is texts:
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
        """Yield (row, (text, token ids)) for each part that has enough tokens."""
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
        """Return a part of about `size` characters of each text that has no result yet.

        A text without a seam in the right place has no part.
        """
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
        """Return whether a text is short enough to be tokenised in one piece."""
        if len(text) > self._longest:
            return False
        return _size(text) <= self._longest or len(text.encode()) <= self._longest

    def _end_part(self, row: int, text: str, size: int) -> list[_Part]:
        """Return the end of a text as a part; no part if it has fewer than two seams there.

        The tokens before the second seam may differ from those of the whole text and are dropped.
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
    """Yield items in groups whose texts have up to `longest` bytes; a longer text is on its own."""
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
    """Return an upper bound of the bytes that a text takes as UTF-8, without encoding it."""
    return len(text) if text.isascii() else 4 * len(text)


@dataclass(frozen=True, slots=True)
class _Part:
    row: int
    text: str
    doubtful: str = ""
    is_whole: bool = False
