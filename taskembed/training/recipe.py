"""Recipes: everything that determines an adapter, in a small TOML file.

    task = "retrieval"
    [[data]]
    path = "pairs.jsonl"
    licence = "MIT"

A key that a recipe leaves out has the default of its class below.
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

MINED_FROM = 50  # nearest documents of a query, among which hard negatives are mined
_NAME = re.compile(r"([^./\x00-\x1f][^/\x00-\x1f]*)?")  # the name of an adapter's folder
_KINDS = {  # of values, by the type of their field
    "str": "a text",
    "str | None": "a text",
    "int": "a whole number",
    "float": "a number",
    "tuple[int, ...]": "a list of whole numbers",
    "tuple[str, ...]": "a list of texts",
}
_WHY = {  # more about a value that is invalid
    "name": "it must be the name of a folder, and not begin with a dot",
    "exclude": "it must name folders inside --data, such as retrieval/*",
    "data: dev": "the dev score needs at least two held-back examples",
    "data: negatives": f"they are mined among the {MINED_FROM} nearest documents",
}


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

    path: str
    licence: str = ""
    limit: int = 0
    dev: int = 0
    negatives: int = 0


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

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    targets: tuple[str, ...] = ()
    strength: float = 1.0


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

    task: Task
    data: tuple[DataFile, ...]
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
    """Read a recipe from a file.

    Raises:
        NotFoundError: there is no such file.
        UsageError: the file is not a recipe; the message names the file and the key.
    """
    try:
        with os_errors(path):
            return parse_recipe(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error


def parse_recipe(text: str) -> Recipe:
    """Read the text of a recipe.

    Raises:
        ValueError: the text is not TOML, or a key is unknown, missing or has a wrong value.
    """
    table = tomllib.loads(text)
    for key in ("task", "data"):
        if key not in table:
            raise ValueError(f'the key "{key}" is missing')
    sources = table["data"]
    if not isinstance(sources, list) or not sources:
        raise ValueError('"data" is not a list of tables: write [[data]]')
    table["data"] = tuple(
        _filled(DataFile, source, f"data {number}") for number, source in enumerate(sources, 1)
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
            raise ValueError(f'{where}: unknown key "{key}"; the keys are {known}')
        values[key] = _converted(value, types[key], f'{where}: "{key}"')
    if missing := [name for name in ("path",) if name in types and name not in values]:
        raise ValueError(f'{where}: the key "{missing[0]}" is missing')
    return kind(**values)


def _converted(value: object, type_name: str, where: str) -> object:
    match type_name, value:
        case "float", int() | float() if not isinstance(value, bool):
            return float(value)
        case "tuple[int, ...]", list() if all(type(item) is int for item in value):
            return tuple(value)
        case "tuple[str, ...]", list() if all(isinstance(item, str) for item in value):
            return tuple(value)
        case "str" | "str | None", str():
            return value
        case "int", int() if not isinstance(value, bool):
            return value
    if type_name in _KINDS:
        raise ValueError(f"{where} is not {_KINDS[type_name]}: {value!r}")
    return value  # converted already


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
        "data: limit": any(file.limit < 0 for file in recipe.data),
        "data: negatives": any(not 0 <= file.negatives <= MINED_FROM for file in recipe.data),
        "data: dev": any(file.dev < 0 or file.dev == 1 for file in recipe.data)
        or not any(file.dev for file in recipe.data),
    }
    for key, is_wrong in wrong.items():
        if is_wrong:
            more = f": {_WHY[key]}" if key in _WHY else ""
            raise ValueError(f'"{key}" is invalid{more}')


def _is_inside(pattern: str) -> bool:
    """Whether a pattern names folders inside the folder of data."""
    path = PurePath(pattern)
    whole = all(part == "**" or "**" not in part for part in path.parts)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and whole
