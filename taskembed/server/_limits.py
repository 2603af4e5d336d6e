"""How much a request may ask for, and what it gets without asking."""

from __future__ import annotations

DEFAULT_K, MOST_K = 10, 50
MOST_OFFSET = 150  # hits that a search leaves out at most, for those that follow
HIT_CHARACTERS, MOST_HIT_CHARACTERS = 300, 4_000  # of the text of a hit
PAGE_CHARACTERS, MOST_PAGE_CHARACTERS = 6_000, 30_000  # of the text of a document
