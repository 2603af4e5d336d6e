"""The quality of minilm with each adapter and without, on the evaluation sets of every task.

    python benchmarks/adapters.py DATA [--adapters DIR] [--out FILE] [--tasks code] [--unseen]

DATA has a folder for each task, with a folder for each set, as `taskembed evaluate` reads them.
Figures are appended to FILE as they are computed, and those in FILE are not computed again. The
tables at the end show everything in FILE.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from taskembed.encoding.load import load_encoder
from taskembed.encoding.settings import EngineSettings
from taskembed.evaluation.data import DataFiles, Judged, read_judged
from taskembed.evaluation.evaluate import evaluate
from taskembed.evaluation.measured import Measured, paired_difference
from taskembed.models.resolve import PromptOverrides
from taskembed.reading.examples import read_examples
from taskembed.space import Task
from taskembed.training._overlap import normalised

SETS = {
    Task.RETRIEVAL: ("cranfield", "wikiqa", "cacm", "time", "squad_sentences", "scifact"),
    Task.SIMILARITY: ("stsb", "sick", "mrpc"),
    Task.CLASSIFICATION: ("banking77", "trec", "sst2", "tweeteval_emotion"),
    Task.CLUSTERING: (
        *("20newsgroups/titles.jsonl.gz", "agnews8k", "searchsnippets"),
        "stackoverflow_titles",
    ),
    Task.CODE: ("cosqa", "conala", "nl2bash", "pydocstring"),
}
FIRST = {"nl2bash": 1000, "pydocstring": 1000, "squad_sentences": 1000}  # judged queries
# Documents of these sets are trained on, though none that answers a judged query; so they are
# measured a second time among the documents that no recipe has.
SEEN = ("squad_sentences", "conala", "nl2bash")
UNSEEN = ", unseen documents"
NONE = "none"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--adapters", type=Path, help="their folders; none: those that ship")
    parser.add_argument("--out", type=Path, default=Path("adapters.jsonl"))
    parser.add_argument("--tasks", default=",".join(task.value for task in Task))
    parser.add_argument("--ways", default=",".join([NONE, *(task.value for task in Task)]))
    parser.add_argument("--unseen", action="store_true", help="also among unseen documents")
    options = parser.parse_args()
    done = read(options.out)
    tasks = [Task(name) for name in options.tasks.split(",")]
    for task in tasks:
        names = SETS[task]
        seen = (name + UNSEEN for name in names if name in SEEN)
        for name in (*names, *(seen if options.unseen else ())):
            for way in options.ways.split(","):
                if (task, name, way) not in done:
                    measure(options, task, name, way)
    report(read(options.out))


def measure(options: argparse.Namespace, task: Task, name: str, way: str) -> None:
    started = time.perf_counter()
    data = read_data(options.data, task, name)
    adapter = "" if way == NONE else str(options.adapters / way) if options.adapters else way
    settings = EngineSettings(offline=True, notify=print)
    encoder = load_encoder(
        "minilm", task, stated=PromptOverrides(adapter=adapter), settings=settings
    )
    measured = evaluate(encoder, data)
    value = {
        "task": task.value,
        "set": name,
        "way": way,
        "main": measured.main,
        "values": dict(measured.values),
        "units": measured.units.tolist(),
        "seconds": round(time.perf_counter() - started, 1),
    }
    with options.out.open("a") as stream:
        stream.write(json.dumps(value) + "\n")
    print(
        f"{task.value:14} {name:30} {way:14} {measured.value:.4f} {value['seconds']} s", flush=True
    )


def read_data(folder: Path, task: Task, name: str) -> Judged:
    plain = name.removesuffix(UNSEEN)
    data = read_judged(task, DataFiles(folder / task.value / plain, limit=FIRST.get(plain, 0)))
    if plain == name:
        return data
    _, examples = read_examples(folder / "training" / plain / "pairs.jsonl.gz")
    trained = {normalised(text) for example in examples for text in example.texts}
    kept = [item for item in data.documents if normalised(item.text) not in trained]
    print(f"{name}: {len(kept):,} of {len(data.documents):,} documents")
    return replace(data, documents=kept)


def read(path: Path) -> dict[tuple[Task, str, str], Measured]:
    found = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        row = json.loads(line)
        units = np.asarray(row["units"])
        measured = Measured(row["main"], row["values"], [""] * len(units), units, {})
        found[Task(row["task"]), row["set"], row["way"]] = measured
    return found


def report(done: dict[tuple[Task, str, str], Measured]) -> None:
    print("\n| task | set | units | no adapter | its adapter | difference | 95 % |")
    print("|---|---|---|---|---|---|---|")
    for (task, name, way), right in done.items():
        if way != task.value or (task, name, NONE) not in done:
            continue
        base = done[task, name, NONE]
        gain = paired_difference(base, right)
        print(
            f"| {task.value} | {name} | {len(base.units):,} | {base.value:.4f} | "
            f"{right.value:.4f} | {gain.value:+.4f} | {gain.low:+.4f} .. {gain.high:+.4f} |"
        )
    ways = [NONE, *(task.value for task in Task)]
    means: dict[tuple[Task, str], list[float]] = defaultdict(list)
    for (task, name, way), measured in done.items():
        whole = all((task, name, other) in done for other in ways)
        if whole and not name.endswith(UNSEEN):
            means[task, way].append(measured.value)
    print("\nmean of the main figure over a task's sets, with each adapter\n")
    print("| sets of | " + " | ".join(ways) + " |")
    print("|---" * (len(ways) + 1) + "|")
    for task in Task:
        cells = [means.get((task, way)) for way in ways]
        shown = (f"{np.mean(cell):.4f}" if cell else "" for cell in cells)
        print(f"| {task.value} | " + " | ".join(shown) + " |")


if __name__ == "__main__":
    main()
