"""What the texts of one side of a task take: the prompt, the adapter, what a server is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from taskembed.space import PromptType


@dataclass(frozen=True, slots=True)
class Side:
    """What the texts of one side of a task take: queries, or documents.

    Attributes:
        prompt: put before every text; "" for none.
        adapter: the name of the LoRA adapter; "" for none.
        value: of a hosted model, the value of the request that says which side a text is of; ""
            when the server is not told.
        source: where the prompt comes from, for people.
    """

    prompt: str = ""
    adapter: str = ""
    value: str = ""
    source: str = ""


Sides = Mapping[PromptType, Side]
