from __future__ import annotations

from dataclasses import fields, replace

import pytest

from taskembed.space import EmbeddingSpace, FieldDifference, PromptType, Task
from tests.fakes import SPACE


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("retrieval", Task.RETRIEVAL),
        ("similarity", Task.SIMILARITY),
        ("sts", Task.SIMILARITY),
        ("STS", Task.SIMILARITY),
        ("text-matching", Task.SIMILARITY),
        ("classification", Task.CLASSIFICATION),
        ("clustering", Task.CLUSTERING),
        ("separation", Task.CLUSTERING),
        ("code", Task.CODE),
    ],
)
def test_a_task_has_the_names_that_the_field_has_for_it(name: str, task: Task) -> None:
    assert Task(name) is task


def test_another_name_is_no_task() -> None:
    with pytest.raises(ValueError, match=r"^'search' is not a task; the tasks are retrieval, "):
        Task("search")


def test_a_space_has_a_prompt_for_either_side() -> None:
    assert SPACE.prompt(PromptType.QUERY) == "query: "
    assert SPACE.prompt(PromptType.DOCUMENT) == "passage: "


OTHER: dict[str, object] = {
    "model": "other",
    "revision": "abc",
    "weights_digest": "1" * 64,
    "query_adapter": "retrieval",
    "document_adapter": "retrieval",
    "adapter_digest": "2" * 64,
    "task": Task.CODE,
    "query_prompt": "query:",
    "document_prompt": "passage:",
    "suffix": "\n",
    "pooling": "cls",
    "max_length": 33,
    "dim": 17,
    "truncation": "slice",
    "normalize": False,
    "metric": "dot",
    "template": "{text}",
}


def test_every_field_counts() -> None:
    assert {field.name for field in fields(EmbeddingSpace)} == set(OTHER)
    for name, value in OTHER.items():
        differences = SPACE.differences(replace(SPACE, **{name: value}))  # type: ignore[arg-type]  # a field each
        expected = (
            []
            if name in {"model", "revision"}
            else [FieldDifference(name, getattr(SPACE, name), value)]
        )
        assert differences == expected, name


def test_a_renamed_model_with_the_same_weights_is_the_same_space() -> None:
    assert SPACE.differences(replace(SPACE, model="mirror/hash", revision="f00")) == []


def test_with_other_weights_the_name_is_told_too() -> None:
    other = replace(SPACE, model="other", weights_digest="1" * 64)
    assert [item.field for item in SPACE.differences(other)] == ["model", "weights_digest"]


def test_a_space_comes_back_from_json() -> None:
    value = SPACE.to_json()
    assert value["task"] == "retrieval"
    assert EmbeddingSpace.from_json(value) == SPACE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": "16"}, "dim of an embedding space is not a int"),
        ({"normalize": 1}, "normalize of an embedding space is not a bool"),
        ({"task": "search"}, "'search' is not a task"),
        ({"metric": "manhattan"}, "metric of an embedding space is not known: 'manhattan'"),
        ({"metric": "dot"}, "metric of an embedding space is not known: 'dot'"),
        ({"extra": 1}, "an embedding space without its exact fields: extra"),
    ],
)
def test_what_is_not_a_space_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EmbeddingSpace.from_json({**SPACE.to_json(), **change})
    with pytest.raises(ValueError, match="an embedding space is a JSON object"):
        EmbeddingSpace.from_json([])
