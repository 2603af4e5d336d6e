"""Whatever an input becomes when it is unpacked, a run holds little of it at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.reliability.hostile import HOSTILE

pytest.importorskip("pyarrow")

PEAK = 1_400  # MiB of resident memory, of which Python and its libraries take 100
SECONDS = 300  # a machine that does much else needs four times as long as one that does not


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.parametrize("name", HOSTILE)
def test_the_peak_of_a_run_is_bounded(tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    HOSTILE[name](source)
    with TemporaryDirectory(dir=tmp_path) as folder:  # of up to 1.5 GB, not to be kept
        words = ["-m", "tests.reliability.measured_run", source, folder, name.split(".")[1]]
        done = subprocess.run(
            [sys.executable, *map(str, words)],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["peak"] < PEAK, said
    assert said["documents"] or said["rejected"] or said["error"].startswith("65: "), said
