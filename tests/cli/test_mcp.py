"""`taskembed mcp`: which indexes it serves under which names, and what it needs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import pytest

from taskembed.encoding.settings import EngineSettings
from tests.conftest import Run

LIBRARY = "mcp.server.mcpserver"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Path]]:
    """What was served, by a server that ends at once; the library is not imported."""
    served: list[Mapping[str, Path]] = []

    def serve(
        folders: Mapping[str, Path], settings: EngineSettings, *, hide: Callable[[str], str]
    ) -> None:
        assert settings.one_query
        assert hide("x") == "x"
        served.append(folders)

    module = ModuleType("serve")
    vars(module)["serve"] = serve
    monkeypatch.setitem(sys.modules, "taskembed.server.serve", module)
    monkeypatch.setitem(sys.modules, LIBRARY, ModuleType(LIBRARY))
    return served


def test_without_the_extra_it_says_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, LIBRARY, None)
    done = run("mcp", "nothing")
    assert (done.code, done.out) == (69, "")
    first, hint = done.err.splitlines()
    assert first == f"taskembed: error: the library {LIBRARY} is not installed"
    assert hint.startswith("taskembed: hint: ")
    assert "[mcp]" in hint


def test_folders_and_names_of_the_configuration_file(
    run: Run, served: list[Mapping[str, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "config.toml"
    config.write_text(f'[indexes]\nnotes = "{tmp_path}/a"\nwork = "{tmp_path}/b"\n')
    monkeypatch.setenv("TASKEMBED_CONFIG", str(config))
    assert run("mcp", "notes", "b", "my code").code == 0
    assert run("mcp").code == 0
    assert run("mcp", "--index", "work").code == 0
    assert served == [
        {"notes": tmp_path / "a", "b": tmp_path / "b", "my code": tmp_path / "my code"},
        {"taskembed-index": tmp_path / "taskembed-index"},
        {"b": tmp_path / "b"},
    ]


@pytest.mark.slow  # imports the library: 1 s
def test_without_an_index_it_does_not_start(run: Run, tmp_path: Path) -> None:
    done = run("mcp", tmp_path / "nothing")
    assert (done.code, done.out) == (66, "")
    assert f"no index at {tmp_path / 'nothing'}" in done.err
