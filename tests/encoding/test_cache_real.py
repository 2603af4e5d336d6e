"""A compiled model that cannot be used is made again, whatever is wrong with it."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from taskembed.encoding._runtime import Runtime
from taskembed.encoding.cache import CompiledModel, MadeFrom, list_entries, read_entry
from taskembed.encoding.facts import ModelFacts
from taskembed.encoding.load import load_encoder
from taskembed.encoding.settings import EngineSettings
from taskembed.errors import ModelUnavailableError
from taskembed.models.resolve import PromptOverrides
from taskembed.space import PromptType, Task
from taskembed.vectors import FloatRows
from tests import tiny_models

NO_PROMPTS = PromptOverrides(query_prompt="", document_prompt="")


@dataclass(frozen=True)
class Tiny:
    """A compiled model: its folder, its cache, what is right of it, and its entry's bytes."""

    folder: Path
    cache: Path
    compiled: CompiledModel
    made_from: MadeFrom
    vectors: FloatRows
    entry: bytes


def encoded(tiny: Path, cache: Path, said: list[str]) -> FloatRows:
    settings = EngineSettings(
        device="cpu", precision="fp32", threads=1, offline=True, cache=cache, notify=said.append
    )
    encoder = load_encoder(str(tiny), Task.RETRIEVAL, stated=NO_PROMPTS, settings=settings)
    return encoder.encode(["one fox", "two"], PromptType.QUERY).vectors


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    folder = tmp_path_factory.mktemp("tiny")
    model = tiny_models.save_bert(folder / "model", pooling="mean")
    vectors = encoded(model, folder / "cache", [])
    (found,) = list_entries(folder / "cache")
    assert found.made_from
    compiled = read_entry(found.path, found.made_from.digest, found.made_from.engine)
    assert compiled
    encoded(model, folder / "cache", [])  # the second run finds everything in the cache
    return Tiny(
        model, folder / "cache", compiled, found.made_from, vectors, found.path.read_bytes()
    )


@dataclass
class Case:
    """A cache with the entry and the marks of the model, and how often it was compiled again."""

    tiny: Tiny
    cache: Path
    said: list[str]
    compiled: int = 0

    @property
    def entry(self) -> Path:
        (found,) = list_entries(self.cache)
        return found.path

    def run(self) -> FloatRows:
        return encoded(self.tiny.folder, self.cache, self.said)


