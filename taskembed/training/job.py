"""Runs a training from the recipe to the adapter's folder; a stopped run can be resumed.

train(Path("retrieval.toml"), data=Path("data"), output=Path("adapters"), settings=settings)

OUTPUT/retrieval/adapter_config.json         as PEFT saves an adapter
OUTPUT/retrieval/adapter_model.safetensors
OUTPUT/retrieval/recipe.toml                 the recipe
OUTPUT/retrieval/README.md                   the card
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from taskembed.encoding.settings import EngineSettings
from taskembed.errors import os_errors
from taskembed.extras import TRAIN, require_extra
from taskembed.models.adapters import RECIPE
from taskembed.models.files import Located
from taskembed.training._base import find_base, require_own_weights
from taskembed.training._card import card
from taskembed.training._folders import CARD, Folders
from taskembed.training._splits import DataSplit, split_examples
from taskembed.training.recipe import Recipe, read_recipe

if TYPE_CHECKING:
    from taskembed.training.trainer import Progress, Trained


@dataclass(frozen=True, slots=True)
class Job:
    """The result of `train`.

    Attributes:
        recipe: the recipe that was followed.
        folder: the adapter's folder.
        trained: the scores; None if the folder had the same adapter already.
    """

    recipe: Recipe
    folder: Path
    trained: Trained | None


def train(
    recipe_path: Path,
    *,
    data: Path,
    output: Path,
    settings: EngineSettings,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Job:
    """Train the adapter of a recipe, or continue a training run that was stopped.

    Args:
        recipe_path: a TOML file: see recipe.py.
        data: the folder that the paths in the recipe are relative to.
        output: the folder in which the adapter gets a folder of its name.
        settings: the device, the cache, whether to stay offline; `notify` is called with a sentence
            about each slow step.
        on_progress: called with the loss every few steps, and with each dev score.

    Raises:
        UsageError: the recipe is wrong, or the adapter's folder contains other files.
        NotFoundError: the recipe or a file of examples does not exist.
        BadInputError: an example cannot be used; the message names its file and line.
        ModelUnavailableError: the base cannot be loaded or trained.
        MissingLibraryError: a library of the extra `train` is not installed.
        StorageError: a checkpoint or the adapter cannot be written.
    """
    recipe = read_recipe(recipe_path)
    require_own_weights(recipe)
    splits = split_examples(recipe, data, settings.notify)
    base = find_base(recipe, settings)
    folders = Folders.of(output, recipe.name or recipe.task.value)
    made_from = _made_from(recipe_path, splits, base.files)
    if folders.has_adapter(made_from):
        return Job(recipe, folders.adapter, None)
    folders.begin(made_from, settings.notify)
    for library in ("datasets", "accelerate"):
        require_extra(library, TRAIN)
    from taskembed.training.trainer import train_adapter  # imports torch: seconds

    trained = train_adapter(recipe, splits, base, settings, folders, on_progress)
    with os_errors(folders.adapter):
        shutil.copyfile(recipe_path, folders.unpublished / RECIPE)
        text = card(recipe, splits, base.files, trained, made_from)
        (folders.unpublished / CARD).write_text(text, encoding="utf-8")
    folders.publish()
    return Job(recipe, folders.adapter, trained)


def _made_from(recipe: Path, splits: Sequence[DataSplit], files: Located) -> str:
    """Return the sha256 of everything that the adapter depends on: recipe, examples, base."""
    digest = hashlib.sha256(recipe.read_bytes())
    digest.update(files.digest.encode())
    for split in splits:
        for example in (*split.train, *split.dev):
            values = (example.texts, example.score, example.label, *example.ratings)
            digest.update(repr(values).encode())
    return digest.hexdigest()
