"""Formats numbers with their nouns, for messages."""

from __future__ import annotations


def counted(number: int, singular: str, plural: str = "") -> str:
    """Return "1 document", or "1,234 documents"."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"
