"""Whatever is wrong in a model's folder, the command says which file it is, with code 69."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from taskembed.cli.main import main
from taskembed.encoding.facts import ModelFacts
from taskembed.errors import AccessDeniedError, ModelUnavailableError, StorageError, from_library
from taskembed.models.files import Hub, Located
from taskembed.models.resolve import PromptOverrides
from taskembed.models.saved_json import read_saved
from taskembed.space import PromptType, Task
from taskembed.verbs.explain import explain_model
from tests import tiny_families, tiny_models
from tests.conftest import Run

NO_PROMPTS = PromptOverrides(query_prompt="", document_prompt="")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_bert(tmp_path_factory.mktemp("good") / "model", pooling="mean")


@pytest.fixture
def model(good: Path, tmp_path: Path) -> Path:
    shutil.copytree(good, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def index(run: Run, tmp_path: Path, model: Path) -> Callable[[], tuple[int, str]]:
    """Index a document with the model; return the exit code and the line of the error."""
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"id": "a", "text": "the quick brown fox"}\n')

    def index() -> tuple[int, str]:
        done = run(
            *("index", corpus, "--task", "retrieval", "--model", model, "--query-prompt", ""),
            *("--document-prompt", "", "--index", tmp_path / "index", "--device", "cpu"),
            *("--cache", tmp_path / "cache"),
        )
        assert "Traceback" not in done.err
        lines = [line for line in done.err.splitlines() if line.startswith("taskembed: error: ")]
        return done.code, "".join(lines)

    return index


def changed(path: Path, **values: Any) -> None:  # noqa: ANN401  # JSON
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


JSON_FILES = (
    *("config.json", "modules.json", "tokenizer.json", "tokenizer_config.json"),
    *("sentence_bert_config.json", "config_sentence_transformers.json", "1_Pooling/config.json"),
)
CONTENTS = {
    "nothing": b"",
    "a cut": b'{"a": [1, 2',
    "100,000 brackets": b"[" * 100_000,
    "100,000 objects": b'{"a":' * 100_000,
    "no UTF-8": b'{"a": "\xff"}',
    "a long number": b'{"a": ' + b"1" * 5_000 + b"}",
}


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("name", JSON_FILES)
def test_a_file_that_is_no_json_is_named(
    model: Path, index: Callable[[], tuple[int, str]], name: str, content: str
) -> None:
    (model / name).write_bytes(CONTENTS[content])
    code, err = index()
    assert code == 69
    what = "nested too deeply" if content.startswith("100,000") else "not JSON"
    assert err.startswith(f"taskembed: error: {model / name} is {what}")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"3", "config.json is not a JSON object"),
        ("modules.json", b"{}", "modules.json is not a list of JSON objects"),
        ("modules.json", b"[3]", "modules.json is not a list of JSON objects"),
        ("modules.json", b"[" + b"{}," * 2_000 + b"{}]", "modules.json lists 2,001 modules"),
        ("tokenizer.json", b"{}", "cannot be loaded: "),
        ("tokenizer.json", b"null", "cannot be loaded: "),
        ("model.safetensors", b"", "cannot be loaded: "),
        ("model.safetensors", b"\xff" * 100, "cannot be loaded: "),
        ("model.safetensors", bytes(100), "cannot be loaded: "),
    ],
    ids=range(9),
)
def test_a_file_that_holds_something_else_is_refused(
    model: Path,
    index: Callable[[], tuple[int, str]],
    name: str,
    content: bytes,
    message: str,
) -> None:
    (model / name).write_bytes(content)
    code, err = index()
    assert code == 69
    assert message in err


VALUES: dict[str, tuple[str, dict[str, Any], str]] = {
    "10^6 layers": (
        "config.json",
        {"num_hidden_layers": 10**6},
        "config.json asks for num_hidden_layers 1,000,000, but the weights have 39 tensors",
    ),
    "10^6 layers within": (
        "config.json",
        {"text_config": {"n_layer": 10**6}},
        "config.json asks for n_layer 1,000,000",
    ),
    "10^12 words": (
        "config.json",
        {"vocab_size": 10**12},
        "its weights embeddings.word_embeddings.weight do not have the size in config.json",
    ),
    "no heads": ("config.json", {"num_attention_heads": 0}, "cannot be loaded: "),
    "no numbers": ("config.json", {"hidden_size": "32"}, "cannot be loaded: "),
    "an unknown kind": ("config.json", {"model_type": "evil\0"}, "cannot be loaded: "),
    "a length below 0": ("sentence_bert_config.json", {"max_seq_length": -5}, "it reads -5 tokens"),
    "a length of words": ("sentence_bert_config.json", {"max_seq_length": "x"}, "cannot be loaded"),
    "another width": ("1_Pooling/config.json", {"word_embedding_dimension": 7}, "not 7"),
    "no prompts": (
        "config_sentence_transformers.json",
        {"prompts": 3},
        "has an invalid value: prompts 3 in ",
    ),
    "NaN as version": (
        "config_sentence_transformers.json",
        {"__version__": {"sentence_transformers": float("nan")}},
        "cannot be loaded: ",
    ),
    "no tokenizer": ("tokenizer.json", {"model": {"type": "WordPiece"}}, "cannot be loaded: "),
}


@pytest.mark.parametrize("case", VALUES)
def test_a_value_that_cannot_be_is_refused(
    model: Path, index: Callable[[], tuple[int, str]], case: str
) -> None:
    name, values, message = VALUES[case]
    changed(model / name, **values)
    code, err = index()
    assert code == 69
    assert message in err


@pytest.mark.parametrize("path", ["a" * 10_000, "a\0b", "/etc", "../other"])
def test_a_path_that_cannot_be_is_refused(
    model: Path, index: Callable[[], tuple[int, str]], path: str
) -> None:
    modules = json.loads((model / "modules.json").read_text())
    (model / "modules.json").write_text(json.dumps([modules[0], {**modules[1], "path": path}]))
    assert index()[0] == 69


def test_a_pattern_that_gives_up_is_the_models(
    model: Path, index: Callable[[], tuple[int, str]]
) -> None:
    """The library's panic is no Exception, as if it were Ctrl-C."""
    pattern = {"Regex": "(a+)+$"}
    split = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
    changed(model / "tokenizer.json", pre_tokenizer=split)
    corpus = model.parent / "corpus.jsonl"
    assert index()[0] == 0
    corpus.write_text('{"id": "b", "text": "' + "a" * 40 + 'b"}\n{"id": "c", "text": "fox"}\n')
    code, err = index()
    assert code == 69
    assert (
        f"taskembed: error: the model {model} cannot be run: its tokenizer fails on "
        f"'{'a' * 40}': " in err
    )


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_damaged_reranker_is_refused_likewise(
    run: Run, tmp_path: Path, index: Callable[[], tuple[int, str]], name: str
) -> None:
    assert index()[0] == 0
    model = tiny_families.save_cross_encoder(tmp_path / "reranker", "bert")
    damaged = model / name
    damaged.write_bytes(b"[" * 100_000)
    done = run("search", "fox", "--index", tmp_path / "index", "--rerank", model)
    assert done.code == 69
    assert f"{damaged} is nested too deeply" in done.err


