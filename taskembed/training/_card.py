"""The card of an adapter: its task, data, licences, recipe and scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from taskembed.models.files import Located
from taskembed.training._folders import STAMP
from taskembed.training._splits import DataSplit
from taskembed.training.recipe import Recipe
from taskembed.version import __version__

if TYPE_CHECKING:
    from taskembed.training.trainer import Trained


def card(
    recipe: Recipe,
    splits: Sequence[DataSplit],
    files: Located,
    trained: Trained,
    made_from: str,
) -> str:
    """Return the card as Markdown, with the front matter that model hubs read.

    Args:
        recipe: the recipe that was followed.
        splits: the examples that were trained on and held back.
        files: the base model.
        trained: the scores.
        made_from: digest of recipe, examples and base, by which a later run recognises the adapter.
    """
    rows = "\n".join(map(_row, splits))
    return f"""\
---
base_model: {recipe.model}
library_name: peft
license: {recipe.licence or "other"}
tags: [lora, {recipe.task.value}]
{STAMP}: {made_from}
---

# A LoRA adapter of {recipe.model} for {recipe.task.value}

{recipe.note or "Trained by `taskembed train` with the recipe beside this file."}

    taskembed index corpus.jsonl --task {recipe.task.value} --model {recipe.model} --adapter FOLDER

## Base

{files.name}; the sha256 of its weights and configuration is `{files.digest}`.

## Data

| file | kind | examples | trained on | held back | left out | licence |
|---|---|---|---|---|---|---|
{rows}

Examples that share a text with evaluation data, exactly or nearly, are left out. Evaluation data:
{", ".join(recipe.exclude) or "none was named"}.

## Recipe

Task {recipe.task.value}, seed {recipe.seed}; {_values(recipe)}.
{recipe.lora.strength:.0%} of the learnt change is saved.

## Figures

Dev score: base {trained.base_score:.4f}, adapter {trained.score:.4f}, at step {trained.step}
of {trained.steps}. The score is the mean over the files, on the held-back examples: nDCG@10 for
pairs, Spearman for scored pairs, V-measure (clustering) or accuracy of the nearest neighbour for
labelled texts, Spearman for rated documents.

{trained.parameters:,} numbers were trained in {trained.seconds:,.0f} s, by taskembed {__version__}.
"""


def _row(split: DataSplit) -> str:
    cells = [
        split.file.path,
        split.kind.name.lower(),
        *(f"{count:,}" for count in (split.read, len(split.train), len(split.dev), split.excluded)),
        split.file.licence or "not stated",
    ]
    return f"| {' | '.join(cells)} |"


def _values(recipe: Recipe) -> str:
    """Return the recipe's settings of adapter and training: "rank 16, alpha 32, ..."."""
    return ", ".join(
        f"{key} {value}"
        for table in (recipe.lora, recipe.training)
        for key, value in asdict(table).items()
        if value not in ((), "")
    )
