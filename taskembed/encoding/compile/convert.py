"""Converts a loaded model for the CPU engine, and tests the result. Imports torch."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from taskembed.encoding._batches import Batch
from taskembed.encoding.compile.quiet import quiet
from taskembed.errors import from_library, system_error
from taskembed.vectors import FloatRows

SELF_TEST_LENGTH = 200  # tokens
SELF_TEST_TOLERANCE = 1e-4  # largest difference between torch and OpenVINO, both in fp32


class Converted(NamedTuple):
    """The result of a conversion.

    Attributes:
        blob: the compiled model; empty if the model cannot be converted.
        reason: why the model has to run on torch; "" if it was converted.
        model: OpenVINO's model object, which can be quantised; None if there is none.
    """

    blob: bytes
    reason: str
    model: Any = None


def to_openvino(model: nn.Module, longest: int) -> Converted:
    """Convert a model for the CPU engine, and compare both on a batch of three texts.

    Several ways of conversion are tried in turn, until the largest difference between the outputs,
    float32[3, dim], is at most SELF_TEST_TOLERANCE.

    Args:
        model: the loaded model, in fp32 on the CPU; it is unchanged afterwards.
        longest: the largest number of tokens that the model reads.

    Returns:
        The blob, or the reason why no way of conversion is exact. An error of the converter is such
        a reason, unless the system caused it.

    Raises:
        StorageError: memory or another resource of the system is exhausted.
    """
    from taskembed.encoding.engines.openvino import compile_blob

    test, reason = _example(model, 3, _self_test_length(model, longest)), ""
    for attention, convert in _WAYS:
        try:
            with quiet():
                with torch.inference_mode():
                    expected = model(*test.tensors).numpy()
                with _attention(model, attention):
                    converted = convert(model, longest)
                    blob = compile_blob(converted)
            reason = _disagreement(blob, test, expected)
        except Exception as error:  # the converter raises many types for unusual models
            if isinstance(error, MemoryError) or system_error(error):  # may succeed later
                raise from_library(error, "OpenVINO cannot convert the model", hint="") from error
            reason = f"OpenVINO cannot convert it ({type(error).__name__})"
        else:
            if not reason:
                return Converted(blob, "", converted)
    return Converted(b"", reason)


def _traced(model: nn.Module, _longest: int) -> Any:  # noqa: ANN401  # OpenVINO's
    from taskembed.encoding.engines.openvino import convert_module

    with torch.inference_mode():
        return convert_module(model, _example(model, 2, 7).tensors)


def _exported(model: nn.Module, longest: int) -> Any:  # noqa: ANN401  # OpenVINO's
    """Export a model with torch.export: slower than tracing, but it supports Gemma 3's masks."""
    from taskembed.encoding.engines.openvino import convert_module

    axes = {0: torch.export.Dim("n", min=1), 1: torch.export.Dim("length", min=2, max=longest)}
    inputs = _example(model, 2, 7).tensors
    with torch.no_grad():
        program = torch.export.export(model, inputs, dynamic_shapes=(axes,) * len(inputs))
    return convert_module(program, None)


# Subtle: with windowed attention, a padding token may attend to nothing. OpenVINO's own attention
# then computes NaN, which the next layer spreads to every token. The plain attention of
# transformers, "eager", computes a finite number there, on which no other token depends.
_WAYS = ((None, _traced), ("eager", _traced), ("eager", _exported))


@contextlib.contextmanager
def _attention(model: nn.Module, name: str | None) -> Iterator[None]:
    """Use another implementation of attention within the context; None for the model's own."""
    parts = [part for part in model.modules() if isinstance(part, PreTrainedModel)]
    before = [part.config._attn_implementation for part in parts]  # noqa: SLF001  # its only way to say
    if name:
        for part in parts:
            part.set_attn_implementation(name)
    try:
        yield
    finally:
        for part, own in zip(parts, before, strict=True):
            if name and own:
                part.set_attn_implementation(own)


def _self_test_length(model: nn.Module, longest: int) -> int:
    """Return the number of tokens of texts in the test: more than the model's attention window.

    Texts of more than half a batch are never padded, since each is a batch of its own.
    """
    from taskembed.encoding.engines.openvino import TOKEN_BUDGET

    configs = [part.config for part in model.modules() if isinstance(part, PreTrainedModel)]
    windows = [
        window
        for config in configs
        for key in ("sliding_window", "local_attention")
        if isinstance(window := getattr(config, key, None), int)
    ]
    wanted = min(
        max(SELF_TEST_LENGTH, *(window + 8 for window in (0, *windows))), TOKEN_BUDGET // 2
    )
    return min(wanted, longest)


def _disagreement(blob: bytes, test: _Example, expected: FloatRows) -> str:
    """Return how the results of a blob differ from those of torch; "" if they agree."""
    from taskembed.encoding.engines.openvino import OpenVinoEngine

    engine = OpenVinoEngine(memoryview(blob), precision="fp32", threads=None, one_query=True)
    _, converted = next(iter(engine.run(iter([test.batch]))))
    difference = float(np.abs(expected - converted).max() / max(1.0, np.abs(expected).max()))
    if not np.isfinite(difference):
        return "OpenVINO computes no numbers for it"
    if not difference < SELF_TEST_TOLERANCE:
        return f"OpenVINO computes it {difference:.1g} differently"
    return ""


class _Example(NamedTuple):
    batch: Batch
    tensors: tuple[Tensor, ...]


def _example(model: nn.Module, rows: int, length: int) -> _Example:
    """Return a batch with padding, as the inputs that the model takes.

    Its token ids are small, so that every vocabulary has them.
    """
    ids = np.arange(1, rows * length + 1, dtype=np.int64).reshape(rows, length) % 50 + 1
    mask = np.ones_like(ids)
    mask[-1, 3:] = 0  # padding beyond the window of local attention attends to nothing
    takes_third = len(inspect.signature(model.forward).parameters) > 2  # noqa: PLR2004  # ids, mask
    third = mask.copy() if takes_third else None
    truncated = np.zeros(rows, np.bool_)
    batch = Batch(np.arange(rows), truncated, ids, mask, pooling_mask=third)
    return _Example(batch, tuple(map(torch.from_numpy, batch.inputs)))
