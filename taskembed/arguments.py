"""Checks of arguments that would silently give wrong results, such as a string for a list."""

from __future__ import annotations

import operator
import reprlib
from collections.abc import Iterable
from typing import SupportsIndex


def require_texts(texts: Iterable[object], what: str) -> list[str]:
    """Return texts that can be encoded and stored.

    Args:
        texts: the argument.
        what: the name of the argument, for messages: "queries".

    Raises:
        TypeError: the argument is a single string, or one of the texts is not a string.
        ValueError: a text cannot be written as UTF-8.
    """
    if isinstance(texts, str | bytes):
        raise TypeError(f"{what} must be a list of texts: [{reprlib.repr(texts)}] for one text")
    return [require_text(text, f"{what}[{position}]") for position, text in enumerate(texts)]


def require_text(text: object, what: str) -> str:
    """Return a text that can be encoded and stored.

    Raises:
        TypeError: the argument is not a string.
        ValueError: the text has a lone surrogate, so it cannot be written as UTF-8.
    """
    if isinstance(text, str) and text.isascii():
        return text
    text = require_string(text, what)
    if not is_utf8(text):
        raise ValueError(f"{what} is not UTF-8: {reprlib.repr(text)}")
    return text


def require_string(text: object, what: str) -> str:
    """Return a string, which may contain any characters.

    Raises:
        TypeError: the argument is not a string.
    """
    if not isinstance(text, str):
        raise TypeError(f"{what} is {reprlib.repr(text)}; it must be a text")
    return text


def is_utf8(text: str) -> bool:
    """Return whether a text can be written as UTF-8: it has no lone surrogate."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def require_kind(value: object, kind: type, way: str) -> None:
    """Check that a value is an instance of a class.

    Args:
        value: the value.
        kind: the class.
        way: an expression that returns such a value, for the message.

    Raises:
        TypeError: the value is of another class.
    """
    if not isinstance(value, kind):
        raise TypeError(f"expected {kind.__name__}, not {type(value).__name__}: use {way}")


def require_positive(number: SupportsIndex, what: str) -> int:
    """Return a whole number of at least 1; numpy's integers are accepted.

    Raises:
        TypeError: the argument is not a whole number.
        ValueError: the number is below 1.
    """
    try:
        whole = operator.index(number)
    except TypeError:
        raise TypeError(f"{what} is {number!r}; it must be a whole number") from None
    if whole < 1:
        raise ValueError(f"{what} is {whole}; it must be at least 1")
    return whole
