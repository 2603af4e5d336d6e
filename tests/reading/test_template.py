from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskembed.errors import UsageError
from taskembed.reading.template import DEFAULT_TEMPLATE, Template


def refusal(spelling: str, record: dict[str, object]) -> str:
    with pytest.raises(ValueError, match="field") as caught:
        Template.parse(spelling).render(record)
    return str(caught.value)


def test_a_title_stands_before_the_text() -> None:
    assert DEFAULT_TEMPLATE.render({"title": "A", "text": "b"}) == "A b"


@pytest.mark.parametrize("record", [{"text": "b"}, {"text": "b", "title": None}])
def test_an_optional_field_may_be_missing_or_null(record: dict[str, object]) -> None:
    assert DEFAULT_TEMPLATE.render(record) == "b"


def test_white_space_is_stripped_at_the_ends_only() -> None:
    assert Template.parse(" {text} ").render({"text": "\n a  b\t"}) == "a  b"


def test_what_stands_between_the_fields_stays() -> None:
    assert Template.parse("[{a}] {b}!").render({"a": "x", "b": "y"}) == "[x] y!"


def test_a_field_may_stand_twice() -> None:
    assert Template.parse("{a}{a}").render({"a": "x"}) == "xx"


@pytest.mark.parametrize(
    ("value", "text"), [(3, "3"), (-2.5, "-2.5"), (True, "true"), (False, "false"), ("", "")]
)
def test_numbers_and_truth_are_written_as_json_writes_them(value: object, text: str) -> None:
    assert Template.parse("<{a}>").render({"a": value}) == f"<{text}>"


def test_a_missing_field_is_named_with_those_that_there_are() -> None:
    assert refusal("{a}", {"b": 1, "c": 2}) == 'there is no field "a"; the fields are: b, c'
    assert refusal("{a}", {}) == 'there is no field "a"; the fields are: none'


def test_only_eight_fields_are_named_and_long_names_are_cut() -> None:
    assert refusal("{a}", {f"f{number}": 1 for number in range(1010)}) == (
        'there is no field "a"; the fields are: f0, f1, f2, f3, f4, f5, f6, f7 and 1,002 more'
    )
    assert refusal("{a}", {"k" * 100_000: 1}) == (
        f'there is no field "a"; the fields are: {"k" * 40}...'
    )


def test_a_required_field_is_not_null() -> None:
    assert refusal("{a}", {"a": None}) == 'the field "a" is null'


@pytest.mark.parametrize(
    ("value", "kind"), [(["x"], "a list"), ({"x": 1}, "an object"), (b"x", "bytes")]
)
@pytest.mark.parametrize("spelling", ["{a}", "{a?}"])
def test_a_list_or_an_object_is_no_text(spelling: str, value: object, kind: str) -> None:
    assert refusal(spelling, {"a": value}) == f'the field "a" is not a text but {kind}'


def test_a_template_reaches_nothing_but_fields() -> None:
    template = Template.parse("{text} {text.__class__?} {0?} {")
    assert template.render({"text": "x"}) == "x   {"


def test_text_that_looks_like_a_field_is_not_filled_in_again() -> None:
    assert Template.parse("{a} {b}").render({"a": "{b}", "b": "{a}"}) == "{b} {a}"


@pytest.mark.parametrize("spelling", ["", "no field", "{}", "{?}", "{text", "{text??}"])
def test_a_template_without_a_field_is_refused(spelling: str) -> None:
    with pytest.raises(UsageError) as caught:
        Template.parse(spelling)
    assert caught.value.message == f"the template {spelling!r} has no field"
    assert caught.value.hint == "for example '{title}. {text}'"


def test_its_text_is_its_spelling_and_equal_spellings_are_equal() -> None:
    spelling = "{title?}\n{text}"
    assert str(Template.parse(spelling)) == spelling
    assert Template.parse(spelling) == Template(spelling)
    assert hash(Template.parse(spelling)) == hash(Template(spelling))
    assert Template(spelling) != DEFAULT_TEMPLATE
    assert repr(Template("{a}")) == "Template(spelling='{a}')"


def test_its_fields_are_named_in_order() -> None:
    assert Template.parse("{b} {a?} {c}").fields == ["b", "a", "c"]


@given(st.dictionaries(st.sampled_from(["title", "text", "other"]), st.text()))
def test_every_record_of_texts_is_rendered_or_lacks_the_text(record: dict[str, object]) -> None:
    if "text" in record:
        expected = f"{record.get('title', '')} {record['text']}".strip()
        assert DEFAULT_TEMPLATE.render(record) == expected
    else:
        assert refusal("{title?} {text}", record).startswith('there is no field "text"; ')
