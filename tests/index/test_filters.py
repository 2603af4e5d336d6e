"""Filters: the grammar, the refusals, and the rows, against an evaluator that knows no SQL."""

# ruff: noqa: ANN401  # trees of conditions, and what JSON holds

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskembed.errors import UsageError
from taskembed.index._segments._filter_patterns import matches
from taskembed.index._segments.fields_file import FieldsBuilder
from taskembed.index._segments.filter_rows import FieldTable
from taskembed.index.documents import StoredDocument
from taskembed.index.filtering.field_types import LONGEST_TEXT, MOST_ITEMS
from taskembed.index.filtering.filters import (
    AllOf,
    AnyOf,
    Comparison,
    Contains,
    FieldName,
    IsNull,
    Like,
    OneOf,
    Operator,
    require_fields,
)
from taskembed.index.filtering.grammar import parse_filter
from taskembed.index.stored_metadata import metadata_json

Metadata = Mapping[str, Any]


def table_of(documents: Sequence[Metadata]) -> FieldTable:
    texts = [metadata_json(document) for document in documents]
    database = sqlite3.connect(":memory:")
    FieldsBuilder(database).add(
        (row, StoredDocument(row, str(row), "", text, truncated=False))
        for row, text in enumerate(texts)
    )

    def metadata(rows: Sequence[int]) -> Iterator[tuple[int, Metadata]]:
        return ((row, orjson.loads(texts[row])) for row in rows)

    return FieldTable(database, len(documents), metadata)


def rows(documents: Sequence[Metadata], text: str) -> list[int]:
    table = table_of(documents)
    filter_ = parse_filter(text)
    require_fields(filter_, table.fields)
    flags = table.rows(filter_)
    assert len(flags) == len(documents)
    return [int(row) for row in flags.nonzero()[0]]


def refusal(text: str, documents: Sequence[Metadata] = ()) -> str:
    with pytest.raises(UsageError) as error:
        require_fields(parse_filter(text), table_of(documents).fields)
    return error.value.message


BOOKS: list[Metadata] = [
    {"year": 1843, "lang": "en", "tags": ["notes", "draft"], "author": {"name": "Ada"}},
    {"year": 1999, "lang": "de", "tags": [], "author": {"name": None}, "sold": True},
    {"year": 2020.5, "lang": "EN", "tags": ["draft", 7, True], "odd name": 1},
    {"year": None, "lang": "en_GB", "tags": "draft", "a.b": 2, "sold": False},
    {},
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("year >= 1999", [1, 2]),
        ("year = 1843", [0]),
        ("year == 1843.0", [0]),
        ("year != 1843", [1, 2]),
        ("year <> 1843", [1, 2]),
        ("not year = 1843", [1, 2]),
        ("year < 1999", [0]),
        ("year <= 1999 and lang = 'en'", [0]),
        ("year > 1e3 AND NOT lang = 'en'", [1, 2]),
        ("year between 1843 and 1999", [0, 1]),
        ("year not between 1843 and 1999", [2]),
        ("year is null", [3, 4]),
        ("year is not null", [0, 1, 2]),
        ("lang in ('en', 'de')", [0, 1]),
        ("lang not in ('en', 'de')", [2, 3]),
        ("lang > 'de'", [0, 3]),
        ("lang like 'en%'", [0, 3]),
        (r"lang like 'en\_%'", [3]),
        ("lang like '__'", [0, 1, 2]),
        ("lang not like '%n%'", [1, 2]),
        ("tags contains 'draft'", [0, 2]),
        ("tags contains 7", [2]),
        ("tags contains true", [2]),
        ("not tags contains 'draft'", [1]),
        ("tags not contains 'notes'", [1, 2]),
        ("tags = 'draft'", [3]),
        ("tags is null", [4]),
        ("author is null", [2, 3, 4]),
        ("author.name is not null", [0]),
        ("author.name = 'Ada'", [0]),
        ("sold = true", [1]),
        ("sold != true", [3]),
        ("sold in (true, false)", [1, 3]),
        ('"odd name" = 1', [2]),
        ('"a.b" = 2', [3]),
        ("lang = 'de' or year = 1843 and lang = 'en'", [0, 1]),
        ("(lang = 'de' or year = 1843) and lang = 'en'", [0]),
        ("not (lang = 'de' or year < 1900)", [2]),
        ("not not lang = 'de'", [1]),
        ("lang = 'it''s'", []),
        ("lang\n=\n'de'", [1]),
    ],
)
def test_the_rows_of_a_filter(text: str, expected: list[int]) -> None:
    assert rows(BOOKS, text) == expected


