"""The torch engine: batches in order, and what happens when the device's memory is too small."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from taskembed.encoding._batches import batches
from taskembed.encoding.engines.torch import TorchEngine, model_on
from taskembed.encoding.tokens import Tokens
from taskembed.errors import ModelUnavailableError

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


class Sums(nn.Module):
    """Three numbers a text, from its ids; it needs memory for as many tokens as there are."""

    def __init__(self, most_tokens: int = 10**9) -> None:
        super().__init__()
        self.most_tokens = most_tokens
        self.shapes: list[tuple[int, int]] = []

    def forward(self, ids: Tensor, mask: Tensor, pooling: Tensor) -> Tensor:
        self.shapes.append((ids.shape[0], ids.shape[1]))
        if ids.numel() > self.most_tokens:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        summed = (ids * mask * pooling).sum(dim=1, keepdim=True)
        return summed * torch.tensor([[1, 2, 3]], device=ids.device)


def engine_of(model: nn.Module, device: str = "cpu") -> TorchEngine:
    return TorchEngine(model, device=device, precision="fp32", threads=None)


def texts(*lengths: int) -> list[tuple[int, Tokens]]:
    return [
        (row, Tokens([row + 1] * length, prompt_length=0, truncated=False))
        for row, length in enumerate(lengths)
    ]


def sums(*lengths: int) -> list[list[float]]:
    totals = [(row + 1) * length for row, length in enumerate(lengths)]
    return [[total, 2 * total, 3 * total] for total in totals]


@pytest.mark.parametrize("device", DEVICES)
def test_batches_come_in_order_with_the_vectors_of_their_texts(device: str) -> None:
    lengths = [9, 8, 7, 7, 6, 5, 5, 3, 2, 1]
    found = list(engine_of(Sums(), device).run(batches(texts(*lengths), 10)))
    assert len(found) == 7  # 9 | 8 | 7 | 7 | 6 | 5 5 | 3 2 1
    assert np.concatenate([batch.rows for batch, _ in found]).tolist() == list(range(10))
    assert np.concatenate([vectors for _, vectors in found]).tolist() == sums(*lengths)
    assert {vectors.dtype for _, vectors in found} == {np.dtype(np.float32)}


def test_a_batch_that_does_not_fit_is_computed_in_parts_and_so_are_those_after_it() -> None:
    model, lengths = Sums(most_tokens=9), [4] * 12
    found = list(engine_of(model).run(batches(texts(*lengths), 24)))
    assert np.concatenate([vectors for _, vectors in found]).tolist() == sums(*lengths)
    tried = [(6, 4), (3, 4)]  # which do not fit; then one text at a time
    assert model.shapes == [*tried, *[(1, 4)] * 12]


def test_one_text_that_does_not_fit_is_an_error_with_a_way_out() -> None:
    with pytest.raises(ModelUnavailableError) as caught:
        list(engine_of(Sums(most_tokens=9)).run(batches(texts(10, 10), 24)))
    assert str(caught.value) == (
        "the memory of the cpu device is too small for a text of 10 tokens beside the model"
    )
    assert caught.value.hint == "--device cpu; or end the other programs that use the device"


def test_a_model_that_does_not_fit_is_an_error_with_a_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_args: object, **_options: object) -> nn.Module:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    model = nn.Linear(2, 2)
    monkeypatch.setattr(model, "to", full)
    with pytest.raises(ModelUnavailableError, match="too small for the model"):
        model_on(model, "cuda", "fp32")
