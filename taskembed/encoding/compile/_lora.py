"""Merges LoRA adapters into models with PEFT. Importing this module imports torch."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from safetensors import safe_open

from taskembed.errors import ModelUnavailableError, first_line
from taskembed.models.adapters import WEIGHTS, AdapterFiles

if TYPE_CHECKING:
    from torch import nn


def merge_adapter(model: nn.Module, adapter: AdapterFiles) -> None:
    """Add an adapter's weights to those of a model, in place; it then costs no time at run time.

    LoRA: Hu et al. 2021, https://arxiv.org/abs/2106.09685.

    Raises:
        ModelUnavailableError: the adapter belongs to another model: a shape or name does not fit.
    """
    from peft import PeftModel, get_peft_model_state_dict

    try:
        # warnings about sizes, which are compared below
        with warnings.catch_warnings(action="ignore"):
            wrapped: Any = PeftModel.from_pretrained(
                model, str(adapter.folder), ignore_mismatched_sizes=True
            )
        expected = {
            name: list(tensor.shape) for name, tensor in get_peft_model_state_dict(wrapped).items()
        }
        with safe_open(adapter.folder / WEIGHTS, framework="numpy") as tensors:
            names = tensors.keys()
            stored = {name: list(tensors.get_slice(name).get_shape()) for name in names}
    except Exception as error:  # PEFT and torch raise many types for a damaged adapter
        raise _does_not_fit(adapter, first_line(error)) from error
    # Subtle: PEFT silently ignores missing and unknown weights.
    if lone := sorted(stored.keys() ^ expected.keys()):
        raise _does_not_fit(adapter, f"{lone[0]} is in only one of adapter and model")
    for name, shape in sorted(stored.items()):
        if shape != expected[name]:
            sizes = f"{shape} in the adapter, {expected[name]} in the model"
            raise _does_not_fit(adapter, f"size mismatch for {name}: {sizes}")
    wrapped.merge_and_unload(safe_merge=True)


def _does_not_fit(adapter: AdapterFiles, reason: str) -> ModelUnavailableError:
    trained_on = f"; it was trained on {adapter.base}" if adapter.base else ""
    return ModelUnavailableError(
        f"the adapter {adapter.name!r} does not fit the model: {reason}{trained_on}",
        hint="give the adapter's own base model with --model",
    )
