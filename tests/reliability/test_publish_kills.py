"""`publish` is killed by SIGKILL at every write to the store; readers see a whole generation."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taskembed.index.reader import Index
from taskembed.verbs.publish import publish_index
from taskembed.verbs.publishing.fetch import fetch_index
from tests.indexing import Indexed
from tests.stores import Bucket

pytestmark = pytest.mark.crash

KILLED = """
import os, signal, sys
from taskembed.cli.main import main
from taskembed.objects import Store

number, after, writes = int(sys.argv[1]), sys.argv[2] == "after", 0

def counting(real):
    def write(*arguments, **options):
        global writes
        writes += 1
        if writes == number and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        done = real(*arguments, **options)
        if writes == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return done
    return write

for name in ("put", "upload", "put_if", "remove"):
    setattr(Store, name, counting(getattr(Store, name)))
sys.exit(main(["publish", *sys.argv[3:]]))
"""


def count_at(address: str, cache: Path) -> int:
    with Index.open(fetch_index(address, cache=cache).folder) as index:
        return len(index)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_reader_finds_the_old_or_the_new_generation_after_each_kill(
    indexed: Indexed, bucket: Bucket, tmp_path: Path, when: str
) -> None:
    address = f"{bucket.address}/index"
    publish_index(indexed(3), address)
    kills, count = 0, 3
    while True:  # each run sends one file more than the one before
        indexed(count + 2)
        for number in range(1, 20):
            options = ["--index", str(tmp_path / "index"), "-q"]
            done = subprocess.run(
                [sys.executable, "-c", KILLED, str(number), when, address, *options],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                check=False,
            )
            seen = count_at(address, tmp_path / "cache")
            assert seen in {count, count + 2}
            if done.returncode == 0:
                break
            assert done.returncode == -signal.SIGKILL
            kills += 1
        assert count_at(address, tmp_path / "cache") == count + 2
        count += 2
        if kills >= 10:
            break