def test_numbers_beyond_64_bits_are_compared_as_floating_point() -> None:
    documents: list[Metadata] = [{"n": 2**63}, {"n": 2**63 - 1}, {"n": -(2**63)}, {"n": 1e300}]
    assert rows(documents, f"n >= {2**63}") == [0, 3]
    assert rows(documents, f"n < {2**63}") == [1, 2]
    assert rows(documents, f"n = {2**63 - 1}") == [1]
    assert rows(documents, "n > 99999999999999999999999999") == [3]


def test_what_is_too_long_for_the_table_is_looked_up() -> None:
    long = "x" * LONGEST_TEXT
    documents: list[Metadata] = [
        {"t": long + "y", "l": [*range(MOST_ITEMS), "z"]},
        {"t": long, "l": [*range(MOST_ITEMS + 1)]},
        {"t": "a\0b", "l": ["z"]},
        {"t": "a", "l": "z"},
    ]
    assert rows(documents, "t like '%y'") == [0]
    assert rows(documents, "t not like '%y'") == [1, 2, 3]
    assert rows(documents, "t like 'a%b'") == [2]
    assert rows(documents, "t = 'a'") == [3]
    assert rows(documents, "t > 'a'") == [0, 1, 2]
    assert rows(documents, "t > 'x'") == [0, 1]
    assert rows(documents, "l contains 'z'") == [0, 2]
    assert rows(documents, "not l contains 'z'") == [1]
    assert rows(documents, f"l contains {MOST_ITEMS}") == [1]
    assert rows(documents, "l contains true") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the filter is empty"),
        ("lang = \"en\"", "column 8 of the filter: expected a text in 'single quotes', a number, "
                          'true or false, not "en"'),
        ("year >", "column 7 of the filter: expected a text in 'single quotes', a number, true or "
                   "false, but it ends"),
        ("(year = 1", "column 10 of the filter: expected `)`, but it ends"),
        ("year = 1 lang", "column 10 of the filter: expected `and`, `or` or the end, not lang"),
        ("year is 3", "column 9 of the filter: expected `null` or `not`, not 3"),
        ("year in (1, 'a')", "column 13 of the filter: 'a' is of another type than 1"),
        ("year = 1e999", "column 8 of the filter: the number is too large"),
        ("a.b.c.d.e.f.g.h.i = 1", "column 1 of the filter: no field has more than 8 names"),
        ("lang = '" + "x" * 1001 + "'",
         "column 8 of the filter: the text has more than 1,000 characters"),
        ("x = 1 or " * 8000 + "x = 1", "the filter has more than 65,536 characters"),
        ("x = 1 or " * 200 + "x = 1", "the filter has more than 200 conditions"),
        ("(a = 1 or (a = 1 and " * 26 + "a = 1" + "))" * 26,
         "the filter is more than 50 levels deep"),
        ("a = '\ud800'", "the filter is not UTF-8, or has a NUL character"),
        ("a = '\0'", "the filter is not UTF-8, or has a NUL character"),
    ],
)  # fmt: skip
def test_what_is_no_filter_is_refused_with_its_column(text: str, message: str) -> None:
    assert refusal(text) == message


def test_any_number_of_parentheses_and_nots_is_read() -> None:
    condition = Comparison(FieldName(("a",), 5_001), Operator.EQUAL, 1)
    assert parse_filter("(" * 5_000 + "a = 1" + ")" * 5_000) == condition
    assert parse_filter("not " * 5_000 + "a = 1").negated is False  # type: ignore[union-attr]  # one condition


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("yaer >= 2020", "column 1 of the filter: there is no field `yaer`; the fields are: year "
         "(integer or number), \"a.b\" (integer), \"odd name\" (integer), author (object), "
         "author.name (text), lang (text), sold (boolean), tags (list of boolean or list of "
         "integer or list of text or text)"),
        ("year >= '2020'",
         "column 1 of the filter: `year` is integer or number; '2020' is a text"),
        ("lang = 'en' and lang = 3", "column 17 of the filter: `lang` is text; 3 is a number"),
        ("lang = true", "column 1 of the filter: `lang` is text; true is a boolean"),
        ("sold > false", "column 1 of the filter: `sold` is boolean; true and false have no order"),
        ("year like '2%'",
         "column 1 of the filter: `year` is integer or number; `like` is for text"),
        ("lang contains 'e'", "column 1 of the filter: `lang` is text; `contains` is for lists: "
         "write like '%e%'"),
        ("tags contains 1.5 and year contains 1", "column 23 of the filter: `year` is integer or "
         "number; `contains` is for lists"),
        ("author = 'Ada'", "column 1 of the filter: `author` is object; 'Ada' is a text"),
    ],
)  # fmt: skip
def test_a_field_or_a_type_that_there_is_not_is_refused(text: str, message: str) -> None:
    assert refusal(text, BOOKS) == message


