"""int8 with real models: how near it is, that it is kept, that nothing is sent, what is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from taskembed.encoding import _quantized
from taskembed.encoding._runtime import Runtime
from taskembed.encoding.cache import list_entries
from taskembed.encoding.compile import quantize
from taskembed.encoding.compile.convert import Converted
from taskembed.encoding.compile.quantize import agreement, calibration_texts
from taskembed.encoding.load import load_encoder
from taskembed.encoding.settings import EngineSettings
from taskembed.errors import MissingLibraryError, ModelUnavailableError, UsageError
from taskembed.models.resolve import PromptOverrides
from taskembed.space import PromptType, Task
from taskembed.vectors import FloatRows
from tests import tiny_families, tiny_models

NO_PROMPTS = PromptOverrides(query_prompt="", document_prompt="")
TEXTS = ["why is the sky blue?", "the quick brown fox jumps over the lazy dog", "sort a list"]


@pytest.fixture
def any_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accept every loss: a tiny model with random weights may lose more than a trained one."""
    monkeypatch.setattr(quantize, "MOST_LOST", 1.0)


def settings(cache: Path, precision: str = "int8") -> EngineSettings:
    return EngineSettings(device="cpu", precision=precision, threads=1, offline=True, cache=cache)


def test_both_rank_alike_when_only_equal_texts_are_exchanged() -> None:
    exact = np.eye(4, dtype=np.float32)[[0, 0, 1, 2]]
    found = agreement(exact, exact[[1, 0, 2, 3]])
    assert found.mean == found.least == pytest.approx(1)
    assert found.lost == pytest.approx(0)


def test_the_loss_is_that_of_the_ranking() -> None:
    # Three texts, at 0, 60 and 90 degrees. To each, the nearer other is worth 1, the further 0.
    angles = np.deg2rad([0, 60, 90])
    exact = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    # In int8 the second and the third are exchanged: only the first then ranks its better neighbour
    # second, which is worth 1 / log2(3) = 0.6309.
    found = agreement(exact, exact[[0, 2, 1]])
    assert found.lost == pytest.approx((1 - 0.6309) / 3, abs=1e-4)
    assert found.least == pytest.approx(0.8660, abs=1e-4)  # the cosine of 30 degrees
    assert found.mean == pytest.approx((1 + 2 * 0.8660) / 3, abs=1e-4)


@pytest.mark.usefixtures("any_loss")
@pytest.mark.parametrize("save", [tiny_models.save_bert, tiny_models.save_xlm_roberta])
def test_a_tiny_model_is_quantised_once(save: Callable[..., Path], tmp_path: Path) -> None:
    folder = save(tmp_path / "model", pooling="mean")

    def encoded(precision: str) -> tuple[FloatRows, dict[str, str]]:
        encoder = load_encoder(
            str(folder),
            Task.RETRIEVAL,
            stated=NO_PROMPTS,
            settings=settings(tmp_path / "cache", precision),
        )
        vectors = encoder.encode(TEXTS, PromptType.DOCUMENT).vectors
        return vectors, dict(encoder.made_by)

    exact, _ = encoded("fp32")
    first, made_by = encoded("int8")
    entries = list_entries(tmp_path / "cache")
    again, _ = encoded("int8")
    assert list_entries(tmp_path / "cache") == entries
    assert len(entries) == 2
    assert np.array_equal(first, again)
    assert made_by["precision"] == "int8"
    assert made_by["quantized"].startswith("int8 by nncf ")
    assert 0.97 < (first * exact).sum(axis=1).min() < 0.99999


def test_minilm_in_int8_is_near_fp32(cache: Path) -> None:
    exact, quantized = (
        load_encoder(
            "minilm",
            Task.RETRIEVAL,
            stated=PromptOverrides(adapter=""),
            settings=settings(cache, precision),
        )
        for precision in ("fp32", "int8")
    )
    texts, side = calibration_texts(), PromptType.DOCUMENT
    cosines = (exact.encode(texts, side).vectors * quantized.encode(texts, side).vectors).sum(
        axis=1
    )
    assert cosines.mean() > 0.99
    assert cosines.min() > 0.96
    assert "nDCG@10 lost 0.00" in quantized.made_by["quantized"]


