"""Finds LoRA adapters, computes their digests, and checks that they are LoRA.

An adapter is a folder as PEFT saves it. Its name is a folder in the model's repository
("retrieval"), any other folder, or a Hugging Face id. No weights are loaded here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from taskembed.errors import ModelUnavailableError
from taskembed.models._digests import combined_digest
from taskembed.models.files import Hub, own_adapters, stored_name
from taskembed.models.saved_json import read_saved
from taskembed.space import EmbeddingSpace, Task

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
RECIPE = "recipe.toml"  # written beside the adapter by `taskembed train`


@dataclass(frozen=True, slots=True)
class AdapterFiles:
    """A LoRA adapter on this machine.

    Attributes:
        name: the name that the user gave; an absolute path for a folder outside the model's.
        folder: the folder of its files.
        digest: sha256 over its two files.
        base: the model that it was trained on, by its configuration; "" if unknown.
    """

    name: str
    folder: Path
    digest: str
    base: str


def other_purposes(adapter: AdapterFiles, space: EmbeddingSpace) -> Iterator[str]:
    """Yield a sentence for each difference between an adapter's recipe and a space.

    An adapter without a recipe has no known differences.
    """
    try:
        recipe = tomllib.loads((adapter.folder / RECIPE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return
    task = recipe.get("task")
    try:
        known = Task(task) if isinstance(task, str) else space.task
    except ValueError:  # the recipe is of a newer version
        return
    if known is not space.task:
        yield (
            f"the adapter {adapter.name} was trained for {known.value}, but this space is for "
            f"{space.task.value}"
        )
        return  # prompts of another task differ in any case
    sides = [("query", space.query_prompt, space.query_adapter)]
    sides += [("document", space.document_prompt, space.document_adapter)]
    for side, prompt, name in sides:
        trained = recipe.get(f"{side}_prompt")
        if name == adapter.name and isinstance(trained, str) and trained != prompt:
            yield (
                f"the adapter {adapter.name} was trained with the {side} prompt {trained!r}, but "
                f"this space has {prompt!r}"
            )


def find_adapter(name: str, model_folder: Path | None, hub: Hub) -> AdapterFiles:
    """Return the files of a LoRA adapter, downloading them if they are not on this machine.

    Args:
        name: a folder in the model's folder, any other folder, or a Hugging Face id.
        model_folder: the folder of its model; None if the model is not known yet.
        hub: finds folders and repositories.

    Raises:
        ModelUnavailableError: the adapter does not exist, is not LoRA, or exists only as a pickle.
    """
    folder = _own_folder(name, model_folder)
    stored = name if folder else stored_name(name)
    if folder is None:
        folder, _ = hub.folder(name, kind="adapter")
    config = _config(name, folder)
    kind = config.get("peft_type")
    if kind != "LORA":
        raise ModelUnavailableError(
            f"the adapter {name!r} is {kind or 'of an unknown kind'}, not LoRA",
            hint="only LoRA adapters can be merged into a model",
        )
    if not (folder / WEIGHTS).is_file():
        raise ModelUnavailableError(
            f"the adapter {name!r} has no {WEIGHTS}: {folder}",
            hint="save it again with PEFT as safetensors; pickles are not read",
        )
    digest = combined_digest([folder / CONFIG, folder / WEIGHTS], folder, hub.cache)
    base = config.get("base_model_name_or_path")
    return AdapterFiles(stored, folder, digest, base if isinstance(base, str) else "")


def _own_folder(name: str, model_folder: Path | None) -> Path | None:
    """Return the folder of an adapter in the model's folder; None if there is none."""
    if model_folder is None or not name.replace("-", "").replace("_", "").isalnum():
        return None
    places = (place / name for place in own_adapters(model_folder))
    return next((place for place in places if (place / CONFIG).is_file()), None)


def _config(name: str, folder: Path) -> dict[str, object]:
    config = read_saved(folder / CONFIG)
    if config is None:
        raise ModelUnavailableError(
            f"the adapter {name!r} has no {CONFIG}: {folder}",
            hint="name a folder that PEFT saved",
        )
    return config
