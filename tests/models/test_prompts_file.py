"""What a user says of a model beside its name: an instruction, a family, a file of prompts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from taskembed.errors import ModelUnavailableError, NotFoundError, UsageError
from taskembed.models.catalogue import find_reranker, identify, parse_catalogue
from taskembed.models.prompts_file import read_prompts_file
from taskembed.models.resolve import ModelSpec, PromptOverrides
from taskembed.models.resolve import resolve as resolve_identified
from taskembed.space import PromptType, Task

QWEN3 = "Qwen/Qwen3-Embedding-0.6B"
QUERY, DOCUMENT = PromptType.QUERY, PromptType.DOCUMENT


def resolve(model: str, task: Task, stated: PromptOverrides | None = None) -> ModelSpec:
    return resolve_identified(identify(model), task, stated)


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_instruction_goes_before_queries_only() -> None:
    spec = resolve(QWEN3, Task.RETRIEVAL, PromptOverrides(instruction="Find the answer"))
    assert (spec.prompt(QUERY), spec.prompt(DOCUMENT)) == (
        "Instruct: Find the answer\nQuery:",
        "",
    )
    assert spec.sides[QUERY].source == "--instruction"


def test_an_instruction_goes_before_both_sides_of_a_symmetric_task() -> None:
    spec = resolve(QWEN3, Task.CLUSTERING, PromptOverrides(instruction="Group these"))
    assert spec.prompt(QUERY) == spec.prompt(DOCUMENT) == "Instruct: Group these\nQuery:"


def test_an_instruction_leaves_a_stated_document_prompt() -> None:
    stated = PromptOverrides(instruction="Find", document_prompt="d: ")
    spec = resolve("intfloat/multilingual-e5-large-instruct", Task.RETRIEVAL, stated)
    assert (spec.prompt(QUERY), spec.prompt(DOCUMENT)) == ("Instruct: Find\nQuery: ", "d: ")


def test_an_instruction_makes_a_task_possible_that_the_authors_gave_none_for() -> None:
    model = "intfloat/multilingual-e5-large-instruct"
    with pytest.raises(ModelUnavailableError):
        resolve(model, Task.CODE)
    spec = resolve(model, Task.CODE, PromptOverrides(instruction="Find the function"))
    assert (spec.prompt(QUERY), spec.prompt(DOCUMENT)) == (
        "Instruct: Find the function\nQuery: ",
        "",
    )


def test_a_model_that_takes_no_instruction_refuses_one() -> None:
    with pytest.raises(UsageError) as refusal:
        resolve("intfloat/e5-small-v2", Task.RETRIEVAL, PromptOverrides(instruction="Find"))
    assert refusal.value.message == (
        "intfloat/e5-small-v2 takes no instruction: its family has no template for one"
    )
    assert refusal.value.hint == "--query-prompt TEXT states a whole prompt"


@pytest.mark.parametrize(
    ("task", "stated"),
    [
        (Task.RETRIEVAL, PromptOverrides(instruction="x", query_prompt="y")),
        (Task.CLUSTERING, PromptOverrides(instruction="x", document_prompt="y")),
    ],
)
def test_an_instruction_and_a_prompt_for_one_side_exclude_each_other(
    task: Task, stated: PromptOverrides
) -> None:
    with pytest.raises(UsageError) as refusal:
        resolve(QWEN3, task, stated)
    assert refusal.value.message == (
        "--instruction and a stated prompt for the same side exclude each other"
    )


@pytest.mark.parametrize("family", ["instructor", "hkunlp/instructor-large"])
def test_a_folder_can_be_said_to_be_of_a_family(family: str) -> None:
    spec = resolve("/models/mine", Task.SIMILARITY, PromptOverrides(family=family))
    assert spec.prompt(QUERY) == "Represent the statement:"
    assert (spec.model, spec.prompt_in_pooling) == ("/models/mine", False)


def test_an_unknown_family_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(UsageError) as refusal:
        resolve("/models/mine", Task.SIMILARITY, PromptOverrides(family="e6"))
    assert refusal.value.message == "'e6' is not a known family"
    assert refusal.value.hint is not None
    assert refusal.value.hint.startswith("one of: minilm, all-minilm, all-mpnet, ")
    assert "cohere" not in refusal.value.hint


# A file of prompts.


def test_a_file_says_prompts_by_task_in_the_words_of_models_toml(tmp_path: Path) -> None:
    prompts = read_prompts_file(
        file(
            tmp_path,
            """
            suffix = "<end>"
            template = "Do: {instruction}; "
            truncation = "slice"
            truncated_dims = [64, 128]
            [tasks]
            retrieval = { query_instruction = "search", document = "doc: " }
            clustering = { both = "topic: " }
            """,
        )
    )
    stated = PromptOverrides(prompts=prompts)
    spec = resolve("mine", Task.RETRIEVAL, stated)
    assert (spec.prompt(QUERY), spec.prompt(DOCUMENT)) == ("Do: search; ", "doc: ")
    assert (spec.suffix, spec.truncation, spec.truncated_dims) == ("<end>", "slice", (64, 128))
    assert spec.sides[QUERY].source == str(tmp_path / "mine.toml")
    assert resolve("mine", Task.CLUSTERING, stated).prompt(DOCUMENT) == "topic: "
    with pytest.raises(ModelUnavailableError):
        resolve("mine", Task.SIMILARITY, stated)


def test_a_file_changes_only_what_it_says_of_a_known_model(tmp_path: Path) -> None:
    prompts = read_prompts_file(file(tmp_path, 'tasks.clustering = { both = "topic: " }'))
    stated = PromptOverrides(prompts=prompts)
    model = "intfloat/e5-small-v2"
    assert resolve(model, Task.CLUSTERING, stated).prompt(QUERY) == "topic: "
    spec = resolve(model, Task.RETRIEVAL, stated)
    assert spec.prompt(QUERY) == "query: "
    assert spec.sides[QUERY].source == 'models.toml, family "e5"'


def test_an_adapter_in_a_file_is_beside_the_file_or_somewhere_else(tmp_path: Path) -> None:
    (tmp_path / "lora").mkdir()
    prompts = read_prompts_file(
        file(tmp_path, 'adapters = { retrieval = "lora", code = "someone/code-lora" }')
    )
    stated = PromptOverrides(prompts=prompts, query_prompt="", document_prompt="")
    spec = resolve("mine", Task.RETRIEVAL, stated)
    assert spec.adapter(QUERY) == spec.adapter(DOCUMENT) == str(tmp_path / "lora")
    assert resolve("mine", Task.CODE, stated).adapter(QUERY) == "someone/code-lora"
    assert (
        resolve("mine", Task.CLUSTERING, PromptOverrides(prompts=prompts, query_prompt="")).adapter(
            QUERY
        )
        == ""
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "models = 3",
            (
                'unknown key "models"; the keys are suffix, truncation, '
                "truncated_dims, prompt_in_pooling, end_token, template, metric, "
                "tasks, adapters"
            ),
        ),
        ("suffix = 3", '"suffix" is not a string: 3'),
        (
            'truncation = "half"',
            ("\"truncation\" is none of 'none', 'slice', 'layer-norm' or 'projection': 'half'"),
        ),
        ("truncated_dims = [8]", '"truncated_dims" needs a "truncation"'),
        ('template = "x"', "\"template\" has no {instruction}: 'x'"),
        (
            "tasks.search = {}",
            (
                "tasks: unknown key \"search\"; the keys are 'retrieval', 'similarity', "
                "'classification', 'clustering' or 'code'"
            ),
        ),
        ('tasks.code = { query = "x" }', 'task "code": no key sets document_prompt'),
        (
            'tasks.clustering = { query = "x" }',
            (
                'task "clustering": unknown key "query"; the keys are both, '
                "both_instruction, both_adapter"
            ),
        ),
        (
            'tasks.code = { query_instruction = "x", document = "" }',
            'task "code": "query_instruction" needs a "template" of the family',
        ),
        ("adapters.code = 1", 'adapters: "code" is not a string: 1'),
        ("a = ", "Invalid value (at end of document)"),
    ],
)
def test_a_mistake_in_a_file_is_named(text: str, reason: str, tmp_path: Path) -> None:
    path = file(tmp_path, text)
    with pytest.raises(UsageError) as refusal:
        read_prompts_file(path)
    assert refusal.value.message == f"{path}: {reason}"
    assert refusal.value.hint == "docs/models.md shows such a file"


def test_a_file_that_is_not_there_or_not_utf_8(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="No such file or directory"):
        read_prompts_file(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'suffix = "\xe9"')
    with pytest.raises(UsageError, match="it is not UTF-8"):
        read_prompts_file(tmp_path / "latin.toml")


# Rerankers.

RERANKER = """
family = []
[[reranker]]
name = "r"
source = "https://example.org/r"
licence = "MIT"
models = ["a/r"]
"""


def test_a_reranker_is_found_by_exactly_its_id() -> None:
    assert find_reranker("zeroentropy/ZERANK-2").temperature == 5
    assert find_reranker("zeroentropy/zerank").temperature == 1
    assert find_reranker("/a/folder").name == ""


def test_a_small_reranker_has_the_defaults() -> None:
    (reranker,) = parse_catalogue(RERANKER).rerankers
    assert (reranker.temperature, reranker.instruction, reranker.answers) == (1.0, "", ())
    assert (reranker.commercial, reranker.max_length, reranker.before) == (True, 0, "")
    (warmer,) = parse_catalogue(RERANKER + "temperature = 5").rerankers
    assert (warmer.temperature, type(warmer.temperature)) == (5.0, float)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("temperature = 0.0", 'reranker "r": "temperature" must be more than 0: 0.0'),
        ("max_length = -1", 'reranker "r": "max_length" must be at least 0: -1'),
        ('before = "x"', 'reranker "r": "before", "between" and "after" must be used together'),
        (
            'instruction = "x"',
            ('reranker "r": "instruction" and its placeholder {instruction} must be used together'),
        ),
        ('answers = ["yes"]', 'reranker "r": "answers" and "before" must be used together'),
        (
            "dim = 3",
            (
                'reranker "r": unknown key "dim"; the keys are name, source, licence, '
                "models, commercial, max_length, temperature, instruction, before, "
                "between, after, answers, note"
            ),
        ),
    ],
)
def test_a_mistake_in_a_reranker_is_named(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_catalogue(RERANKER + line)


def test_a_reranker_cannot_be_there_twice() -> None:
    twice = RERANKER + RERANKER.replace("family = []", "").replace('"r"', '"s"')
    with pytest.raises(ValueError, match=r'"a/r" is the id of a reranker twice'):
        parse_catalogue(twice)
