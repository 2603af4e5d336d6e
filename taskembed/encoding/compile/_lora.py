"""Merging a LoRA adapter into a model, by PEFT. Importing this module imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safetensors import safe_open

from taskembed.errors import ModelUnavailableError
from taskembed.models.adapters import WEIGHTS, AdapterFiles

if TYPE_CHECKING:
    from torch import nn


def merge_adapter(model: nn.Module, adapter: AdapterFiles) -> None:
    """Add an adapter's weights to a model's, in place: from then on it costs nothing.

    Raises:
        ModelUnavailableError: the adapter is of another model: a shape or a name does not fit.
    """
    from peft import PeftModel, get_peft_model_state_dict

    try:
        wrapped: Any = PeftModel.from_pretrained(model, str(adapter.folder))
        expected = set(get_peft_model_state_dict(wrapped))
        with safe_open(adapter.folder / WEIGHTS, framework="numpy") as tensors:
            brought = set(tensors.keys())
    except Exception as error:  # whatever an adapter's files make a library raise
        raise _does_not_fit(adapter, _reason(error)) from error
    # Subtle: PEFT ignores a weight that is missing, and a weight that it does not know.
    if lost := sorted(brought ^ expected):
        raise _does_not_fit(adapter, f"{lost[0]} is only in one of them")
    wrapped.merge_and_unload(safe_merge=True)


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if "size mismatch" in line), (lines or [repr(error)])[0])


def _does_not_fit(adapter: AdapterFiles, reason: str) -> ModelUnavailableError:
    trained_on = f"; it was trained on {adapter.base}" if adapter.base else ""
    return ModelUnavailableError(
        f"the adapter {adapter.name!r} does not fit the model: {reason}{trained_on}",
        hint="give the adapter's own base model with --model",
    )
