"""Which examples of a source are trained on, and which are held back to score on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from taskembed.errors import BadInputError
from taskembed.examples import Example, Form, read_examples
from taskembed.training.recipes import Recipe, Source


@dataclass(frozen=True, slots=True)
class Examples:
    """Those of one source, in the order that the seed drew.

    Attributes:
        source: what the recipe says of them.
        form: what they are.
        train: to train on.
        dev: held back; no text of theirs is in `train`.
        read: how many the file has.
    """

    source: Source
    form: Form
    train: Sequence[Example]
    dev: Sequence[Example]
    read: int


def draw_examples(recipe: Recipe, folder: Path) -> list[Examples]:
    """Read the examples of a recipe.

    Args:
        recipe: which files, how many of each, and the seed.
        folder: that the files' paths are relative to.

    Raises:
        NotFoundError: a file does not exist.
        BadRecordError: an example cannot be used; the message names the file and the line.
        BadInputError: a file has too few examples.
    """
    return [_read(source, recipe.seed, folder) for source in recipe.data]


def _read(source: Source, seed: int, folder: Path) -> Examples:
    path = folder / source.path
    form, examples = read_examples(path)
    generator = random.Random(f"{seed} {source.path}")  # noqa: S311  # draws, not secrets
    drawn = list(examples)
    generator.shuffle(drawn)
    dev = drawn[: source.dev]
    held_back = {_text_key(text) for example in dev for text in example.texts}
    train = [
        example
        for example in drawn[source.dev :]
        if not any(_text_key(text) in held_back for text in example.texts)
    ]
    if source.limit:
        train = train[: source.limit]
    if not train:
        raise BadInputError(
            f"{path}: it has {len(drawn):,} examples, and {source.dev:,} are held back",
            hint="a smaller dev in the recipe, or more examples",
        )
    if form is Form.LABELLED and len({example.label for example in train}) < 2:  # noqa: PLR2004
        raise BadInputError(f"{path}: its examples have one label, so nothing tells them apart")
    return Examples(source, form, train, dev, len(drawn))


def _text_key(text: str) -> str:
    return " ".join(text.casefold().split())
