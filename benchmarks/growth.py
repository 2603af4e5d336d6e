"""One `taskembed search` as a whole process, of a small index and of large ones, in turns.

    python benchmarks/growth.py CORPUS... [--counts 10000 1000000] [--rounds 7] [--keep FOLDER]
        [--no-words]

The texts of the corpus are repeated until there are enough of them, and each gets a number. The
vectors are synthetic, points around 2,000 centres in the space of `minilm`, so that an index is
made in minutes; the query is encoded by the model itself. Peak memory is that of the process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

from common import machine, read
from scale import Points

from taskembed.encoding.load import load_encoder
from taskembed.index.contents import Contents
from taskembed.index.disk.generations import read_newest
from taskembed.reading.document import Document
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions

QUERY = "how does the heart keep its rhythm?"
WAYS = {"default": [], "by vectors": ["--mode", "dense"], "exact": ["--mode", "dense", "--exact"]}
CORPUS_TEXTS = 230_000  # more are not read from the corpus


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus", nargs="+")
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--no-words", action="store_true", help="store none: to search by vectors")
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.keep or Path(name)
        encoder = Points(load_encoder("minilm", "retrieval").space)
        texts = [document.text for document in read(arguments.corpus, CORPUS_TEXTS)]
        words = "" if arguments.no_words else None
        for count in arguments.counts:
            if not (folder / str(count)).exists():
                build(folder / str(count), encoder, documents(texts, count), words)
            live = Contents.of(folder / str(count), read_newest(folder / str(count))).live
            print(f"{live.documents:,} documents in {len(live.segments)} segments")
        for way, options in WAYS.items():
            if way == "default" and arguments.no_words:
                continue  # it is the next one
            report(way, folder, arguments.counts, options, arguments.rounds)
    print(machine())


def build(folder: Path, encoder: Points, corpus: Iterator[Document], words: str | None) -> None:
    began, cpu = time.perf_counter(), time.process_time()
    options = IndexOptions(words=words)
    count = index_corpus(corpus, encoder, folder, options=options).added
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(f"built {count:,}: {count / seconds:,.0f} documents a second, {count / cpu:,.0f} a CPU s")


def documents(texts: list[str], count: int) -> Iterator[Document]:
    for number, text in enumerate(islice(cycle(texts), count)):
        yield Document(f"doc-{number}", f"{number} {text}", {"year": number % 100})


def report(way: str, folder: Path, counts: list[int], options: list[str], rounds: int) -> None:
    """Search each index in turns, and print the medians, and the ratio to the first index."""
    runs: dict[int, list[tuple[float, float, float]]] = {count: [] for count in counts}
    for _ in range(rounds + 1):
        for count in counts:
            runs[count].append(search(folder, folder / str(count), options))
    for count in counts:
        columns = zip(*runs[count][1:], strict=True)
        wall, cpu, memory = (statistics.median(column) for column in columns)
        pairs = zip(runs[count][1:], runs[counts[0]][1:], strict=True)
        ratio = statistics.median(run[0] / first[0] for run, first in pairs)
        print(
            f"{way:10} {count:>10,}: {wall:.2f} s, {cpu:.2f} CPU s, {memory:,.0f} MB at most; "
            f"{ratio:.2f} times the first",
            flush=True,
        )


def search(folder: Path, index: Path, options: list[str]) -> tuple[float, float, float]:
    """Return seconds, CPU seconds and the peak memory in MB of one search."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-m", "taskembed", "search", QUERY, "--index", index, *options]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command} ended with code {process.returncode}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    main()
