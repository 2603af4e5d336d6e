"""Checkpoints and adapters on disk: the adapter alone, as safetensors, in PEFT's layout.

Importing this module imports torch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer

from taskembed.errors import StorageError, first_line
from taskembed.models.adapters import WEIGHTS
from taskembed.training._lora import ADAPTER

_STATE = "trainer_state.json"  # the last file that the trainer writes into a checkpoint
_PREFIX = "base_model.model."  # before every name in an adapter's file


def last_checkpoint(work: Path) -> Path | None:
    """Return the last complete checkpoint in a folder; None if there is none."""
    complete = [path.parent for path in work.glob(f"checkpoint-*/{_STATE}")]
    return max(complete, key=step_of, default=None)


def step_of(checkpoint: Path) -> int:
    """Return the training step of a checkpoint: 50 of "checkpoint-50"."""
    return int(checkpoint.name.rpartition("-")[2])


def save_adapter(model: SentenceTransformer, folder: Path, *, halved: bool = False) -> None:
    """Save the adapter of a model as PEFT does.

    Args:
        model: a model with an adapter.
        folder: made if it does not exist.
        halved: save fp16 rather than fp32: half the space.

    Raises:
        StorageError: the weights cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first: Any = model[0]
    # no embedding layer was trained; PEFT would ask the hub about the base's
    weights = get_peft_model_state_dict(first.auto_model, save_embedding_layers=False)
    named = {_PREFIX + name: value.detach().cpu().contiguous() for name, value in weights.items()}
    if halved:
        named = {name: value.half() for name, value in named.items()}
    try:
        save_file(named, folder / WEIGHTS)
    except SafetensorError as error:  # the library's error for a full disk
        raise StorageError(first_line(error), what=str(folder / WEIGHTS)) from error
    (folder / WEIGHTS).chmod(0o644)  # the library makes the file private
    # last: the configuration makes the folder an adapter
    first.auto_model.peft_config[ADAPTER].save_pretrained(str(folder))


def load_adapter(model: SentenceTransformer, checkpoint: Path) -> None:
    """Put the adapter of a checkpoint into a model that has one of the same shape."""
    first: Any = model[0]
    weights: dict[str, torch.Tensor] = load_file(checkpoint / WEIGHTS)
    unprefixed = {name.removeprefix(_PREFIX): value for name, value in weights.items()}
    set_peft_model_state_dict(first.auto_model, unprefixed)


@contextlib.contextmanager
def torch_writes(work: Path) -> Iterator[None]:
    """Raise our own error if torch cannot write: it reports a full disk as a RuntimeError.

    Raises:
        StorageError: torch failed while it wrote to `work`.
    """
    try:
        yield
    except RuntimeError as error:
        raise StorageError(
            f"a checkpoint cannot be written: {first_line(error)}",
            what=str(work),
            hint="free some space and run the same command again",
        ) from error
