"""The text of an HTML page, without its tags, scripts and styles.

The standard library's parser takes quadratic time for some pages; this one takes linear time for
any page. It does not validate the page: whatever is not a tag is text, as in a browser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import NamedTuple

_UNSEEN = {"script", "style", "template", "svg", "math", "iframe", "noscript"}
_RAW = {"script", "style", "iframe", "noscript"}  # inside these, only their own end tag is a tag
# inline elements; every other element begins a new line
_INLINE = {
    *("a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font"),
    *("i", "img", "input", "ins", "kbd", "label", "mark", "q", "s", "samp", "small", "span"),
    *("math", "strike", "strong", "sub", "sup", "svg", "time", "tt", "u", "var", "wbr"),
}
_KEPT_SPACE = {"pre", "textarea"}
_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]*+)|<!--|<[!?]")
_END_OR_QUOTE = re.compile(r"""[>"']""")
_SPACE = re.compile(r"\s+")


class _Piece(NamedTuple):
    """A tag and the text after it.

    Attributes:
        name: name of the element, in lower case; "" for a comment and at the start of the page.
        is_end: whether it is an end tag.
        text: the text up to the next tag; entities are not decoded.
    """

    name: str
    is_end: bool
    text: str


class Page(NamedTuple):
    """The text of a page, and its title; "" if it has none."""

    text: str
    title: str


def read_page(html: str) -> Page:
    """Return the text and the title of an HTML page; the title is also the text's first line."""
    reader = _Reader()
    for piece in _pieces(html):
        reader.read(piece)
    return reader.page()


class _Reader:
    """Collects the text of a page, and its title."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._titles: dict[str, list[str]] = {
            "title": [],
            "h1": [],
        }  # the text of the first element of each name
        self._ended: set[str] = set()  # those of the two elements that have ended
        self._within = ""  # "title" or "h1" while the text is inside that element
        self._unseen = 0  # nesting depth of elements whose content is not shown
        self._kept_space = 0  # nesting depth of elements in which white space is kept

    def read(self, piece: _Piece) -> None:
        """Read a tag and the text after it."""
        self._enter(piece.name, is_end=piece.is_end)
        if self._unseen:
            return
        text = unescape(piece.text)
        if not self._kept_space:
            text = _SPACE.sub(" ", text)
            text = text.lstrip() if self._words[-1:] == ["\n"] else text
        self._words += [text] * bool(text)
        if self._within:
            self._titles[self._within].append(text)

    def _enter(self, name: str, *, is_end: bool) -> None:
        step = -1 if is_end else 1
        if name in _UNSEEN:
            self._unseen = max(0, self._unseen + step)
        if name in _KEPT_SPACE:
            self._kept_space = max(0, self._kept_space + step)
        if name in self._titles:
            self._ended |= {self._within}
            self._within = "" if is_end or name in self._ended else name
        if name and name not in _INLINE and not self._unseen:
            self._words.append("\n")

    def page(self) -> Page:
        """Return what was collected."""
        lines = (line.rstrip() for line in "".join(self._words).split("\n"))
        titles = (_SPACE.sub(" ", "".join(words)).strip() for words in self._titles.values())
        return Page("\n".join(filter(None, lines)), next(filter(None, titles), ""))


def _pieces(html: str) -> Iterator[_Piece]:
    """Yield the text before the first tag, then each tag of a page with the text after it."""
    name, is_end, start = "", False, 0
    quotes = True  # False after a quote that is never closed
    position = 0
    while found := _TAG.search(html, position):
        yield _Piece(name, is_end, html[start : found.start()])
        name, is_end = (found[2] or "").lower(), bool(found[1])
        if found[0] == "<!--":
            end = html.find("-->", found.end())
            start = position = len(html) if end < 0 else end + 3
            continue
        end, quotes = _end_of_tag(html, found.end(), quotes=quotes)
        start = position = end
        if html[end - 2 : end] == "/>" and name in {"svg", "math"}:
            name = ""  # it has no end tag
        if name in _RAW and not is_end:
            closing = re.compile(rf"</{name}\b", re.IGNORECASE).search(html, end)
            position = closing.start() if closing else len(html)
    yield _Piece(name, is_end, html[start:])


def _end_of_tag(html: str, position: int, *, quotes: bool) -> tuple[int, bool]:
    """Return the position of the text after a tag, and whether quotes still count as quotes.

    After a quote that is never closed, no quote counts any more: each search for a closing quote
    reads to the end of the page, and many of them would take quadratic time.
    """
    at = position
    while quotes and (mark := _END_OR_QUOTE.search(html, at)):
        if mark[0] == ">":
            return mark.end(), True
        closing = html.find(mark[0], mark.end())
        if closing < 0:
            quotes = False
        at = closing + 1
    end = html.find(">", position)
    return (len(html) if end < 0 else end + 1), quotes