def test_a_damaged_adapter_is_refused_likewise(run: Run, tmp_path: Path, model: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_bytes(b"[" * 100_000)
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"id": "a", "text": "one"}\n')
    done = run(
        *("index", corpus, "--task", "retrieval", "--model", model, "--adapter", adapter),
        *("--query-prompt", "", "--document-prompt", "", "--index", tmp_path / "index"),
    )
    assert done.code == 69
    assert "adapter_config.json is nested too deeply" in done.err


# what the operating system refuses is no fault of the model


def test_a_folder_that_may_not_be_read_is_not_an_empty_one(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = os.scandir
    refused: dict[str, int] = {}

    def scandir(path: Any) -> Any:  # noqa: ANN401  # as os.scandir
        number = refused.get(Path(path).name)
        if number:
            raise OSError(number, os.strerror(number), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    for number, kind in (
        (errno.EACCES, AccessDeniedError),
        (errno.EMFILE, StorageError),
        (errno.EIO, StorageError),
    ):
        refused["1_Pooling"] = number
        with pytest.raises(kind) as caught:
            Hub(tmp_path / "cache").locate(str(model))
        assert caught.value.message == f"{model / '1_Pooling'}: {os.strerror(number)}"


def test_a_file_that_may_not_be_read_is_not_an_absent_one(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *_: object, **__: object) -> object:
        raise OSError(errno.EACCES, "Permission denied", str(self))

    assert read_saved(model / "absent.json") is None
    assert read_saved(model / "config.json" / "below.json") is None
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(AccessDeniedError, match=r"config\.json: Permission denied"):
        read_saved(model / "config.json")


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    assert read_saved(tmp_path / "config.json") is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.EMFILE, "x"), StorageError),
        (PermissionError(errno.EACCES, "x"), AccessDeniedError),
        (RuntimeError("while opening: Too many open files (os error 24)"), StorageError),
        (RuntimeError("Permission denied (os error 13)"), AccessDeniedError),
        (MemoryError(), StorageError),
        (OSError("no file named model.safetensors"), ModelUnavailableError),
        (FileNotFoundError(errno.ENOENT, "x"), ModelUnavailableError),
    ],
)
def test_what_a_library_raises_is_told_by_its_cause(error: Exception, kind: type) -> None:
    assert type(from_library(error, "the model", hint="")) is kind
    if not isinstance(error, MemoryError):
        wrapped = ValueError("cannot be loaded")
        wrapped.__cause__ = error
        assert type(from_library(wrapped, "the model", hint="")) is kind


