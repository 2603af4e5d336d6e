"""The accelerator engine: torch on CUDA or MPS; the fallback for what OpenVINO cannot convert."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from taskembed.encoding.tokens import Batch

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
TOKEN_BUDGETS = {"cuda": 32_768, "mps": 8_192, "cpu": 2_048}


class TorchEngine:
    """A loaded model on a device."""

    name = "torch"

    def __init__(
        self, model: nn.Module, *, device: str, precision: str, threads: int | None
    ) -> None:
        if threads:
            torch.set_num_threads(threads)
        self._model = model
        self._device = device
        self.precision = precision
        self.token_budget = TOKEN_BUDGETS[device]

    def run(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch, npt.NDArray[np.float32]]]:
        """Yield each batch with float32[n, dim], in order."""
        for batch in batches:
            inputs = [torch.from_numpy(array).to(self._device) for array in batch.inputs]
            with torch.inference_mode():
                vectors = self._model(*inputs)
            yield batch, vectors.float().cpu().numpy()


def choose_device(wanted: str) -> str:
    """Return the device to use for "auto", or what was asked for when it is there.

    Raises:
        ValueError: it is not there.
    """
    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available.insert(0, "cuda")
    if wanted == "auto":
        return available[0]
    if wanted not in available:
        raise ValueError(f"there is no {wanted} device here, only {', '.join(available)}")
    return wanted


def choose_precision(wanted: str, device: str) -> str:
    """Return the precision to use for "auto": bf16 where the device computes with it."""
    if wanted != "auto":
        return wanted
    return "bf16" if device == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
