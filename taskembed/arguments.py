"""Arguments of the Python interface that would go wrong in silence: a text for a list of texts."""

from __future__ import annotations

import operator
import reprlib
from collections.abc import Iterable
from typing import SupportsIndex


def require_texts(texts: Iterable[object], what: str) -> list[str]:
    """Return texts that can be encoded and stored.

    Args:
        texts: what was given.
        what: they are, in a message: "queries".

    Raises:
        TypeError: it is one text, whose characters would each be taken for one; or one is no text.
        ValueError: one is not UTF-8.
    """
    if isinstance(texts, str | bytes):
        raise TypeError(f"{what} is a list of texts: [{reprlib.repr(texts)}] for one")
    return [require_text(text, f"{what}[{position}]") for position, text in enumerate(texts)]


def require_text(text: object, what: str) -> str:
    """Return a text that can be encoded and stored.

    Raises:
        TypeError: it is no text.
        ValueError: it is not UTF-8: it has half of a surrogate pair.
    """
    if isinstance(text, str) and text.isascii():
        return text
    text = require_string(text, what)
    if not is_utf8(text):
        raise ValueError(f"{what} is not UTF-8: {reprlib.repr(text)}")
    return text


def require_string(text: object, what: str) -> str:
    """Return a text, whatever is in it.

    Raises:
        TypeError: it is no text.
    """
    if not isinstance(text, str):
        raise TypeError(f"{what} is {reprlib.repr(text)}; it must be a text")
    return text


def is_utf8(text: str) -> bool:
    """Say whether a text can be written: it has no half of a surrogate pair."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def require_kind(value: object, kind: type, way: str) -> None:
    """Return when a value is of a class; `way` says how to come by one.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(value, kind):
        raise TypeError(f"{type(value).__name__} is no {kind.__name__}: {way} is one")


def require_positive(number: SupportsIndex, what: str) -> int:
    """Return a whole number of at least 1, numpy's too.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is below 1.
    """
    try:
        whole = operator.index(number)
    except TypeError:
        raise TypeError(f"{what} is {number!r}; it must be a whole number") from None
    if whole < 1:
        raise ValueError(f"{what} is {whole}; it must be at least 1")
    return whole
