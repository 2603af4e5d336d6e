"""Runs with workers survive the death of a worker, of a machine and of their driver."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param(1, marks=pytest.mark.slow),
        pytest.param(17, marks=[pytest.mark.crash, pytest.mark.timeout(3600)]),
    ],
)
def test_nothing_is_lost_and_nothing_is_there_twice(tmp_path: Path, rounds: int) -> None:
    command = [sys.executable, "-m", "tests.reliability.ray_kills", str(tmp_path), str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
