"""Encoding documents: sentence-transformers' defaults, the bare encoder, and `taskembed index`.

python benchmarks/encode.py CORPUS... [--count 3000] [--rounds 3]
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
from common import machine, read, write_jsonl

from taskembed.encoding.load import load_encoder
from taskembed.encoding.settings import EngineSettings
from taskembed.models.files import Hub
from taskembed.models.resolve import PromptOverrides
from taskembed.space import PromptType, Task


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus", nargs="+")
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    documents = read(arguments.corpus, arguments.count)
    texts = [document.text for document in documents]
    print(machine())
    print(f"{len(texts):,} texts, median {statistics.median(map(len, texts)):.0f} characters")

    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(str(Hub().folder("minilm")[0]), device="cpu")
    stated = PromptOverrides(adapter="")  # sentence-transformers has none either
    settings = EngineSettings(device="cpu")
    encoder = load_encoder("minilm", Task.RETRIEVAL, stated=stated, settings=settings)
    encoder.encode(texts[:32], PromptType.DOCUMENT)
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.jsonl"
        write_jsonl(documents, corpus)
        rounds = [
            one_round(reference, encoder, texts, corpus, Path(folder) / f"index-{number}")
            for number in range(arguments.rounds)
        ]
    for name in ("sentence-transformers", "encoder", "taskembed index"):
        seconds = [times[name] for times in rounds]
        rates = ", ".join(f"{len(texts) / value:.0f}" for value in seconds)
        print(f"{name:22} {rates} documents a second")
    speedups = [times["sentence-transformers"] / times["encoder"] for times in rounds]
    shares = [times["encoder"] / times["taskembed index"] for times in rounds]
    print(f"encoder / sentence-transformers: median {statistics.median(speedups):.2f} times")
    print(f"taskembed index / encoder: median {100 * statistics.median(shares):.1f} %")
    print(f"min cosine: {min(times['cosine'] for times in rounds):.5f}")
    print(machine())


def one_round(reference, encoder, texts, corpus, index) -> dict[str, float]:
    times = {}
    started = time.perf_counter()
    expected = reference.encode(texts)
    times["sentence-transformers"] = time.perf_counter() - started

    started = time.perf_counter()
    vectors, _ = encoder.encode(texts, PromptType.DOCUMENT)
    times["encoder"] = time.perf_counter() - started

    command = [
        sys.executable,
        "-m",
        "taskembed",
        "index",
        corpus,
        "--task",
        "retrieval",
        "--no-adapter",
    ]
    started = time.perf_counter()
    subprocess.run([*command, "--index", index, "--device", "cpu", "--quiet"], check=True)
    times["taskembed index"] = time.perf_counter() - started

    expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    times["cosine"] = float((expected * vectors).sum(axis=1).min())
    return times


if __name__ == "__main__":
    main()
