"""The largest number of tokens that a model may claim to read; imports nothing."""

from __future__ import annotations

# tokens; stands for texts of any length: a tokenizer without a limit says 10**30
NO_LIMIT = 10**9
