"""Reads facts about a loaded model. Imports torch."""

from __future__ import annotations

from functools import partial
from typing import Any

from sentence_transformers import SentenceTransformer
from torch import nn

from taskembed.encoding._chat import Chat, chat_of
from taskembed.encoding.compile._pooled import is_static, pooling_modes, side_modules
from taskembed.encoding.compile.quiet import quiet
from taskembed.encoding.facts import MEAN, UNIT_MEAN, ModelFacts
from taskembed.encoding.tokens import POSITIONS
from taskembed.models.lengths import NO_LIMIT
from taskembed.space import PromptType

# types of models whose activations exceed 65,504: Gemma 3 (its authors warn), T5 (users report)
FP16_OVERFLOWS = {"gemma3_text", "t5"}
SCALED_TO_LONGEST = {"dynamic", "longrope"}  # values of rope_type that depend on the longest text


def varies(first: Any) -> str:  # noqa: ANN401  # of sentence-transformers
    """Return the setting by which a text's vector depends on other texts; "" if there is none.

    Such settings scale positions to the longest text of a batch, or change BigBird's attention for
    good after a short text.
    """
    config = first.config
    if getattr(config, "attention_type", "") == "block_sparse":
        return "attention_type 'block_sparse'"
    rope = getattr(config, "rope_parameters", None) or {}
    longest = max(_side_length(first, side) for side in PromptType)
    for scaling in (rope, *rope.values()):
        kind = scaling.get("rope_type") if isinstance(scaling, dict) else None
        if kind in SCALED_TO_LONGEST:
            trained = scaling.get("original_max_position_embeddings")
            if longest > (trained or config.max_position_embeddings):
                return f"rope_type {kind!r}"
    return ""


def reads_messages(first: Any) -> bool:  # noqa: ANN401  # of sentence-transformers
    return not is_static(first) and "message" in first.modality_config


def chats_of(first: Any) -> dict[PromptType, Chat | None]:  # noqa: ANN401  # of sentence-transformers
    """Return the chat template of each side; None if it does more than add strings."""
    declares, formatter = first._chat_template_declares_task(), first.input_formatter  # noqa: SLF001  # its only way to say
    given = dict((getattr(first, "processing_kwargs", None) or {}).get("chat_template", {}))

    def render(side: PromptType, prompt: str, text: str) -> str:
        _, made = formatter.batch_to_message("text", {"text": [text]})
        messages = made["message"]
        if prompt:
            messages = formatter.prepend_prompt_to_messages(messages, prompt)
        task = {"task": side.value} if declares else {}
        return str(
            first.processor.apply_chat_template(messages[0], tokenize=False, **task, **given)
        )

    with quiet():
        return {side: chat_of(partial(render, side)) for side in PromptType}


def keep_within_positions(first: Any) -> None:  # noqa: ANN401  # of sentence-transformers
    """Limit texts to the model's number of positions, where the library raises an IndexError."""
    table = _position_table(first.auto_model)
    if table is None:
        return
    if table < (first.max_seq_length or 0) < NO_LIMIT:
        first.tokenizer.model_max_length = table
    for side in PromptType:
        if (getattr(first, f"{side.value}_length", None) or 0) > table:
            setattr(first, f"{side.value}_length", table)


def _position_table(model: nn.Module) -> int | None:
    """Return the number of tokens that a model has positions for; None if it has no such table.

    RoBERTa, MPNet and others count from the padding token's id + 1, BART and OPT from 2: with 514
    positions, they read 512 tokens.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding) and POSITIONS.search(name):
            pad = module.padding_idx
            unused = int(getattr(module, "offset", 0)) if pad is None else pad + 1
            limit = getattr(model.config, "max_position_embeddings", None)
            held = module.num_embeddings - unused
            return min(held, limit) if isinstance(limit, int) and limit > 0 else held
    return None


def facts_of(model: SentenceTransformer, side: PromptType) -> ModelFacts:
    """Return the facts about a model; `side` determines how texts are truncated.

    Raises:
        ValueError: the model reads no token, or its vectors have no numbers.
    """
    both = {prompt_type: side_modules(model, prompt_type) for prompt_type in PromptType}
    lengths = {prompt_type: _side_length(both[prompt_type][0], prompt_type) for prompt_type in both}
    first = both[side][0]
    chats = chats_of(first) if reads_messages(first) else {}
    dim = int(model.get_embedding_dimension() or 0)
    if min(dim, shortest := min(lengths.values())) < 1:
        raise ValueError(f"it reads {shortest} tokens, and its vectors have {dim} numbers")
    pooled = dict.fromkeys(_pooling(modules) for modules in both.values())
    return ModelFacts(
        dim=dim,
        max_length=max(lengths.values()),
        pooling="|".join(pooled),
        prompt_in_pooling=bool(chats)
        or all(
            getattr(module, "include_prompt", True)
            for modules in both.values()
            for module in modules
        ),
        fp16_overflows=any(
            not is_static(modules[0]) and modules[0].config.model_type in FP16_OVERFLOWS
            for modules in both.values()
        ),
        query_length=lengths[PromptType.QUERY],
        document_length=lengths[PromptType.DOCUMENT],
        special_tokens=(
            not (is_static(first) or chats)
            and bool(_tokenizing(first).get("add_special_tokens", True))
        ),
        cut_left=_cuts_left(first),
        query_chat=chats.get(PromptType.QUERY),
        document_chat=chats.get(PromptType.DOCUMENT),
        table=_table_kind(both[side], model.truncate_dim),
    )


def _table_kind(modules: list[Any], dim: int | None) -> str:
    """Return how static embeddings are pooled to a vector; "" if a table is not the whole model."""
    first, *rest = modules
    kinds = {type(module).__name__ for module in rest} - {"Dropout"}
    if not is_static(first) or dim is not None or not kinds <= {"Normalize"}:
        return ""
    return UNIT_MEAN if kinds else MEAN


def _cuts_left(first: Any) -> bool:  # noqa: ANN401  # of sentence-transformers
    if is_static(first):
        return bool((first.tokenizer.truncation or {}).get("direction") == "left")
    return bool(first.tokenizer.truncation_side == "left")


def _pooling(modules: list[Any]) -> str:
    if is_static(modules[0]):
        return MEAN
    modes = next((pooling_modes(module) for module in modules if pooling_modes(module)), ("none",))
    return "+".join(modes)


def _tokenizing(first: Any) -> dict[str, Any]:  # noqa: ANN401  # of sentence-transformers
    """Return the arguments of the tokenizer: `processing_kwargs` in the model's files."""
    given = getattr(first, "processing_kwargs", None) or {}
    return {**given.get("text", {}), **given.get("common", {})}


def _side_length(first: Any, side: PromptType) -> int:  # noqa: ANN401  # of sentence-transformers
    """Return the number of tokens that are read of a text of a side."""
    if is_static(first):  # only its tokenizer.json counts
        return int((first.tokenizer.truncation or {}).get("max_length", NO_LIMIT))
    own = getattr(first, f"{side.value}_length", None)
    wanted = _tokenizing(first).get("max_length") or own
    return int(wanted or max_length(first.max_seq_length, first.auto_model))


def max_length(limit: int | None, model: nn.Module) -> int:
    """Return the number of tokens that a model reads: the limit of its tokenizer or positions."""
    known = limit if limit and limit < NO_LIMIT else None
    table = _position_table(model)
    if table is not None:
        return int(min(known or table, table))
    positions: Any = getattr(model.config, "max_position_embeddings", None)
    # T5 and XLNet have relative positions, and no limit
    return int(known or (positions if isinstance(positions, int) and positions > 0 else NO_LIMIT))
