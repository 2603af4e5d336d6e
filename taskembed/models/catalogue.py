"""The models and rerankers that models.toml describes.

    identify("intfloat/e5-small-v2").family.tasks[Task.RETRIEVAL]    # the prompts of both sides

resolve.py chooses between these and the user's settings. A mistake in models.toml raises
ValueError, whose message names the table and the key.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt, MinLen

from taskembed.models._tables import (
    INSTRUCTION,
    FamilyKeys,
    FamilyTable,
    NotEmpty,
    require_link,
    task_sides,
)
from taskembed.models.sides import Sides
from taskembed.space import Task
from taskembed.strict import STRICT, checked


@dataclass(frozen=True, slots=True, kw_only=True)
class Family(FamilyKeys):
    """Models with the same settings except dimensions; models.toml describes the fields."""

    tasks: Mapping[Task, Sides]

    @property
    def hosted(self) -> bool:
        """Whether its models are run by a server."""
        return bool(self.server)

    @property
    def has_adapters(self) -> bool:
        """Whether a task has an adapter."""
        return any(side.adapter for sides in self.tasks.values() for side in sides.values())


@dataclass(frozen=True, slots=True)
class Identified:
    """The name of a model, and its family in models.toml.

    Attributes:
        asked: the name as the user gave it.
        name: the id of the model in models.toml; the name as given if it is not listed.
        family: the family of the model; None if models.toml does not list it.
    """

    asked: str
    name: str
    family: Family | None

    @property
    def hosted(self) -> bool:
        """Whether the model is known to be run by a server."""
        return self.family is not None and self.family.hosted

    @property
    def dim(self) -> int | None:
        """The dimension of its vectors without truncation; None if it is unknown."""
        return self.family.models.get(self.name) if self.family else None


@dataclass(frozen=True, slots=True)
class RerankerFamily:
    """Rerankers with the same settings; models.toml describes the fields."""

    __pydantic_config__ = STRICT

    name: NotEmpty
    source: NotEmpty
    licence: NotEmpty
    models: Annotated[tuple[str, ...], MinLen(1)]
    commercial: bool = True
    max_length: Annotated[int, Ge(0)] = 0
    temperature: Annotated[float, Gt(0)] = 1.0
    instruction: str = ""
    before: str = ""
    between: str = ""
    after: str = ""
    answers: tuple[str, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if self.source:
            require_link(self.source)
        texts = (self.before, self.between, self.after)
        if any(texts) and not all(texts):
            raise ValueError('"before", "between" and "after" must be used together')
        if bool(self.instruction) != (INSTRUCTION in "".join(texts)):
            raise ValueError(
                f'"instruction" and its placeholder {INSTRUCTION} must be used together'
            )
        if bool(self.answers) != bool(self.before):
            raise ValueError('"answers" and "before" must be used together')

    def parts(self, instruction: str) -> tuple[str, ...]:
        """Return the text before a query, between query and document, and after the document.

        The result is empty for a reranker whose files have such a template, or that needs none.
        """
        texts = (self.before, self.between, self.after) if self.before else ()
        return tuple(text.replace(INSTRUCTION, instruction) for text in texts)


@dataclass(frozen=True, slots=True)
class CatalogueTable:
    """The whole of models.toml."""

    __pydantic_config__ = STRICT

    family: tuple[FamilyTable, ...]
    reranker: tuple[RerankerFamily, ...] = ()


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The contents of models.toml."""

    families: tuple[Family, ...]
    rerankers: tuple[RerankerFamily, ...]


def parse_catalogue(toml_text: str) -> Catalogue:
    """Read the text of models.toml.

    Raises:
        ValueError: the text is not TOML, or a key is unknown, missing, or has a wrong value. The
            message names the family and the key.
    """
    table = checked(CatalogueTable, tomllib.loads(toml_text))
    for known, what in ((table.family, "family"), (table.reranker, "reranker")):
        _refuse_twice((family.name for family in known), f"the name of a {what}")
    names = (name for family in table.family for name in (*family.models, *family.aliases))
    _refuse_twice((name.casefold() for name in names), "the id of a model")
    names = (name for family in table.reranker for name in family.models)
    _refuse_twice((name.casefold() for name in names), "the id of a reranker")
    return Catalogue(tuple(map(_family, table.family)), table.reranker)


def _family(table: FamilyTable) -> Family:
    where = f'family "{table.name}"'
    tasks = {
        Task(name): task_sides(
            raw, Task(name), table, f'{where}, task "{name}"', f"models.toml, {where}"
        )
        for name, raw in table.tasks.items()
    }
    keys = {item.name: getattr(table, item.name) for item in fields(FamilyKeys)}
    return Family(**keys, tasks=tasks)


def _refuse_twice(names: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f'models.toml: "{name}" is {what} twice')
        seen.add(name)


@cache
def catalogue() -> Catalogue:
    """Return the contents of models.toml, in their order."""
    return parse_catalogue(_toml_text())


@cache
def _toml_text() -> str:
    return Path(__file__).with_name("models.toml").read_text(encoding="utf-8")


def families() -> tuple[Family, ...]:
    """Return the families of models.toml, in its order."""
    return catalogue().families


def rerankers() -> tuple[RerankerFamily, ...]:
    """Return the rerankers of models.toml, in its order."""
    return catalogue().rerankers


def find_reranker(model: str) -> RerankerFamily:
    """Return the settings of the reranker with exactly this id, or else the default settings."""
    for family in rerankers():
        if model.casefold() in {name.casefold() for name in family.models}:
            return family
    return RerankerFamily(name="", source="", licence="", models=())


def identify(model: str) -> Identified:
    """Return the name and the family of a model by its id or alias, ignoring case.

    Only tables that contain the name are parsed, and without validation, which would take a fifth
    of the time of a search. A test validates all tables.
    """
    wanted = model.casefold()
    for text in _family_texts() if wanted else ():
        if wanted in text.casefold():
            family = _family_of(text)
            names = {name: name for name in family.models} | dict(family.aliases)
            for known, name in names.items():
                if known.casefold() == wanted:
                    return Identified(model, name, family)
    return Identified(model, model, None)


@cache
def _family_texts() -> tuple[str, ...]:
    """Return the text of each family in models.toml."""
    _, *families_and_rest = _toml_text().split("\n[[family]]\n")
    return tuple(text.partition("\n[[reranker]]\n")[0] for text in families_and_rest)


@cache
def _family_of(text: str) -> Family:
    values: dict[str, Any] = tomllib.loads("[[family]]\n" + text)["family"][0]
    sizes = tuple(values.pop("truncated_dims", ()))
    return _family(FamilyTable(**values, truncated_dims=sizes))
