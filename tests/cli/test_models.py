"""The commands and options about models: what they print, record and refuse."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from taskembed.encoding.cache import CompiledModel, MadeFrom, write_entry
from taskembed.encoding.facts import ModelFacts
from taskembed.files import remember
from tests import plain_models
from tests.conftest import Run, space_of

QWEN3 = "Qwen/Qwen3-Embedding-0.6B"


@pytest.fixture
def qwen3(hub: Path, tmp_path: Path) -> str:
    plain_models.publish(plain_models.save_qwen3(tmp_path / "model"), hub, QWEN3)
    return QWEN3


def test_every_name_of_a_model_is_the_same_model(
    run: Run, corpus: Path, hub: Path, tmp_path: Path
) -> None:
    known, index = "sentence-transformers/all-MiniLM-L6-v2", tmp_path / "index"
    plain_models.publish(plain_models.save_bert(tmp_path / "model", pooling="mean"), hub, known)
    words = ("index", corpus, "--task", "retrieval", "--index", index, "--offline")
    done = run(*words, "--model", "all-minilm-L6-v2")
    assert done.code == 0, done.err
    assert space_of(run, index)["model"] == known
    for name in (known, "all-MiniLM-L6-v2", known.upper()):
        assert run("search", "fox", "--index", index, "--model", name).code == 0
        assert "  tokens: " in run("explain", "fox", "--task", "retrieval", "--model", name).out


@pytest.mark.slow
def test_an_endless_word_is_a_bad_record_and_takes_no_other_with_it(
    run: Run, tmp_path: Path
) -> None:
    model, index = plain_models.save_qwen3(tmp_path / "model"), tmp_path / "index"
    corpus, endless = tmp_path / "corpus.jsonl", "x" * 2**22 + "."
    lines = [{"id": "a", "text": "a fox"}, {"id": "b", "text": endless}, {"id": "c", "text": "dog"}]
    corpus.write_text("\n".join(map(json.dumps, lines)))
    words = ("index", corpus, "--task", "retrieval", "--model", model, "--index", index)
    stopped = run(*words)
    assert stopped.code == 65
    assert f"{corpus}:2: the text has 4,194,305 characters" in stopped.err
    done = run(*words, "--skip-bad")
    assert done.code == 1
    kept = run("search", "fox", "--index", index, "--format", "ids").out.split()
    assert sorted(kept) == ["a", "c"]
    refused = run("search", endless, "--index", index)
    assert refused.code == 65
    assert "'xxxxxxxxxxxx...xxxxxxxxxxxx.': the text has 4,194,305 characters" in refused.err


def test_an_instruction_is_a_part_of_the_space(
    run: Run, corpus: Path, qwen3: str, tmp_path: Path
) -> None:
    index = tmp_path / "index"
    words = ("index", corpus, "--task", "retrieval", "--model", qwen3, "--index", index)
    done = run(*words, "--instruction", "Find the animal")
    assert done.code == 0, done.err
    assert space_of(run, index)["query_prompt"] == "Instruct: Find the animal\nQuery:"
    assert run("index", corpus, "--index", index).code == 0  # unsaid, it stays
    assert run("search", "fox", "--index", index).code == 0
    done = run(*words, "--instruction", "Find the tree")
    assert done.code == 78
    assert (
        "  query_prompt: the index has 'Instruct: Find the animal\\nQuery:', "
        "not 'Instruct: Find the tree\\nQuery:'"
    ) in done.err


def test_the_family_s_instruction_is_the_default(
    run: Run, corpus: Path, qwen3: str, tmp_path: Path
) -> None:
    index = tmp_path / "index"
    assert (
        run("index", corpus, "--task", "similarity", "--model", qwen3, "--index", index).code == 0
    )
    assert space_of(run, index)["query_prompt"] == (
        "Instruct: Retrieve semantically similar text.\nQuery:"
    )


def test_a_file_of_prompts_serves_a_model_that_nobody_knows(
    run: Run, corpus: Path, tmp_path: Path
) -> None:
    model = plain_models.save_bert(tmp_path / "mine")
    prompts = tmp_path / "prompts.toml"
    prompts.write_text('tasks.retrieval = { query = "q> ", document = "d> " }\n')
    index = tmp_path / "index"
    words = ("index", corpus, "--task", "retrieval", "--model", model, "--index", index)
    assert run(*words).code == 69
    assert run(*words, "--prompts", prompts).code == 0
    space = space_of(run, index)
    assert (space["query_prompt"], space["document_prompt"]) == ("q> ", "d> ")
    shown = run("explain", "--task", "retrieval", "--model", model, "--prompts", prompts, "fox")
    assert "  prompt: 'q> '\n" in shown.out
    assert f"  from: {prompts}\n" in shown.out
    prompts.write_text("tasks = 3\n")
    done = run(*words, "--prompts", prompts)
    assert done.code == 2
    assert done.err.splitlines() == [
        f'taskembed: error: {prompts}: "tasks" is not a table: 3',
        "taskembed: hint: docs/models.md shows such a file",
    ]


def test_models_are_listed_with_what_they_need(run: Run) -> None:
    listed = [line.split() for line in run("models").out.splitlines()]
    assert listed[0] == ["model", "dim", "tokens", "licence", "needs", "tasks"]
    lines = {words[0]: words for words in listed if words}
    assert lines["minilm"] == [
        *("minilm", "384", "256", "Apache-2.0"),
        *("retrieval", "similarity", "classification", "clustering", "code"),
    ]
    assert lines["voyage-code-3"][4:] == ["VOYAGE_API_KEY", "code"]
    assert "--trust-remote-code" in lines["nomic-ai/nomic-embed-text-v2-moe"]
    assert "(refused)" in lines["jinaai/jina-embeddings-v3"]
    jina = " ".join(lines["jinaai/jina-embeddings-v5-text-nano"])
    assert "CC-BY-NC-4.0 (not for commercial use)" in jina
    assert lines["zeroentropy/zerank-2"][0] == "zeroentropy/zerank-2"


def test_one_model_is_shown_with_its_prompts(run: Run) -> None:
    assert 'query_prompt: "query: "' in run("models", "intfloat/e5-small-v2").out
    value: Any = run("models", "jinaai/jina-embeddings-v5-text-nano", "--json").json
    assert value[0]["tasks"]["similarity"]["document_adapter"] == "text-matching"
    reranker: Any = run("models", "Qwen/Qwen3-Reranker-0.6B", "--json").json
    assert reranker[0]["instruction"] == (
        "Given a web search query, retrieve relevant passages that answer the query"
    )
    everything: Any = run("models", "--json").json
    assert {"minilm", "cohere-v4"} < {entry.get("family") for entry in everything}
    done = run("models", "nobody/nothing")
    assert done.code == 66
    assert done.err.splitlines() == [
        "taskembed: error: 'nobody/nothing' is not a known model, and not on this machine",
        "taskembed: hint: `taskembed models` lists the known ones",
    ]


def test_explain_shows_adapters_and_what_a_server_is_told(run: Run) -> None:
    done = run("explain", "--task", "retrieval", "--model", "jinaai/jina-embeddings-v5-text-nano")
    assert done.out.count("  adapter: retrieval\n") == 2
    done = run("explain", "--task", "retrieval", "--model", "embed-v4.0")
    assert "  told to the server: input_type=search_query\n" in done.out
    assert (
        "note: the model is behind the server of cohere, which puts its own prompts\n" in done.out
    )
    assert "every task gives the same numbers" not in done.out


def test_explain_shows_what_is_put_before_the_texts_of_a_server_that_is_told_nothing(
    run: Run,
) -> None:
    done = run("explain", "a fox", "--task", "code", "--model", "gemini-embedding-2")
    assert done.code == 0, done.err
    assert "  encoded: 'task: code retrieval | query: a fox'\n" in done.out
    assert "  encoded: 'title: none | text: a fox'\n" in done.out
    assert done.out.endswith(
        "note: the model is behind the server of gemini, which is told no task, and sent what is "
        "shown here\n"
    )


@pytest.mark.parametrize(
    ("model", "task", "same"),
    [
        ("sentence-transformers/all-MiniLM-L6-v2", "similarity", True),
        ("text-embedding-ada-002", "retrieval", True),
        ("minilm", "similarity", False),
        ("BAAI/bge-base-en-v1.5", "similarity", False),  # has a prompt for retrieval
        ("voyage-4", "clustering", False),
    ],
)
def test_explain_says_that_tasks_are_alike_only_where_all_are(
    model: str, task: str, *, same: bool, run: Run
) -> None:
    done = run("explain", "--task", task, "--model", model)
    assert ("every task gives the same numbers" in done.out) == same


# taskembed cache


def test_compiled_models_that_were_not_used_for_days_are_cleared(run: Run, tmp_path: Path) -> None:
    facts = ModelFacts(2, 8, "mean", prompt_in_pooling=True)
    model = CompiledModel(facts, "{}", memoryview(b"blob"))
    folder = tmp_path / "compiled"
    now = time.time()
    for days in (0, 2, 40):
        path = folder / f"{days}.model"
        write_entry(path, model, MadeFrom(f"{days}", "", "", "encoder", "d", "e"))
        os.utime(path, (now - days * 86_400, now - days * 86_400))
    (folder / ".tmp-0123").touch()  # of a process that was killed
    remember(tmp_path / "digests" / "x", "1")

    def left() -> list[str]:
        return sorted(path.name for path in tmp_path.glob("*/*"))

    assert run("cache", "clear", "--unused", "50", "--cache", tmp_path).out.startswith("0 ")
    assert run("cache", "clear", "2", "--unused", "3", "--cache", tmp_path).out.startswith("0 ")
    assert run("cache", "clear", "--unused", "30", "--cache", tmp_path).out == (
        "1 compiled model deleted, 0.0 MiB\n"
    )
    assert left() == [".tmp-0123", "0.model", "2.model", "x"]
    assert run("cache", "clear", "--unused", "1", "--cache", tmp_path).code == 0
    assert left() == [".tmp-0123", "0.model", "x"]
    assert run("cache", "clear", "--cache", tmp_path).code == 0
    assert left() == []


@pytest.mark.slow
@pytest.mark.real_models
def test_compiled_models_are_listed_and_cleared(run: Run, corpus: Path, tmp_path: Path) -> None:
    from tests import tiny_families, tiny_models

    cache = tmp_path / "own-cache"
    assert run("cache", "list", "--cache", cache).out == (
        f"0 compiled models, 0.0 MiB, in {cache}\n"
    )
    model = tiny_models.save_bert(tmp_path / "model", pooling="mean")
    reranker = tiny_families.save_cross_encoder(tmp_path / "reranker", "bert")
    words = ("--index", tmp_path / "index", "--cache", cache)
    prompts = ("--query-prompt", "", "--document-prompt", "")
    done = run("index", corpus, "--task", "retrieval", "--model", model, *prompts, *words)
    assert done.code == 0, done.err
    assert run("search", "fox", *words, "--rerank", reranker).code == 0
    listed: Any = run("cache", "list", "--cache", cache, "--json").json
    assert [entry["made_from"]["model"] for entry in listed] == [str(reranker), str(model)]
    assert [entry["made_from"]["kind"] for entry in listed] == ["reranker", "encoder"]
    lines = run("cache", "list", "--cache", cache).out.splitlines()
    assert lines[1].startswith(listed[1]["made_from"]["digest"][:12])
    assert lines[1].endswith(f" {model} (encoder, {listed[1]['made_from']['engine']})")
    done = run("cache", "clear", "nobody/nothing", "--cache", cache)
    assert done.code == 66
    assert done.err.splitlines()[0] == (
        "taskembed: error: there is no compiled model of 'nobody/nothing'"
    )
    done = run("cache", "clear", model, "--cache", cache)
    assert done.out.startswith("1 compiled model deleted, ")
    assert len(run("cache", "list", "--cache", cache, "--json").json) == 1  # type: ignore[arg-type]
    done = run("cache", "clear", "--cache", cache, "--json")
    assert json.loads(done.out)["deleted"] == 1
    assert f"compiling the model {model}" in run("search", "fox", *words).err


def test_a_compiled_model_is_listed_with_its_adapter(run: Run, tmp_path: Path) -> None:
    facts = ModelFacts(2, 8, "mean", prompt_in_pooling=True)
    made_from = MadeFrom("minilm", "", "clustering", "encoder", "0123456789abcdef", "engine 1")
    model = CompiledModel(facts, "{}", memoryview(b"blob"))
    write_entry(tmp_path / "compiled" / "x.model", model, made_from)
    line, _ = run("cache", "list", "--cache", tmp_path).out.splitlines()
    assert line.startswith("0123456789ab ")
    assert line.endswith(" minilm + clustering (encoder, engine 1)")


def test_a_damaged_compiled_model_is_listed_as_such(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "compiled"
    folder.mkdir()
    (folder / "x.model").write_bytes(b"\x00")
    done = run("cache", "list", "--cache", tmp_path)
    assert "cannot be read, and will be made again" in done.out
    assert run("cache", "clear", "--cache", tmp_path).code == 0
    assert list(folder.iterdir()) == []


def test_the_bundled_model_has_its_task_s_adapter(run: Run, corpus: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    words = ("index", corpus, "--index", index)
    assert run(*words, "--task", "clustering").code == 0
    space = space_of(run, index)
    assert (space["query_adapter"], space["document_adapter"]) == ("clustering", "clustering")
    assert len(space["adapter_digest"]) == 64
    done = run(*words, "--no-adapter")
    assert done.code == 78
    assert "  query_adapter: the index has 'clustering', not ''" in done.err
    told = run("explain", "fox", "--task", "clustering").out
    assert "adapter: clustering" in told
    assert "adapter" not in run("explain", "fox", "--task", "clustering", "--no-adapter").out


def test_without_an_adapter_an_index_stays_without(run: Run, corpus: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    words = ("index", corpus, "--index", index)
    assert run(*words, "--task", "code", "--no-adapter").code == 0
    space = space_of(run, index)
    assert (space["query_adapter"], space["adapter_digest"]) == ("", "")
    assert run(*words).code == 0  # as an index that was made before there were adapters
    assert run("search", "fox", "--index", index).code == 0
    assert space_of(run, index)["adapter_digest"] == ""


def test_an_adapter_and_none_exclude_each_other(run: Run, corpus: Path, tmp_path: Path) -> None:
    done = run("index", corpus, "--task", "code", "--adapter", tmp_path, "--no-adapter")
    assert done.code == 2
    assert "--adapter and --no-adapter exclude each other" in done.err


def test_the_bundled_adapters_are_of_the_bundled_model(tmp_path: Path) -> None:
    """What the card says of data and base is what the files say."""
    import taskembed
    from taskembed.models.files import Hub

    folder = Path(taskembed.__file__).parent / "models" / "minilm"
    base = Hub(tmp_path).locate("minilm")
    assert sorted(path.name for path in folder.iterdir()) == [
        *("classification", "clustering", "code", "retrieval", "similarity")
    ]
    for place in folder.iterdir():
        card = (place / "README.md").read_text()
        assert "base_model: minilm\n" in card
        assert f"`{base.digest}`" in card
        assert f'\ntask = "{place.name}"\n' in (place / "recipe.toml").read_text()
        assert (place / "adapter_model.safetensors").stat().st_size < 1.5 * 2**20
