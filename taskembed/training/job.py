"""A training, from its recipe to the adapter's folder: checked first, resumed, with a card.

train(Path("retrieval.toml"), data=Path("data"), output=Path("adapters"))

OUTPUT/retrieval/adapter_config.json         as PEFT saves an adapter
OUTPUT/retrieval/adapter_model.safetensors
OUTPUT/retrieval/recipe.toml                 what it was made from
OUTPUT/retrieval/README.md                   its card
OUTPUT/.retrieval-work/                      checkpoints, until it is done
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from taskembed.encoding.settings import EngineSettings, device_of
from taskembed.errors import ModelUnavailableError, UsageError, os_errors
from taskembed.extras import require_extra
from taskembed.models.adapters import CONFIG, RECIPE
from taskembed.models.catalogue import find_family
from taskembed.models.files import ModelFiles, find_model
from taskembed.models.folder import saved_prompts, saved_suffix
from taskembed.models.metric import metric_of
from taskembed.models.resolve import ModelSpec, PromptOverrides, resolve
from taskembed.space import COSINE
from taskembed.training._card import card
from taskembed.training._splits import Examples, draw_examples
from taskembed.training.recipe import Recipe, read_recipe

if TYPE_CHECKING:
    from taskembed.training.trainer import Progress, Trained

EXTRA = "train"
CARD = "README.md"
_STAMP = "made-from"
_OURS = re.compile(r"checkpoint-\d+|adapter")  # without the stamp, when it was being removed


@dataclass(frozen=True, slots=True)
class Job:
    """What a training did.

    Attributes:
        recipe: that it followed.
        folder: of the adapter.
        trained: the scores; None when the adapter was there already, made from the same.
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
    """Train the adapter of a recipe, or go on where a training of it was stopped.

    Args:
        recipe_path: a TOML file: see recipes.py.
        data: the folder that the recipe's files are in.
        output: the adapter gets a folder in it, by its name.
        settings: the device, the cache, whether to stay offline; told what takes long.
        on_progress: told the loss and the dev score.

    Raises:
        UsageError: the recipe makes no sense, or the folder has an adapter of another.
        NotFoundError: the recipe or a file of examples does not exist.
        BadInputError: an example cannot be used; the message names the file and the line.
        ModelUnavailableError: the base cannot be loaded or trained, or a library is missing.
    """
    recipe = read_recipe(recipe_path)
    _refuse_hosted(recipe)
    examples = draw_examples(recipe, data, settings.notify)
    files, spec = _base(recipe, settings)
    name = recipe.name or recipe.task.value
    folder = output / name
    folder = folder.resolve() if folder.is_symlink() else folder
    work = folder.parent / f".{folder.name}-work"
    made_from = _made_from(recipe_path, examples, files)
    found = _names(folder)
    if CONFIG in found and _stamp(folder / CARD) == made_from:
        return Job(recipe, folder, None)
    if found:
        adapter = CONFIG in found
        what = "an adapter that was made from something else" if adapter else "something else"
        raise UsageError(f"{folder} holds {what}", hint="remove it, or give another --output")
    _begin(work, made_from, settings)
    require_extra("datasets", EXTRA)
    require_extra("accelerate", EXTRA)
    from taskembed.training.trainer import train_adapter  # seconds

    made = work / "adapter"
    trained = train_adapter(
        recipe,
        examples,
        files,
        spec,
        work=work,
        output=made,
        device=device_of(settings),
        trust_remote_code=settings.trust_remote_code,
        on_progress=on_progress,
    )
    with os_errors(folder):
        shutil.copyfile(recipe_path, made / RECIPE)
        text = card(recipe, examples, files, trained, made_from)
        (made / CARD).write_text(text, encoding="utf-8")
        made.rename(folder)  # whole, or not there
    shutil.rmtree(work, ignore_errors=True)
    return Job(recipe, folder, trained)


def _refuse_hosted(recipe: Recipe) -> None:
    family = find_family(recipe.model)
    if family and family.hosted:
        raise ModelUnavailableError(
            f"{recipe.model} is behind a server: only a model with weights can be trained",
            hint="another model in the recipe",
        )


def _base(recipe: Recipe, settings: EngineSettings) -> tuple[ModelFiles, ModelSpec]:
    try:
        files = find_model(
            recipe.model,
            cache=settings.cache_folder,
            revision=recipe.revision,
            offline=settings.offline,
            with_code=settings.trust_remote_code,
            notify=settings.notify,
        )
    except UsageError as error:  # code at no commit
        error.hint = 'revision = "COMMIT" in the recipe, the 40 letters of the commit'
        raise
    stated = PromptOverrides(
        query_prompt=recipe.query_prompt,
        document_prompt=recipe.document_prompt,
        adapter="",  # the base is trained, not what another adapter made of it
        family=recipe.family,
    )
    spec = resolve(
        recipe.model,
        recipe.task,
        stated,
        saved_prompts=saved_prompts(files.folder),
        saved_suffix=saved_suffix(files.folder),
    )
    if metric_of(files.folder, known=spec.metric, cut=False) != COSINE:
        raise ModelUnavailableError(
            f"{recipe.model} cannot be trained: its vectors are not compared by their cosine, and "
            "the losses are of the cosine",
            hint="another model in the recipe",
        )
    return files, spec


def _made_from(recipe: Path, examples: Sequence[Examples], files: ModelFiles) -> str:
    """Return the sha256 of all that the adapter depends on: recipe, examples, base."""
    digest = hashlib.sha256(recipe.read_bytes())
    digest.update(files.digest.encode())
    for item in examples:
        for example in (*item.train, *item.dev):
            digest.update(
                repr((example.texts, example.score, example.label, *example.ratings)).encode()
            )
    return digest.hexdigest()


def _begin(work: Path, made_from: str, settings: EngineSettings) -> None:
    """Make the folder of checkpoints; those of another training are removed."""
    stamp = work / _STAMP
    found = _names(work)
    if _STAMP not in found and not all(map(_OURS.fullmatch, found)):
        raise UsageError(
            f"{work} holds something else than checkpoints",
            hint="remove it, or give another --output",
        )
    with os_errors(work):
        if found and not (_STAMP in found and stamp.read_text() == made_from):
            settings.notify(f"the recipe, its data or its base has changed: {work} begins anew")
            shutil.rmtree(work)
        elif found:
            settings.notify(f"going on from the last checkpoint in {work}")
        work.mkdir(parents=True, exist_ok=True)
        stamp.write_text(made_from)


def _names(folder: Path) -> set[str]:
    with os_errors(folder):
        return {path.name for path in folder.iterdir()} if folder.exists() else set()


def _stamp(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return ""
    return next((line.split()[-1] for line in lines if line.startswith(f"{_STAMP}: ")), "")
