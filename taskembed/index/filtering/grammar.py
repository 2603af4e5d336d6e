"""The grammar of filters, and the errors for a string that does not follow it.

Importing lark takes 50 ms, so only a command that has a filter imports this module.
"""

from __future__ import annotations

import functools
import re
from math import isfinite

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedToken, v_args
from lark.exceptions import UnexpectedInput

from taskembed.arguments import is_utf8, require_string
from taskembed.errors import UsageError
from taskembed.index.filtering.field_types import DEEPEST_NAME, Value
from taskembed.index.filtering.filters import (
    AllOf,
    AnyOf,
    Comparison,
    Condition,
    Contains,
    FieldName,
    Filter,
    IsNull,
    Like,
    OneOf,
    Operator,
    conditions,
    inverted,
    types_of,
    written,
)

LONGEST_FILTER = 65_536  # characters
LONGEST_VALUE = 1_000  # characters of a value; fewer than LONGEST_TEXT, which documents keep
DEEPEST = 50  # levels of nesting of `and` and `or`
MOST_CONDITIONS = 200
_EXAMPLE = "for example: year >= 2020 and lang in ('en', 'de') and tags contains 'draft'"
_QUOTES = "write texts in 'single quotes', and names that are not plain words in \"double quotes\""
_NULL = "a field without a value is found by `is null`"
_GRAMMAR = r"""
?start: alternatives
?alternatives: together (_OR together)*
?together: maybe_not (_AND maybe_not)*
?maybe_not: condition
    | NOT maybe_not -> opposite
?condition: "(" alternatives ")"
    | field OPERATOR value -> comparison
    | field [NOT] _IN "(" value ("," value)* ")" -> one_of
    | field [NOT] _BETWEEN value _AND value -> between
    | field [NOT] _LIKE TEXT -> like
    | field [NOT] _CONTAINS value -> contains
    | field _IS [NOT] _NULL -> is_null
field: (NAME | QUOTED_NAME) ("." (NAME | QUOTED_NAME))*
?value: TEXT | NUMBER | TRUE | FALSE

OPERATOR: "==" | "=" | "!=" | "<>" | "<=" | "<" | ">=" | ">"
NUMBER: /-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?/
TEXT: /'(?:[^']|'')*'/
QUOTED_NAME: /"(?:[^"]|"")*"/
NAME: /[^\W\d]\w*/
_OR.2: /or\b/i
_AND.2: /and\b/i
NOT.2: /not\b/i
_IN.2: /in\b/i
_BETWEEN.2: /between\b/i
_LIKE.2: /like\b/i
_CONTAINS.2: /contains\b/i
_IS.2: /is\b/i
_NULL.2: /null\b/i
TRUE.2: /true\b/i
FALSE.2: /false\b/i
%ignore /\s+/
"""
_WORDS = {  # the grammar's tokens as messages name them, in the order of a message
    "NAME": "a field",
    "QUOTED_NAME": "a field",
    "OPERATOR": "`=`, `!=`, `<`, `<=`, `>`, `>=`",
    "TEXT": "a text in 'single quotes'",
    "NUMBER": "a number",
    "TRUE": "true",
    "FALSE": "false",
    "_IN": "`in`",
    "_BETWEEN": "`between`",
    "_LIKE": "`like`",
    "_CONTAINS": "`contains`",
    "_IS": "`is`",
    "_NULL": "`null`",
    "NOT": "`not`",
    "_AND": "`and`",
    "_OR": "`or`",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "COMMA": "a comma",
    "DOT": "a dot",
    "$END": "the end",
}
_INTEGER_DIGITS = 20  # of a 64-bit integer, with its sign; Python refuses very long numbers
_OPERATORS = {"==": Operator.EQUAL, "<>": Operator.UNEQUAL}


class _Value(Token):
    """A token that is a value, and knows its position in the filter."""

    @property
    def read(self) -> Value:
        """The value as Python has it.

        Raises:
            UsageError: a string is too long, or a number too large.
        """
        if self.type in {"TRUE", "FALSE"}:
            return self.type == "TRUE"
        if self.type == "TEXT":
            text = str(self)[1:-1].replace("''", "'")
            if len(text) > LONGEST_VALUE:
                raise _at(self, f"the text has more than {LONGEST_VALUE:,} characters")
            return text
        number = float(self.value)
        if not isfinite(number):
            raise _at(self, "the number is too large")
        is_whole = self.value.lstrip("-").isdigit() and len(self.value) <= _INTEGER_DIGITS
        return int(self.value) if is_whole else number


def _at(token: Token, reason: str) -> UsageError:
    return UsageError(f"column {(token.start_pos or 0) + 1} of the filter: {reason}", hint=_EXAMPLE)


