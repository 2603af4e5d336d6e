"""`taskembed classify` on sets with a training and a test part, beside `evaluate`'s classifiers.

python benchmarks/classify.py DATA

DATA has classification/NAME/train.jsonl.gz and test.jsonl.gz with the fields text and label. The
heads have all texts of the training part as examples. `evaluate` draws as many texts of it as MTEB
does, ten times, and trains a logistic regression on each draw.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import machine

HEADS = ("knn", "centroid", "logreg", "auto")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    arguments = parser.parse_args()
    print(machine())
    print(f"{'set':20} {'  '.join(f'{head:>8}' for head in HEADS)}  evaluate  seconds of auto")
    for folder in sorted(arguments.data.glob("classification/*/")):
        train, test = folder / "train.jsonl.gz", folder / "test.jsonl.gz"
        with tempfile.TemporaryDirectory() as place:
            index = Path(place) / "i"
            run(
                "index",
                train,
                "--task",
                "classification",
                "--label-field",
                "label",
                "--index",
                index,
            )
            values = []
            for head in HEADS:
                started = time.perf_counter()
                done = run(
                    "classify", test, "--index", index, "--evaluate", "--json", "--head", head
                )
                values.append(json.loads(done)["accuracy"])
            seconds = time.perf_counter() - started
        drawn = json.loads(run("evaluate", folder, "--task", "classification", "--json"))
        cells = "  ".join(f"{value:8.4f}" for value in values)
        print(f"{folder.name:20} {cells}  {accuracy_of(drawn):8.4f}  {seconds:.1f}", flush=True)
    print(machine())


def accuracy_of(evaluated: dict) -> float:
    """Return the accuracy of the logistic regression, the mean of the draws."""
    return evaluated["values"]["accuracy"]


def run(*arguments: object) -> str:
    command = [sys.executable, "-m", "taskembed", *map(str, arguments), "--quiet"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
