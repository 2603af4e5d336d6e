"""What is known of models is found by a name, by a part of it, and by a task."""

from __future__ import annotations

from taskembed.models.catalogue import families, rerankers
from taskembed.space import Task
from taskembed.verbs.models import describe_family, find_known, needs_of


def test_without_a_name_all_models_are_known() -> None:
    known = find_known()
    assert list(known.families) == list(families())
    assert list(known.rerankers) == list(rerankers())
    assert not known.is_exact


def test_a_whole_name_finds_its_family_alone() -> None:
    known = find_known("intfloat/e5-small-v2")
    assert [family.name for family in known.families] == ["e5"]
    assert (list(known.rerankers), known.is_exact) == ([], True)


def test_a_part_of_a_name_finds_every_model_that_has_it_in_any_case() -> None:
    known = find_known("MULTILINGUAL-E5")
    names = [name for family in known.families for name in family.models]
    assert "intfloat/multilingual-e5-base" in names
    assert not known.is_exact


def test_a_task_finds_the_families_that_know_it_and_no_rerankers() -> None:
    known = find_known(task=Task.CODE)
    assert known.families
    assert all(Task.CODE in family.tasks for family in known.families)
    assert list(known.rerankers) == []


def test_a_name_that_nothing_has_finds_nothing() -> None:
    known = find_known("no-such-model")
    assert (list(known.families), list(known.rerankers), known.to_json()) == ([], [], [])


def test_a_description_has_both_prompts_of_a_task_also_when_one_is_empty() -> None:
    described = describe_family(find_known("intfloat/e5-small-v2").families[0])
    assert described["family"] == "e5"
    tasks = described["tasks"]
    assert isinstance(tasks, dict)
    assert tasks["retrieval"]["query_prompt"] == "query: "
    assert all({"query_prompt", "document_prompt"} <= set(prompts) for prompts in tasks.values())


def test_a_hosted_model_needs_the_key_of_its_vendor() -> None:
    (openai,) = find_known("text-embedding-3-small").families
    assert needs_of(openai) == "OPENAI_API_KEY"
    (e5,) = find_known("intfloat/e5-small-v2").families
    assert needs_of(e5) == ""
