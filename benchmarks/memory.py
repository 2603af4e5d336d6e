"""Peak memory of indexing synthetic documents with a fake encoder, each size in its own process.

python benchmarks/memory.py [--sizes 100000 500000 1000000] [--dim 384]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from common import machine

from taskembed.reading.document import Document
from taskembed.testing import HashEncoder
from taskembed.vectors import Encoded
from taskembed.verbs.index import index_corpus

TEXT = "a sentence of some forty words that says nothing in particular " * 4


class RandomEncoder(HashEncoder):
    """Random unit vectors: as large as real ones, and fast to make."""

    def encode(self, texts, prompt_type) -> Encoded:
        rows = np.random.default_rng(len(texts)).standard_normal((len(texts), self.space.dim), "f4")
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return Encoded(rows, np.zeros(len(texts), np.bool_))


def documents(count: int) -> Iterator[Document]:
    for number in range(count):
        yield Document(f"doc-{number}", f"{TEXT}{number}", {"year": number % 100})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 500_000, 1_000_000])
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--child", type=int)
    arguments = parser.parse_args()
    if arguments.child:
        with tempfile.TemporaryDirectory() as name:
            started = time.perf_counter()
            encoder = RandomEncoder(dim=arguments.dim)
            index_corpus(documents(arguments.child), encoder, Path(name) / "index")
            seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{arguments.child:,} documents of {arguments.dim} numbers: peak {peak:,.0f} MiB, "
            f"{seconds:.0f} s"
        )
        return
    print(machine())
    for size in arguments.sizes:
        command = [sys.executable, __file__, "--dim", str(arguments.dim), "--child", str(size)]
        subprocess.run(command, check=True)
    print(machine())


if __name__ == "__main__":
    main()
