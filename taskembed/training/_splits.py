"""Which examples of a source are trained on, and which are held back to score on."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from taskembed.errors import BadInputError, UsageError
from taskembed.reading.examples import Example, Form, read_examples
from taskembed.training._overlap import KnownTexts, judged_texts, normalised
from taskembed.training.recipe import Recipe, Source


@dataclass(frozen=True, slots=True)
class Examples:
    """Those of one source, in the order that the seed drew.

    Attributes:
        source: what the recipe says of them.
        form: what they are.
        train: to train on.
        dev: held back; no text of theirs is in `train`, of this file or another.
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
        UsageError: a batch cannot be made of labels.
    """
    files = [(source, *read_examples(folder / source.path)) for source in recipe.data]
    known = None
    if recipe.exclude:
        read = sum(len(examples) for _, _, examples in files)
        notify(f"looking among {read:,} examples for texts of {', '.join(recipe.exclude)}")
        known = KnownTexts(judged_texts(folder, recipe.exclude))
    draws = [_Draw(source, form, examples, known, recipe) for source, form, examples in files]
    held_back: set[str] = set()  # by any file, for all of them
    for draw in draws:
        draw.hold_back(held_back)
    return [draw.take(held_back) for draw in draws]


class _Draw:
    """The examples of one file, in the order that the seed drew: first some are held back."""

    def __init__(
        self,
        source: Source,
        form: Form,
        examples: Sequence[Example],
        known: KnownTexts | None,
        recipe: Recipe,
    ) -> None:
        generator = random.Random(f"{recipe.seed} {source.path}")  # noqa: S311  # draws, not secrets
        order = list(examples)
        generator.shuffle(order)
        self._source = source
        self._form = form
        self._read = len(order)
        self._left = iter(order)
        self._known = known
        self._batch = recipe.training.batch
        self._dev: list[Example] = []
        self._excluded = 0

    def hold_back(self, held_back: set[str]) -> None:
        """Draw the examples to score on, and add their texts to those that are held back."""
        while len(self._dev) < self._source.dev and (example := self._next(held_back)):
            self._dev.append(example)
            held_back |= _own_texts(example)

    def take(self, held_back: set[str]) -> Examples:
        """Draw the examples to train on."""
        train: list[Example] = []
        limit = self._source.limit or self._read
        while len(train) < limit and (example := self._next(held_back)):
            train.append(example)
        if not train:
            raise BadInputError(
                f"{self._source.path}: none of {self._read:,} examples is left to train on: "
                f"{len(self._dev):,} are held back, {self._excluded:,} are among what is to be "
                "judged on"
            )
        if self._form is Form.LABELLED:
            self._require_labels(train)
        return Examples(self._source, self._form, train, self._dev, self._read, self._excluded)

    def _next(self, held_back: set[str]) -> Example | None:
        for example in self._left:
            if _own_texts(example) & held_back:
                continue
            if not self._known or not any(map(self._known.match, example.texts)):
                return example
            self._excluded += 1
        return None

    def _require_labels(self, train: Sequence[Example]) -> None:
        counts = Counter(example.label for example in train)
        if sum(count > 1 for count in counts.values()) < 2:  # noqa: PLR2004
            raise BadInputError(
                f"{self._source.path}: its examples have not two labels with two texts each, so "
                "nothing tells them apart"
            )
        if self._batch < 4 or self._batch % 2:  # noqa: PLR2004  # two labels, two texts each
            raise UsageError(
                f'"training: batch" of {self._batch} makes no sense: labels go in twos'
            )


def _own_texts(example: Example) -> set[str]:
    # the documents of a rated query are others' candidates too
    own = example.texts[:1] if example.ratings else example.texts
    return {normalised(text) for text in own}