@pytest.fixture
def case(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    """Compile at once: it is not what is tested."""
    case = Case(tiny, tmp_path / "cache", [])

    def compile_(self: Runtime) -> CompiledModel:
        case.compiled += 1
        self._keep(tiny.compiled)
        return tiny.compiled

    monkeypatch.setattr(Runtime, "_compile", compile_)
    monkeypatch.setattr("taskembed.encoding._local.LocalEncoder.check", lambda *_: None)
    shutil.copytree(tiny.cache, case.cache)
    return case


def test_a_second_run_finds_everything_in_the_cache(case: Case) -> None:
    np.testing.assert_array_equal(case.run(), case.tiny.vectors)
    assert case.compiled == 0
    assert case.said == []


def signed(data: bytes) -> bytes:
    return data[:-4] + struct.pack("<I", zlib.crc32(data[:-4]))


def rebuilt(tiny: Tiny, **changes: Any) -> bytes:  # noqa: ANN401  # parts of an entry
    """Return an entry with a right checksum and something else in it."""
    size = struct.unpack("<I", tiny.entry[:4])[0]
    header = json.loads(tiny.entry[4 : 4 + size])
    tokenizer = str(changes.get("tokenizer", tiny.compiled.tokenizer_json)).encode()
    header["tokenizer_bytes"] = changes.get("tokenizer_bytes", len(tokenizer))
    header["facts"] |= changes.get("facts", {})
    header["made_from"] |= changes.get("made_from", {})
    head = changes.get("head", json.dumps(header).encode())
    blob = changes.get("blob", bytes)(tiny.compiled.blob)
    return signed(struct.pack("<I", len(head)) + head + tokenizer + blob + b"----")


Damage = Callable[[Tiny], bytes]
BLOBS: dict[str, Callable[[memoryview], bytes]] = {
    "empty": lambda _: b"",
    "nothing": lambda _: bytes(100_000),
    "words": lambda _: b"no model" * 50,
    "a third": lambda blob: bytes(blob[: len(blob) // 3]),
    "no beginning": lambda blob: bytes(512) + bytes(blob[512:]),
}
TOKENIZERS = ("", "{}", "[" * 100_000, "null", '{"model": {"type": "BPE"}}', "\0" * 50)
WRONG_FACTS: dict[str, list[Any]] = {
    "dim": ["32", 0, -1, 2.5, True, None, []],
    "max_length": [0, "64", None],
    "pair": [None, 3, [1]],
    "fallback": ["OpenVINO cannot"],
    "pooling": [3],
    "prompt_in_pooling": ["yes"],
    "nothing": [1],
}
HEADS = (b"", b"{}", b"[" * 100_000, b"[]", b'"x"', b'{"made_from": 3}', b"\xff\xfe")
DAMAGES: dict[str, Damage] = {
    **{f"blob, {name}": partial(rebuilt, blob=blob) for name, blob in BLOBS.items()},
    **{f"tokenizer {text[:9]!r}": partial(rebuilt, tokenizer=text) for text in TOKENIZERS},
    **{
        f"{name} {value!r}": partial(rebuilt, facts={name: value})
        for name, values in WRONG_FACTS.items()
        for value in values
    },
    **{f"head {head[:9]!r}": partial(rebuilt, head=head) for head in HEADS},
    **{
        f"{size} bytes of tokenizer": partial(rebuilt, tokenizer_bytes=size)
        for size in (-1, 10**9, 5)
    },
    "of another engine": lambda tiny: rebuilt(tiny, made_from={"engine": "torch"}),
    "of another model": lambda tiny: rebuilt(tiny, made_from={"digest": "e" * 64}),
    "a longer head": lambda tiny: signed(struct.pack("<I", 2**32 - 1) + tiny.entry[4:]),
    "empty": lambda _: b"",
    "four bytes": lambda _: bytes(4),
    "cut": lambda tiny: tiny.entry[:-1],
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_entry_is_made_again_also_with_a_right_checksum(case: Case, name: str) -> None:
    path = case.entry
    path.unlink()  # it is mapped by an engine, perhaps
    path.write_bytes(DAMAGES[name](case.tiny))
    np.testing.assert_array_equal(case.run(), case.tiny.vectors)
    assert case.compiled == 1
    np.testing.assert_array_equal(case.run(), case.tiny.vectors)
    assert case.compiled == 1


def test_a_wrong_fact_that_was_used_ends_this_run_and_not_the_next(case: Case) -> None:
    path = case.entry
    path.unlink()
    path.write_bytes(rebuilt(case.tiny, facts={"dim": 31}))
    with pytest.raises(ModelUnavailableError, match=r"cannot be run: it gives \(32,\) numbers"):
        case.run()
    np.testing.assert_array_equal(case.run(), case.tiny.vectors)
    assert case.compiled == 1


def test_a_wrong_fact_beside_a_wrong_blob_too(case: Case) -> None:
    path = case.entry
    path.unlink()
    path.write_bytes(rebuilt(case.tiny, facts={"dim": 31}, blob=BLOBS["words"]))
    with pytest.raises(ModelUnavailableError, match="was damaged; it has been made again"):
        case.run()
    np.testing.assert_array_equal(case.run(), case.tiny.vectors)
    assert case.compiled == 1


def test_of_remembered_digests_none_passes_for_another(case: Case) -> None:
    """Swapped, flipped or forged: the digests of a model's files are taken anew."""
    files = sorted((case.cache / "digests").iterdir())
    contents = [path.read_bytes() for path in files]
    for path, content in zip(files, [*contents[1:], contents[0]], strict=True):
        path.write_bytes(content)
    np.testing.assert_array_equal(case.run(), case.tiny.vectors)
    for path in files:
        path.write_bytes(b"0" * 64 + b"\n")
    np.testing.assert_array_equal(case.run(), case.tiny.vectors)
    assert case.compiled == 0
    assert [path.read_bytes() for path in files] == contents


def test_a_cache_that_others_may_write_to_is_left_alone_with_a_note(case: Case) -> None:
    case.cache.chmod(0o777)
    np.testing.assert_array_equal(case.run(), case.tiny.vectors)
    assert case.compiled == 1
    assert case.said == [
        f"note: {case.cache} can be written by other users, so compiled models are neither read "
        "from it nor written to it; make it yours alone (chmod go-w), or name another folder with "
        "--cache"
    ]


def test_an_entry_that_others_may_write_to_is_made_again(case: Case) -> None:
    case.entry.chmod(0o666)
    np.testing.assert_array_equal(case.run(), case.tiny.vectors)
    assert case.compiled == 1
    assert case.entry.stat().st_mode & 0o022 == 0


def test_compiled_models_that_take_much_room_are_mentioned_when_one_is_added(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskembed.encoding._runtime.LARGE_BYTES", 1000)
    case.run()
    assert case.said == []
    case.entry.unlink()
    case.run()
    assert case.said == [
        f"note: the compiled models in {case.cache / 'compiled'} take 0.0 GiB; `taskembed cache "
        "clear --unused 30` deletes those not used for 30 days"
    ]


def test_facts_are_what_they_were(tiny: Tiny) -> None:
    assert tiny.compiled.facts == replace(
        ModelFacts(32, 64, "mean", prompt_in_pooling=True), query_length=64, document_length=64
    )
