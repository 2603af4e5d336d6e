"""The models and rerankers that models.toml describes.

    identify("intfloat/e5-small-v2").family.tasks[Task.RETRIEVAL]    # what either side takes

Nothing is decided here: see resolve.py. A mistake in models.toml is a developer's and a ValueError;
its message names the table and the key.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from taskembed.models._tables import (
    FAMILY_KEYS,
    INSTRUCTION,
    Table,
    checked,
    require_sense,
    task_sides,
)
from taskembed.models.sides import Sides
from taskembed.space import Task

# tokens: of a model that reads texts of any length; a tokenizer that knows no limit says 10**30
NO_LIMIT = 10**9


@dataclass(frozen=True, slots=True)
class Family:
    """Models that share everything but their dimensions; models.toml describes the fields."""

    name: str
    source: str
    licence: str
    max_length: int
    models: Mapping[str, int]
    tasks: Mapping[Task, Sides]
    commercial: bool = True
    suffix: str = ""
    truncation: str = "none"
    truncated_dims: tuple[int, ...] = ()
    prompt_in_pooling: bool = True
    remote_code: bool = False
    server: str = ""
    hosted_parameter: str = ""
    end_token: str = ""
    metric: str = ""
    template: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def hosted(self) -> bool:
        """Whether its models are behind a server."""
        return bool(self.server)

    @property
    def has_adapters(self) -> bool:
        """Whether a task has an adapter."""
        return any(side.adapter for sides in self.tasks.values() for side in sides.values())


@dataclass(frozen=True, slots=True)
class Identified:
    """A model's name, and what models.toml knows under it.

    Attributes:
        asked: the name as it was given.
        name: its id as models.toml spells it; the name as it was given where that is not known.
        family: the family that it is of; None when models.toml does not know the name.
    """

    asked: str
    name: str
    family: Family | None

    @property
    def hosted(self) -> bool:
        """Whether it is known to be behind a server."""
        return self.family is not None and self.family.hosted

    @property
    def dim(self) -> int | None:
        """The numbers in its vectors when nothing cuts them; None when that is not known."""
        return self.family.models.get(self.name) if self.family else None


@dataclass(frozen=True, slots=True)
class RerankerFamily:
    """Rerankers that are read alike; models.toml describes the fields."""

    name: str
    source: str
    licence: str
    models: tuple[str, ...]
    commercial: bool = True
    max_length: int = 0
    temperature: float = 1.0
    instruction: str = ""
    before: str = ""
    between: str = ""
    after: str = ""
    answers: tuple[str, ...] = ()
    note: str = ""

    def parts(self, instruction: str) -> tuple[str, ...]:
        """Return the text before a query, between query and document, and after the document.

        Empty for a reranker whose files have such a template, or that needs none.
        """
        texts = (self.before, self.between, self.after) if self.before else ()
        return tuple(text.replace(INSTRUCTION, instruction) for text in texts)


_REQUIRED: dict[str, type] = {
    **dict.fromkeys(("name", "source", "licence"), str),
    "max_length": int,
    **dict.fromkeys(("models", "tasks"), dict),
}


def parse_families(toml_text: str) -> tuple[Family, ...]:
    """Read the text of models.toml.

    Raises:
        ValueError: it is no TOML, or a key is unknown, missing, or has a value that makes no
            sense. The message names the family and the key.
    """
    top = _top(toml_text)
    parsed = tuple(_family(table, position) for position, table in enumerate(top["family"], 1))
    _refuse_twice((family.name for family in parsed), "the name of a family")
    names = (name for family in parsed for name in (*family.models, *family.aliases))
    _refuse_twice((name.casefold() for name in names), "the id of a model")
    return parsed


def parse_rerankers(toml_text: str) -> tuple[RerankerFamily, ...]:
    """Read the rerankers of models.toml.

    Raises:
        ValueError: as `parse_families`.
    """
    tables = _top(toml_text).get("reranker", [])
    parsed = tuple(_reranker(table, position) for position, table in enumerate(tables, 1))
    _refuse_twice((family.name for family in parsed), "the name of a reranker")
    names = (name.casefold() for family in parsed for name in family.models)
    _refuse_twice(names, "the id of a reranker")
    return parsed


def _top(toml_text: str) -> Table:
    table = tomllib.loads(toml_text)
    return checked(table, "models.toml", required={"family": list}, optional={"reranker": list})


_RERANKER: dict[str, type] = {
    **dict.fromkeys(("instruction", "before", "between", "after", "note"), str),
    "answers": list,
    "commercial": bool,
    "max_length": int,
    "temperature": float,
}


def _reranker(raw: object, position: int) -> RerankerFamily:
    name = raw.get("name") if isinstance(raw, dict) else None
    where = f'reranker "{name}"' if name else f"reranker number {position}"
    required = {**dict.fromkeys(("name", "source", "licence"), str), "models": list}
    table = checked(raw, where, required=required, optional=_RERANKER)
    texts = [table.get(key, "") for key in ("before", "between", "after")]
    answers = table.get("answers", [])
    for key, right in {
        "source": table["source"].startswith("https://"),
        "licence": table["licence"],
        "models": table["models"] and all(isinstance(model, str) for model in table["models"]),
        "max_length": table.get("max_length", 0) >= 0,
        "temperature": table.get("temperature", 1.0) > 0,
        "before": all(texts) or not any(texts),
        "instruction": bool(table.get("instruction")) == (INSTRUCTION in "".join(texts)),
        "answers": bool(answers) == bool(texts[0]) and all(isinstance(a, str) for a in answers),
    }.items():
        if not right:
            raise ValueError(f'{where}: "{key}" makes no sense: {table.get(key)!r}')
    lists = {"models": tuple(table["models"]), "answers": tuple(answers)}
    return RerankerFamily(**{**table, **lists})


def _family(raw: object, position: int) -> Family:
    name = raw.get("name") if isinstance(raw, dict) else None
    where = f'family "{name}"' if name else f"family number {position}"
    table = checked(raw, where, required=_REQUIRED, optional=FAMILY_KEYS)
    checked(table["models"], f"{where}, models", optional=dict.fromkeys(table["models"], int))
    aliases = table.get("aliases", {})
    checked(aliases, f"{where}, aliases", optional=dict.fromkeys(aliases, str))
    checked(table["tasks"], f"{where}, tasks", optional={task.value: dict for task in Task})
    for key, right in {
        "source": table["source"].startswith("https://"),
        "licence": table["licence"],
        "max_length": table["max_length"] > 0,
        "models": table["models"] and all(dim > 0 for dim in table["models"].values()),
        "tasks": table["tasks"],
        "aliases": set(aliases.values()) <= table["models"].keys(),
        "hosted_parameter": not table.get("hosted_parameter") or table.get("server"),
    }.items():
        if not right:
            raise ValueError(f'{where}: "{key}" makes no sense: {table[key]!r}')
    require_sense(table, where)
    dims = table.get("truncated_dims", [])
    tasks = {
        Task(name): task_sides(
            task, Task(name), table, f'{where}, task "{name}"', f"models.toml, {where}"
        )
        for name, task in table["tasks"].items()
    }
    return Family(**{**table, "tasks": tasks, "truncated_dims": tuple(dims)})


def _refuse_twice(names: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f'models.toml: "{name}" is {what} twice')
        seen.add(name)


@cache
def families() -> tuple[Family, ...]:
    """Return the families of models.toml, in its order."""
    return parse_families(_models_toml())


@cache
def rerankers() -> tuple[RerankerFamily, ...]:
    """Return the rerankers of models.toml, in its order."""
    return parse_rerankers(_models_toml())


def _models_toml() -> str:
    return resources.files("taskembed.models").joinpath("models.toml").read_text(encoding="utf-8")


def find_reranker(model: str) -> RerankerFamily:
    """Return what is known of a reranker: of exactly that id; otherwise what holds for most."""
    for family in rerankers():
        if model.casefold() in {name.casefold() for name in family.models}:
            return family
    return RerankerFamily(name="", source="", licence="", models=())


def identify(model: str) -> Identified:
    """Return what is known of exactly that id or alias, in any case; never of a part of one."""
    name, family = _by_name().get(model.casefold(), (model, None))
    return Identified(model, name, family)


@cache
def _by_name() -> dict[str, tuple[str, Family]]:
    """Return the id and the family of every id and alias, by its letters regardless of case."""
    known: dict[str, tuple[str, Family]] = {}
    for family in families():
        names = {model: model for model in family.models} | dict(family.aliases)
        known |= {name.casefold(): (model, family) for name, model in names.items()}
    return known
