"""Recipes: everything that an adapter is made from, in a small TOML file.

    task = "retrieval"
    [[data]]
    path = "pairs.jsonl"
    licence = "MIT"

What a recipe leaves out has the default of the class below that it belongs to.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePath
from typing import Any

from taskembed.errors import UsageError, os_errors
from taskembed.space import Task

MINED_FROM = 50  # the nearest documents of a query: hard negatives are among them
_NAME = re.compile(r"([^./\x00-\x1f][^/\x00-\x1f]*)?")  # of a folder among the adapters
_WHY = {
    "name": "it is to be the name of a folder, without a dot before it",
    "exclude": "it has folders in the folder of data, such as retrieval/*",
    "data: dev": "some examples must be held back to score on, and one alone says nothing",
    "data: negatives": f"they are mined among the nearest {MINED_FROM}",
}


@dataclass(frozen=True, slots=True)
class Source:
    """One file of examples.

    Attributes:
        path: relative to the folder of data.
        licence: of the examples; it is written into the adapter's card.
        limit: take so many examples, drawn by the seed; 0 for all.
        dev: hold so many back for the dev score.
        negatives: mine so many hard negatives for each pair that has none.
    """

    path: str
    licence: str = ""
    limit: int = 0
    dev: int = 0
    negatives: int = 0


@dataclass(frozen=True, slots=True)
class Lora:
    """The shape of the adapter: https://arxiv.org/abs/2106.09685.

    Attributes:
        rank: of the two matrices.
        alpha: what they add is multiplied by alpha / rank.
        dropout: share of the adapter's inputs that is left out of a step.
        targets: the names of the linear layers; none for all: attention and MLP projections.
        strength: how much of what was learnt is saved. Half way between base and tuned model, much
            of the gain is kept, and what the base could do elsewhere is not lost (WiSE-FT:
            https://arxiv.org/abs/2109.01903).
    """

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    targets: tuple[str, ...] = ()
    strength: float = 1.0


@dataclass(frozen=True, slots=True)
class Training:
    """How it is trained.

    Attributes:
        steps: at most so many.
        batch: examples in a step.
        mini_batch: are in memory at once; it changes nothing but time and memory.
        learning_rate: at its highest.
        warmup: share of the steps in which it rises; then it falls linearly to 0.
        max_length: tokens that are read of a text.
        scale: what cosines are multiplied by in the losses of pairs and scores (1 / temperature).
        margin: of the loss of labels.
        dropout: of the base model; 0 makes a step on the CPU twice as fast.
        eval_steps: the dev score is taken, and a checkpoint saved, after so many.
        patience: stop after so many dev scores without a better one.
        matryoshka: shorter vectors that are trained too, besides the whole one.
        precision: "bf16" or "fp32", of what is multiplied; weights are fp32.
    """

    steps: int = 600
    batch: int = 64
    mini_batch: int = 64
    learning_rate: float = 2e-4
    warmup: float = 0.1
    max_length: int = 64
    scale: float = 20.0
    margin: float = 0.3
    dropout: float = 0.0
    eval_steps: int = 50
    patience: int = 4
    matryoshka: tuple[int, ...] = ()
    precision: str = "bf16"


@dataclass(frozen=True, slots=True)
class Recipe:
    """All of it.

    Attributes:
        task: what the adapter is for: its prompts are the space's.
        data: the files of examples.
        model: the base.
        revision: of the base, when it is of the hub: a branch, tag or commit.
        family: the known family that a folder's model is of.
        query_prompt: instead of the known one.
        document_prompt: instead of the known one.
        name: of the adapter; the task's when not given.
        licence: of the adapter.
        seed: of every draw.
        note: a sentence for the card.
        exclude: folders of data to be judged on, such as "retrieval/*": an example with a text that
            is one of theirs, or nearly, is left out.
        lora: the adapter's shape.
        training: how it is trained.
    """

    task: Task
    data: tuple[Source, ...]
    model: str = "minilm"
    revision: str | None = None
    family: str | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    name: str = ""
    licence: str = ""
    seed: int = 42
    note: str = ""
    exclude: tuple[str, ...] = ()
    lora: Lora = field(default_factory=Lora)
    training: Training = field(default_factory=Training)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it is no recipe; the message names the file and the key.
    """
    try:
        with os_errors(path):
            return parse_recipe(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error


def parse_recipe(text: str) -> Recipe:
    """Read the text of a recipe.

    Raises:
        ValueError: it is no TOML, or a key is unknown, missing, or makes no sense.
    """
    table = tomllib.loads(text)
    for key in ("task", "data"):
        if key not in table:
            raise ValueError(f'it has no "{key}"')
    sources = table["data"]
    if not isinstance(sources, list) or not sources:
        raise ValueError('"data" is not a list of tables: write [[data]]')
    table["data"] = tuple(
        _filled(Source, source, f"data {number}") for number, source in enumerate(sources, 1)
    )
    if not isinstance(table["task"], str):
        raise ValueError('"task" is not a text')
    table["task"] = Task(table["task"])
    for key, kind in {"lora": Lora, "training": Training}.items():
        if key in table:
            table[key] = _filled(kind, table[key], key)
    recipe: Recipe = _filled(Recipe, table, "the recipe")
    _check(recipe)
    return recipe


def _filled(kind: type[Any], table: object, where: str) -> Any:  # noqa: ANN401  # an object of `kind`
    if not isinstance(table, Mapping):
        raise ValueError(f'"{where}" is not a table')
    values = {}
    types = {item.name: str(item.type) for item in fields(kind)}
    for key, value in table.items():
        if key not in types:
            known = ", ".join(types)
            raise ValueError(f'{where}: unknown key "{key}"; there are {known}')
        values[key] = _converted(value, types[key], f'{where}: "{key}"')
    if missing := [name for name in ("path",) if name in types and name not in values]:
        raise ValueError(f'{where}: no key "{missing[0]}"')
    return kind(**values)


def _converted(value: object, type_name: str, where: str) -> object:
    match type_name, value:
        case "float", int() | float() if not isinstance(value, bool):
            return float(value)
        case "tuple[int, ...]", list() if all(type(item) is int for item in value):
            return tuple(value)
        case "tuple[str, ...]", list() if all(isinstance(item, str) for item in value):
            return tuple(value)
    expected = {"str": str, "str | None": str, "int": int}.get(type_name)
    if expected is None and type_name.startswith(("float", "tuple[int", "tuple[str")):
        raise ValueError(f"{where} is not a {type_name}: {value!r}")
    if expected is not None and type(value) is not expected:
        raise ValueError(f"{where} is not a {type_name}: {value!r}")
    return value


def _check(recipe: Recipe) -> None:
    lora, training = recipe.lora, recipe.training
    wrong = {
        "name": not _NAME.fullmatch(recipe.name),
        "seed": not 0 <= recipe.seed < 2**32,
        "exclude": not all(map(_is_inside, recipe.exclude)),
        "lora: rank": lora.rank < 1,
        "lora: alpha": lora.alpha < 1,
        "lora: dropout": not 0 <= lora.dropout < 1,
        "lora: strength": not 0 < lora.strength <= 1,
        "training: steps": training.steps < 1,
        "training: batch": training.batch < 2,  # noqa: PLR2004  # one example has no other
        "training: mini_batch": training.mini_batch < 1,
        "training: learning_rate": not 0 < training.learning_rate < 1,
        "training: warmup": not 0 <= training.warmup <= 1,
        "training: max_length": training.max_length < 4,  # noqa: PLR2004  # two are special
        "training: scale": not 0 < training.scale < math.inf,
        "training: margin": not 0 < training.margin < math.inf,
        "training: dropout": not 0 <= training.dropout < 1,
        "training: eval_steps": training.eval_steps < 1,
        "training: patience": training.patience < 1,
        "training: precision": training.precision not in {"bf16", "fp32"},
        "training: matryoshka": any(dim < 1 for dim in training.matryoshka),
        "data: limit": any(source.limit < 0 for source in recipe.data),
        "data: negatives": any(not 0 <= source.negatives <= MINED_FROM for source in recipe.data),
        "data: dev": any(source.dev < 0 or source.dev == 1 for source in recipe.data)
        or not any(source.dev for source in recipe.data),
    }
    for key, is_wrong in wrong.items():
        if is_wrong:
            more = f": {_WHY[key]}" if key in _WHY else ""
            raise ValueError(f'"{key}" makes no sense{more}')


def _is_inside(pattern: str) -> bool:
    """Whether a pattern names folders below another."""
    path = PurePath(pattern)
    whole = all(part == "**" or "**" not in part for part in path.parts)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and whole
