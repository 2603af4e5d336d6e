"""A configuration asks for no more layers than there are weights for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from taskembed.errors import ModelUnavailableError
from taskembed.models.plausible import require_plausible


def model(folder: Path, config: object, tensors: int = 3) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    named = {str(number): np.zeros(1, np.float32) for number in range(tensors)}
    save_file(named, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("config", "tensors"),
    [
        ({}, 3),
        ({"num_hidden_layers": 256}, 3),  # they may have their weights in common
        ({"num_hidden_layers": 300}, 300),
        ({"hidden_size": 100_000, "layer_norm_eps": 1e-12}, 3),  # are no numbers of layers
        ({"num_labels": 100_000}, 3),
        ({"num_layers": True}, 3),
    ],
)
def test_what_can_be_is_left_alone(tmp_path: Path, config: object, tensors: int) -> None:
    require_plausible("m", model(tmp_path / "model", config, tensors))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"num_hidden_layers": 1_000_000}, "num_hidden_layers 1,000,000"),
        ({"text_config": {"Num_Layers": 257}}, "num_layers 257"),
        ({"depths": [2, 2, 400]}, "depths 400"),
        ({"num_local_experts": 300}, "num_local_experts 300"),
        ({"num_labels": 100_001}, "num_labels 100,001"),
    ],
)
def test_more_than_can_be_is_refused(tmp_path: Path, config: object, said: str) -> None:
    folder = model(tmp_path / "model", config)
    with pytest.raises(ModelUnavailableError) as refusal:
        require_plausible("m", folder)
    assert refusal.value.message == (
        f"the model 'm' cannot be loaded: {folder / 'config.json'} asks for {said}, but the "
        "weights have 3 tensors"
    )
    assert refusal.value.hint == "download the model again, or name another one"


def test_a_module_in_its_own_folder_is_looked_at_too(tmp_path: Path) -> None:
    model(tmp_path / "model", {})
    inner = model(tmp_path / "model" / "1_Transformer", {"num_layers": 1_000})
    with pytest.raises(ModelUnavailableError, match=f"{inner / 'config.json'} asks for "):
        require_plausible("m", tmp_path / "model")


def test_weights_that_are_none_are_refused(tmp_path: Path) -> None:
    folder = model(tmp_path / "model", {"num_layers": 1_000})
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(
        ModelUnavailableError, match=r"the model 'm' cannot be loaded: .*safetensor"
    ):
        require_plausible("m", folder)
