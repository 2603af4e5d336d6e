"""Splits the examples of a file into those to train on and those held back for the dev score."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from taskembed.errors import BadInputError, UsageError
from taskembed.reading.examples import Example, ExampleKind, read_examples
from taskembed.training._overlap import KnownTexts, judged_texts, normalised
from taskembed.training.recipe import DataFile, Recipe


@dataclass(frozen=True, slots=True)
class DataSplit:
    """The examples of one file, shuffled with the recipe's seed.

    Attributes:
        file: the file, as the recipe describes it.
        kind: what the examples are.
        train: examples to train on.
        dev: examples held back; none of their texts is in the `train` of any file.
        read: number of examples in the file.
        excluded: number of examples left out because one of their texts is in evaluation data.
    """

    file: DataFile
    kind: ExampleKind
    train: Sequence[Example]
    dev: Sequence[Example]
    read: int
    excluded: int


def split_examples(
    recipe: Recipe, folder: Path, notify: Callable[[str], None] = lambda _: None
) -> list[DataSplit]:
    """Read the files of a recipe and split each, in the recipe's order.

    Args:
        recipe: the files, how many examples to use, what to exclude, and the seed.
        folder: the folder that the files' paths are relative to.
        notify: called with a sentence before the search for excluded texts, which takes long.

    Raises:
        NotFoundError: a file does not exist.
        BadRecordError: an example cannot be used; the message names the file and the line.
        BadInputError: a file has too few examples.
        UsageError: the batch size does not fit labelled texts.
    """
    files = [(file, *read_examples(folder / file.path)) for file in recipe.data]
    known = None
    if recipe.exclude:
        read = sum(len(examples) for _, _, examples in files)
        notify(f"looking among {read:,} examples for texts of {', '.join(recipe.exclude)}")
        known = KnownTexts(judged_texts(folder, recipe.exclude))
    splitters = [_Splitter(file, kind, examples, known, recipe) for file, kind, examples in files]
    held_back: set[str] = set()  # texts held back by any file, for all files
    for splitter in splitters:
        splitter.hold_back(held_back)
    return [splitter.split(held_back) for splitter in splitters]


class _Splitter:
    """Splits the examples of one file: first those to hold back, then those to train on."""

    def __init__(
        self,
        file: DataFile,
        kind: ExampleKind,
        examples: Sequence[Example],
        known: KnownTexts | None,
        recipe: Recipe,
    ) -> None:
        generator = random.Random(f"{recipe.seed} {file.path}")  # noqa: S311  # no secrets
        shuffled = list(examples)
        generator.shuffle(shuffled)
        self._file = file
        self._kind = kind
        self._read = len(shuffled)
        self._remaining = iter(shuffled)
        self._known = known
        self._batch = recipe.training.batch
        self._dev: list[Example] = []
        self._excluded = 0

    def hold_back(self, held_back: set[str]) -> None:
        """Choose the examples for the dev score, and add their texts to `held_back`."""
        while len(self._dev) < self._file.dev and (example := self._next(held_back)):
            self._dev.append(example)
            held_back |= _own_texts(example)

    def split(self, held_back: set[str]) -> DataSplit:
        """Choose the examples to train on."""
        train: list[Example] = []
        limit = self._file.limit or self._read
        while len(train) < limit and (example := self._next(held_back)):
            train.append(example)
        if not train:
            raise BadInputError(
                f"none of {self._read:,} examples is left to train on: "
                f"{len(self._dev):,} are held back, and {self._excluded:,} share a text with "
                "evaluation data",
                what=self._file.path,
            )
        if self._kind is ExampleKind.LABELLED:
            self._require_labels(train)
        return DataSplit(self._file, self._kind, train, self._dev, self._read, self._excluded)

    def _next(self, held_back: set[str]) -> Example | None:
        for example in self._remaining:
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
                "at least two labels need two texts each to train on", what=self._file.path
            )
        if self._batch < 4 or self._batch % 2:  # noqa: PLR2004  # two labels, two texts each
            raise UsageError(
                f'"training: batch" of {self._batch} does not fit labelled texts: it must be even, '
                "and 4 or more"
            )


def _own_texts(example: Example) -> set[str]:
    # the documents of a rated query are candidates of other queries too
    own = example.texts[:1] if example.ratings else example.texts
    return {normalised(text) for text in own}