@v_args(inline=True)
class _Reader(Transformer[Token, Filter]):
    """Builds a filter from its parsed parts, innermost first; methods have the rules' names."""

    def alternatives(self, *parts: Filter) -> Filter:
        return AnyOf(parts, _depth_of(parts))

    def together(self, *parts: Filter) -> Filter:
        return AllOf(parts, _depth_of(parts))

    def opposite(self, _: Token, part: Filter) -> Filter:
        return inverted(part)

    def field(self, *names: Token) -> FieldName:
        column = (names[0].start_pos or 0) + 1
        if len(names) > DEEPEST_NAME:
            raise _at(names[0], f"no field has more than {DEEPEST_NAME} names")
        return FieldName(tuple(map(_name, names)), column)

    def comparison(self, field: FieldName, operator: Token, value: Token) -> Condition:
        operator_ = _OPERATORS.get(operator) or Operator(operator)
        return Comparison(field, operator_, _read(value))

    def one_of(self, field: FieldName, not_: Token | None, *values: Token) -> Condition:
        read = tuple(map(_read, values))
        for token, value in zip(values, read, strict=True):
            if types_of(value) != types_of(read[0]):
                raise _at(token, f"{written(value)} is of another type than {written(read[0])}")
        return OneOf(field, read, negated=not_ is not None)

    def between(self, field: FieldName, not_: Token | None, low: Token, high: Token) -> Filter:
        ends = (
            Comparison(field, Operator.AT_LEAST, _read(low)),
            Comparison(field, Operator.AT_MOST, _read(high)),
        )
        inside = AllOf(ends, 1)
        return inside if not_ is None else inverted(inside)

    def like(self, field: FieldName, not_: Token | None, pattern: Token) -> Condition:
        return Like(field, str(_read(pattern)), negated=not_ is not None)

    def contains(self, field: FieldName, not_: Token | None, value: Token) -> Condition:
        return Contains(field, _read(value), negated=not_ is not None)

    def is_null(self, field: FieldName, not_: Token | None) -> Condition:
        return IsNull(field, negated=not_ is not None)


def _read(token: Token) -> Value:
    return _Value.new_borrow_pos(token.type, token.value, token).read


def _name(token: Token) -> str:
    name = str(token)
    return name[1:-1].replace('""', '"') if token.type == "QUOTED_NAME" else name


def _depth_of(parts: tuple[Filter, ...]) -> int:
    if sum(1 for part in parts for _ in conditions(part)) > MOST_CONDITIONS:
        raise UsageError(
            f"the filter has more than {MOST_CONDITIONS} conditions",
            hint="many values of one field: field in (value, value, ...)",
        )
    depth = 1 + max(part.depth if isinstance(part, AllOf | AnyOf) else 0 for part in parts)
    if depth > DEEPEST:
        raise UsageError(f"the filter is more than {DEEPEST} levels deep", hint=_EXAMPLE)
    return depth


@functools.cache
def _parser() -> Lark:
    # Subtle: with the transformer inside the parser, nested parentheses do not nest Python calls
    return Lark(_GRAMMAR, parser="lalr", maybe_placeholders=True, transformer=_Reader())


def parse_filter(text: str) -> Filter:
    """Parse a filter.

    Raises:
        UsageError: the string is not a filter, or is too long; the message has the column and what
            was expected there.
        TypeError: `text` is not a string.
    """
    text = require_string(text, "a filter")
    if not is_utf8(text) or "\0" in text:
        raise UsageError("the filter is not UTF-8, or has a NUL character")
    if not text.strip():
        raise UsageError("the filter is empty", hint=_EXAMPLE)
    if len(text) > LONGEST_FILTER:
        raise UsageError(f"the filter has more than {LONGEST_FILTER:,} characters")
    try:
        filter_: Filter = _parser().parse(text)  # type: ignore[assignment]  # what `_Reader` makes
    except UnexpectedInput as error:
        raise _refusal(error, text) from None
    return filter_


def _refusal(error: UnexpectedInput, text: str) -> UsageError:
    wanted: set[str] = set()
    place = error.pos_in_stream
    if isinstance(error, UnexpectedToken):
        wanted = error.accepts or error.expected
        place = None if error.token.type == "$END" else error.token.start_pos
    elif isinstance(error, UnexpectedCharacters):
        wanted = error.allowed or set()
    words = list(dict.fromkeys(word for name, word in _WORDS.items() if name in wanted))
    listed = f"{', '.join(words[:-1])} or {words[-1]}" if words[1:] else "".join(words)
    if place is None:
        reason, hint = f"expected {listed}, but it ends", _EXAMPLE
    else:
        found = re.split(r"\s", text[place : place + 20])[0]
        is_null = found.lower().startswith("null")
        reason, hint = f"expected {listed}, not {found}", _NULL if is_null else _QUOTES
    column = len(text) if place is None else place
    return UsageError(f"column {column + 1} of the filter: {reason}", hint=hint)