def test_a_list_is_compared_by_what_is_in_it() -> None:
    assert refusal("l = 'a'", [{"l": ["a"]}]) == (
        "column 1 of the filter: `l` is list of text; write l contains 'a'"
    )
    assert refusal("l contains 3", [{"l": ["a"]}]) == (
        "column 1 of the filter: `l` is list of text; 3 is a number"
    )
    assert rows([{"l": []}], "l contains 'a'") == []


def test_documents_without_metadata_have_no_fields() -> None:
    assert refusal("a = 1", [{}]) == (
        "column 1 of the filter: there is no field `a`; the documents have no metadata"
    )


# --- against an evaluator that knows nothing of SQL: three values, and the text of the filter ---

NAMES = ["a", "b", "c d", "n"]
TEXT = st.text(alphabet="ab%_*?[]\\'\0é", max_size=4)
SCALAR = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([-1.5, 0.0, 2.0, 2**63, 2**64 - 1, -(2**63)]),
    st.booleans(),
    TEXT,
    st.none(),
)
VALUE = st.recursive(
    st.one_of(SCALAR, st.lists(SCALAR, max_size=3)),
    lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=4,
)
DOCUMENTS = st.lists(st.dictionaries(st.sampled_from(NAMES), VALUE, max_size=4), max_size=6)
LITERAL = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([-1.5, 2.0, 2**63, 2**64 - 1, -(2**63)]),
    st.booleans(),
    TEXT.filter(lambda text: "\0" not in text),
)
PATH = st.lists(st.sampled_from(NAMES), min_size=1, max_size=2).map(tuple)
OPERATORS = ["=", "!=", "<", "<=", ">", ">="]


def quoted(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


def column(path: Sequence[str]) -> str:
    return ".".join(f'"{name}"' if " " in name else name for name in path)


LEAF = st.one_of(
    st.tuples(st.just("compare"), PATH, st.sampled_from(OPERATORS), LITERAL),
    st.tuples(st.just("in"), PATH, st.lists(st.integers(-3, 3), min_size=1, max_size=3)),
    st.tuples(st.just("in"), PATH, st.lists(st.sampled_from(["a", "b", "%"]), min_size=1)),
    st.tuples(st.just("between"), PATH, st.integers(-3, 3), st.integers(-3, 3)),
    st.tuples(st.just("like"), PATH, TEXT.filter(lambda text: "\0" not in text)),
    st.tuples(st.just("contains"), PATH, LITERAL),
    st.tuples(st.just("null"), PATH),
)
TREE = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.tuples(st.sampled_from(["and", "or"]), inner, inner),
    ),
    max_leaves=5,
)


def written(tree: Any) -> str:  # noqa: PLR0911  # a case each
    match tree:
        case ("not", inner):
            return f"not ({written(inner)})"
        case ("and" | "or" as word, left, right):
            return f"({written(left)}) {word} ({written(right)})"
        case ("compare", path, operator, value):
            return f"{column(path)} {operator} {quoted(value)}"
        case ("in", path, values):
            return f"{column(path)} in ({', '.join(map(quoted, values))})"
        case ("between", path, low, high):
            return f"{column(path)} between {low} and {high}"
        case ("like" | "contains" as word, path, value):
            return f"{column(path)} {word} {quoted(value)}"
    return f"{column(tree[1])} is null"


