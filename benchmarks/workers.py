"""Workers of `taskembed index --engine ray` beside one process, on this machine.

    python benchmarks/workers.py CORPUS [--count 8000] [--rounds 2] [--adopted 200000]

Three figures for docs/scale.md: how long a run takes until workers encode, how many texts one
worker and two of them encode in a second, and how many documents the driver takes over in a second
when workers are not what it waits for. Runs take turns; each is a whole process.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import machine

from taskembed.encoding.settings import EngineSettings
from taskembed.reading.document import Document
from taskembed.testing import HashEncoder
from taskembed.vectors import Encoded
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions
from taskembed.verbs.workers.encoder import SHARD_TEXTS, WorkersEncoder
from taskembed.verbs.workers.job import Job
from taskembed.verbs.workers.shards import JOB, write_shard

DIM = 384
ENGINES = {
    "one process, 2 threads": ["--threads", "2"],
    "one process, 1 thread": ["--threads", "1"],
    "1 worker of 1 thread": ["--engine", "ray", "--workers", "1", "--threads", "1"],
    "2 workers of 1 thread": ["--engine", "ray", "--workers", "2", "--threads", "1"],
}


def run(corpus: Path, options: list[str]) -> float:
    """Return the seconds of a whole command."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["index", str(corpus), "--task", "retrieval", "--index", f"{folder}/index", "-q"]
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "taskembed", *command, *options], check=True)
        return time.perf_counter() - began


def encoding(corpus: Path, count: int, rounds: int) -> None:
    lines = corpus.read_text().splitlines()[:count]
    with tempfile.TemporaryDirectory() as name:
        many, few = Path(name) / "many.jsonl", Path(name) / "few.jsonl"
        many.write_text("\n".join(lines))
        few.write_text("\n".join(lines[:8]))
        taken: dict[str, list[tuple[float, float]]] = {engine: [] for engine in ENGINES}
        for _ in range(rounds):
            for engine, options in ENGINES.items():
                taken[engine].append((run(few, options), run(many, options)))
    print(f"{len(lines):,} documents of {sum(map(len, lines)) // len(lines)} bytes")
    for engine, pairs in taken.items():
        start = statistics.median(pair[0] for pair in pairs)
        whole = statistics.median(pair[1] for pair in pairs)
        rate = (len(lines) - 8) / (whole - start)
        print(f"{engine:24} start {start:5.1f} s  whole {whole:6.1f} s  {rate:6.0f} texts a second")


def adoption(count: int, words: str) -> float:
    """Return how many documents a second of shards that workers have finished become an index.

    Args:
        count: of documents.
        words: the language of the words that the index keeps; "" for none.
    """
    encoder = HashEncoder(dim=DIM)
    texts = [f"text {number} " + "some words of it " * 12 for number in range(count)]
    random = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as name:
        job = Job.of([encoder.space], Path(name) / "shards", EngineSettings())
        job.folder.mkdir(parents=True)
        (job.folder / JOB).write_text(job.digest())
        for first in range(0, count, SHARD_TEXTS):
            some = texts[first : first + SHARD_TEXTS]
            vectors = random.standard_normal((len(some), DIM), np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            encoded = Encoded(vectors, np.zeros(len(some), np.bool_))
            write_shard(job.folder, job.digest(), some, encoded)
        spread = WorkersEncoder(encoder, job, None, lambda _job: sys.exit("nothing is left"))
        documents = (Document(f"d{number}", text) for number, text in enumerate(texts))
        options = IndexOptions(commit_every=100_000, words=words)
        began = time.perf_counter()
        index_corpus(documents, spread, Path(name) / "index", options=options)
        return count / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--count", type=int, default=8_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--adopted", type=int, default=200_000)
    arguments = parser.parse_args()
    print(machine(), flush=True)
    for words in ("english", ""):
        rate = adoption(arguments.adopted, words)
        kept = "with" if words else "without"
        print(f"the driver takes over {rate:,.0f} documents a second {kept} words", flush=True)
    encoding(arguments.corpus, arguments.count, arguments.rounds)
    print(machine())


if __name__ == "__main__":
    main()
