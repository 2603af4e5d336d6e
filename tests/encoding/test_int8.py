"""int8: where it is refused, what an index remembers of it, and how its loss is measured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskembed.encoding import settings as engine_settings
from taskembed.encoding.load import load_encoder
from taskembed.encoding.settings import EngineSettings, device_of
from taskembed.errors import MissingLibraryError, UsageError
from taskembed.extras import require_installed
from taskembed.space import Task
from tests.conftest import Run


def index_info(run: Run, index: Path) -> dict[str, Any]:
    info = run("info", "--index", index, "--json").json
    assert isinstance(info, dict)
    return info


def test_an_accelerator_has_no_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_settings, "_device_of", lambda _: "cuda")
    with pytest.raises(UsageError) as refusal:
        device_of(EngineSettings(precision="int8"))
    assert refusal.value.message == ("int8 is only for the CPU, but the model would run on cuda")
    assert refusal.value.hint == "--device cpu; or leave out --precision"
    assert device_of(EngineSettings()) == "cuda"


def test_a_hosted_model_has_no_int8() -> None:
    message = "int8 is only for models on this machine, but embed-v4.0 is behind a server"
    settings = EngineSettings(precision="int8")
    with pytest.raises(UsageError) as refusal:
        load_encoder("embed-v4.0", Task.RETRIEVAL, settings=settings)
    assert (refusal.value.message, refusal.value.hint) == (message, "leave out --precision")


def test_a_server_of_ones_own_has_no_int8() -> None:
    settings = EngineSettings(precision="int8", api_base="http://127.0.0.1:9/v1")
    with pytest.raises(UsageError) as refusal:
        load_encoder("mine", Task.RETRIEVAL, settings=settings)
    assert refusal.value.message == (
        "int8 is only for models on this machine, but mine is behind a server"
    )


def test_the_missing_library_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("taskembed.extras.find_spec", lambda _: None)
    with pytest.raises(MissingLibraryError) as refusal:
        require_installed("nncf", "int8")
    assert refusal.value.message == "the library nncf is not installed"
    assert refusal.value.hint is not None
    assert "pip install" in refusal.value.hint
    assert "[int8]" in refusal.value.hint


def test_an_index_made_in_int8_is_searched_and_updated_in_int8(
    run: Run, corpus: Path, tmp_path: Path, precisions: list[str]
) -> None:
    index = tmp_path / "index"
    words = ("--index", index, "--device", "cpu")
    made = run("index", corpus, "--task", "retrieval", "--precision", "int8", *words)
    assert made.code == 0
    assert index_info(run, index)["made_by"]["precision"] == "int8"
    for command in (("search", "fox"), ("index", corpus)):
        precisions.clear()
        assert run(*command, *words).code == 0
        assert set(precisions) == {"int8"}


def test_another_precision_that_is_asked_for_is_used(
    run: Run, corpus: Path, tmp_path: Path, precisions: list[str]
) -> None:
    index = tmp_path / "index"
    words = ("--index", index, "--device", "cpu")
    assert run("index", corpus, "--task", "retrieval", "--precision", "int8", *words).code == 0
    precisions.clear()
    assert run("search", "fox", "--precision", "fp32", *words).code == 0
    assert set(precisions) == {"fp32"}
    precisions.clear()
    assert run("index", corpus, "--recreate", *words).code == 0
    assert set(precisions) == {"auto"}
    assert index_info(run, index)["made_by"]["precision"] == "fp32"


def test_an_accelerator_searches_an_index_made_in_int8_in_its_own_precision(
    run: Run, corpus: Path, tmp_path: Path, precisions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    index = tmp_path / "index"
    made = ("index", corpus, "--task", "retrieval", "--precision", "int8", "--index", index)
    assert run(*made, "--device", "cpu").code == 0
    precisions.clear()
    monkeypatch.setattr(engine_settings, "_device_of", lambda _: "cuda")
    assert run("search", "fox", "--index", index).code == 0
    assert set(precisions) == {"auto"}


@pytest.fixture
def precisions(models: None) -> Iterator[list[str]]:
    """The precision of each runtime that a command opens.

    Subtle: what is replaced here is put back before `models` puts back what it replaced.
    """
    from taskembed.encoding import _parts, fake

    seen: list[str] = []

    class Watched(fake.FakeRuntime):
        def __init__(self, source: Any, settings: EngineSettings) -> None:  # noqa: ANN401  # ours
            seen.append(settings.precision)
            super().__init__(source, settings)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_parts, "Runtime", Watched)
        patched.setattr(_parts, "QuantizedRuntime", Watched)
        yield seen
