from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from taskembed.encoding.cache import (
    CompiledModel,
    MadeFrom,
    entry_path,
    list_entries,
    read_entry,
    write_entry,
)
from taskembed.encoding.facts import ModelFacts, RerankerFacts

MODEL = CompiledModel(
    ModelFacts(384, 256, "mean", prompt_in_pooling=True),
    '{"a": 1}',
    memoryview(b"blob"),
)
MADE_FROM = MadeFrom("me/mine", "", "", "encoder", "d" * 64, "openvino 1")
DIGEST = "d" * 64
ENGINE = "openvino 1"


def test_an_entry_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "entry.model"
    assert write_entry(path, MODEL, MADE_FROM)
    found = read_entry(path, DIGEST, ENGINE)
    assert found
    assert (found.facts, found.tokenizer_json) == (MODEL.facts, MODEL.tokenizer_json)
    assert bytes(found.blob) == b"blob"
    assert [item.name for item in path.parent.iterdir()] == ["entry.model"]


def test_an_entry_of_a_reranker_comes_back_as_it_was_written(tmp_path: Path) -> None:
    facts = RerankerFacts(256, takes_types=True, pair=("a", "b", "c"))
    made_from = replace(MADE_FROM, kind="reranker")
    write_entry(tmp_path / "entry.model", replace(MODEL, facts=facts), made_from)
    found = read_entry(tmp_path / "entry.model", DIGEST, ENGINE)
    assert found
    assert found.reranker_facts == facts
    assert found.facts.width == 1


def test_an_entry_with_the_facts_of_another_kind_is_not_trusted(tmp_path: Path) -> None:
    write_entry(tmp_path / "entry.model", MODEL, replace(MADE_FROM, kind="reranker"))
    assert read_entry(tmp_path / "entry.model", DIGEST, ENGINE) is None


def test_an_entry_with_any_byte_changed_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "entry.model"
    write_entry(path, MODEL, MADE_FROM)
    data = path.read_bytes()
    for position in range(len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        assert read_entry(path, DIGEST, ENGINE) is None, position


def test_a_half_written_entry_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "entry.model"
    write_entry(path, MODEL, MADE_FROM)
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        assert read_entry(path, DIGEST, ENGINE) is None, size


def test_no_entry_is_none(tmp_path: Path) -> None:
    assert read_entry(tmp_path / "nothing", DIGEST, ENGINE) is None
    assert read_entry(tmp_path, DIGEST, ENGINE) is None


def test_a_cache_that_takes_nothing_is_said_and_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert not write_entry(tmp_path / "file" / "entry.model", MODEL, MADE_FROM)


def test_other_weights_or_engines_have_other_entries(tmp_path: Path) -> None:
    paths = {
        entry_path(tmp_path, digest, engine)
        for digest in ("a", "b")
        for engine in ("openvino 1", "openvino 2", "torch")
    }
    assert len(paths) == 6


def test_an_entry_made_from_something_else_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "entry.model"
    write_entry(path, MODEL, MADE_FROM)
    assert read_entry(path, "e" * 64, ENGINE) is None


def test_the_entries_of_a_cache_say_what_they_were_made_from(tmp_path: Path) -> None:
    assert list_entries(tmp_path) == []
    path = entry_path(tmp_path, DIGEST, "openvino 1")
    write_entry(path, MODEL, MADE_FROM)
    (tmp_path / "compiled" / "other.model").write_bytes(b"of an older version")
    found = {entry.path.name: entry for entry in list_entries(tmp_path)}
    assert found[path.name].made_from == MADE_FROM
    assert found[path.name].size == path.stat().st_size
    assert found["other.model"].made_from is None