# what `explain` says of a length is what loading finds


@pytest.mark.parametrize(
    ("save", "files"),
    [
        (tiny_models.save_bert, {}),
        (tiny_models.save_xlm_roberta, {}),
        (tiny_models.save_xlm_roberta, {"sentence_bert_config.json": {"max_seq_length": 64}}),
        (tiny_models.save_xlm_roberta, {"sentence_bert_config.json": {"query_length": 9}}),
        (tiny_families.save_roberta, {"sentence_bert_config.json": {"max_seq_length": 66}}),
        (tiny_families.save_mpnet, {"sentence_bert_config.json": {"max_seq_length": 66}}),
        (tiny_models.save_bert, {"sentence_bert_config.json": {"max_seq_length": 4_000}}),
    ],
)
def test_explain_says_the_length_that_loading_finds(
    tmp_path: Path, save: Callable[..., Path], files: dict[str, dict[str, Any]]
) -> None:
    from taskembed.encoding.compile.encoders import load_encoder_model

    model = save(tmp_path / "model", pooling="mean")
    for name, values in files.items():
        changed(model / name, **values)
    loaded = load_encoder_model(Located(str(model), "", model, ""), None, trust_remote_code=False)
    assert isinstance(loaded.facts, ModelFacts)
    explained = explain_model(str(model), Task.RETRIEVAL, "fox", stated=NO_PROMPTS)
    for side in PromptType:
        assert explained.sides[side].max_length == loaded.facts.length(side), side


def test_explain_of_a_damaged_tokenizer_is_refused(run: Run, model: Path) -> None:
    (model / "tokenizer.json").write_bytes(b"[" * 100_000)
    done = run(
        *("explain", "fox", "--task", "retrieval", "--model", model),
        *("--query-prompt", "", "--document-prompt", ""),
    )
    assert done.code == 69
    assert f"the tokenizer in {model} cannot be loaded: " in done.err


# anything at all


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Return a file with bits flipped, cut, or with a part of another kind in it."""
    position = chance.randrange(len(data))
    kind = chance.randrange(4)
    if kind == 0:
        return (
            data[:position]
            + bytes([data[position] ^ (1 << chance.randrange(8))])
            + (data[position + 1 :])
        )
    if kind == 1:
        return data[:position]
    if kind == 2:
        return data[:position] + data[chance.randrange(len(data)) :]
    parts = ["null", "-1", "1e400", "NaN", '"\\u0000"', "[[[[]]]]", "{}", "9" * 30, '"\\ud800"']
    colon = data.find(b":", position)
    end = min((at for sign in b",}]" if (at := data.find(sign, colon)) > 0), default=len(data))
    return data[: colon + 1] + chance.choice(parts).encode() + data[end:]


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.crash)])
@pytest.mark.parametrize("layout", ["bert", "qwen3"])
def test_no_damage_ends_in_a_bug(
    layout: str, count: int, tmp_path: Path, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    save: dict[str, Callable[[Path], Path]]
    save = {"bert": partial(tiny_models.save_bert, pooling="mean"), "qwen3": tiny_models.save_qwen3}
    good = save[layout](tmp_path / "good")
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"id": "a", "text": "the quick brown fox"}\n')
    files = sorted(path.relative_to(good) for path in good.rglob("*") if path.is_file())
    chance = random.Random(7)
    codes = set()
    for number in range(count):
        name = files[number % len(files)]
        model = tmp_path / f"model{number}"
        shutil.copytree(good, model)
        (model / name).write_bytes(damaged((model / name).read_bytes(), chance))
        code = main(
            [
                *("index", str(corpus), "--task", "retrieval", "--model", str(model)),
                *("--query-prompt", "", "--document-prompt", "", "--device", "cpu"),
                *("--index", str(tmp_path / f"index{number}"), "--cache", str(cache)),
            ]
        )
        said = capfd.readouterr().err
        assert code in {0, 65, 69}, (number, name, said)
        assert "Traceback" not in said
        codes.add(code)
    assert {0, 69} <= codes
