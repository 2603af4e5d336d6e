"""The rows of a segment that match a filter, by SQL over the tables of its fields.

Each condition is one or two SQL statements with bound values that return rows; `and` and `or`
combine the rows as bits. Values that the table does not hold (long texts and lists) are looked up
in the metadata of the documents.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from taskembed.batches import batched
from taskembed.index._segments._filter_patterns import glob_of, matches
from taskembed.index.documents import SQL_VARIABLES
from taskembed.index.filtering.field_types import (
    BOOLEANS,
    ITEM_OF,
    ITEMS,
    LISTS,
    SCALARS,
    FieldType,
    Value,
    stored_value,
    value_at,
)
from taskembed.index.filtering.filters import (
    EXAMPLES,
    AllOf,
    AnyOf,
    Comparison,
    Contains,
    FieldName,
    Filter,
    IsNull,
    Like,
    OneOf,
    types_of,
)
from taskembed.vectors import Flags

PATTERN_BYTES = 16_384  # of a GLOB pattern: the longest value, each character in brackets
_LOOKED_AT = 10_000  # values that are read to find examples
_BOOLEAN = (FieldType.BOOLEAN, FieldType.BOOLEAN_ITEM)
_EXAMPLES = {  # items are ordered by value, so GROUP BY takes each value once without sorting
    False: "SELECT row, value FROM scalars WHERE field = ? LIMIT ?",
    True: "SELECT min(row), value FROM items WHERE field = ? GROUP BY value LIMIT ?",
}
_LOOKED_UP_AT_ONCE = 256  # rows whose metadata is held in memory

Metadata = Callable[[Sequence[int]], Iterable[tuple[int, Mapping[str, object]]]]


class FieldTable:
    """The open table of a segment's fields.

    Its methods raise sqlite3.Error or ValueError if the file is damaged.

    Args:
        database: the open tables `fields`, `scalars` and `items`.
        rows: the number of rows of the segment.
        metadata: returns (row, metadata of its document) for some rows.
    """

    def __init__(self, database: sqlite3.Connection, rows: int, metadata: Metadata) -> None:
        self.database = database
        self._rows = rows
        self._metadata = metadata
        database.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, PATTERN_BYTES)
        self.fields: dict[str, dict[FieldType, int]] = {}
        for number, name, kind in database.execute("SELECT field, name, type FROM fields"):
            self.fields.setdefault(name, {})[FieldType(kind)] = number

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def examples(self, name: str, alive: Flags) -> list[Value]:
        """Return up to EXAMPLES values of a field from live rows; for a list, its items."""
        found: dict[str, Value] = {}
        for kind, number in self.fields[name].items():
            if kind in (FieldType.OBJECT, *LISTS):
                continue
            sql = _EXAMPLES[kind in ITEMS]
            for row, value in self.database.execute(sql, [number, _LOOKED_AT]):
                if 0 <= row < self._rows and alive[row]:
                    shown = bool(value) if kind in _BOOLEAN else value
                    found.setdefault(str(shown), shown)
                if len(found) == EXAMPLES:
                    return list(found.values())
        return list(found.values())

    def rows(self, filter_: Filter) -> Flags:
        """Return bool[rows]: the rows that match a filter, deleted rows included.

        A field that this segment does not have is missing in all of its documents.
        """
        match filter_:
            case AllOf(parts) | AnyOf(parts):
                joined = np.logical_and if isinstance(filter_, AllOf) else np.logical_or
                flags: Flags = joined.reduce([self.rows(part) for part in parts])
                return flags
            case Comparison() | IsNull():
                return self._compared(filter_)
            case OneOf():
                return self._one_of(filter_)
            case Like():
                return self._like(filter_)
            case Contains():
                return self._contains(filter_)

    def group_values(
        self, field: FieldName, rows: Sequence[int] | None
    ) -> Iterator[tuple[int, Hashable]]:
        """Yield rows with the values of a field; equal values are one group, in any segment.

        Args:
            field: the field; documents in which it is a list or an object are left out.
            rows: the rows to look up; None for all.

        Raises:
            ValueError: the file names a row that the segment does not have.
        """
        for kind, number in self.fields.get(str(field), {}).items():
            if kind not in SCALARS:
                continue
            values = self._values(number, rows)
            if kind is FieldType.LONG_TEXT:
                found = self._from_metadata(field, [row for row, _ in values])
                values = ((row, str(value)) for row, value in found)
            for row, value in values:
                if not 0 <= row < self._rows:
                    raise ValueError("there is no such row")
                yield row, (kind, value) if kind in BOOLEANS else value

    def _values(self, number: int, rows: Sequence[int] | None) -> Iterator[tuple[int, object]]:
        sql = "SELECT row, value FROM scalars WHERE field = ?"
        if rows is None:
            yield from self.database.execute(sql, [number])
            return
        for some in batched(rows, SQL_VARIABLES - 1):
            marks = ",".join("?" * len(some))
            yield from self.database.execute(f"{sql} AND row IN ({marks})", [number, *some])

    def _compared(self, condition: Comparison | IsNull) -> Flags:
        if isinstance(condition, IsNull):
            has_value = self._scalars(condition.field, list(FieldType), "1")
            return has_value if condition.negated else ~has_value
        test = f"value {condition.operator.value} ?"
        return self._scalars(
            condition.field,
            types_of(condition.value),
            f"NOT {test}" if condition.negated else test,
            [stored_value(condition.value)],
        )

    def _one_of(self, condition: OneOf) -> Flags:
        found = []
        for start in range(0, len(condition.values), SQL_VARIABLES):
            some = [stored_value(value) for value in condition.values[start:][:SQL_VARIABLES]]
            marks = ",".join("?" * len(some))
            test = f"value {'NOT ' * condition.negated}IN ({marks})"
            found.append(self._scalars(condition.field, types_of(condition.values[0]), test, some))
        joined = np.logical_and if condition.negated else np.logical_or
        return joined.reduce(found)  # type: ignore[no-any-return]  # numpy's types of `reduce`

    def _like(self, condition: Like) -> Flags:
        test = f"value {'NOT ' * condition.negated}GLOB ?"
        found = self._scalars(condition.field, [FieldType.TEXT], test, [glob_of(condition.pattern)])
        for row, value in self._looked_up(condition.field, FieldType.LONG_TEXT):
            found[row] = matches(condition.pattern, str(value)) is not condition.negated
        return found

    def _contains(self, condition: Contains) -> Flags:
        wanted = stored_value(condition.value)
        kinds = [ITEM_OF[kind] for kind in types_of(condition.value) if kind in ITEM_OF]
        found = self._selected("items", condition.field, kinds, "value = ?", [wanted])
        if condition.negated:
            found = self._scalars(condition.field, [FieldType.LIST], "1") & ~found
        for row, value in self._looked_up(condition.field, FieldType.LONG_LIST):
            found[row] = _has_item(value, condition.value) is not condition.negated
        return found

    def _scalars(
        self,
        field: FieldName,
        kinds: Collection[FieldType],
        test: str,
        values: Sequence[int | float | str] = (),
    ) -> Flags:
        return self._selected("scalars", field, kinds, test, values)

    def _selected(
        self,
        table: str,
        field: FieldName,
        kinds: Collection[FieldType],
        test: str,
        values: Sequence[int | float | str],
    ) -> Flags:
        """Return the rows whose value of a field has one of some types and passes a test in SQL."""
        flags = np.zeros(self._rows, dtype=np.bool_)
        # `table` and `test` are our own literals, and the values are bound. SQLite joins the row
        # numbers into one string in half the time that Python needs to fetch them one by one.
        sql = f"SELECT group_concat(row) FROM {table} WHERE field = ? AND {test}"  # noqa: S608
        for kind, number in self.fields.get(str(field), {}).items():
            if kind in kinds:
                (listed,) = self.database.execute(sql, [number, *values]).fetchone()
                flags[_row_numbers(listed, self._rows)] = True
        return flags

    def _looked_up(self, field: FieldName, kind: FieldType) -> Iterator[tuple[int, object]]:
        """Yield the rows whose value of a field is of a type, with that value from the metadata."""
        rows = np.flatnonzero(self._scalars(field, [kind], "1")).tolist()
        return self._from_metadata(field, rows)

    def _from_metadata(self, field: FieldName, rows: Sequence[int]) -> Iterator[tuple[int, object]]:
        for some in batched(rows, _LOOKED_UP_AT_ONCE):
            for row, metadata in self._metadata(some):
                yield row, value_at(metadata, field.names)


def _has_item(items: object, wanted: Value) -> bool:
    kinds = bool if isinstance(wanted, bool) else str if isinstance(wanted, str) else (int, float)
    return isinstance(items, list) and any(
        isinstance(item, kinds)
        and isinstance(item, bool) is isinstance(wanted, bool)
        and stored_value(item) == stored_value(wanted)
        for item in items
    )


def _row_numbers(listed: object, rows: int) -> npt.NDArray[np.int64]:
    """Return the row numbers in a string that SQLite's group_concat returned; None has none.

    Raises:
        ValueError: the string has anything else, or a row out of range: the file is hostile.
    """
    if listed is None:
        return np.empty(0, np.int64)
    data = np.frombuffer(str(listed).encode(), np.uint8)
    commas = data == ord(",")
    is_plain = ((data >= ord("0")) & (data <= ord("9")) | commas).all()
    if not len(data) or not is_plain or commas[0] or commas[-1] or (commas[1:] & commas[:-1]).any():
        raise ValueError("a row is not a number")
    numbers = np.fromstring(str(listed), np.int64, sep=",")
    if len(numbers) != commas.sum() + 1 or numbers.max() >= rows or numbers.min() < 0:
        raise ValueError("there is no such row")
    return numbers
