"""`taskembed cache`: compiled models are listed and cleared."""

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
from tests.conftest import Run


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
    assert "cannot be read, and will be compiled again" in done.out
    assert run("cache", "clear", "--cache", tmp_path).code == 0
    assert list(folder.iterdir()) == []
