"""Recipes: everything that determines an adapter, in a small TOML file.

    task = "retrieval"
    [[data]]
    path = "pairs.jsonl"
    licence = "MIT"

A key that a recipe leaves out has the default of its class below.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen

from taskembed.errors import UsageError, os_errors
from taskembed.space import Task
from taskembed.strict import STRICT, checked

MINED_FROM = 50  # nearest documents of a query, among which hard negatives are mined
_NAME = re.compile(r"([^./\x00-\x1f][^/\x00-\x1f]*)?")  # the name of an adapter's folder

Count = Annotated[int, Ge(0)]
AtLeastOne = Annotated[int, Ge(1)]
Share = Annotated[float, Ge(0), Lt(1)]


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of examples.

    Attributes:
        path: path of the file, relative to the folder of data.
        licence: licence of the examples, for the adapter's card.
        limit: number of examples to train on, chosen with the seed; 0 for all.
        dev: number of examples to hold back for the dev score.
        negatives: number of hard negatives to mine for each pair that has none.
    """

    __pydantic_config__ = STRICT

    path: str
    licence: str = ""
    limit: Count = 0
    dev: Count = 0
    negatives: Annotated[int, Ge(0), Le(MINED_FROM)] = 0

    def __post_init__(self) -> None:
        if self.dev == 1:
            raise ValueError('"dev" cannot be 1: the dev score needs at least two examples')


@dataclass(frozen=True, slots=True)
class Lora:
    """The shape of the adapter: https://arxiv.org/abs/2106.09685.

    Attributes:
        rank: rank of the two matrices.
        alpha: the product of the matrices is multiplied by alpha / rank.
        dropout: share of the adapter's inputs that is left out in a step, 0 to 1.
        targets: names of the linear layers; empty for all projections of attention and MLP.
        strength: share of the learnt change that is saved, 0 to 1. Half way between base and tuned
            model, most of the gain is kept, and little of the base's ability elsewhere is lost
            (WiSE-FT: https://arxiv.org/abs/2109.01903).
    """

    __pydantic_config__ = STRICT

    rank: AtLeastOne = 16
    alpha: AtLeastOne = 32
    dropout: Share = 0.0
    targets: tuple[str, ...] = ()
    strength: Annotated[float, Gt(0), Le(1)] = 1.0


@dataclass(frozen=True, slots=True)
class Training:
    """How the adapter is trained.

    Attributes:
        steps: largest number of steps.
        batch: examples in a step.
        mini_batch: examples in memory at once; it changes only time and memory.
        learning_rate: the highest learning rate.
        warmup: share of the steps in which the learning rate rises; then it falls linearly to 0.
        max_length: tokens of a text that are read.
        scale: factor of the cosines in the losses of pairs and scores (1 / temperature).
        margin: margin between positives and negatives, in the loss of labelled texts.
        dropout: dropout in the base model; 0 makes a step on the CPU twice as fast.
        eval_steps: steps between two dev scores, each with a checkpoint.
        patience: number of dev scores without a better one after which the training stops.
        matryoshka: sizes of shorter vectors that are trained besides the whole one.
        precision: "bf16" or "fp32", of matrix products; weights are fp32.
    """

    __pydantic_config__ = STRICT

    steps: AtLeastOne = 600
    batch: Annotated[int, Ge(2)] = 64  # a loss needs at least two examples
    mini_batch: AtLeastOne = 64
    learning_rate: Annotated[float, Gt(0), Lt(1)] = 2e-4
    warmup: Annotated[float, Ge(0), Le(1)] = 0.1
    max_length: Annotated[int, Ge(4)] = 64  # two of the tokens are special
    scale: Annotated[float, Gt(0)] = 20.0
    margin: Annotated[float, Gt(0)] = 0.3
    dropout: Share = 0.0
    eval_steps: AtLeastOne = 50
    patience: AtLeastOne = 4
    matryoshka: tuple[AtLeastOne, ...] = ()
    precision: Literal["bf16", "fp32"] = "bf16"


@dataclass(frozen=True, slots=True)
class Recipe:
    """A training recipe.

    Attributes:
        task: the task of the adapter; the base is trained with its prompts.
        data: the files of examples.
        model: the base model: "minilm", a Hugging Face id, or a folder.
        revision: branch, tag or commit of a base from Hugging Face.
        family: the known family of a base in a folder.
        query_prompt: prompt for queries, instead of the known one.
        document_prompt: prompt for documents, instead of the known one.
        name: name of the adapter's folder; the task's name if empty.
        licence: licence of the adapter, for its card.
        seed: seed of everything random.
        note: a sentence for the card.
        exclude: folders of evaluation data, such as "retrieval/*"; examples that share a text with
            them, exactly or nearly, are left out.
        lora: the shape of the adapter.
        training: how the adapter is trained.
    """

    __pydantic_config__ = STRICT

    task: Task
    data: Annotated[tuple[DataFile, ...], MinLen(1)]
    model: str = "minilm"
    revision: str | None = None
    family: str | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    name: str = ""
    licence: str = ""
    seed: Annotated[int, Ge(0), Lt(2**32)] = 42
    note: str = ""
    exclude: tuple[str, ...] = ()
    lora: Lora = field(default_factory=Lora)
    training: Training = field(default_factory=Training)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f'"name" must be the name of a folder, and not begin with a dot: {self.name!r}'
            )
        for pattern in self.exclude:
            if not _is_inside(pattern):
                raise ValueError(
                    f'"exclude" must name folders inside --data, such as retrieval/*: {pattern!r}'
                )
        if not any(file.dev for file in self.data):
            raise ValueError('"dev" is 0 in all data: the dev score needs held-back examples')


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from a file.

    Raises:
        NotFoundError: there is no such file.
        UsageError: the file is not a recipe; the message names the file and the key.
    """
    try:
        with os_errors(path):
            return parse_recipe(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(str(error), what=str(path)) from error


def parse_recipe(text: str) -> Recipe:
    """Read the text of a recipe.

    Raises:
        ValueError: the text is not TOML, or a key is unknown, missing or has a wrong value.
    """
    return checked(Recipe, tomllib.loads(text))


def _is_inside(pattern: str) -> bool:
    """Whether a pattern names folders inside the folder of data."""
    path = PurePath(pattern)
    whole = all(part == "**" or "**" not in part for part in path.parts)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and whole
