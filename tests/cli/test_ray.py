"""`taskembed index --engine ray`, with workers that are processes of a real cluster."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from taskembed.index.reader import Index
from tests.conftest import Run

pytestmark = pytest.mark.slow
TEXTS = 900
MARK = "OF_TEST"  # a variable of the environment, which processes hand on


@pytest.fixture
def many(tmp_path: Path) -> Path:
    path = tmp_path / "many.jsonl"
    path.write_text("".join(f'{{"id": "d{n}", "text": "text {n}"}}\n' for n in range(TEXTS)))
    return path


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files; its path is short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        monkeypatch.setenv("TMPDIR", name)
        yield Path(name)


def started(corpus: Path, index: Path, cache: Path, *program: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "TASKEMBED_CACHE": str(cache)}
    del environment["HOME"]
    command = ["index", str(corpus), "--task", "retrieval", "--index", str(index)]
    return subprocess.Popen(
        [sys.executable, "-m", *program, *command, "--engine", "ray", "--workers", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


def processes_of(mark: str) -> list[str]:
    """Return the names of the processes that run and have the mark in their environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it ended, or is another user's
            if process.environ().get(MARK) == mark and process.pid != os.getpid():
                found.append(process.name())
    return found


@pytest.fixture
def _no_process_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(MARK, str(tmp_path))
    yield
    end = time.monotonic() + 20  # those whose cluster is gone end by themselves
    while processes_of(str(tmp_path)) and time.monotonic() < end:
        time.sleep(0.2)
    assert processes_of(str(tmp_path)) == []


@pytest.mark.usefixtures("_no_process_is_left")
def test_two_workers_make_the_index_of_one_process(
    run: Run, many: Path, tmp_path: Path, temporary: Path, cache: Path
) -> None:
    process = started(many, tmp_path / "two", cache, "taskembed.testing")
    out, err = process.communicate()
    assert process.returncode == 0, err
    one = run("index", many, "--task", "retrieval", "--index", tmp_path / "one")
    assert out == one.out
    lines = [line for line in err.splitlines() if "documents, " not in line]  # of progress
    assert lines == [one.err.strip().replace("one", "two")]
    ids = [f"d{number}" for number in range(TEXTS)]
    with Index.open(tmp_path / "one") as ours, Index.open(tmp_path / "two") as theirs:
        assert ours.vectors_of(ids)[1].tolist() == theirs.vectors_of(ids)[1].tolist()
        assert ours.space == theirs.space
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.usefixtures("_no_process_is_left")
def test_a_signal_stops_the_workers_too(
    many: Path, tmp_path: Path, cache: Path, number: signal.Signals
) -> None:
    log = tmp_path / "log"
    process = started(many, tmp_path / "i", cache, "tests.reliability.ray_run", str(log), "0.5")
    while not log.exists() or log.read_text().count("\n") < 200:
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.1)
    if number is signal.SIGINT:  # which a terminal sends to all processes of the group
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    began = time.monotonic()
    _, err = process.communicate()
    assert time.monotonic() - began < 20
    assert process.returncode == 128 + number
    assert f"stopped by {number.name}" in err
    with Index.open(tmp_path / "i") as index:
        assert 0 < len(index) < TEXTS  # committed when it stopped


@pytest.mark.usefixtures("_no_process_is_left")
def test_a_signal_while_ray_starts(
    many: Path, tmp_path: Path, temporary: Path, cache: Path
) -> None:
    process = started(many, tmp_path / "i", cache, "taskembed.testing")
    while "raylet" not in processes_of(str(tmp_path)):
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in err) == (143, False)
    assert "stopped by SIGTERM" in err
    assert "run the same command again to continue" in err
    assert list(temporary.iterdir()) == []


def test_a_cluster_that_does_not_answer_is_an_error(run: Run, corpus: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        options = ["--task", "retrieval", "--engine", "ray", "--address"]
        done = run("index", corpus, *options, address)
    assert done.code == 69
    assert f"no Ray cluster at {address}" in done.err
    assert "ray start --head" in done.err
    assert run("index", corpus, *options, "nonsense").code == 2
