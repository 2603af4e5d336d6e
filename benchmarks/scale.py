"""Large indexes: building with a fake encoder, one search as a process of its own, many at once.

    python benchmarks/scale.py [--count 1000000] [--dim 384] [--queries 1000] [--keep FOLDER]

The vectors are synthetic: points around 2,000 centres. What is measured: documents a second with an
encoder that costs nothing; segments and bytes; one search in a fresh process, the model left out,
by codes and exactly, with its peak memory; queries a second of a batch beside raw FAISS on the same
vectors in the same run; and the share of the exact best ten that the codes find.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common import machine

from taskembed.index.contents import Contents
from taskembed.index.disk.generations import read_newest
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.space import EmbeddingSpace
from taskembed.vectors import Encoded
from taskembed.verbs.index import index_corpus
from taskembed.verbs.searcher import QUERIES_AT_ONCE
from tests.fakes import SPACE, HashEncoder

ONE_SEARCH = """
import json, resource, sys, time
began = time.perf_counter()
import numpy as np
from taskembed.index.reader import Index
imported = time.perf_counter()
folder, queries, exact = sys.argv[1:]
query = np.load(queries)[:1]
with Index.open(folder) as index:
    hits = index.nearest(query, 10, exact=exact == "exact")
searched, cpu = time.perf_counter(), time.process_time()
with Index.open(folder) as index:
    index.load()
    again = time.perf_counter()
    index.nearest(query, 10, exact=exact == "exact")
print(json.dumps({
    "imports": imported - began,
    "search": searched - imported,
    "second": time.perf_counter() - again,
    "cpu": cpu,
    "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))
"""


class Points(HashEncoder):
    """Encodes "17 ..." as the 17th of the points, which are made when they are asked for."""

    def __init__(self, space: EmbeddingSpace) -> None:
        super().__init__(space)
        self._centres = np.random.default_rng(0).standard_normal((2_000, space.dim), np.float32)

    def points(self, first: int, count: int) -> np.ndarray:
        chosen = np.random.default_rng(first + 1)
        rows = self._centres[chosen.integers(0, 2_000, count)]
        rows = rows + 0.9 * chosen.standard_normal(rows.shape, np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def encode_slices(self, texts, prompt_type):
        first = int(texts[0].split(" ", 1)[0])
        yield (
            np.arange(len(texts)),
            Encoded(self.points(first, len(texts)), np.zeros(len(texts), np.bool_)),
        )


def documents(count: int):
    for number in range(count):
        text = f"{number} the quick brown fox jumps over the lazy dog and {number * 7919 % 1000003}"
        yield Document(f"doc-{number}", text, {"year": number % 100, "kind": f"k{number % 7}"})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.keep or Path(name) / "index"
        encoder = Points(replace(SPACE, dim=arguments.dim))
        if not folder.exists():
            build(folder, encoder, arguments.count)
        live = Contents.of(folder, read_newest(folder)).live
        size = sum(file.size for file in read_newest(folder).files.values())
        print(f"{len(live.segments)} segments of {live.documents:,}, {size / 2**20:,.0f} MiB")
        queries = encoder.points(10**9, arguments.queries)
        path = Path(name) / "queries.npy"
        np.save(path, queries)
        for how in ("codes", "exact"):
            one_search(folder, path, how, arguments.rounds)
        if arguments.queries:
            recall(folder, queries[:100])
            batch(folder, queries)
    print(machine())


def build(folder: Path, encoder: Points, count: int) -> None:
    began, cpu = time.perf_counter(), time.process_time()
    index_corpus(documents(count), encoder, folder)
    seconds = time.perf_counter() - began
    print(
        f"built {count:,}: {count / seconds:,.0f} documents a second "
        f"({count / (time.process_time() - cpu):,.0f} a CPU second)"
    )


def one_search(folder: Path, queries: Path, how: str, rounds: int) -> None:
    command = [sys.executable, "-c", ONE_SEARCH, folder, queries, how]
    runs = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        runs.append({"whole": time.perf_counter() - began, **json.loads(done.stdout)})
    middle = {name: statistics.median(run[name] for run in runs[1:]) for name in runs[0]}
    print(
        f"one search, {how}: process {middle['whole']:.2f} s, of which imports "
        f"{middle['imports']:.2f}, open and search {middle['search']:.3f} "
        f"({middle['cpu']:.2f} CPU s until then); a second query "
        f"{middle['second'] * 1000:.1f} ms; {middle['memory']:,.0f} MiB at most"
    )


def recall(folder: Path, queries: np.ndarray) -> None:
    with Index.open(folder) as index:
        some = [ids(index.nearest(query[None], 10)[0]) for query in queries]
        exact = [ids(index.nearest(query[None], 10, exact=True)[0]) for query in queries[:20]]
    shared = [len(a & b) / len(b) for a, b in zip(some, exact, strict=False)]
    print(f"recall@10 of codes: {np.mean(shared):.4f} over {len(shared)} queries")


def ids(hits) -> set[str]:
    return {hit.doc_id for hit in hits}


def batch(folder: Path, queries: np.ndarray) -> None:
    """Search many queries at once: ours, and raw FAISS on the same vectors."""
    import faiss

    with Index.open(folder) as index:
        index.load()
        plain = faiss.IndexFlatIP(queries.shape[1])
        plain.add(index.sample(len(index))[1])
        rates: dict[str, list[float]] = {"raw FAISS": [], "ours, exact": [], "ours, by codes": []}
        for _ in range(3):
            for name, values in rates.items():
                began = time.perf_counter()
                if name == "raw FAISS":
                    plain.search(queries, 10)
                else:
                    for start in range(0, len(queries), QUERIES_AT_ONCE):
                        some = queries[start : start + QUERIES_AT_ONCE]
                        index.nearest(some, 10, exact=name == "ours, exact")
                values.append(len(queries) / (time.perf_counter() - began))
    raw = statistics.median(rates["raw FAISS"])
    for name, values in rates.items():
        rate = statistics.median(values)
        print(f"{len(queries):,} queries, {name}: {rate:,.0f} a second, {rate / raw:.2f} times raw")


if __name__ == "__main__":
    main()
