from __future__ import annotations

from pathlib import Path

from taskembed.compiled import CompiledModel, Facts, entry_path, read_entry, write_entry

MODEL = CompiledModel(
    Facts(384, 256, "mean", prompt_in_pooling=True), '{"a": 1}', memoryview(b"blob")
)


def test_an_entry_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "entry.model"
    assert write_entry(path, MODEL)
    found = read_entry(path)
    assert found
    assert (found.facts, found.tokenizer_json) == (MODEL.facts, MODEL.tokenizer_json)
    assert bytes(found.blob) == b"blob"
    assert [item.name for item in path.parent.iterdir()] == ["entry.model"]


def test_an_entry_with_any_byte_changed_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "entry.model"
    write_entry(path, MODEL)
    data = path.read_bytes()
    for position in range(len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        assert read_entry(path) is None, position


def test_a_half_written_entry_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "entry.model"
    write_entry(path, MODEL)
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        assert read_entry(path) is None, size


def test_no_entry_is_none(tmp_path: Path) -> None:
    assert read_entry(tmp_path / "nothing") is None
    assert read_entry(tmp_path) is None


def test_a_cache_that_takes_nothing_is_said_and_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert not write_entry(tmp_path / "file" / "entry.model", MODEL)


def test_other_weights_or_engines_have_other_entries(tmp_path: Path) -> None:
    paths = {
        entry_path(tmp_path, digest, engine)
        for digest in ("a", "b")
        for engine in ("openvino 1", "openvino 2", "torch")
    }
    assert len(paths) == 6
