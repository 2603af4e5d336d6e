"""LoRA adapters: their folders, their digests, and the check that they are LoRA.

An adapter is a folder as PEFT saves it. Its name is a folder of the model's own repository
("retrieval"), any other folder, or a Hugging Face id. Nothing of it is loaded here.
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
RECIPE = "recipe.toml"  # is put beside them by `taskembed train`


@dataclass(frozen=True, slots=True)
class AdapterFiles:
    """A LoRA adapter on this machine.

    Attributes:
        name: what it was asked for by; that of a folder beside no model is absolute.
        folder: where its files are.
        digest: sha256 over its two files.
        base: the model that it says it was trained on; "" when it does not say.
    """

    name: str
    folder: Path
    digest: str
    base: str


def other_purposes(adapter: AdapterFiles, space: EmbeddingSpace) -> Iterator[str]:
    """Yield a sentence for each way in which an adapter's recipe differs from a space.

    Nothing is yielded for an adapter without a recipe.
    """
    try:
        recipe = tomllib.loads((adapter.folder / RECIPE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return
    task = recipe.get("task")
    try:
        known = Task(task) if isinstance(task, str) else space.task
    except ValueError:  # of a newer version
        return
    if known is not space.task:
        yield (
            f"the adapter {adapter.name} was trained for {known.value}, and this space is for "
            f"{space.task.value}"
        )
        return  # another task has other prompts
    sides = [("query", space.query_prompt, space.query_adapter)]
    sides += [("document", space.document_prompt, space.document_adapter)]
    for side, prompt, name in sides:
        trained = recipe.get(f"{side}_prompt")
        if name == adapter.name and isinstance(trained, str) and trained != prompt:
            yield (
                f"the adapter {adapter.name} was trained with the {side} prompt {trained!r}, and "
                f"this space has {prompt!r}"
            )


def find_adapter(name: str, model_folder: Path | None, hub: Hub) -> AdapterFiles:
    """Return the files of a LoRA adapter, downloading them if they are not on this machine.

    Args:
        name: a folder in the model's own, any folder, or a Hugging Face id.
        model_folder: of the model that it is for; None when that is still to be found out.
        hub: where it is looked for.

    Raises:
        ModelUnavailableError: there is no such adapter, or it is not LoRA, or only a pickle.
    """
    folder = _own_folder(name, model_folder)
    stored = name if folder else stored_name(name)
    if folder is None:
        folder, _ = hub.folder(name, kind="adapter")
    config = _config(name, folder)
    kind = config.get("peft_type")
    if kind != "LORA":
        raise ModelUnavailableError(
            f"the adapter {name!r} is {kind or 'of no kind that it names'}, not LoRA",
            hint="only LoRA adapters can be merged into a model",
        )
    if not (folder / WEIGHTS).is_file():
        raise ModelUnavailableError(
            f"the adapter {name!r} has no {WEIGHTS}: {folder}",
            hint="save it again with PEFT; a pickle is not read",
        )
    digest = combined_digest([folder / CONFIG, folder / WEIGHTS], folder, hub.cache)
    base = config.get("base_model_name_or_path")
    return AdapterFiles(stored, folder, digest, base if isinstance(base, str) else "")


def _own_folder(name: str, model_folder: Path | None) -> Path | None:
    """Return the folder of an adapter that comes with the model; None when none does."""
    if model_folder is None or not name.replace("-", "").replace("_", "").isalnum():
        return None
    places = (place / name for place in own_adapters(model_folder))
    return next((place for place in places if (place / CONFIG).is_file()), None)


def _config(name: str, folder: Path) -> dict[str, object]:
    config = read_saved(folder / CONFIG)
    if config is None:
        raise ModelUnavailableError(
            f"the adapter {name!r} has no {CONFIG}: {folder}",
            hint="give a folder that PEFT saved",
        )
    return config
