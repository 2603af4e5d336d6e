"""Which examples of a source are trained on, and which are held back to score on."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from taskembed.errors import BadInputError
from taskembed.examples import Example, Form, read_examples
from taskembed.training.overlap import KnownTexts, judged_texts, normalised
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
        excluded: how many of those that were drawn were left out, since a text of theirs is one to
            be judged on.
    """

    source: Source
    form: Form
    train: Sequence[Example]
    dev: Sequence[Example]
    read: int
    excluded: int


def draw_examples(
    recipe: Recipe, folder: Path, notify: Callable[[str], None] = lambda _: None
) -> list[Examples]:
    """Read the examples of a recipe.

    Args:
        recipe: which files, how many of each, what to leave out, and the seed.
        folder: that the files' paths are relative to.
        notify: told, once, what takes long.

    Raises:
        NotFoundError: a file does not exist.
        BadRecordError: an example cannot be used; the message names the file and the line.
        BadInputError: a file has too few examples.
    """
    files = [(source, *read_examples(folder / source.path)) for source in recipe.data]
    known = None
    if recipe.exclude:
        read = sum(len(examples) for _, _, examples in files)
        notify(f"looking among {read:,} examples for texts of {', '.join(recipe.exclude)}")
        known = KnownTexts(judged_texts(folder, recipe.exclude))
    return [_drawn(source, form, examples, known, recipe.seed) for source, form, examples in files]


def _drawn(
    source: Source, form: Form, examples: Sequence[Example], known: KnownTexts | None, seed: int
) -> Examples:
    generator = random.Random(f"{seed} {source.path}")  # noqa: S311  # draws, not secrets
    order = list(examples)
    generator.shuffle(order)
    dev: list[Example] = []
    train: list[Example] = []
    held_back: set[str] = set()
    excluded = 0
    for example in order:
        if source.limit and len(train) == source.limit:
            break
        # the documents of a rated query are others' candidates too
        own = example.texts[:1] if example.ratings else example.texts
        plain = {normalised(text) for text in own}
        if plain & held_back:
            continue
        if known and any(known.match(text) for text in example.texts):
            excluded += 1
        elif len(dev) < source.dev:
            dev.append(example)
            held_back |= plain
        else:
            train.append(example)
    if not train:
        raise BadInputError(
            f"{source.path}: none of {len(order):,} examples is left to train on: {len(dev):,} are "
            f"held back, {excluded:,} are among what is to be judged on"
        )
    if form is Form.LABELLED and len({example.label for example in train}) < 2:  # noqa: PLR2004
        raise BadInputError(
            f"{source.path}: its examples have one label, so nothing tells them apart"
        )
    return Examples(source, form, train, dev, len(order), excluded)
