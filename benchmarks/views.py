"""What a second and a third view of an index cost: time to index, and bytes on disk.

python benchmarks/views.py CORPUS... [--count 10000] [--fake]

--fake runs a fake model that takes no time: what is left is reading, and writing the index.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import machine, read, write_jsonl

TASKS = ("retrieval", "similarity", "clustering")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus", nargs="+")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--fake", action="store_true")
    arguments = parser.parse_args()
    module = "taskembed.testing" if arguments.fake else "taskembed"
    taskembed = [sys.executable, "-m", module]
    documents = read(arguments.corpus, arguments.count)
    print(f"{machine()}; {len(documents):,} documents")
    with tempfile.TemporaryDirectory() as name:
        corpus = Path(name) / "corpus.jsonl"
        write_jsonl(documents, corpus)
        for count in (1, 1, 2, 3):  # the first run compiles the model, if need be
            tasks = [item for task in TASKS[:count] for item in ("--task", task)]
            index = Path(name) / f"index-{count}"
            command = [*taskembed, "index", corpus, *tasks, "--index", index, "--recreate", "-q"]
            report(f"{count} at once", command, index)
        index = Path(name) / "index-1"
        for task in TASKS[1:]:
            command = [*taskembed, "index", "--add-view", task, "--index", index, "-q"]
            report(f"--add-view {task}", command, index)
        unchanged = [*taskembed, "index", corpus, "--index", index, "-q"]
        report("nothing changed, 3 views", unchanged, index)


def report(label: str, command: list[object], index: Path) -> None:
    """Run a command; print its time, and the bytes of the index."""
    started = time.perf_counter()
    subprocess.run(list(map(str, command)), check=True)
    seconds = time.perf_counter() - started
    info = [sys.executable, "-m", "taskembed", "info", "--index", str(index), "--json"]
    described = json.loads(subprocess.run(info, check=True, capture_output=True).stdout)
    views = {task: view["bytes"] for task, view in described["views"].items()}
    rest = described["bytes"] - sum(views.values())
    sizes = ", ".join(f"{task} {size / 1e6:.1f}" for task, size in views.items())
    print(f"{label:26} {seconds:6.1f} s   MB: documents {rest / 1e6:.1f}, {sizes}", flush=True)


if __name__ == "__main__":
    main()