def test_quantising_opens_no_socket_and_prints_nothing(tmp_path: Path) -> None:
    # in a process of its own, since NNCF has no telemetry where pytest was imported
    folder = tiny_models.save_bert(tmp_path / "model", pooling="mean")
    program = f"""
import sys
opened = []
from taskembed.encoding.compile import quantize
quantize.MOST_LOST = 1.0  # random weights
sys.addaudithook(lambda name, _: name.startswith("socket.") and opened.append(name))
from taskembed.encoding.load import load_encoder
from taskembed.encoding.settings import EngineSettings
from taskembed.models.resolve import PromptOverrides
stated = PromptOverrides(query_prompt="", document_prompt="")
settings = EngineSettings(device="cpu", precision="int8", threads=1, cache={str(tmp_path / "c")!r})
encoder = load_encoder({str(folder)!r}, "retrieval", stated=stated, settings=settings)
encoder.encode(["fox"], "document")
assert encoder.made_by["precision"] == "int8", encoder.made_by
assert "nncf" in sys.modules and sys.modules["openvino_telemetry"] is None
assert [name for name in opened if name != "socket.gethostname"] == [], opened
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.usefixtures("any_loss")
def test_a_search_in_int8_imports_neither_torch_nor_nncf(tmp_path: Path) -> None:
    folder = tiny_models.save_bert(tmp_path / "model", pooling="mean")
    options = settings(tmp_path / "cache")
    load_encoder(str(folder), Task.RETRIEVAL, stated=NO_PROMPTS, settings=options).encode(
        TEXTS, PromptType.QUERY
    )
    program = f"""
import sys
from taskembed.encoding.load import load_encoder
from taskembed.encoding.settings import EngineSettings
from taskembed.models.resolve import PromptOverrides
stated = PromptOverrides(query_prompt="", document_prompt="")
settings = EngineSettings(device="cpu", precision="int8", cache={str(tmp_path / "cache")!r})
encoder = load_encoder({str(folder)!r}, "retrieval", stated=stated, settings=settings)
encoder.encode(["fox"], "query")
print(sorted({{"torch", "nncf", "transformers"}} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_a_model_that_loses_too_much_is_refused_with_the_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_models.save_bert(tmp_path / "model", pooling="mean")
    monkeypatch.setattr(quantize, "MOST_LOST", -1.0)
    with pytest.raises(ModelUnavailableError, match=r"loses 0\.\d{4} nDCG@10 in int8") as refusal:
        load_encoder(
            str(folder), Task.RETRIEVAL, stated=NO_PROMPTS, settings=settings(tmp_path / "cache")
        )
    assert refusal.value.hint == (
        "leave out --precision: auto is the fastest precision without loss"
    )
    assert len(list_entries(tmp_path / "cache")) == 1  # in fp32


def test_what_runs_on_torch_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_models.save_bert(tmp_path / "model", pooling="mean")
    monkeypatch.setattr(
        "taskembed.encoding.compile.convert.to_openvino",
        lambda *_: Converted(b"", "as a test wants it"),
    )
    with pytest.raises(UsageError) as refusal:
        load_encoder(
            str(folder), Task.RETRIEVAL, stated=NO_PROMPTS, settings=settings(tmp_path / "cache")
        )
    assert refusal.value.message == (
        f"{folder} runs on torch (as a test wants it), which does not support int8"
    )


def test_static_embeddings_are_refused(tmp_path: Path) -> None:
    folder = tiny_families.save_static(tmp_path / "model")
    with pytest.raises(UsageError) as refusal:
        load_encoder(
            str(folder), Task.RETRIEVAL, stated=NO_PROMPTS, settings=settings(tmp_path / "cache")
        )
    assert refusal.value.message == f"{folder} has static embeddings, and no layers to quantise"


def test_without_the_library_nothing_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_models.save_bert(tmp_path / "model", pooling="mean")
    monkeypatch.setattr("taskembed.extras.find_spec", lambda _: None)
    with pytest.raises(MissingLibraryError) as refusal:
        load_encoder(
            str(folder), Task.RETRIEVAL, stated=NO_PROMPTS, settings=settings(tmp_path / "cache")
        )
    assert refusal.value.message == "the library nncf is not installed"
    assert list_entries(tmp_path / "cache") == []


def test_the_calibration_texts_are_many_and_of_many_kinds() -> None:
    texts = calibration_texts()
    assert len(set(texts)) == len(texts) > 130
    assert min(map(len, texts)) < 10
    assert max(map(len, texts)) > 1000
    assert len(quantize.calibration_digest()) == 64


@pytest.mark.usefixtures("any_loss")
def test_the_plain_runtime_is_not_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_models.save_bert(tmp_path / "model", pooling="mean")
    options = settings(tmp_path / "cache")
    load_encoder(str(folder), Task.RETRIEVAL, stated=NO_PROMPTS, settings=options)
    opened: list[object] = []

    class Counted(Runtime):
        def __init__(self, *arguments: object) -> None:
            opened.append(arguments)

    monkeypatch.setattr(_quantized, "Runtime", Counted)
    encoder = load_encoder(str(folder), Task.RETRIEVAL, stated=NO_PROMPTS, settings=options)
    assert encoder.encode(TEXTS, PromptType.QUERY).vectors.shape[0] == len(TEXTS)
    assert opened == []
