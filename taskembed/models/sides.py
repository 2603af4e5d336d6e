"""The `Side` type: the prompt and the adapter of queries, or of documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from taskembed.space import PromptType


@dataclass(frozen=True, slots=True)
class Side:
    """The settings of one side of a task: of queries, or of documents.

    Attributes:
        prompt: the prompt before every text; "" for none.
        adapter: the name of the LoRA adapter; "" for none.
        value: for a hosted model, the value in a request that names the side of a text; "" if
            requests do not name it.
        source: the origin of the prompt, for people.
    """

    prompt: str = ""
    adapter: str = ""
    value: str = ""
    source: str = ""


Sides = Mapping[PromptType, Side]
