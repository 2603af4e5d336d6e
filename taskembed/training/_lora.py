"""Adds a new LoRA adapter to the base model; only the adapter is trained.

Importing this module imports torch.
"""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig
from sentence_transformers import SentenceTransformer
from torch import nn

from taskembed.errors import UsageError
from taskembed.models.resolve import ModelSpec
from taskembed.training.recipe import Recipe

ADAPTER = "default"  # PEFT's name for the only adapter of a model


def prepare(model: SentenceTransformer, recipe: Recipe, spec: ModelSpec) -> None:
    """Set the length, the dropout and the pooling as the recipe and the prompts require.

    Raises:
        UsageError: the recipe does not fit the model, or the trainer cannot train it.
    """
    if spec.suffix:
        raise UsageError(
            f"{spec.model} ends every text with {spec.suffix!r}, which the trainer cannot add"
        )
    if not hasattr(model[0], "auto_model"):
        raise UsageError(
            f"{recipe.model} has a model for queries and one for documents: it cannot be trained",
            hint="name another base in the recipe",
        )
    dim = int(model.get_embedding_dimension() or 0)
    if too_long := [size for size in recipe.training.matryoshka if size > dim]:
        raise UsageError(
            f'"training: matryoshka" of {max(too_long)} is too large: {recipe.model} has {dim:,} '
            "dimensions"
        )
    model.max_seq_length = min(recipe.training.max_length, model.max_seq_length or 10**9)
    _set_dropout(model, recipe.training.dropout)
    pooling: Any
    for pooling in model:
        if hasattr(pooling, "include_prompt"):
            pooling.include_prompt &= spec.prompt_in_pooling


def _set_dropout(model: nn.Module, share: float) -> None:
    module: Any
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = share
        for name in ("attention_dropout", "dropout_prob"):  # attention stores dropout as a number
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, share)


def add_adapter(model: SentenceTransformer, recipe: Recipe) -> nn.Module:
    """Freeze the base, add the recipe's adapter, and return the transformer with it.

    Raises:
        UsageError: the model has no layers of the names in the recipe.
    """
    torch.manual_seed(recipe.seed)
    config = LoraConfig(
        r=recipe.lora.rank,
        lora_alpha=recipe.lora.alpha,
        lora_dropout=recipe.lora.dropout,
        target_modules=list(recipe.lora.targets) or "all-linear",
        exclude_modules=r"pooler\..*",  # BERT's pooler is not used for vectors
        base_model_name_or_path=recipe.model,
    )
    try:
        model.add_adapter(config)
    except ValueError as error:
        raise UsageError(f"the recipe does not fit {recipe.model}: {error}") from error
    for module in list(model)[1:]:
        module.requires_grad_(requires_grad=False)  # a Dense layer is not part of an adapter
    first: Any = model[0]
    transformer: nn.Module = first.auto_model
    transformer.peft_config[ADAPTER].base_model_name_or_path = recipe.model  # type: ignore[index,union-attr]  # PEFT puts it there
    return transformer


def weaken(transformer: nn.Module, strength: float) -> None:
    """Multiply the adapter's change of the weights by `strength`, 0 to 1."""
    with torch.no_grad():
        for name, value in transformer.named_parameters():
            if "lora_B" in name:
                value.mul_(strength)


def trained_parameters(transformer: nn.Module) -> int:
    """Return the number of trained parameters, which are those of the adapter."""
    return sum(value.numel() for value in transformer.parameters() if value.requires_grad)
