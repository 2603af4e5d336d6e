r"""Patterns of `like`: % matches any text, _ any one character; a backslash escapes either.

Matching is case-sensitive, as with `=`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_ANY_TEXT = "%"
_ANY_CHARACTER = "_"
_OF_GLOB = "*?["


def glob_of(pattern: str) -> str:
    """Return the pattern of SQLite's GLOB that matches the same texts."""
    special = {_ANY_TEXT: "*", _ANY_CHARACTER: "?"}
    return "".join(
        special[character] if is_special else _literal(character)
        for character, is_special in _characters(pattern)
    )


def matches(pattern: str, text: str) -> bool:
    """Return whether a text matches a pattern, in time linear in the length of the text.

    Subtle: for the piece between two %, the first position that matches is as good as any later
    one. So no position is tried twice, as a regular expression for the whole pattern would do.
    """
    first, *others = _pieces(pattern)
    found = first.match(text)
    if not others or found is None:
        return found is not None and found.end() == len(text)
    place = found.end()
    *inner, last = others
    for piece in inner:
        found = piece.search(text, place)
        if found is None:
            return False
        place = found.end()
    # every match of a piece has the same length, so the last piece is compared with the text's end
    length = len(_pieces_of_characters(pattern)[-1])
    start = len(text) - length
    return start >= place and last.match(text, start) is not None


def _literal(character: str) -> str:
    return f"[{character}]" if character in _OF_GLOB else character


def _pieces(pattern: str) -> list[re.Pattern[str]]:
    """Return the pieces of a pattern between its % characters."""
    return [re.compile("".join(piece), re.DOTALL) for piece in _pieces_of_characters(pattern)]


def _pieces_of_characters(pattern: str) -> list[list[str]]:
    pieces: list[list[str]] = [[]]
    for character, is_special in _characters(pattern):
        if is_special and character == _ANY_TEXT:
            pieces.append([])
        else:
            pieces[-1].append("." if is_special else re.escape(character))
    return pieces


def _characters(pattern: str) -> Iterator[tuple[str, bool]]:
    """Yield the characters of a pattern, and whether each is a wildcard."""
    rest = iter(pattern)
    for character in rest:
        if character == "\\":
            yield next(rest, "\\"), False
        else:
            yield character, character in {_ANY_TEXT, _ANY_CHARACTER}
