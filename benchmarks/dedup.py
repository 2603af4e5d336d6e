"""How long does `taskembed dedup` take, in how much memory, and which pairs does it find?

python benchmarks/dedup.py 100000

The index has made-up vectors of 384 numbers: half of them are alone, the others in groups of 2 to 8
around a vector, at cosines of 0.85 to 1. The pairs with 0.95 or more are compared with brute force,
for 5,000 of the documents.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.space import Task
from taskembed.testing import HASH_SPACE, HashEncoder
from taskembed.vectors import Encoded
from taskembed.verbs.dedup import _neighbourhood, find_duplicates
from taskembed.verbs.index import index_corpus

DIM, THRESHOLD, ASKED = 384, 0.95, 5_000


def made_vectors(count):
    """Return unit vectors whose directions are as correlated as those of texts."""
    random = np.random.default_rng(0)
    topics = random.standard_normal((200, DIM))
    vectors = np.empty((count, DIM), np.float32)
    row = 0
    while row < count:
        centre = topics[random.integers(200)] + random.standard_normal(DIM)
        size = 1 if random.random() < 0.8 else int(random.integers(2, 9))
        noise = random.standard_normal((size, DIM)) * random.uniform(0.02, 0.8)
        some = (centre + noise)[: count - row]
        vectors[row : row + len(some)] = some
        row += len(some)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors[random.permutation(count)]


class Known(HashEncoder):
    """Encodes the text "17" as vector 17."""

    def __init__(self, vectors):
        same = {"task": Task.SIMILARITY, "query_prompt": "", "document_prompt": ""}
        super().__init__(HASH_SPACE, dim=DIM, **same)
        self.vectors = vectors

    def encode(self, texts, prompt_type):
        rows = np.array([int(text) for text in texts])
        return Encoded(self.vectors[rows], np.zeros(len(texts), np.bool_))

    def encode_slices(self, texts, prompt_type):
        yield np.arange(len(texts)), self.encode(texts, prompt_type)


def recall(index):
    """Return the share of the pairs of some documents that are found, and how many there are."""
    positions = index.by_position()
    everything = np.arange(len(positions))
    stored = positions.vectors_at(everything)
    near = _neighbourhood(positions, everything)
    asked = np.random.default_rng(1).permutation(len(positions))[:ASKED]
    found = true = 0
    for start in range(0, len(asked), 500):
        some = asked[start : start + 500]
        wanted = {(int(a), int(b)) for a, b in np.argwhere(stored[some] @ stored.T >= THRESHOLD)}
        pairs = near.within(stored[some], THRESHOLD)
        mine = set(zip(pairs.query.tolist(), pairs.other.tolist(), strict=True))
        # a document with itself is no pair
        wanted = {(a, b) for a, b in wanted if some[a] != b}
        found, true = found + len(wanted & mine), true + len(wanted)
    return found / true, true


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    vectors = made_vectors(count)
    with tempfile.TemporaryDirectory() as name:
        documents = (Document(f"d{row}", str(row)) for row in range(count))
        index_corpus(documents, Known(vectors), Path(name) / "index")
        del vectors
        before = resource.getrusage(resource.RUSAGE_SELF)
        began = time.perf_counter()
        with Index.open(Path(name) / "index") as index:
            found = find_duplicates(index, threshold=THRESHOLD, groups=True)
            seconds = time.perf_counter() - began
            after = resource.getrusage(resource.RUSAGE_SELF)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(f"{count:,} documents: {seconds:.1f} s ({cpu:.1f} CPU s)")
            print(f"{found.pairs:,} pairs, {len(found.groups):,} groups")
            print(f"{len(found.dropped):,} documents dropped")
            most, least = after.ru_maxrss / 1024, before.ru_maxrss / 1024
            print(f"most memory: {most:,.0f} MB; {least:,.0f} MB to build the index")
            share, pairs = recall(index)
            print(f"recall of {pairs:,} pairs of {ASKED:,} documents: {share:.4f}")


if __name__ == "__main__":
    main()
