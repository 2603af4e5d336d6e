"""What the texts of one side of a task need: a prompt, an adapter, a value for a server."""

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
        value: for a hosted model, the value in a request that says which side a text is of; ""
            if requests do not say it.
        source: where the prompt comes from, for people.
    """

    prompt: str = ""
    adapter: str = ""
    value: str = ""
    source: str = ""


Sides = Mapping[PromptType, Side]
