"""Data from outside against a type: what fits, and what is said of what does not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from annotated_types import Ge, MinLen

from taskembed.strict import STRICT, MisfitError, checked


@dataclass(frozen=True, slots=True)
class Part:
    __pydantic_config__ = STRICT

    name: str
    size: Annotated[int, Ge(1)] = 1
    is_good: bool = True


@dataclass(frozen=True, slots=True)
class Whole:
    __pydantic_config__ = STRICT

    parts: Annotated[tuple[Part, ...], MinLen(1)]
    share: float = 0.5
    sizes: dict[str, int] = field(default_factory=dict)
    main: Part | None = None

    def __post_init__(self) -> None:
        if self.share > len(self.parts):
            raise ValueError("more is shared than there is")


PART = {"name": "a"}


def test_what_fits_becomes_an_object_with_its_defaults() -> None:
    whole = checked(Whole, {"parts": [PART, {"name": "b", "size": 2}], "share": 1, "main": None})
    assert whole == Whole((Part("a"), Part("b", 2)), share=1.0)
    assert isinstance(whole.share, float)


def test_any_type_can_be_checked() -> None:
    assert checked(dict[str, tuple[int, ...]], {"a": [1, 2]}) == {"a": (1, 2)}


@pytest.mark.parametrize(
    ("value", "message", "path"),
    [
        ({}, 'the key "parts" is missing', ("parts",)),
        ({"parts": []}, '"parts" must not be empty', ("parts",)),
        ({"parts": 3}, '"parts" is not a list: 3', ("parts",)),
        (
            {"parts": PART},
            '"parts" is one table, not a list of them: write [[parts]]',
            ("parts",),
        ),
        ({"parts": [3]}, "parts 1 is not a table: 3", ("parts", 0)),
        ({"parts": [PART, {}]}, 'parts 2: the key "name" is missing', ("parts", 1, "name")),
        (
            {"parts": [PART | {"size": "2"}]},
            'parts "a": "size" is not a whole number: \'2\'',
            ("parts", 0, "size"),
        ),
        (
            {"parts": [PART | {"size": True}]},
            'parts "a": "size" is not a whole number: True',
            ("parts", 0, "size"),
        ),
        (
            {"parts": [PART | {"size": 0}]},
            'parts "a": "size" must be at least 1: 0',
            ("parts", 0, "size"),
        ),
        (
            {"parts": [PART | {"is_good": 1}]},
            'parts "a": "is_good" is not true or false: 1',
            ("parts", 0, "is_good"),
        ),
        (
            {"parts": [PART | {"width": 1}]},
            'parts "a": unknown key "width"; the keys are name, size, is_good',
            ("parts", 0, "width"),
        ),
        (
            {"parts": [PART], "main": {"name": "a", "width": 1}},
            'main: unknown key "width"; the keys are name, size, is_good',
            ("main", "width"),
        ),
        (
            {"parts": [PART], "rest": 1},
            'unknown key "rest"; the keys are parts, share, sizes, main',
            ("rest",),
        ),
        ({"parts": [{"name": 7}]}, 'parts 7: "name" is not a string: 7', ("parts", 0, "name")),
        ({"parts": [PART], "sizes": {"a": 1.5}}, 'sizes: "a" is not a whole number: 1.5', None),
        ({"parts": [PART], "share": float("nan")}, '"share" is not a finite number: nan', None),
        ({"parts": [PART], "share": 2}, "more is shared than there is", ()),
        ([], "the whole is not a table: []", ()),
    ],
)
def test_what_does_not_fit_is_named_by_its_place(
    value: object, message: str, path: tuple[Any, ...] | None
) -> None:
    with pytest.raises(MisfitError) as refusal:
        checked(Whole, value)
    assert str(refusal.value) == message
    if path is not None:
        assert refusal.value.path == path
