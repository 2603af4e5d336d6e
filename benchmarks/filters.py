"""A filtered search as a whole process, beside one without a filter, on synthetic documents.

python benchmarks/filters.py [--count 1000000] [--rounds 5] [--folder FOLDER]

Vectors lie around 2,000 random centres, and a text has twelve words that are drawn by Zipf's law,
those of the query among them. The field `share` is a random number from 0 to 999, so that
`share < 1` passes 0.1 % of the documents. Each filter is timed in a search by vectors, and in one
by vectors and words, which is the default of such an index.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import machine

QUERY = "how does the heart keep its rhythm?"
CENTRES = 2_000
BLOCK = 100_000  # documents at a time
FILTERS = {
    "no filter": None,
    "0.1 %": "share < 1",
    "1 %": "share < 10",
    "10 %": "share < 100",
    "50 %": "share < 500",
    "10 %, two fields": "share < 400 and lang = 'en'",
}
LANGUAGES = ("en", "de", "fr", "ja")
MODES = ("dense", "hybrid")
# by how frequent they are: the words of the query are in 2 to 30 % of the texts
VOCABULARY = ["the", "and", *QUERY.rstrip("?").split(), *(f"word{n}" for n in range(50_000))]
WORDS_OF_A_TEXT = 12


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.folder or Path(name)
        index = folder / "index"
        if not index.exists():
            started = time.perf_counter()
            build(folder, index, arguments.count)
            print(f"{arguments.count:,} documents written in {time.perf_counter() - started:.0f} s")
        for mode in MODES:
            measure(index, mode, arguments.rounds)
    print(machine())


def build(folder: Path, index: Path, count: int) -> None:
    """Index one text with minilm, and write synthetic vectors into the same space."""
    from taskembed.index.documents import StoredDocument
    from taskembed.index.outcomes import Outcome
    from taskembed.index.reader import Index
    from taskembed.index.update import open_index_writer
    from taskembed.verbs.options import new_storage

    (folder / "one.jsonl").write_text('{"id": "one", "text": "one"}\n')
    words = ["index", folder / "one.jsonl", "--task", "retrieval", "--index", folder / "one", "-q"]
    subprocess.run([sys.executable, "-m", "taskembed", *words], check=True)
    with Index.open(folder / "one") as one:
        space = one.space
    random = np.random.default_rng(1)
    centres = random.standard_normal((CENTRES, space.dim), dtype=np.float32)
    chances = 1 / np.arange(1, len(VOCABULARY) + 1)
    words_of = {"p": chances / chances.sum()}
    with open_index_writer(index, space, new_storage=new_storage(space.task)) as writer:
        for start in range(0, count, BLOCK):
            size = min(BLOCK, count - start)
            noise = random.standard_normal((size, space.dim), dtype=np.float32)
            vectors = centres[random.integers(0, CENTRES, size)] + noise
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            drawn = random.choice(len(VOCABULARY), (size, WORDS_OF_A_TEXT), **words_of)
            texts = [" ".join(VOCABULARY[word] for word in row) for row in drawn.tolist()]
            fields = metadata_of(random, size)
            documents = [
                StoredDocument(0, f"d{start + n}", text, metadata, truncated=False)
                for n, (text, metadata) in enumerate(zip(texts, fields, strict=True))
            ]
            writer.put(documents, vectors, replaced=[None] * size, outcomes=[Outcome.ADDED] * size)
            writer.commit({"engine": "synthetic"})


def metadata_of(random: np.random.Generator, size: int) -> list[str]:
    shares, years = random.integers(0, 1_000, size), random.integers(1990, 2026, size)
    languages, authors = random.integers(0, len(LANGUAGES), size), random.integers(0, 50_000, size)
    return [
        json.dumps(
            {
                "author": {"name": f"author {author}"},
                "lang": LANGUAGES[language],
                "share": share,
                "tags": [f"tag {share % 7}", "all"],
                "year": year,
            },
            sort_keys=True,
            separators=(",", ":"),
        )
        for author, language, share, year in zip(
            authors.tolist(), languages.tolist(), shares.tolist(), years.tolist(), strict=True
        )
    ]


def measure(index: Path, mode: str, rounds: int) -> None:
    print(f"--mode {mode}")
    times: dict[str, list[float]] = {label: [] for label in FILTERS}
    for number in range(rounds + 1):
        for label, where in FILTERS.items():
            command = [sys.executable, "-m", "taskembed", "search", QUERY, "--index", index]
            command += ["--mode", mode]
            started = time.perf_counter()
            done = subprocess.run(
                [*command, *(["--where", where] if where else [])],
                check=True,
                capture_output=True,
                text=True,
            )
            if number:  # the first round warms the page cache
                times[label].append(time.perf_counter() - started)
            assert len(done.stdout.splitlines()) == 10, done
    for label, seconds in times.items():
        pairs = zip(seconds, times["no filter"], strict=True)
        ratio = statistics.median(mine / plain for mine, plain in pairs)
        values = ", ".join(f"{value:.2f}" for value in seconds)
        print(
            f"{label:17} {values} s, least {min(seconds):.2f}, "
            f"median {statistics.median(seconds):.2f} s, {ratio:.2f} times"
        )


if __name__ == "__main__":
    main()
