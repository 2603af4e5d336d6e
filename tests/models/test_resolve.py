"""Every prompt of every model, written here a second time by hand, and every refusal's exact words.

Nothing here is derived from models.toml: such a case would agree with its mistakes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

import taskembed
from taskembed.encoding.vendors import OWN, SERVERS
from taskembed.errors import ModelUnavailableError, UsageError
from taskembed.models.catalogue import Family, families, identify, parse_catalogue
from taskembed.models.folder import SavedPrompts
from taskembed.models.resolve import ModelSpec, PromptOverrides
from taskembed.models.resolve import resolve as resolve_stated
from taskembed.models.sides import Side, Sides
from taskembed.space import PromptType, Task
from tests.known_models import KNOWN, TASKS, Known, KnownTask

OWN_PROMPTS = "give --query-prompt TEXT --document-prompt TEXT ('' means none)"


def family_of(name: str) -> Family:
    return {family.name: family for family in families()}[name]


def resolve(
    model: str, task: Task, *, saved_prompts: Mapping[str, str] | None = None, **stated: str
) -> ModelSpec:
    saved = SavedPrompts(saved_prompts or {})
    return resolve_stated(identify(model), task, PromptOverrides(**stated), saved=saved)  # type: ignore[arg-type]  # texts


def prompts_of(spec: ModelSpec) -> tuple[str, str]:
    return spec.prompt(PromptType.QUERY), spec.prompt(PromptType.DOCUMENT)


def sources_of(spec: ModelSpec) -> tuple[str, str]:
    return spec.sides[PromptType.QUERY].source, spec.sides[PromptType.DOCUMENT].source


def strings_of(sides: Sides) -> tuple[str, ...]:
    """Return the prompts, the adapters and the values, each of queries and then of documents."""
    query, document = sides[PromptType.QUERY], sides[PromptType.DOCUMENT]
    return (
        *(query.prompt, document.prompt),
        *(query.adapter, document.adapter),
        *(query.value, document.value),
    )


# What models.toml says.


@pytest.mark.parametrize("known", TASKS, ids=lambda known: f"{known.family}-{known.task.value}")
def test_every_string_of_a_task_is_what_its_source_says(known: KnownTask) -> None:
    assert strings_of(family_of(known.family).tasks[known.task]) == (
        *(known.query, known.document),
        *known.adapters,
        *known.values,
    )


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_every_family_is_what_its_source_says(known: Known) -> None:
    family = family_of(known.name)

    assert family.models == known.models
    assert set(family.tasks) == {task.task for task in known.tasks}
    found = {name: getattr(family, name) for name in known.facts}
    assert {**found, "truncated_dims": list(family.truncated_dims)} == known.facts


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_every_name_of_a_model_finds_it(known: Known) -> None:
    names = {model: model for model in known.models} | known.facts["aliases"]
    task = known.tasks[0].task

    for name, model in names.items():
        for asked in (name, name.upper(), name.lower()):
            assert (resolve(asked, task).family, resolve(asked, task).model) == (known.name, model)


def test_no_family_goes_untested() -> None:
    assert [known.name for known in KNOWN] == [family.name for family in families()]


@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_every_family_has_a_source_a_licence_and_a_task(family: Family) -> None:
    assert family.source.startswith("https://")
    assert family.licence
    assert family.tasks


def test_no_code_asks_for_a_model_by_its_name() -> None:
    """So that a model is added as data alone. The bundled one is the default, by its name."""
    names = {name for family in families() for name in (family.name, *family.models)}
    names -= {"minilm", *SERVERS}
    package = Path(taskembed.__file__).parent
    asked = {
        (path.name, node.value)
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in names
    }
    assert asked == set()


def test_hosted_models_are_behind_servers_that_are_known() -> None:
    assert {family.server for family in families() if family.hosted} == SERVERS.keys() - {OWN}


# Finding a model.


@pytest.mark.parametrize(
    ("asked", "family"),
    [
        ("INTFLOAT/E5-Small-V2", "e5"),
        ("MiniLM", "minilm"),
        ("qwen/qwen3-embedding-0.6b", "qwen3-embedding"),
        ("zeroentropy/zembed-1", "zembed-1"),
        ("ZeroEntropy/Zembed-1", "zembed-1"),
    ],
)
def test_a_model_is_found_in_any_case_and_by_its_old_name(asked: str, family: str) -> None:
    found = identify(asked).family

    assert found is not None
    assert found.name == family


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "e5",
        "e5-small-v2",
        "intfloat/e5",
        "intfloat/e5-small-v2-finetuned",
        "somebody/e5-small-v2",
        "./intfloat/e5-small-v2",
        "intfloat/e5-small-v2/",
        "sentence-transformers/all-MiniLM-L12",
    ],
)
def test_a_part_of_a_name_finds_nothing(asked: str) -> None:
    assert identify(asked).family is None


def test_families_are_read_once() -> None:
    assert families() is families()


# What resolve gives for a known model.


def test_a_known_model_has_everything() -> None:
    assert resolve("intfloat/e5-small-v2", Task.RETRIEVAL) == ModelSpec(
        model="intfloat/e5-small-v2",
        family="e5",
        task=Task.RETRIEVAL,
        sides={
            PromptType.QUERY: Side("query: ", source='models.toml, family "e5"'),
            PromptType.DOCUMENT: Side("passage: ", source='models.toml, family "e5"'),
        },
        suffix="",
        dim=384,
        truncation="none",
        truncated_dims=(),
        prompt_in_pooling=True,
        end_token="",
        metric="",
        licence="MIT",
        commercial=True,
        remote_code=False,
        server="",
        parameter="",
        max_length=512,
        note="",
    )


def test_a_model_with_adapters_has_everything() -> None:
    assert resolve("jinaai/jina-embeddings-v3", Task.RETRIEVAL) == ModelSpec(
        model="jinaai/jina-embeddings-v3",
        family="jina-v3",
        task=Task.RETRIEVAL,
        sides={
            PromptType.QUERY: Side(
                "Represent the query for retrieving evidence documents: ",
                adapter="retrieval.query",
                source='models.toml, family "jina-v3"',
            ),
            PromptType.DOCUMENT: Side(
                "Represent the document for retrieval: ",
                adapter="retrieval.passage",
                source='models.toml, family "jina-v3"',
            ),
        },
        suffix="",
        dim=1024,
        truncation="slice",
        truncated_dims=(32, 64, 128, 256, 512, 768),
        prompt_in_pooling=True,
        end_token="",
        metric="",
        licence="CC-BY-NC-4.0",
        commercial=False,
        remote_code=True,
        server="",
        parameter="",
        max_length=8192,
        note="Use jinaai/jina-embeddings-v3-hf instead: it has the same adapters as files.",
    )


def test_suffix_pooling_and_hosting_are_passed_on() -> None:
    assert resolve("zeroentropy/zembed-1", Task.RETRIEVAL).suffix == "<|im_end|>\n"
    assert not resolve("hkunlp/instructor-xl", Task.SIMILARITY).prompt_in_pooling
    assert resolve("text-embedding-3-small", Task.SIMILARITY).server == "openai"


def test_the_model_is_called_what_models_toml_calls_it() -> None:
    assert resolve("MINILM", Task.CODE).model == "minilm"
    assert resolve("zeroentropy/zembed-1", Task.RETRIEVAL).model == "zeroentropy/zembed-1-embedding"


def test_a_known_model_s_own_prompts_do_not_matter() -> None:
    saved = {"query": "wrong: ", "document": "wrong: ", "CodeRetrieval": "wrong: "}

    spec = resolve("intfloat/e5-small-v2", Task.RETRIEVAL, saved_prompts=saved)

    assert prompts_of(spec) == ("query: ", "passage: ")
    with pytest.raises(ModelUnavailableError, match="has no prompt for the task 'code'"):
        resolve("intfloat/e5-small-v2", Task.CODE, saved_prompts=saved)


# Stated prompts.


def test_a_stated_prompt_comes_before_the_known_one() -> None:
    spec = resolve("intfloat/e5-small-v2", Task.RETRIEVAL, query_prompt="q ", document_prompt="d ")

    assert prompts_of(spec) == ("q ", "d ")
    assert sources_of(spec) == ("--query-prompt", "--document-prompt")
    assert spec.licence == "MIT"


def test_an_empty_stated_prompt_means_none() -> None:
    spec = resolve("intfloat/e5-small-v2", Task.RETRIEVAL, query_prompt="", document_prompt="")

    assert prompts_of(spec) == ("", "")
    assert sources_of(spec) == ("--query-prompt", "--document-prompt")


def test_one_side_may_be_stated_when_the_other_is_known() -> None:
    spec = resolve("intfloat/e5-small-v2", Task.RETRIEVAL, query_prompt="q ")

    assert prompts_of(spec) == ("q ", "passage: ")
    assert sources_of(spec) == ("--query-prompt", 'models.toml, family "e5"')


def test_one_side_may_be_stated_when_the_model_brings_the_other() -> None:
    spec = resolve("me/mine", Task.RETRIEVAL, document_prompt="", saved_prompts={"query": "find: "})

    assert prompts_of(spec) == ("find: ", "")
    assert sources_of(spec) == ("the model's own prompt 'query'", "--document-prompt")


@pytest.mark.parametrize("task", [Task.SIMILARITY, Task.CLASSIFICATION, Task.CLUSTERING])
@pytest.mark.parametrize("model", ["intfloat/e5-small-v2", "me/mine"])
def test_one_stated_prompt_holds_for_both_sides_of_a_symmetric_task(model: str, task: Task) -> None:
    by_query = resolve(model, task, query_prompt="same: ")
    by_document = resolve(model, task, document_prompt="same: ")

    assert prompts_of(by_query) == ("same: ", "same: ")
    assert sources_of(by_query) == ("--query-prompt", "--query-prompt")
    assert prompts_of(by_document) == ("same: ", "same: ")
    assert sources_of(by_document) == ("--document-prompt", "--document-prompt")


def test_both_sides_of_a_symmetric_task_may_be_stated_alike() -> None:
    spec = resolve("me/mine", Task.CLUSTERING, query_prompt="", document_prompt="")

    assert prompts_of(spec) == ("", "")
    assert sources_of(spec) == ("--query-prompt", "--document-prompt")


def test_the_sides_of_a_symmetric_task_cannot_be_stated_differently() -> None:
    with pytest.raises(UsageError) as refusal:
        resolve("minilm", Task.SIMILARITY, query_prompt="a: ", document_prompt="b: ")

    assert refusal.value.message == (
        "both sides of the task 'similarity' have one prompt, but --query-prompt is 'a: ' "
        "and --document-prompt is 'b: '"
    )
    assert refusal.value.hint == "give only one of them: it is used for both sides"


def test_stated_prompts_make_any_task_possible() -> None:
    spec = resolve("intfloat/e5-small-v2", Task.CODE, query_prompt="query: ", document_prompt="")

    assert prompts_of(spec) == ("query: ", "")
    assert (spec.family, spec.task) == ("e5", Task.CODE)


def test_stated_prompts_make_any_model_possible() -> None:
    assert resolve("me/mine", Task.CODE, query_prompt="q: ", document_prompt="d: ") == ModelSpec(
        model="me/mine",
        family="",
        task=Task.CODE,
        sides={
            PromptType.QUERY: Side("q: ", source="--query-prompt"),
            PromptType.DOCUMENT: Side("d: ", source="--document-prompt"),
        },
        suffix="",
        dim=None,
        truncation="none",
        truncated_dims=(),
        prompt_in_pooling=True,
        end_token="",
        metric="",
        licence="",
        commercial=True,
        remote_code=False,
        server="",
        parameter="",
        max_length=0,
        note="",
    )


def test_stated_prompts_keep_the_adapters() -> None:
    spec = resolve(
        "jinaai/jina-embeddings-v5-text-nano", Task.SIMILARITY, query_prompt="Document: "
    )

    assert tuple(side.adapter for side in spec.sides.values()) == ("text-matching", "text-matching")


# What an unknown model brings.


@pytest.mark.parametrize(
    ("task", "saved", "query", "document"),
    [
        (
            Task.RETRIEVAL,
            {
                "Retrieval-query": "1",
                "Retrieval-document": "2",
                "Retrieval": "3",
                "query": "4",
                "document": "5",
                "passage": "6",
            },
            "Retrieval-query",
            "Retrieval-document",
        ),
        (Task.RETRIEVAL, {"query": "1", "Retrieval": "2"}, "Retrieval", "Retrieval"),
        (
            Task.RETRIEVAL,
            {"Retrieval-query": "1", "Retrieval": "2"},
            "Retrieval-query",
            "Retrieval",
        ),
        (
            Task.RETRIEVAL,
            {"query": "1", "corpus": "4", "passage": "3", "document": "2"},
            "query",
            "document",
        ),
        (Task.SIMILARITY, {"STS": "1", "query": "2", "document": "3"}, "STS", "STS"),
        (Task.CLASSIFICATION, {"Classification": "1"}, "Classification", "Classification"),
        (Task.CLUSTERING, {"Clustering": "1", "query": "2"}, "Clustering", "Clustering"),
        (
            Task.CODE,
            {
                "CodeRetrieval-query": "1",
                "CodeRetrieval-document": "2",
                "CodeRetrieval": "3",
                "Retrieval-document": "4",
            },
            "CodeRetrieval-query",
            "CodeRetrieval-document",
        ),
        (
            Task.CODE,
            {"CodeRetrieval": "1", "InstructionRetrieval": "2", "Retrieval-document": "3"},
            "CodeRetrieval",
            "Retrieval-document",
        ),
        (
            Task.CODE,
            {"InstructionRetrieval": "1", "document": "2"},
            "InstructionRetrieval",
            "document",
        ),
        (
            Task.CODE,
            {"InstructionRetrieval-query": "1", "InstructionRetrieval-document": "2"},
            "InstructionRetrieval-query",
            "InstructionRetrieval-document",
        ),
    ],
)
def test_an_unknown_model_s_own_prompts_are_taken_in_mteb_s_order(
    task: Task, saved: Mapping[str, str], query: str, document: str
) -> None:
    spec = resolve("me/mine", task, saved_prompts=saved)

    assert prompts_of(spec) == (saved[query], saved[document])
    assert sources_of(spec) == (
        f"the model's own prompt '{query}'",
        f"the model's own prompt '{document}'",
    )


@pytest.mark.parametrize("name", ["passage", "corpus"])
@pytest.mark.parametrize("empty", [{}, {"document": ""}])
def test_a_document_prompt_that_sentence_transformers_never_reads_is_in_doubt(
    name: str, empty: dict[str, str]
) -> None:
    saved = {"query": "search_query: ", **empty, name: "it's: "}

    with pytest.raises(ModelUnavailableError) as raised:
        resolve("me/mine", Task.RETRIEVAL, saved_prompts=saved)

    assert raised.value.message == (
        f'me/mine has saved "it\'s: " as its prompt {name!r}, but sentence-transformers encodes '
        "documents with the prompt 'document', which is empty: it is not clear which is right"
    )
    assert raised.value.hint == (
        "give --document-prompt 'it'\"'\"'s: ', or --document-prompt '' for none, as the model was "
        "trained"
    )


def test_a_stated_document_prompt_ends_the_doubt() -> None:
    saved = {"query": "search_query: ", "document": "", "passage": "search_document: "}

    spec = resolve(
        "me/mine", Task.RETRIEVAL, saved_prompts=saved, document_prompt="search_document: "
    )

    assert prompts_of(spec) == ("search_query: ", "search_document: ")


def test_an_empty_document_prompt_counts_beside_a_query_prompt() -> None:
    saved = {"query": "find: ", "document": ""}

    assert prompts_of(resolve("me/mine", Task.RETRIEVAL, saved_prompts=saved)) == ("find: ", "")


def test_an_empty_prompt_under_a_task_s_name_counts() -> None:
    saved = {"STS": "", "Retrieval": "", "query": "find: "}

    assert prompts_of(resolve("me/mine", Task.SIMILARITY, saved_prompts=saved)) == ("", "")
    assert prompts_of(resolve("me/mine", Task.RETRIEVAL, saved_prompts=saved)) == ("", "")


@pytest.mark.parametrize(
    ("task", "saved"),
    [
        (Task.RETRIEVAL, None),
        (Task.RETRIEVAL, {}),
        (Task.RETRIEVAL, {"query": "", "document": ""}),  # what a library saves with any model
        (Task.RETRIEVAL, {"default_prompt_name": "default", "default": "text: "}),
        (Task.RETRIEVAL, {"STS": "similar: "}),
        (Task.SIMILARITY, {"query": "q: ", "document": "d: "}),
        (Task.SIMILARITY, {"Similarity": "similar: ", "sts": "similar: "}),
        (Task.CLASSIFICATION, {"STS": "similar: ", "query": "q: "}),
        (Task.CLUSTERING, {"Classification": "label: "}),
        (Task.CODE, {"Retrieval": "q: ", "query": "q: "}),
    ],
)
def test_an_unknown_model_without_prompts_for_the_task_is_refused(
    task: Task, saved: Mapping[str, str] | None
) -> None:
    with pytest.raises(ModelUnavailableError) as refusal:
        resolve("me/mine", task, saved_prompts=saved)

    assert refusal.value.message == (
        f"me/mine is not a known model and its files have no prompts for the task '{task.value}'"
    )
    assert refusal.value.hint == (
        f"{OWN_PROMPTS}, or --family NAME if it belongs to a known family; "
        "`taskembed models` lists the known models"
    )


@pytest.mark.parametrize(
    ("task", "saved", "side"),
    [
        (Task.RETRIEVAL, {"query": "q: "}, "document"),
        (Task.RETRIEVAL, {"Retrieval-query": "q: "}, "document"),
        (Task.RETRIEVAL, {"document": "d: "}, "query"),
        (Task.RETRIEVAL, {"passage": "d: "}, "query"),
        (Task.CODE, {"CodeRetrieval": "q: "}, "document"),
        (Task.CODE, {"query": "q: ", "document": "d: "}, "query"),
    ],
)
def test_half_a_pair_is_refused(task: Task, saved: Mapping[str, str], side: str) -> None:
    with pytest.raises(ModelUnavailableError) as refusal:
        resolve("me/mine", task, saved_prompts=saved)

    assert refusal.value.message == (
        f"me/mine is not a known model and its files have no {side} prompt "
        f"for the task '{task.value}'"
    )
    assert refusal.value.hint == f"give --{side}-prompt TEXT ('' means none)"


def test_one_stated_side_is_not_enough_for_an_unknown_model() -> None:
    with pytest.raises(ModelUnavailableError) as refusal:
        resolve("me/mine", Task.RETRIEVAL, query_prompt="q: ")

    assert refusal.value.message == (
        "me/mine is not a known model and its files have no document prompt "
        "for the task 'retrieval'"
    )
    assert refusal.value.hint == "give --document-prompt TEXT ('' means none)"


# What a known model is refused for.


def all_that_do(task: Task) -> list[str]:
    """Return the models that run here without code of their own, in the order of a dictionary."""
    runs = [k for k in KNOWN if not k.facts["server"] and not k.facts["remote_code"]]
    models = [m for k in runs if any(t.task is task for t in k.tasks) for m in k.models]
    return sorted(models, key=str.casefold)


def hint_of(task: Task) -> str:
    models = all_that_do(task)
    first, more = ", ".join(models[:6]), len(models) - 6
    return f"models that do: {first}, and {more} more: see `taskembed models --task {task.value}`"


def test_a_task_that_the_model_does_not_know_is_refused_with_the_models_that_do() -> None:
    with pytest.raises(ModelUnavailableError) as refusal:
        resolve("intfloat/e5-small-v2", Task.CODE)

    assert refusal.value.message == "intfloat/e5-small-v2 has no prompt for the task 'code'"
    assert refusal.value.hint == f"{hint_of(Task.CODE)}; or {OWN_PROMPTS}"


def test_the_hint_counts_only_models_that_run_here_without_code_of_their_own() -> None:
    with pytest.raises(ModelUnavailableError) as refusal:
        resolve("zeroentropy/zembed-1", Task.SIMILARITY)

    assert refusal.value.message == (
        "zeroentropy/zembed-1-embedding has no prompt for the task 'similarity'"
    )
    assert refusal.value.hint == f"{hint_of(Task.SIMILARITY)}; or {OWN_PROMPTS}"
    assert "text-embedding-3-small" not in all_that_do(Task.SIMILARITY)
    assert "nomic-ai/nomic-embed-text-v2-moe" not in all_that_do(Task.SIMILARITY)


def test_one_stated_side_is_not_enough_for_a_task_that_the_model_does_not_know() -> None:
    with pytest.raises(ModelUnavailableError) as refusal:
        resolve("intfloat/e5-small-v2", Task.CODE, document_prompt="")

    assert refusal.value.message == "intfloat/e5-small-v2 has no query prompt for the task 'code'"
    assert refusal.value.hint == "give --query-prompt TEXT ('' means none)"


def test_no_prompt_stands_in_for_an_adapter() -> None:
    with pytest.raises(ModelUnavailableError) as refusal:
        resolve(
            "jinaai/jina-embeddings-v3-hf", Task.CODE, query_prompt="q: ", document_prompt="d: "
        )

    assert refusal.value.message == (
        "jinaai/jina-embeddings-v3-hf has no adapter for the task 'code'"
    )
    assert refusal.value.hint == hint_of(Task.CODE)


def test_a_short_list_of_models_is_shown_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskembed.models.resolve.MODELS_IN_HINT", 1000)

    with pytest.raises(ModelUnavailableError) as refusal:
        resolve("intfloat/e5-small-v2", Task.CODE)

    shown = ", ".join(all_that_do(Task.CODE))
    assert refusal.value.hint == f"models that do: {shown}; or {OWN_PROMPTS}"


# Mistakes in models.toml.

GOOD = """
[[family]]
name = "f"
source = "https://example.org/f"
licence = "MIT"
max_length = 512
models = { "a/f" = 8 }
[family.tasks]
retrieval = { query = "q: ", document = "" }
"""
TOLD = 'server = "cohere"\nhosted_parameter = "input_type"'
SECOND = GOOD.replace('"f"', '"g"').replace('"a/f"', '"a/g"')


def test_a_small_family_has_the_defaults() -> None:
    (family,) = parse_catalogue(GOOD).families

    assert (family.name, family.source, family.licence) == ("f", "https://example.org/f", "MIT")
    assert (family.max_length, family.models) == (512, {"a/f": 8})
    assert list(family.tasks) == [Task.RETRIEVAL]
    assert strings_of(family.tasks[Task.RETRIEVAL]) == ("q: ", "", "", "", "", "")
    assert (family.commercial, family.suffix, family.truncation) == (True, "", "none")
    assert (family.truncated_dims, family.prompt_in_pooling) == ((), True)
    assert (family.remote_code, family.server, family.hosted_parameter) == (False, "", "")
    assert (family.template, family.aliases, family.note) == ("", {}, "")


def with_key(line: str) -> str:
    """Return the good family with one more key."""
    return GOOD.replace("[family.tasks]", f"{line}\n[family.tasks]")


def with_task(line: str, *keys: str) -> str:
    """Return the good family with another task, and more keys."""
    return with_key("\n".join(keys)).replace('retrieval = { query = "q: ", document = "" }', line)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("", 'the key "family" is missing'),
        ("family = 3", '"family" is not a list: 3'),
        ("family = [3]", "family 1 is not a table: 3"),
        ("version = 2" + GOOD, 'unknown key "version"; the keys are family, reranker'),
        ("[[family]]", 'family 1: the key "name" is missing'),
        (GOOD + "[[family]]\nlicence = 'MIT'", 'family 2: the key "name" is missing'),
        (GOOD + "[[family]]\nname = 'g'", 'family "g": the key "source" is missing'),
        (GOOD.replace('licence = "MIT"', ""), 'family "f": the key "licence" is missing'),
        (GOOD.replace('"f"', "7"), 'family 7: "name" is not a string: 7'),
        (
            with_key('pooling = "cls"'),
            (
                'family "f": unknown key "pooling"; the keys are suffix, truncation, '
                "truncated_dims, prompt_in_pooling, end_token, template, metric, name, "
                "source, licence, max_length, models, commercial, remote_code, server, "
                "hosted_parameter, aliases, note, tasks"
            ),
        ),
        (
            GOOD.replace("= 512", '= "512"'),
            'family "f": "max_length" is not a whole number: \'512\'',
        ),
        (GOOD.replace("= 512", "= true"), 'family "f": "max_length" is not a whole number: True'),
        (GOOD.replace("= 512", "= 0"), 'family "f": "max_length" must be at least 1: 0'),
        (GOOD.replace("= 8", "= 8.0"), 'family "f", models: "a/f" is not a whole number: 8.0'),
        (GOOD.replace("= 8", "= 0"), 'family "f", models: "a/f" must be at least 1: 0'),
        (GOOD.replace('"a/f" = 8', ""), 'family "f": "models" must not be empty'),
        (
            GOOD.replace("https", "http"),
            ('family "f": "source" does not begin with https://: \'http://example.org/f\''),
        ),
        (GOOD.replace('"MIT"', '""'), 'family "f": "licence" is empty'),
        (with_key("server = 1"), 'family "f": "server" is not a string: 1'),
        (with_key("suffix = 1"), 'family "f": "suffix" is not a string: 1'),
        (with_key("aliases = []"), 'family "f": "aliases" is not a table: []'),
        (with_key('aliases = { "b/f" = 1 }'), 'family "f", aliases: "b/f" is not a string: 1'),
        (
            with_key('aliases = { "b/f" = "a/g" }'),
            'family "f": "aliases" has \'b/f\' for \'a/g\', which is not in "models"',
        ),
        (with_key("truncated_dims = 4"), 'family "f": "truncated_dims" is not a list: 4'),
        (
            with_key('truncation = "slice"\ntruncated_dims = ["4"]'),
            "family \"f\", truncated_dims 1 is not a whole number: '4'",
        ),
        (with_key("truncated_dims = [4]"), 'family "f": "truncated_dims" needs a "truncation"'),
        (
            with_key('truncation = "cut"'),
            (
                "family \"f\": \"truncation\" is none of 'none', 'slice', 'layer-norm' or "
                "'projection': 'cut'"
            ),
        ),
        (
            with_key('template = "Instruct: "'),
            'family "f": "template" has no {instruction}: \'Instruct: \'',
        ),
        (with_task(""), 'family "f": "tasks" must not be empty'),
        (
            with_task('sts = { both = "" }'),
            (
                'family "f", tasks: unknown key "sts"; the keys are \'retrieval\', '
                "'similarity', 'classification', 'clustering' or 'code'"
            ),
        ),
        (with_task('code = ""'), 'family "f", tasks: "code" is not a table: \'\''),
        (
            with_task('code = { query = "", documents = "" }'),
            (
                'family "f", task "code": unknown key "documents"; the keys are query, '
                "query_instruction, query_adapter, document, document_instruction, "
                "document_adapter, both, both_instruction, both_adapter"
            ),
        ),
        (
            with_task('code = { query = "", document = 1 }'),
            'family "f", tasks, code: "document" is not a string: 1',
        ),
        (
            with_task('code = { query = "" }'),
            'family "f", task "code": no key sets document_prompt',
        ),
        (
            with_task("similarity = {}"),
            'family "f", task "similarity": no key sets query_prompt',
        ),
        (
            with_task('similarity = { query = "", document = "" }'),
            (
                'family "f", task "similarity": unknown key "query"; the keys are '
                "both, both_instruction, both_adapter"
            ),
        ),
        (
            with_task('code = { both = "", query = "" }'),
            'family "f", task "code": "query" sets query_prompt, which another key has set',
        ),
        (
            with_task('similarity = { both_instruction = "x" }'),
            'family "f", task "similarity": "both_instruction" needs a "template" of the family',
        ),
        (
            with_task('similarity = { both_value = "x" }'),
            (
                'family "f", task "similarity": unknown key "both_value"; the keys are '
                "both, both_instruction, both_adapter"
            ),
        ),
        (
            with_task('similarity = { both = "x" }', TOLD),
            ('family "f", task "similarity": unknown key "both"; the keys are both_value'),
        ),
        (
            with_task('code = { query_value = "x" }', TOLD),
            'family "f", task "code": no key sets document_value',
        ),
        (
            with_task('similarity = { both_value = "x" }', 'server = "openai"'),
            (
                'family "f", task "similarity": unknown key "both_value"; the keys are '
                "both, both_instruction"
            ),
        ),
        (
            with_task('code = { both = "", both_adapter = "x" }', 'server = "openai"'),
            (
                'family "f", task "code": unknown key "both_adapter"; the keys are '
                "query, query_instruction, document, document_instruction, both, "
                "both_instruction"
            ),
        ),
        (
            with_key('hosted_parameter = "input_type"'),
            'family "f": "hosted_parameter" needs a "server"',
        ),
        (GOOD + GOOD, 'models.toml: "f" is the name of a family twice'),
        (
            GOOD + SECOND.replace("a/g", "A/F"),
            'models.toml: "a/f" is the id of a model twice',
        ),
        (
            GOOD + SECOND.replace("[family.tasks]", 'aliases = { "a/f" = "a/g" }\n[family.tasks]'),
            'models.toml: "a/f" is the id of a model twice',
        ),
    ],
)
def test_a_mistake_is_refused_with_its_family_and_its_key(toml: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as refusal:
        parse_catalogue(toml)

    assert str(refusal.value) == message


def test_what_is_no_toml_is_refused() -> None:
    with pytest.raises(ValueError, match="at line 1, column 10"):
        parse_catalogue("family = ?")


def test_an_instruction_is_put_into_the_template_as_it_is() -> None:
    toml = with_task(
        'code = { query_instruction = "Find {code}, 100%.", document = "" }',
        'template = "Do: {instruction}\\nOn:"',
    )

    (family,) = parse_catalogue(toml).families

    assert family.tasks[Task.CODE][PromptType.QUERY].prompt == "Do: Find {code}, 100%.\nOn:"


def test_an_adapter_of_one_side_is_of_that_side_only() -> None:
    (family,) = parse_catalogue(with_task('code = { both = "", query_adapter = "lora" }')).families

    assert strings_of(family.tasks[Task.CODE]) == ("", "", "lora", "", "", "")
