"""The conversion for the CPU engine: one way after another, until the numbers are torch's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from taskembed.encoding.compile import convert
from taskembed.encoding.compile.convert import Converted, to_openvino
from taskembed.encoding.compile.encoders import load_encoder_model
from taskembed.encoding.engines.openvino import convert_module
from taskembed.models.files import Hub
from tests import tiny_families


class Sums(nn.Module):
    """As a model is: three numbers a text, from its ids and masks."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, input_ids: Tensor, attention_mask: Tensor, pooling_mask: Tensor) -> Tensor:
        summed = (input_ids * attention_mask * pooling_mask).sum(dim=1, keepdim=True)
        return summed.float() * torch.tensor([[1.0, 2.0, 3.0]]) * self.factor


def made_of(factor: float) -> Callable[[nn.Module, int], object]:
    example: Any = (torch.ones(2, 7, dtype=torch.int64),) * 3
    return lambda _model, _longest: convert_module(Sums(factor), example)


def failing(_model: nn.Module, _longest: int) -> bytes:
    raise ArithmeticError("as a test wants it")


@pytest.mark.parametrize("first", [made_of(float("nan")), made_of(1.01), failing])
def test_the_next_way_is_tried_when_one_gives_no_numbers_or_others_or_fails(
    first: Callable[[nn.Module, int], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "_WAYS", ((None, first), ("eager", made_of(1.0))))
    converted = to_openvino(Sums(), 64)
    assert (bool(converted.blob), converted.reason) == (True, "")


def test_when_no_way_is_right_the_last_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    ways = ((None, failing), ("eager", made_of(float("nan"))), ("eager", made_of(1.25)))
    for count, reason in enumerate(
        [
            "OpenVINO cannot convert it (ArithmeticError)",
            "OpenVINO computes no numbers for it",
            "OpenVINO computes it 0.2 differently",
        ],
        start=1,
    ):
        monkeypatch.setattr(convert, "_WAYS", ways[:count])
        assert to_openvino(Sums(), 64) == Converted(b"", reason)


@pytest.mark.slow
@pytest.mark.parametrize(
    "save",
    [tiny_families.save_modernbert, tiny_families.save_gemma, tiny_families.save_gemma2],
)
def test_models_with_windows_run_on_the_cpu_engine(
    save: Callable[..., Path], tmp_path: Path, cache: Path
) -> None:
    # with six layers what a padding token has in a window reaches every other token
    folder = save(tmp_path / "model", layers=6)
    files = Hub(cache, offline=True).locate(str(folder))
    loaded = load_encoder_model(files, None, trust_remote_code=False)
    converted = to_openvino(loaded.model, loaded.facts.max_length)
    assert (bool(converted.blob), converted.reason) == (True, "")
    parts = [part for part in loaded.model.modules() if isinstance(part, PreTrainedModel)]
    assert {part.config._attn_implementation for part in parts} == {"sdpa"}


def test_the_test_is_longer_than_a_models_window(tmp_path: Path, cache: Path) -> None:
    folder = tiny_families.save_modernbert(tmp_path / "model")
    files = Hub(cache, offline=True).locate(str(folder))
    model = load_encoder_model(files, None, trust_remote_code=False).model
    [config] = [part.config for part in model.modules() if isinstance(part, PreTrainedModel)]
    for window, longest, length in [(16, 8_192, 200), (300, 8_192, 308), (300, 64, 64)]:
        config.local_attention = window
        assert convert._self_test_length(model, longest) == length
    config.local_attention = 4_096  # no batch of several texts is that long: 1,024 tokens in all
    assert convert._self_test_length(model, 8_192) == 512
