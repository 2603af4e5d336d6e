"""What every test gets: no network, a home of its own, the command line in process."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from taskembed.cli.main import main
from taskembed.testing import fake_models

pytest_plugins = ["tests.indexing", "tests.stores", "tests.web"]

# before anything imports the hub's library, which reads it once
os.environ["HF_HUB_OFFLINE"] = "1"
# without it each program that a test starts would compile taskembed anew
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # in the background, where a shell has Ctrl-C ignored, and the programs that tests start with it
    signal.signal(signal.SIGINT, signal.default_int_handler)
# a tiny model's sums take longer to share among threads than to do
os.environ["OMP_NUM_THREADS"] = "1"


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> object:
        return json.loads(self.out)

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Result]
SLOW_SECONDS = 600  # for a slow test, beside others that use the same cores


def is_real(path: Path) -> bool:
    """Tell whether the tests of a module run real models, and are slow."""
    return path.name.startswith("test_") and (
        path.stem.endswith("_real") or path.parent.name == "parity"
    )


def leaves_out_slow(config: pytest.Config) -> bool:
    """Tell whether slow tests are left out, as they are by default."""
    return "not slow" in config.option.markexpr


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave modules that load torch to those who select slow tests: `-m slow`, say.

    Where slow tests are left out, importing them for nothing would take seconds.
    """
    return True if leaves_out_slow(config) and is_real(collection_path) else None


@pytest.hookimpl(tryfirst=True)  # before tests are selected by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of modules that run real models, and give slow tests more time.

    A test that is out of time is interrupted wherever it is; within a library's callback, that can
    end the process.
    """
    for item in items:
        if is_real(item.path):
            item.add_marker("slow")
            item.add_marker("real_models")
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def loopback_only(self: socket.socket, address: Any) -> None:  # noqa: ANN401  # as in socket
        if not isinstance(address, tuple) or address[0] not in {"127.0.0.1", "::1"}:
            raise AssertionError("a test must not use the network")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", loopback_only)


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Paths of homes, one for each test; a command that needs its home makes the folder."""
    folder = tmp_path_factory.mktemp("homes")
    return (folder / str(number) for number in count())


@pytest.fixture(autouse=True)
def _own_home(homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    home = next(homes)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HF_HOME", str(home / "hub"))
    for name in list(os.environ):
        if name.startswith("TASKEMBED_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session", autouse=True)
def _unsynced() -> Iterator[None]:
    """Wait for no disk: a killed process loses nothing that it wrote, and power cuts are simulated.

    That the real calls are made is tested where they are.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda _descriptor: None)
        yield


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for compiled models: compiling takes seconds, and each model needs it once.

    The processes that the tests are shared among have it in common, as users' processes do.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the hub's library finds what `tiny_models.publish` puts there."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


@pytest.fixture
def models(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run fake models, but for the tests that are marked: `real_models`."""
    with nullcontext() if request.node.get_closest_marker("real_models") else fake_models():
        yield


@pytest.fixture
def run(
    capfd: pytest.CaptureFixture[str], cache: Path, monkeypatch: pytest.MonkeyPatch, models: None
) -> Run:
    """Run a command in this process."""
    monkeypatch.setenv("TASKEMBED_CACHE", str(cache))
    monkeypatch.setenv("TASKEMBED_THREADS", "1")  # the processes of the tests share the cores

    def run(*arguments: str | Path) -> Result:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two documents, for tests of everything but what is found."""
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"id": "a", "text": "fox"}\n{"id": "b", "text": "lazy dog"}\n')
    return path


def space_of(run: Run, index: Path) -> dict[str, Any]:
    """Return the space of an index, as `info` shows it."""
    value: Any = run("info", "--index", index, "--json").json
    return dict(value["space"])
