"""Restores the end token after every text, which transformers 5 no longer adds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing

from taskembed.models.saved_json import read_saved


def keep_end_token(tokenizer: Any, folder: Path) -> str:  # noqa: ANN401  # transformers' own
    """Put the end token after every text, if a model's files require it but its tokenizer does not.

    Return that token; "" if nothing had to be done.

    Since version 5, transformers ignores `add_eos_token`. A model that pools the vector of the end
    token would then silently pool that of the last token of the text.
    """
    backend = tokenizer.backend_tokenizer
    config = read_saved(folder / "tokenizer_config.json") or {}
    end = tokenizer.eos_token_id
    if config.get("add_eos_token") is not True or end is None:
        return ""
    if backend.encode("a").ids[-1] == end:
        return ""
    token = {"id": tokenizer.eos_token, "type_id": 0}
    ids = {"id": tokenizer.eos_token, "ids": [end], "tokens": [tokenizer.eos_token]}
    # Subtle: a second template has no effect, so the token is added to the first one.
    empty = json.loads(Tokenizer(BPE()).to_str())
    processors = _processors(json.loads(backend.to_str())["post_processor"])
    template = next(item for item in processors if item["type"] == "TemplateProcessing")
    template["single"].append({"SpecialToken": token})
    template["special_tokens"][tokenizer.eos_token] = ids
    empty["post_processor"] = {"type": "Sequence", "processors": processors}
    backend.post_processor = Tokenizer.from_str(json.dumps(empty)).post_processor
    return str(tokenizer.eos_token)


def _processors(state: Any) -> list[Any]:  # noqa: ANN401  # of tokenizer.json
    """Return a tokenizer's post-processors in order; one of them is a template."""
    found: list[Any] = [] if state is None else state.get("processors", [state])
    if any(item["type"] == "TemplateProcessing" for item in found):
        return found
    nothing = TemplateProcessing(single="$A")
    return [*found, json.loads(nothing.__getstate__())]
