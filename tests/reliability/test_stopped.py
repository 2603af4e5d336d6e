"""Runs that are stopped by real signals get on, every time."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taskembed.errors import NotFoundError
from taskembed.index.reader import Index
from tests.fakes import SLICE


def start(folder: Path, count: int, seconds: float | str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tests.reliability.slow_run", folder, count, seconds]
    pipe = subprocess.PIPE
    return subprocess.Popen(list(map(str, words)), stdin=pipe, stdout=pipe, text=True)


def committed(folder: Path) -> int:
    try:
        with Index.open(folder) as index:
            return len(index)
    except NotFoundError:
        return 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_loses_no_slice_and_ends_the_run_at_once(
    tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "index"
    with start(folder, 1000, "-") as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write("...")
        process.stdin.flush()
        done = [int(process.stdout.readline()) for _ in range(4)][-1]
        process.send_signal(number)  # while a slice is being encoded, which has no end
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert out == ""  # no other slice was begun
    assert done == 3 * SLICE
    assert committed(folder) in {done, done + SLICE}  # the slice that was being encoded may be done


@pytest.mark.slow
def test_a_loop_of_runs_that_are_killed_ends(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    before = -1
    for _ in range(4):
        count = committed(folder)
        assert count > before, "a run got nowhere"
        before = count
        with start(folder, SLICE * 24, 0.5) as process:
            assert process.stdout
            for line in process.stdout:
                if int(line) >= SLICE * 6:  # three seconds of encoding
                    process.kill()
                    break
    assert committed(folder) >= SLICE * 4 * 4
