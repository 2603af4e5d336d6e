"""nDCG@10 by vectors, by words and by both, of every retrieval and code set; by its own commands.

python benchmarks/modes.py DATA

DATA has retrieval/NAME and code/NAME with corpus.jsonl.gz, queries.jsonl.gz and qrels.tsv. The
vectors of each set are searched exactly and by codes too (`--index-type rabitq`), since a set is
too small to get codes by itself.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from common import machine

MODES = ("dense", "words", "hybrid")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    arguments = parser.parse_args()
    print(machine())
    print(f"{'set':18} {'dense':>7} {'words':>7} {'hybrid':>7}   hybrid - dense   codes - exact")
    rows = []
    for task in ("retrieval", "code"):
        for folder in sorted(arguments.data.glob(f"{task}/*/")):
            rows.append(of_set(folder, task))
            name, dense, words, hybrid, codes = rows[-1]
            print(
                f"{name:18} {dense:7.4f} {words:7.4f} {hybrid:7.4f}   {hybrid - dense:+14.4f}   "
                f"{codes:+13.5f}",
                flush=True,
            )
    means = [sum(row[column] for row in rows) / len(rows) for column in range(1, 4)]
    print(f"{'mean':18} " + " ".join(f"{mean:7.4f}" for mean in means))
    print(machine())


def of_set(folder: Path, task: str) -> tuple[str, float, float, float, float]:
    judged = ("--queries", folder / "queries.jsonl.gz", "--qrels", folder / "qrels.tsv")
    with tempfile.TemporaryDirectory() as place:
        index = Path(place) / "i"
        corpus = folder / "corpus.jsonl.gz"
        run("index", corpus, "--task", task, "--index-type", "rabitq", "--index", index)
        values = [
            json.loads(run("evaluate", "--index", index, *judged, "--mode", mode, "--json"))
            for mode in MODES
        ]
        runs = []
        for how in ((), ("--exact",)):
            path = Path(place) / f"{len(how)}.run"
            search = ("search", "--index", index, "--queries", judged[1], "--mode", "dense")
            run(*search, "-k", "10", "--format", "trec", "--output", path, *how)
            runs.append(path)
        compared = json.loads(run("compare", judged[3], *runs, "--json"))
    codes, exact = (item["values"]["nDCG@10"] for item in compared)
    dense, words, hybrid = (item["values"]["nDCG@10"] for item in values)
    return folder.name, dense, words, hybrid, codes - exact


def run(*arguments: object) -> str:
    command = [sys.executable, "-m", "taskembed", *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