def at(document: Metadata, path: Sequence[str]) -> Any:
    value: Any = document
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def kind(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    return {int: "number", float: "number"}.get(type(value), type(value).__name__)


def number(value: Any) -> Any:
    return float(value) if kind(value) == "number" and abs(value) >= 2**63 else value


def compare(value: Any, operator: str, wanted: Any) -> bool | None:
    if kind(value) != kind(wanted):
        return None
    value, wanted = number(value), number(wanted)
    answers: dict[str, bool] = {
        "=": value == wanted,
        "!=": value != wanted,
        "<": value < wanted,
        "<=": value <= wanted,
        ">": value > wanted,
        ">=": value >= wanted,
    }
    return answers[operator]


def regex_of(pattern: str) -> str:
    known = {"%": ".*", "_": "."}
    pieces = re.findall(r"\\(.)|(.)", pattern, re.DOTALL)
    return "".join(re.escape(a) if a else known.get(b, re.escape(b)) for a, b in pieces)


def truth(document: Metadata, tree: Any) -> bool | None:  # noqa: C901, PLR0911  # a case each
    match tree:
        case ("not", inner):
            inside = truth(document, inner)
            return None if inside is None else not inside
        case ("and" | "or" as word, left, right):
            both = [truth(document, left), truth(document, right)]
            decides = bool(word == "or")
            if decides in both:
                return decides
            return None if None in both else not decides
        case ("compare", path, operator, wanted):
            return compare(at(document, path), operator, wanted)
        case ("in", path, values):
            each = [compare(at(document, path), "=", value) for value in values]
            return None if None in each else any(each)
        case ("between", path, low, high):
            value = at(document, path)
            return None if kind(value) != "number" else bool(low <= number(value) <= high)
        case ("like", path, pattern):
            value = at(document, path)
            if not isinstance(value, str):
                return None
            return re.fullmatch(regex_of(pattern), value, re.DOTALL) is not None
        case ("contains", path, wanted):
            items = at(document, path)
            if not isinstance(items, list):
                return None
            return any(compare(item, "=", wanted) is True for item in items)
    return bool(at(document, tree[1]) is None)


@settings(max_examples=40, deadline=None)
@given(DOCUMENTS, TREE)
def test_a_filter_is_true_of_the_rows_that_it_says(documents: list[Metadata], tree: Any) -> None:
    table = table_of(documents)
    found = table.rows(parse_filter(written(tree)))
    assert found.tolist() == [truth(document, tree) is True for document in documents]


@given(TEXT, st.text(alphabet="ab%_*\\", max_size=6))
def test_a_pattern_is_of_the_texts_that_sqlite_says(text: str, pattern: str) -> None:
    expected = re.fullmatch(regex_of(pattern), text, re.DOTALL) is not None
    assert matches(pattern, text) is expected


def test_a_hostile_pattern_takes_no_time() -> None:
    assert matches("%a" * 400 + "b", "a" * 50_000) is False


@pytest.mark.parametrize(
    ("field", "row", "value"), [(0, 2, 1), (0, -1, 1), (0, "x", 1), (0, "1,,", 1), (0, "", 1)]
)
def test_a_row_that_cannot_be_is_found(field: int, row: object, value: object) -> None:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE fields (field, name, type)")
    database.execute("CREATE TABLE scalars (field, row, value)")
    database.execute("INSERT INTO fields VALUES (0, 'a', 'integer')")
    database.execute("INSERT INTO scalars VALUES (?, ?, ?)", (field, row, value))
    table = FieldTable(database, 2, lambda _: [])
    with pytest.raises(ValueError, match=r"a row is not a number|there is no such row"):
        table.rows(parse_filter("a = 1"))


def test_the_parts_of_a_filter() -> None:
    field = FieldName(("a",), 1)
    assert parse_filter("a in (1) or a like 'x' or a is null or a contains 1 or a < 3") == AnyOf(
        (
            OneOf(field, (1,)),
            Like(FieldName(("a",), 13), "x"),
            IsNull(FieldName(("a",), 27)),
            Contains(FieldName(("a",), 40), 1),
            Comparison(FieldName(("a",), 56), Operator.LESS, 3),
        ),
        1,
    )
    assert parse_filter("not (a = 1 or b = 2)") == AllOf(
        (
            Comparison(FieldName(("a",), 6), Operator.EQUAL, 1, negated=True),
            Comparison(FieldName(("b",), 15), Operator.EQUAL, 2, negated=True),
        ),
        1,
    )
