"""Turns examples into datasets of the trainer: columns, prompts, batches and mined negatives.

Importing this module imports torch.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.sampler import (
    DefaultBatchSampler,
    GroupByLabelBatchSampler,
    NoDuplicatesBatchSampler,
)
from sentence_transformers.util import mine_hard_negatives
from torch.utils.data import SubsetRandomSampler

from taskembed.encoding.compile.quiet import quiet
from taskembed.errors import BadInputError
from taskembed.models.resolve import ModelSpec
from taskembed.reading.examples import Example, ExampleKind
from taskembed.space import PromptType
from taskembed.training._splits import DataSplit
from taskembed.training.recipe import MINED_FROM, Recipe

# fraction of the positive's score; documents closer than that are probably relevant too
MINED_MARGIN = 0.05


def make_dataset(
    split: DataSplit, model: SentenceTransformer, recipe: Recipe, spec: ModelSpec
) -> Dataset:
    """Return the training examples of a file with the columns that their loss reads.

    Args:
        split: the examples.
        model: the base, which finds hard negatives if the file asks for them.
        recipe: the batch size for mining.
        spec: the prompts for mining.

    Raises:
        BadInputError: no hard negatives can be mined.
    """
    texts: Any = list(zip(*(example.texts for example in split.train), strict=True))
    match split.kind:
        case ExampleKind.SCORED:
            columns = {"sentence1": texts[0], "sentence2": texts[1]}
            columns["score"] = [example.score for example in split.train]
        case ExampleKind.LABELLED:
            columns = {"text": texts[0], "label": _numbered_labels(split.train)}
        case ExampleKind.RATED:
            names = ["query", *(f"document_{number}" for number in range(1, len(texts)))]
            columns = dict(zip(names, texts, strict=True))
            columns["scores"] = [example.ratings for example in split.train]
        case _:
            columns = dict(zip(("anchor", "positive", "negative"), texts, strict=False))
    dataset = Dataset.from_dict(columns)
    if split.kind is ExampleKind.PAIRS and split.file.negatives and "negative" not in columns:
        return _mined(dataset, split.file.negatives, model, recipe, spec)
    return dataset


def _numbered_labels(examples: Sequence[Example]) -> list[int]:
    numbers = {
        label: number for number, label in enumerate(sorted({item.label for item in examples}))
    }
    return [numbers[example.label] for example in examples]


def _mined(
    pairs: Dataset, count: int, model: SentenceTransformer, recipe: Recipe, spec: ModelSpec
) -> Dataset:
    """Add `count` documents to each pair: near the anchor, but not too near the positive."""
    # the library's progress bars cannot be turned off
    with quiet(), contextlib.redirect_stderr(io.StringIO()):
        mined = mine_hard_negatives(
            pairs,
            model,
            anchor_column_name="anchor",
            positive_column_name="positive",
            range_max=MINED_FROM,
            relative_margin=MINED_MARGIN,
            num_negatives=count,
            output_format="n-tuple",
            query_prompt=spec.prompt(PromptType.QUERY) or None,
            corpus_prompt=spec.prompt(PromptType.DOCUMENT) or None,
            batch_size=recipe.training.batch,
            verbose=False,
        )
    if not len(mined):
        raise BadInputError(
            f"no pair has {count} documents near its anchor that are not too near",
            hint="use fewer negatives in the recipe",
        )
    return mined


def column_prompts(spec: ModelSpec) -> dict[str, str]:
    """Return the prompt of each column that any dataset may have; none that is empty."""
    numbers = range(1, MINED_FROM + 1)
    numbered = [f"{name}_{number}" for number in numbers for name in ("negative", "document")]
    prompts = {
        **dict.fromkeys(("anchor", "query", "sentence1"), spec.prompt(PromptType.QUERY)),
        **dict.fromkeys(
            ("positive", "negative", "sentence2", "text"), spec.prompt(PromptType.DOCUMENT)
        ),
        **dict.fromkeys(numbered, spec.prompt(PromptType.DOCUMENT)),
    }
    return {name: prompt for name, prompt in prompts.items() if prompt}


def batch_sampler(
    dataset: Dataset,
    batch_size: int,
    *,
    generator: torch.Generator,
    **options: Any,  # noqa: ANN401  # the trainer's
) -> DefaultBatchSampler:
    """Return the sampler of batches: with two texts for each label, and no text twice for pairs."""
    columns = set(dataset.column_names)
    if "label" in columns:
        return GroupByLabelBatchSampler(dataset, batch_size, generator=generator, **options)
    if "anchor" in columns:
        return NoDuplicatesBatchSampler(dataset, batch_size, generator=generator, **options)
    rows = SubsetRandomSampler(range(len(dataset)), generator=generator)
    return DefaultBatchSampler(rows, batch_size, generator=generator, **options)
