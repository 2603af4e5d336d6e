"""The engine for accelerators: torch on CUDA or MPS, and for models OpenVINO cannot convert."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from taskembed.encoding._batches import Batch
from taskembed.encoding.tokens import Ints
from taskembed.errors import ModelUnavailableError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
TOKEN_BUDGETS = {"cuda": 32_768, "mps": 8_192, "cpu": 2_048}
# batches queued on the device while the host prepares the next one
AHEAD = {"cuda": 2, "mps": 0, "cpu": 0}
# Subtle: without cuDNN's attention, which torch prefers on an H100. It builds a plan for every new
# shape, and nearly every batch has a new shape: 40,000 short texts took 6.6 s in the first run and
# 1.5 s in the second.
_ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


class TorchEngine:
    """A loaded model on a device.

    On CUDA, the host prepares the next batches while the device computes. Copies use pinned memory,
    so that the host does not wait for them.

    Args:
        model: takes the tensors of `Batch.inputs` and returns a tensor [n, dim].
        device: the device of the model: "cpu", "cuda" or "mps".
        precision: the precision of the model's weights.
        threads: number of CPU threads of torch; None for its default.
    """

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
        """Yield each batch with float32[n, dim], in order.

        If a batch does not fit into the memory of the device, this batch and all later ones are
        computed in smaller parts.

        Raises:
            ModelUnavailableError: a single text does not fit.
        """
        running: deque[tuple[Batch, list[_Result]]] = deque()
        for batch in batches:
            running.append((batch, self._start(batch)))
            if len(running) > AHEAD[self._device]:
                yield _finish(*running.popleft())
        while running:
            yield _finish(*running.popleft())

    def _start(self, batch: Batch) -> list[_Result]:
        """Start the computation of a batch, in as many parts as fit."""
        rows, length = batch.input_ids.shape
        results: list[_Result] = []
        done = 0
        while done < rows:
            count = min(max(self.token_budget // length, 1), rows - done)
            part = [array[done : done + count] for array in batch.inputs]
            try:
                results.append(self._compute(part))
            except torch.OutOfMemoryError as error:
                if count == 1:
                    what = f"a text of {length} tokens beside the model"
                    raise does_not_fit(what, self._device) from error
                self.token_budget = count // 2 * length
            else:
                done += count
        return results

    def _compute(self, arrays: list[Ints]) -> _Result:
        """Start the computation of some rows; on CUDA it is not complete on return."""
        tensors = [torch.from_numpy(array) for array in arrays]
        if self._device != "cuda":
            with torch.inference_mode():
                return _Result(
                    self._model(*(tensor.to(self._device) for tensor in tensors)).float().cpu()
                )
        with torch.inference_mode(), sdpa_kernel(_ATTENTION):
            inputs = [tensor.pin_memory().to("cuda", non_blocking=True) for tensor in tensors]
            vectors = self._model(*inputs).float()
            copied = torch.empty(vectors.shape, dtype=torch.float32, pin_memory=True)
            copied.copy_(vectors, non_blocking=True)
            is_done = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch's
            is_done.record()
        return _Result(copied, is_done)


class _Result(NamedTuple):
    """Vectors on the host, float32[n, dim], which are complete once the event has happened."""

    vectors: torch.Tensor
    is_done: torch.cuda.Event | None = None


def _finish(batch: Batch, results: list[_Result]) -> tuple[Batch, npt.NDArray[np.float32]]:
    """Wait for the vectors of a batch, and return both."""
    for result in results:
        if result.is_done is not None:
            result.is_done.synchronize()
    parts = [result.vectors.numpy() for result in results]
    return batch, parts[0] if len(parts) == 1 else np.concatenate(parts)


def does_not_fit(what: str, device: str) -> ModelUnavailableError:
    """Return the error for something that does not fit into the memory of a device."""
    return ModelUnavailableError(
        f"the memory of the {device} device is too small for {what}",
        hint="--device cpu; or end the other programs that use the device",
    )


def choose_device(wanted: str) -> str:
    """Return the best device for "auto", or else the named device if it is available.

    Raises:
        ValueError: the named device is not available.
    """
    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available.insert(0, "cuda")
    if wanted == "auto":
        return available[0]
    if wanted not in available:
        raise ValueError(f"there is no {wanted} device, only {', '.join(available)}")
    return wanted


def model_on(model: nn.Module, device: str, precision: str) -> nn.Module:
    """Move a model to a device, in a precision.

    Raises:
        ModelUnavailableError: the memory of the device is too small.
    """
    try:
        return model.to(device=device, dtype=DTYPES[precision])
    except torch.OutOfMemoryError as error:
        raise does_not_fit("the model", device) from error


def choose_precision(wanted: str, device: str) -> str:
    """Return the precision to use for "auto": bf16 where the device computes with it."""
    if wanted != "auto":
        return wanted
    return "bf16" if device == "cuda" and torch.cuda.is_bf16_supported() else "fp32"
