from __future__ import annotations

from dataclasses import fields, replace

import pytest

from taskembed.space import EmbeddingSpace, FieldDifference, HostedModel, PromptType, Task
from tests.early_spaces import HOSTED as VERSION_1
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
    assert {field.name for field in fields(EmbeddingSpace)} == {*OTHER, "hosted"}
    for name, value in OTHER.items():
        differences = SPACE.differences(replace(SPACE, **{name: value}))  # type: ignore[arg-type]  # a field each
        expected = (
            []
            if name in {"model", "revision"}
            else [FieldDifference(name, getattr(SPACE, name), value)]
        )
        assert differences == expected, name


HOSTED = HostedModel("cohere", "embed-v4.0", "input_type", "search_query", "search_document")
AT_COHERE = replace(SPACE, model="embed-v4.0", weights_digest="", pooling="server", hosted=HOSTED)


def test_every_field_of_a_hosted_model_counts() -> None:
    other = HostedModel("openai", "embed", "task", "query", "passage")
    for field in fields(HostedModel):
        ours, theirs = getattr(HOSTED, field.name), getattr(other, field.name)
        changed = replace(AT_COHERE, hosted=replace(HOSTED, **{field.name: theirs}))
        assert AT_COHERE.differences(changed) == [FieldDifference(field.name, ours, theirs)]


def test_a_model_of_this_machine_is_none_behind_a_server() -> None:
    here = replace(AT_COHERE, hosted=None)
    assert [(item.field, item.theirs) for item in AT_COHERE.differences(here)] == [
        ("server", ""),
        ("server_model", ""),
        ("parameter", ""),
        ("query_value", ""),
        ("document_value", ""),
    ]
    assert not AT_COHERE.has_weights_of(here)


def test_a_hosted_model_of_another_name_here_is_the_same() -> None:
    assert AT_COHERE.differences(replace(AT_COHERE, model="mine", revision="f00")) == []


def test_a_request_says_which_side_a_text_is_of() -> None:
    assert AT_COHERE.request("query") == "input_type=search_query"
    assert AT_COHERE.request("document") == "input_type=search_document"
    assert SPACE.request("query") == ""
    assert HostedModel("own", "mine").fields_of_request(PromptType.QUERY) == {}


def test_in_a_swapped_space_queries_are_encoded_as_documents() -> None:
    swapped = AT_COHERE.swapped()
    assert swapped.request("query") == "input_type=search_document"
    assert (swapped.prompt("query"), swapped.prompt("document")) == ("passage: ", "query: ")
    assert swapped.swapped() == AT_COHERE


def test_a_hosted_space_comes_back_from_json() -> None:
    value = AT_COHERE.to_json()
    assert value["hosted"]["server"] == "cohere"
    assert EmbeddingSpace.from_json(value) == AT_COHERE
    assert "hosted" not in SPACE.to_json()


def test_a_hosted_space_of_an_early_version_is_read() -> None:
    space = EmbeddingSpace.from_json(VERSION_1)
    assert space.hosted == HOSTED
    assert (space.weights_digest, space.query_adapter, space.document_adapter) == ("", "", "")
    assert (space.model, space.dim, space.max_length) == ("embed-v4.0", 1536, 128_000)


def test_an_early_space_of_a_server_of_one_s_own_is_read() -> None:
    early = VERSION_1 | {
        "model": "intfloat/e5-small-v2",
        "weights_digest": "hosted:own/org/E5 small",
        "query_adapter": "",
        "document_adapter": "",
        "query_prompt": "query: ",
    }
    space = EmbeddingSpace.from_json(early)
    assert space.hosted == HostedModel("own", "org/E5 small")
    assert (space.model, space.query_prompt) == ("intfloat/e5-small-v2", "query: ")


@pytest.mark.parametrize(
    ("hosted", "message"),
    [
        ("cohere", "hosted of an embedding space is not a JSON object"),
        ({"server": "cohere"}, "hosted of an embedding space has missing or unknown fields: "),
        (
            {
                "server": 1,
                "server_model": "m",
                "parameter": "",
                "query_value": "",
                "document_value": "",
            },
            "server of hosted of an embedding space is not a str",
        ),
    ],
)
def test_what_is_no_hosted_model_is_refused(hosted: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        EmbeddingSpace.from_json({**SPACE.to_json(), "hosted": hosted})


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
        ({"extra": 1}, "an embedding space has missing or unknown fields: extra"),
    ],
)
def test_what_is_not_a_space_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EmbeddingSpace.from_json({**SPACE.to_json(), **change})
    with pytest.raises(ValueError, match="an embedding space is a JSON object"):
        EmbeddingSpace.from_json([])
