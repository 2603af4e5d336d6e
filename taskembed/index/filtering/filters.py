"""Filters over the metadata of documents: `year >= 2020 and tags contains 'draft'`.

`grammar.parse_filter` parses a filter, and `require_fields` compares it with the fields of an
index. As in SQL, a condition is unknown if its field is null, missing, or of another type than the
value: then neither `year = 2020` nor `not year = 2020` is true.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from taskembed.errors import UsageError
from taskembed.index.filtering.field_types import (
    BOOLEANS,
    ITEM_OF,
    ITEMS,
    LISTS,
    NUMBERS,
    TEXTS,
    Fields,
    FieldType,
    Value,
    spelled,
)

FIELDS_HINT = "`taskembed info --fields` lists the fields, their types and examples"
EXAMPLES = 3  # values of a field that are shown to people
_NAMED_FIELDS = 8  # fields that a message lists
_NAMED_TYPES = {FieldType.LONG_TEXT: "text", FieldType.LONG_LIST: "list"}


class Operator(StrEnum):
    """The comparison of a field with a value."""

    EQUAL = "="
    UNEQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    GREATER = ">"
    AT_LEAST = ">="


@dataclass(frozen=True, slots=True)
class FieldName:
    """The name of a field, and the column in the filter where the name begins, from 1."""

    names: tuple[str, ...]
    column: int

    def __str__(self) -> str:
        return spelled(self.names)


@dataclass(frozen=True, slots=True)
class Comparison:
    """`field >= value`."""

    field: FieldName
    operator: Operator
    value: Value
    negated: bool = False


@dataclass(frozen=True, slots=True)
class OneOf:
    """`field in (value, ...)`; the values are of one type."""

    field: FieldName
    values: tuple[Value, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Like:
    r"""`field like '%text_'`: % is any text, _ any character; `\%` and `\_` are themselves."""

    field: FieldName
    pattern: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Contains:
    """`field contains value`: the list has an item that equals the value."""

    field: FieldName
    value: Value
    negated: bool = False


@dataclass(frozen=True, slots=True)
class IsNull:
    """`field is null`: the field is missing, or null."""

    field: FieldName
    negated: bool = False


@dataclass(frozen=True, slots=True)
class AllOf:
    """`a and b`; `depth` is 1 more than that of the deepest part."""

    parts: tuple[Filter, ...]
    depth: int


@dataclass(frozen=True, slots=True)
class AnyOf:
    """`a or b`; `depth` is 1 more than that of the deepest part."""

    parts: tuple[Filter, ...]
    depth: int


@dataclass(frozen=True, slots=True)
class FieldDescription:
    """A field of an index's metadata.

    Attributes:
        name: the name in filters.
        type: the types of its values, as messages name them: "integer or text".
        examples: a few values, written as in a filter; for a list, values of its items.
    """

    name: str
    type: str
    examples: tuple[str, ...]


Condition = Comparison | OneOf | Like | Contains | IsNull
Filter = Condition | AllOf | AnyOf


def inverted(filter_: Filter) -> Filter:
    """Return the negation of a filter.

    Subtle: the negation is moved down to the conditions, so that only a condition can be unknown.
    """
    match filter_:
        case AllOf(parts, depth):
            return AnyOf(tuple(map(inverted, parts)), depth)
        case AnyOf(parts, depth):
            return AllOf(tuple(map(inverted, parts)), depth)
    return replace(filter_, negated=not filter_.negated)


def conditions(filter_: Filter) -> Iterator[Condition]:
    """Yield the conditions of a filter, from left to right."""
    if isinstance(filter_, AllOf | AnyOf):
        for part in filter_.parts:
            yield from conditions(part)
    else:
        yield filter_


def require_fields(filter_: Filter, fields: Fields) -> None:
    """Check that an index has every field of a filter, with a type that fits the condition.

    Raises:
        UsageError: a field is missing or has another type; the message has the column, and the
            names or types that exist.
    """
    for condition in conditions(filter_):
        field = condition.field
        types = fields.get(str(field))
        if types is None:
            place = f"column {field.column} of the filter: "
            raise no_such_field(str(field), fields, place=place)
        if (reason := _objection(condition, types)) is not None:
            raise UsageError(
                f"column {field.column} of the filter: `{field}` is {named_types(types)}; {reason}",
                hint=_hint(condition, types),
            )


def _hint(condition: Condition, types: Collection[FieldType]) -> str:
    value = getattr(condition, "value", None)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(condition, Comparison) and is_number and set(types) <= set(TEXTS):
        # the usual reason: a corpus of CSV, whose numbers are text
        condition_ = f"{condition.field} {condition.operator.value} {written(str(value))}"
        return f"{condition_} compares texts, by their characters; all values of CSV are text"
    return FIELDS_HINT


def types_of(value: Value) -> Collection[FieldType]:
    """Return the types of fields that can be compared with a value."""
    if isinstance(value, bool):
        return BOOLEANS
    return TEXTS if isinstance(value, str) else NUMBERS


def named_types(types: Collection[FieldType]) -> str:
    """Return types as messages name them: "integer or text"."""
    shown = [*types]
    if any(kind in ITEMS for kind in shown):
        shown = [kind for kind in shown if kind not in LISTS]
    return " or ".join(sorted({_NAMED_TYPES.get(kind, kind.value) for kind in shown}))


def _objection(condition: Condition, types: Collection[FieldType]) -> str | None:
    """Return why a condition does not fit a field of these types, or None."""
    match condition:
        case IsNull():
            return None
        case Like():
            return None if _any_of(TEXTS, types) else "`like` is for text"
        case Contains(value=value):
            return _objection_to_item(value, types)
    value = condition.values[0] if isinstance(condition, OneOf) else condition.value
    if not _any_of(types_of(value), types):
        if _any_of(LISTS, types):
            return f"write {condition.field} contains {written(value)}"
        return f"{written(value)} is {_kind_of(value)}"
    is_ordered = isinstance(condition, Comparison) and condition.operator not in {
        Operator.EQUAL,
        Operator.UNEQUAL,
    }
    return "true and false have no order" if isinstance(value, bool) and is_ordered else None


def _objection_to_item(value: Value, types: Collection[FieldType]) -> str | None:
    if not _any_of(LISTS, types):
        suggested = f": write {condition_like(value)}" if isinstance(value, str) else ""
        return f"`contains` is for lists{suggested}"
    wanted = {ITEM_OF[kind] for kind in types_of(value) if kind in ITEM_OF}
    if FieldType.LONG_LIST in types or _any_of(wanted, types) or not _any_of(ITEMS, types):
        return None
    return f"{written(value)} is {_kind_of(value)}"


def condition_like(text: str) -> str:
    """Return the condition that a field's text contains a string: like '%draft%'."""
    return f"like {written('%' + text + '%')}"


