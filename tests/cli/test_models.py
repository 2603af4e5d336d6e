"""The commands and options about models: what they print, record and refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

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
        "taskembed: error: 'nobody/nothing' is neither a known model nor on this machine",
        "taskembed: hint: `taskembed models` lists the known ones",
    ]


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
    assert "--adapter and --no-adapter cannot be combined" in done.err


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


def test_models_are_found_by_task_and_by_a_part_of_their_name(run: Run) -> None:
    code = run("models", "--task", "code").out
    assert "\nminilm " in code
    assert "intfloat/e5-small-v2" not in code
    assert "reranker" not in code
    both = run("models", "E5-small").out.splitlines()
    assert {line.split()[0] for line in both[1:]} >= {"intfloat/e5-small", "intfloat/e5-small-v2"}
    known = run("models", "e5", "--json").json
    assert isinstance(known, list)
    assert {"intfloat/e5-small-v2"} <= set(known[0]["models"])
    assert run("models", "bge-reranker").out.startswith("reranker")
    nothing = run("models", "no-such-model")
    assert (nothing.code, nothing.out) == (66, "")
    assert nothing.err == (
        "taskembed: error: 'no-such-model' is neither a known model nor on this machine\n"
        "taskembed: hint: `taskembed models` lists the known ones\n"
    )


def test_a_folder_says_what_it_brings(run: Run, tmp_path: Path) -> None:
    from tests.plain_models import save_bert

    model = save_bert(tmp_path / "model", pooling="mean")
    config = {"prompts": {"query": "q: ", "document": "d: "}}
    (model / "config_sentence_transformers.json").write_text(json.dumps(config))
    out = run("models", model).out
    assert f"model: {model}\n" in out
    assert 'prompts:\n  query: "q: "\n  document: "d: "\n' in out
    assert '  retrieval:\n    query_prompt: "q: "\n    document_prompt: "d: "\n' in out
    value = run("models", model, "--json").json
    assert isinstance(value, list)
    assert value[0]["max_length"] > 0
