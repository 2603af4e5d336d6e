"""How many tokens a model reads; nothing is imported for it."""

from __future__ import annotations

# tokens: of a model that reads texts of any length; a tokenizer that knows no limit says 10**30
NO_LIMIT = 10**9