def written(value: Value) -> str:
    """Return a value as it is written in a filter, shortened if it is long."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        cut = value if len(value) <= 40 else value[:39] + "…"  # noqa: PLR2004  # characters
        return "'" + cut.replace("'", "''") + "'"
    return str(value)


def _kind_of(value: Value) -> str:
    if isinstance(value, bool):
        return "a boolean"
    return "a text" if isinstance(value, str) else "a number"


def _any_of(wanted: Collection[FieldType], types: Collection[FieldType]) -> bool:
    return any(kind in types for kind in wanted)


def no_such_field(field: str, fields: Fields, *, place: str = "") -> UsageError:
    """Return the error for a field that no document has; the message names the fields that exist.

    Args:
        field: the name that was asked for.
        fields: the fields of the index.
        place: the beginning of the message: where the name was asked for.
    """
    missing = f"{place}there is no field `{field}`"
    if not fields:
        return UsageError(f"{missing}; the documents have no metadata")
    close = difflib.get_close_matches(field, fields, n=1)
    names = [*close, *(name for name in sorted(fields) if name not in close)]
    listed = [f"{_cut(name)} ({named_types(fields[name])})" for name in names[:_NAMED_FIELDS]]
    more = len(names) - len(listed)
    others = f" and {more:,} more" if more else ""
    return UsageError(f"{missing}; the fields are: {', '.join(listed)}{others}", hint=FIELDS_HINT)


def _cut(name: str) -> str:
    return name if len(name) <= 40 else name[:39] + "…"  # noqa: PLR2004  # characters
