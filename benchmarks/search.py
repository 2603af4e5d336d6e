"""One search as a whole process: `taskembed search`, and a plain script doing the same.

Python keeps its compiled modules in a folder of the benchmark, as of an installed package.

python benchmarks/search.py CORPUS... [--count 10000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import machine, read, write_jsonl

PLAIN = """
import json, sys
import faiss
from sentence_transformers import SentenceTransformer
folder, query = sys.argv[1:]
model = SentenceTransformer(MODEL, device="cpu")
index = faiss.read_index(folder + "/plain.faiss")
texts = [json.loads(line) for line in open(folder + "/corpus.jsonl")]
scores, rows = index.search(model.encode([query], normalize_embeddings=True), 10)
for score, row in zip(scores[0], rows[0]):
    print(json.dumps({"score": float(score), **texts[row]}))
"""
QUERY = "how does the heart keep its rhythm?"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus", nargs="+")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    documents = read(arguments.corpus, arguments.count)
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_jsonl(documents, folder / "corpus.jsonl")
        index = folder / "index"
        taskembed = [sys.executable, "-m", "taskembed"]
        build = ["index", folder / "corpus.jsonl", "--task", "retrieval", "--index", index, "-q"]
        subprocess.run([*taskembed, *build], check=True)
        save_plain_index(folder, index)
        (folder / "plain.py").write_text(PLAIN.replace("MODEL", repr(model_folder())))
        commands = {
            "taskembed search": [*taskembed, "search", QUERY, "--index", index],
            "plain script": [sys.executable, folder / "plain.py", name, QUERY],
        }
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        times: dict[str, list[float]] = {name: [] for name in commands}
        cpu: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(arguments.rounds + 1):
            for label, command in commands.items():
                started, before = time.perf_counter(), os.times()
                done = subprocess.run(
                    command, check=True, capture_output=True, text=True, env=environment
                )
                seconds, after = time.perf_counter() - started, os.times()
                if number:  # the first round warms the page cache
                    times[label].append(seconds)
                    cpu[label].append(sum(after[2:4]) - sum(before[2:4]))
                first = done.stdout.splitlines()[0]
                if number == 0:
                    print(f"{label}: {first[:100]}")
    print(f"{len(documents):,} documents")
    for label, seconds in times.items():
        values = ", ".join(f"{value:.2f}" for value in seconds)
        print(
            f"{label:18} {values} s, median {statistics.median(seconds):.2f} s; "
            f"{statistics.median(cpu[label]):.2f} CPU s"
        )
    ratios = [b / a for a, b in zip(*times.values(), strict=True)]
    print(f"plain script / taskembed search: median {statistics.median(ratios):.1f} times")
    print(machine())


def model_folder() -> str:
    from taskembed.models.files import Hub

    return str(Hub().folder("minilm")[0])


def save_plain_index(folder: Path, index: Path) -> None:
    """Save the same vectors for the plain script, in one FAISS file."""
    import faiss

    from taskembed.index.reader import Index

    with Index.open(index) as opened:
        plain = faiss.IndexFlatIP(opened.space.dim)
        plain.add(opened.sample(len(opened))[1])
    faiss.write_index(plain, str(folder / "plain.faiss"))


if __name__ == "__main__":
    main()
