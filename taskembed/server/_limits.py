"""The defaults and limits of the arguments of requests."""

from __future__ import annotations

DEFAULT_K, MOST_K = 10, 50
MOST_OFFSET = 150  # the most hits that a search can skip
HIT_CHARACTERS, MOST_HIT_CHARACTERS = 300, 4_000  # characters of the text of a hit
PAGE_CHARACTERS, MOST_PAGE_CHARACTERS = 6_000, 30_000  # characters of the text of a document
