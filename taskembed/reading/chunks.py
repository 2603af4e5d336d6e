"""Cuts texts into chunks of a number of tokens, at ends of sentences or at definitions if possible.

    find_chunks(text, offsets, tokens=128, overlap=25)    # [(0, 612), (498, 1105), ...]

Memory and time are linear in the length of any text: it is tokenized window by window, and no chunk
is longer than a window.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from taskembed.reading.definitions import Definition, next_definition

Offsets = npt.NDArray[np.int64]  # int64[n, 2]: begin and end of each token, in characters
Cut = tuple[int, int]  # begin and end of a chunk, in characters

WINDOW_CHARACTERS = 32_768  # characters tokenized at once
CHARACTERS_OF_A_TOKEN = 32  # most characters for each token of a chunk; prose has four to five
SENTENCE_CHARACTERS = 4_096  # characters before a chunk's limit that are searched for sentence ends
_AHEAD = 64  # characters after the limit, by which the end of a sentence is recognised
_LANGUAGE = "en"  # the rules for English also know the full stops of other scripts

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
    """Yield the begin and end of each chunk of a text, in order; there is at least one chunk.

    The chunks together contain every character of the text that is not white space.

    Args:
        text: the text of a document.
        offsets: returns the begin and end of each token of a text, int64[n, 2], in characters.
        tokens: the largest number of tokens of a chunk.
        overlap: about the number of tokens that two consecutive chunks share.
        definitions: the definitions of source code, in order; None for prose, which is cut at ends
            of sentences.
        window: characters passed to `offsets` at once; more if a chunk may need more.
    """
    window = max(window, tokens * CHARACTERS_OF_A_TOKEN)
    begin = _next_ink(text, 0)
    if begin == len(text):
        yield 0, 0
    elif text.isascii() and len(text) < tokens:  # an ASCII character is never more than one token
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
    """Return the definitions after a position, relative to that position."""
    return [Definition(depth, at - begin) for depth, at in definitions if at > begin]


def _next_ink(text: str, at: int) -> int:
    found = _INK.search(text, at)
    return found.start() if found else len(text)


class _Window:
    """A window of a text, with its tokens; positions are relative to its beginning."""

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
        """Yield the begin and end of each chunk, and the begin of the next chunk.

        Text after the last chunk belongs to the next window, unless this is the last window. There
        is always at least one chunk, so that the next window begins at a later position.
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
        """Return the end of a chunk, and the begin of the next one.

        Args:
            begin: the begin of the chunk.
            first: the number of its first token.
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
                return end, end  # a definition begins a chunk, without any overlap
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
        """Return the beginnings of sentences, headings and paragraphs after a position, sorted."""
        if self._definitions is not None:
            return self._lines(begin, limit)
        from sentencex import get_sentence_boundaries

        text = self._text[begin : limit + _AHEAD]
        places = {item["start_index"] for item in get_sentence_boundaries(_LANGUAGE, text)}
        places |= {match.end() for match in _BLANK_LINE.finditer(text)}
        headings = list(_HEADING.finditer(text))
        places |= {match.start() for match in headings}
        for match in headings:  # keeps a heading together with the text after it
            behind = _next_ink(text, match.end())
            places = {place for place in places if not match.start() < place <= behind}
        return sorted(begin + place for place in places if 0 < place <= limit - begin)

    def _lines(self, begin: int, limit: int) -> list[int]:
        """Return the beginnings of paragraphs, or else of lines, after a position, sorted."""
        for pattern in (_BLANK_LINE, _LINE):
            found = (match.end() for match in pattern.finditer(self._text, begin, limit))
            if places := [place for place in found if begin < place <= limit]:
                return places
        return []

    def _last_word(self, floor: int, limit: int) -> int:
        """Return the beginning of the last word after `floor`; `limit` if there is none."""
        if self._begins_word(limit):
            return limit
        spaces = [match.end() for match in _SPACE.finditer(self._text, floor, limit)]
        return spaces[-1] if spaces else limit

    def _next_word(self, begin: int, end: int) -> int:
        found = _SPACE.search(self._text, begin, end)
        return found.end() if found else begin

    def _begins_word(self, at: int) -> bool:
        return self._text[at - 1 : at].isspace() or self._text[at : at + 1].isspace()
