"""The base model of a training run: its files, and the prompts of the recipe's task."""

from __future__ import annotations

from dataclasses import dataclass

from taskembed.encoding.settings import EngineSettings
from taskembed.errors import ModelUnavailableError, UsageError
from taskembed.models.catalogue import identify
from taskembed.models.files import Located
from taskembed.models.folder import saved_prompts
from taskembed.models.metric import metric_of
from taskembed.models.resolve import ModelSpec, PromptOverrides, resolve
from taskembed.space import COSINE
from taskembed.training.recipe import Recipe

OTHER_MODEL = "name another model in the recipe"


@dataclass(frozen=True, slots=True)
class Base:
    """A model that an adapter can be trained for.

    Attributes:
        files: the folder of the model, and its digest.
        spec: the prompts for the recipe's task, without any adapter.
    """

    files: Located
    spec: ModelSpec


def require_own_weights(recipe: Recipe) -> None:
    """Refuse a hosted model, before anything else is read.

    Raises:
        ModelUnavailableError: the model is run by a server.
    """
    if identify(recipe.model).hosted:
        raise ModelUnavailableError(
            f"{recipe.model} is run by a server: only a model with weights can be trained",
            hint=OTHER_MODEL,
        )


def find_base(recipe: Recipe, settings: EngineSettings) -> Base:
    """Find the files of the base model, and the prompts that it is trained with.

    Raises:
        UsageError: the model needs its own code, and the recipe names no commit.
        ModelUnavailableError: the model does not exist, has no prompts for the task, or has another
            metric than the cosine.
    """
    try:
        with_code = settings.trust_remote_code
        files = settings.hub.locate(recipe.model, revision=recipe.revision, with_code=with_code)
    except UsageError as error:  # the model needs its own code, but no commit is named
        error.hint = 'write revision = "COMMIT" into the recipe: the 40 characters of the commit'
        raise
    overrides = PromptOverrides(
        query_prompt=recipe.query_prompt,
        document_prompt=recipe.document_prompt,
        adapter="",  # train the base itself, not the base with another adapter
        family=recipe.family,
    )
    model, saved = identify(recipe.model), saved_prompts(files.folder)
    spec = resolve(model, recipe.task, overrides, saved=saved)
    if metric_of(files.folder, known=spec.metric, cut=False) != COSINE:
        raise ModelUnavailableError(
            f"{recipe.model} cannot be trained: its vectors are compared by their inner product, "
            "and the losses use the cosine",
            hint=OTHER_MODEL,
        )
    return Base(files, spec)
