"""Kills of workers, of a machine and of the driver, at random moments of a run with workers.

    python -m tests.reliability.ray_kills FOLDER ROUNDS [SEED]

A cluster of three nodes runs on this machine, of which two have one CPU. In each round a run of two
workers is hit once, by `kill -9`; a run whose driver was killed is run again. The index must then
be whole, and equal to that of one process; no text of a finished shard is encoded twice. It prints
a table, and fails at the first difference.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil

DOCUMENTS = 1_600
SHARD_SECONDS = 0.1
KINDS = ("worker", "node", "driver")
os.environ |= {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_USAGE_STATS_ENABLED": "0",
}


def command(corpus: Path, index: Path, *options: str) -> list[str]:
    return ["index", str(corpus), "--task", "retrieval", "--index", str(index), *options]


def vectors(index: Path) -> dict[str, Any]:
    from taskembed.index.reader import Index
    from taskembed.index.verify import verify_index

    assert verify_index(index)[1] == [], "the index is damaged"
    with Index.open(index) as opened:
        documents, rows = opened.vectors_of([f"d{number}" for number in range(DOCUMENTS + 1)])
    return dict(zip([item.doc_id for item in documents], rows, strict=True))


class Cluster:
    """A head without CPUs, and two nodes of one CPU each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster as RayCluster

        self._cluster: Any = RayCluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "include_dashboard": False},
        )
        self.nodes = [self._add() for _ in range(2)]
        self.address = str(self._cluster.address)

    def _add(self) -> Any:  # noqa: ANN401  # a node of Ray
        return self._cluster.add_node(num_cpus=1)

    def workers(self) -> list[psutil.Process]:
        found = []
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):  # it has just ended
                if "ray::Worker" in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def kill_worker(self) -> bool:
        if not (found := self.workers()):
            return False
        random.choice(found).kill()
        return True

    def kill_node(self) -> None:
        node = self.nodes.pop(random.randrange(2))
        self._cluster.remove_node(node, allow_graceful=False)  # kill -9 of all its processes

    def restore(self) -> None:
        while len(self.nodes) < 2:
            self.nodes.append(self._add())

    def stop(self) -> None:
        self._cluster.shutdown()


class Kills:
    """Rounds of runs, each of which is hit once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._corpus = folder / "corpus.jsonl"
        lines = (
            json.dumps({"id": f"d{n}", "text": f"text {n} " + "word " * (n % 9)})
            for n in range(DOCUMENTS)
        )
        self._corpus.write_text("\n".join(lines))
        self._log = folder / "encoded"
        own = command(self._corpus, folder / "alone")
        subprocess.run([sys.executable, "-m", "taskembed.testing", *own], check=True)
        self._expected = vectors(folder / "alone")
        self._cluster = Cluster()

    def start(self, index: Path) -> subprocess.Popen[str]:
        words = command(self._corpus, index, "--engine", "ray", "--workers", "2")
        words += ["--address", self._cluster.address, "--threads", "1"]
        program = [sys.executable, "-m", "tests.reliability.ray_run", str(self._log)]
        return subprocess.Popen(
            [*program, str(SHARD_SECONDS), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def encoded(self) -> list[str]:
        return self._log.read_text().split() if self._log.exists() else []

    def round(self, number: int, kind: str) -> tuple[str, ...]:
        """Run, hit, run again if need be, and check; return a row of the table."""
        index = self._folder / f"index-{number}"
        self._log.unlink(missing_ok=True)
        process = self.start(index)
        after = random.randrange(1, DOCUMENTS * 9 // 10)
        self._wait_for(after, process)
        time.sleep(random.uniform(0, SHARD_SECONDS))
        at = len(self.encoded())
        hits: dict[str, Callable[[], bool | None]] = {
            "worker": self._cluster.kill_worker,
            "node": self._cluster.kill_node,
            "driver": process.kill,
        }
        hit = hits[kind]() is not False
        out, _ = process.communicate(timeout=120)
        runs = 1
        while process.returncode == -9 and runs < 3:
            process = self.start(index)
            out, _ = process.communicate(timeout=120)
            runs += 1
        assert process.returncode == 0, out
        self._cluster.restore()
        twice = [text for text, count in Counter(self.encoded()).items() if count > 1]
        assert not twice, f"{len(twice)} texts of finished shards were encoded twice"
        found = vectors(index)
        assert found.keys() == self._expected.keys(), "documents are lost"
        worst = max(float(np.abs(found[key] - self._expected[key]).max()) for key in found)
        assert worst <= 1e-6, worst
        assert not (index / "shards").exists()
        return (kind, "hit" if hit else "missed", str(at), str(runs), str(len(found)), f"{worst:g}")

    def _wait_for(self, texts: int, process: subprocess.Popen[str]) -> None:
        end = time.monotonic() + 120
        while len(self.encoded()) < texts:
            assert process.poll() is None, process.stdout and process.stdout.read()
            assert time.monotonic() < end, "it does not begin"
            time.sleep(0.02)

    def stop(self) -> None:
        self._cluster.stop()


def main(folder: Path, rounds: int, seed: int) -> None:
    random.seed(seed)
    kills = Kills(folder)
    try:
        print("kill    result  texts done at the kill  runs  documents  largest difference")
        for number in range(rounds * len(KINDS)):
            row = kills.round(number, KINDS[number % len(KINDS)])
            print("{:7} {:7} {:>22} {:>5} {:>10} {:>19}".format(*row), flush=True)
    finally:
        kills.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
