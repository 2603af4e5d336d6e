"""The card of an adapter: what it is for, what it was made from, what it scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from taskembed.models.files import ModelFiles
from taskembed.training._splits import Examples
from taskembed.training.recipe import Recipe
from taskembed.version import __version__

if TYPE_CHECKING:
    from taskembed.training.trainer import Trained


def card(
    recipe: Recipe,
    examples: Sequence[Examples],
    files: ModelFiles,
    trained: Trained,
    made_from: str,
) -> str:
    """Return the card as Markdown, with the front matter that model hubs read."""
    rows = "\n".join(
        f"| {item.source.path} | {item.form.name.lower()} | {item.read:,} | {len(item.train):,} "
        f"| {len(item.dev):,} | {item.excluded:,} | {item.source.licence or 'not stated'} |"
        for item in examples
    )
    how = ", ".join(
        f"{key} {value}"
        for table in (recipe.lora, recipe.training)
        for key, value in asdict(table).items()
        if value not in ((), "")
    )
    return f"""\
---
base_model: {recipe.model}
library_name: peft
license: {recipe.licence or "other"}
tags: [lora, {recipe.task.value}]
made-from: {made_from}
---

# A LoRA adapter of {recipe.model} for {recipe.task.value}

{recipe.note or "Trained by `taskembed train` with the recipe beside this file."}

    taskembed index corpus.jsonl --task {recipe.task.value} --model {recipe.model} --adapter FOLDER

## Base

{files.name}, sha256 of its weights and configuration `{files.digest}`.

## Data

| file | form | examples | trained on | held back | left out | licence |
|---|---|---|---|---|---|---|
{rows}

Left out are examples with a text that an evaluation set judges, or nearly that text. These sets:
{", ".join(recipe.exclude) or "none was named"}.

## Recipe

Task {recipe.task.value}, seed {recipe.seed}; {how}.
Of what was learnt, {recipe.lora.strength:.0%} is saved.

## Figures

Dev score: base {trained.base_score:.4f}, adapter {trained.score:.4f}, at step {trained.step}
of {trained.steps}. It is the mean over the files, on what was held back: of pairs nDCG@10, of
scores Spearman, of labels V-measure for clustering and otherwise accuracy of the nearest neighbour,
of ratings Spearman.

{trained.parameters:,} numbers were trained in {trained.seconds:,.0f} s, by taskembed {__version__}.
"""
