"""The fields of a document's metadata as filters see them: names, types and values.

    {"lang": "en", "author": {"name": "Ada"}, "tags": ["a", "b"]}

has the fields `lang` and `author.name` (text), `author` (object) and `tags` (list); `tags` has two
items. A field that is null has no value, as if it were missing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

LONGEST_TEXT = 1024  # characters of a string that are kept for filters
MOST_ITEMS = 256  # items of a list, at most; of a longer list, none are kept for filters
DEEPEST_NAME = 8  # names in one field name; a.b.c has three
_LARGEST = 2**63 - 1  # the largest integer of SQLite; a larger one is stored as a float
_PLAIN_NAME = re.compile(r"[^\W\d]\w*")
_NAME = re.compile(r'"((?:[^"]|"")+)"|([^\W\d]\w*)')


class FieldType(StrEnum):
    """The type of a field of a document, or of an item of a list."""

    BOOLEAN = "boolean"
    INTEGER = "integer"
    NUMBER = "number"
    TEXT = "text"
    LONG_TEXT = "long text"  # only its beginning is kept; also a string with a NUL character
    OBJECT = "object"
    LIST = "list"
    LONG_LIST = "long list"  # its items are not kept
    BOOLEAN_ITEM = "list of boolean"
    INTEGER_ITEM = "list of integer"
    NUMBER_ITEM = "list of number"
    TEXT_ITEM = "list of text"


Value = bool | int | float | str
Fields = Mapping[str, Collection[FieldType]]  # the types of each field, by its name in filters

BOOLEANS = (FieldType.BOOLEAN,)
NUMBERS = (FieldType.INTEGER, FieldType.NUMBER)
TEXTS = (FieldType.TEXT, FieldType.LONG_TEXT)
LISTS = (FieldType.LIST, FieldType.LONG_LIST)
SCALARS = (*BOOLEANS, *NUMBERS, *TEXTS)
ITEM_OF = {
    FieldType.BOOLEAN: FieldType.BOOLEAN_ITEM,
    FieldType.INTEGER: FieldType.INTEGER_ITEM,
    FieldType.NUMBER: FieldType.NUMBER_ITEM,
    FieldType.TEXT: FieldType.TEXT_ITEM,
}
ITEMS = tuple(ITEM_OF.values())


@dataclass(frozen=True, slots=True)
class Entry:
    """A field of one document, or an item of a list.

    Attributes:
        name: the name in filters, as `spelled` returns it.
        type: the type of the value.
        value: 0 or 1 for a boolean, 0 for an object, the number of items for a list.
    """

    name: str
    type: FieldType
    value: int | float | str


def spelled(names: Sequence[str]) -> str:
    """Return the name of a field as a filter spells it: a.b, or "odd name".b."""
    return ".".join(
        name if _PLAIN_NAME.fullmatch(name) else '"' + name.replace('"', '""') + '"'
        for name in names
    )


def names_of(field: str) -> tuple[str, ...] | None:
    """Return the names that `spelled` joined: ("a", "b") for a.b; None if it is no field name."""
    names: list[str] = []
    place = 0
    while found := _NAME.match(field, place):
        names.append(found[2] or found[1].replace('""', '"'))
        place = found.end()
        if place == len(field):
            return tuple(names)
        if field[place] != ".":
            return None
        place += 1
    return None


def entries(metadata: Mapping[str, object], within: tuple[str, ...] = ()) -> Iterator[Entry]:
    """Yield the fields of a document's metadata, and the items of its lists, each item once."""
    for key, value in metadata.items():
        names = (*within, key)
        if isinstance(value, Mapping):
            yield Entry(spelled(names), FieldType.OBJECT, 0)
            if len(names) < DEEPEST_NAME:
                yield from entries(value, names)
        elif isinstance(value, list):
            yield from _list_entries(spelled(names), value)
        elif value is not None:
            yield _scalar(spelled(names), value)


def _list_entries(name: str, items: list[object]) -> Iterator[Entry]:
    is_long = len(items) > MOST_ITEMS
    yield Entry(name, FieldType.LONG_LIST if is_long else FieldType.LIST, len(items))
    if is_long:
        return
    scalars = [_scalar(name, item) for item in items if isinstance(item, bool | int | float | str)]
    found = {(ITEM_OF[one.type], one.value) for one in scalars if one.type in ITEM_OF}
    for kind, value in sorted(found, key=str):
        yield Entry(name, kind, value)


def _scalar(name: str, value: object) -> Entry:
    match value:
        case bool():
            return Entry(name, FieldType.BOOLEAN, int(value))
        case int() if abs(value) <= _LARGEST:
            return Entry(name, FieldType.INTEGER, value)
        case int() | float():
            return Entry(name, FieldType.NUMBER, float(value))
    text = str(value)
    if len(text) > LONGEST_TEXT or "\0" in text:
        return Entry(name, FieldType.LONG_TEXT, text[:LONGEST_TEXT])
    return Entry(name, FieldType.TEXT, text)


def stored_value(value: Value) -> int | float | str:
    """Convert a value of a filter to the form in which `entries` yields values of documents."""
    return _scalar("", value).value


def value_at(metadata: Mapping[str, object], names: Sequence[str]) -> object:
    """Return the value of a field; None if the field is missing."""
    value: object = metadata
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def value_named(metadata: Mapping[str, object], name: str) -> object:
    """Return the value of a field, named exactly or by a path (a.b); None if there is none."""
    if name in metadata:
        return metadata[name]
    names = names_of(name)
    return value_at(metadata, names) if names else None
