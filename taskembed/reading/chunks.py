"""Texts are cut into chunks of some tokens, at a sentence end or a definition if there is one.

    find_chunks(text, offsets, tokens=128, overlap=25)    # [(0, 612), (498, 1105), ...]

Memory and time grow with the length of a text, whatever is in it: it is read window by window, and
no chunk is longer than a window.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from taskembed.reading.definitions import Definition, next_definition

Offsets = npt.NDArray[np.int64]  # int64[n, 2]: where each token begins and ends, in characters
Cut = tuple[int, int]  # where a chunk begins and ends

WINDOW_CHARACTERS = 32_768  # that are tokenized at once
CHARACTERS_OF_A_TOKEN = 32  # a chunk of more characters a token is cut: prose has four to five
SENTENCE_CHARACTERS = 4_096  # before the end of a chunk, in which a sentence end is looked for
_AHEAD = 64  # characters after it, which tell whether a sentence ends there
_LANGUAGE = "en"  # its rules also know the full stops of other scripts

_INK = re.compile(r"\S")
_SPACE = re.compile(r"\s")
_LINE = re.compile(r"\n[ \t\r]*")
_BLANK_LINE = re.compile(r"\n[ \t\r]*\n")
_HEADING = re.compile(
    r"^(?:#{1,6}[ \t].*|[^\n]{1,200}\n(?:={3,}|-{3,}|~{3,})[ \t\r]*)$", re.MULTILINE
)


def find_chunks(
    text: str,
    offsets: Callable[[str], Offsets],
    *,
    tokens: int,
    overlap: int,
    definitions: list[Definition] | None = None,
    window: int = WINDOW_CHARACTERS,
) -> Iterator[Cut]:
    """Yield where each chunk of a text begins and ends, in order; a text has at least one.

    Together the chunks have every character of the text that is not white space.

    Args:
        text: of a document.
        offsets: returns where the tokens of a text are.
        tokens: the most of a chunk.
        overlap: about how many of a chunk's last tokens the next chunk begins with.
        definitions: where those of source code begin, in order; None for prose, which is cut at
            sentences.
        window: characters that are given to `offsets` at once, unless a chunk may need more.
    """
    window = max(window, tokens * CHARACTERS_OF_A_TOKEN)
    begin = _next_ink(text, 0)
    if begin == len(text):
        yield 0, 0
    elif text.isascii() and len(text) < tokens:  # no character of ASCII is more than one token
        yield begin, len(text.rstrip())
        return
    while begin < len(text):
        end = min(begin + window, len(text))
        places = None if definitions is None else _moved(definitions, begin)
        size = (tokens, overlap)
        part = _Window(text[begin:end], offsets, size, places, is_last=end == len(text))
        at = 0
        for first, last, following in part.chunks():
            yield begin + first, begin + last
            at = following
        begin = _next_ink(text, begin + at)


def _moved(definitions: list[Definition], begin: int) -> list[Definition]:
    """Return the definitions after a place, counted from there."""
    return [Definition(depth, at - begin) for depth, at in definitions if at > begin]


def _next_ink(text: str, at: int) -> int:
    found = _INK.search(text, at)
    return found.start() if found else len(text)


class _Window:
    """A part of a text, with its tokens; places are counted from its beginning."""

    def __init__(
        self,
        text: str,
        offsets: Callable[[str], Offsets],
        size: tuple[int, int],
        definitions: list[Definition] | None,
        *,
        is_last: bool,
    ) -> None:
        self._text = text
        self._tokens, self._overlap = size
        self._definitions = definitions
        self._is_last = is_last
        spans = np.maximum.accumulate(offsets(text).reshape(-1, 2))
        self._starts, self._ends = spans[:, 0], spans[:, 1]

    def chunks(self) -> Iterator[tuple[int, int, int]]:
        """Yield where each chunk begins and ends, and where the next one begins.

        The rest at the end belongs to the next window, unless this is the last one. There is always
        at least one chunk, so that the next window begins further on.
        """
        begin = _next_ink(self._text, 0)
        while begin < len(self._text):
            first = int(np.searchsorted(self._ends, begin, "right"))
            if first + self._tokens < len(self._starts):
                end, following = self._cut(begin, first)
            elif self._is_last or not begin:  # or the window has too few tokens for a whole chunk
                end = following = len(self._text)
            else:
                return
            yield begin, begin + len(self._text[begin:end].rstrip()), following
            begin = _next_ink(self._text, following)

    def _cut(self, begin: int, first: int) -> tuple[int, int]:
        """Return where the chunk from a place on ends, and where the next one begins.

        Args:
            begin: the place.
            first: the number of the token there.
        """
        half = self._tokens // 2
        overlapped, floor, limit = (
            max(begin, int(self._starts[first + count]))
            for count in (half - self._overlap, half, self._tokens)
        )
        limit = max(limit, begin + 1)
        if self._definitions:
            end = next_definition(self._definitions, begin, limit)
            if end and self._text[begin:end].strip():
                return end, end  # it begins a chunk, and nothing of another is before it
        places = self._places(max(overlapped, limit - SENTENCE_CHARACTERS), limit)
        end = places[-1] if places and places[-1] > floor else self._last_word(floor, limit)
        if not self._overlap:
            return end, end
        last = int(np.searchsorted(self._starts, end, "left"))
        shared, fewer = (
            int(self._starts[max(0, last - count)]) for count in (self._overlap, self._overlap // 2)
        )
        following = next((place for place in places if shared <= place <= fewer), None)
        if following is None:
            following = shared if self._begins_word(shared) else self._next_word(shared, end)
        return end, following if begin < following < end else end

    def _places(self, begin: int, limit: int) -> list[int]:
        """Return where sentences, headings and paragraphs begin after a place, ascending."""
        if self._definitions is not None:
            return self._lines(begin, limit)
        from sentencex import get_sentence_boundaries

        text = self._text[begin : limit + _AHEAD]
        places = {item["start_index"] for item in get_sentence_boundaries(_LANGUAGE, text)}
        places |= {match.end() for match in _BLANK_LINE.finditer(text)}
        headings = list(_HEADING.finditer(text))
        places |= {match.start() for match in headings}
        for match in headings:  # a heading stays with what follows it
            behind = _next_ink(text, match.end())
            places = {place for place in places if not match.start() < place <= behind}
        return sorted(begin + place for place in places if 0 < place <= limit - begin)

    def _lines(self, begin: int, limit: int) -> list[int]:
        """Return where paragraphs begin after a place, ascending; lines if there is only one."""
        for pattern in (_BLANK_LINE, _LINE):
            found = (match.end() for match in pattern.finditer(self._text, begin, limit))
            if places := [place for place in found if begin < place <= limit]:
                return places
        return []

    def _last_word(self, floor: int, limit: int) -> int:
        """Return where the last word after `floor` begins; `limit` if there is none."""
        if self._begins_word(limit):
            return limit
        spaces = [match.end() for match in _SPACE.finditer(self._text, floor, limit)]
        return spaces[-1] if spaces else limit

    def _next_word(self, begin: int, end: int) -> int:
        found = _SPACE.search(self._text, begin, end)
        return found.end() if found else begin

    def _begins_word(self, at: int) -> bool:
        return self._text[at - 1 : at].isspace() or self._text[at : at + 1].isspace()
