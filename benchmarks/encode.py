"""Encoding documents: sentence-transformers' defaults, the bare encoder, and the commands.

python benchmarks/encode.py CORPUS... [--count 3000] [--rounds 3] [--device cuda] [--model FOLDER]

All encode documents with the document prompt. sentence-transformers' defaults are fp32 and 32
texts a batch; on an accelerator it is also tried in bf16 with 256 texts a batch.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from common import machine, read, write_jsonl

from taskembed.encoding.load import load_encoder
from taskembed.encoding.settings import EngineSettings
from taskembed.models.files import Hub
from taskembed.models.resolve import PromptOverrides
from taskembed.space import PromptType, Task

DEFAULTS = "sentence-transformers"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus", nargs="+")
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model", default="minilm")
    arguments = parser.parse_args()
    documents = read(arguments.corpus, arguments.count)
    texts = [document.text for document in documents]
    print(machine())
    print(f"{len(texts):,} texts, median {statistics.median(map(len, texts)):.0f} characters")

    ways = references(arguments.model, arguments.device)
    stated = PromptOverrides(adapter="")  # sentence-transformers has none either
    settings = EngineSettings(device=arguments.device)
    encoder = load_encoder(arguments.model, Task.RETRIEVAL, stated=stated, settings=settings)
    ways["encoder"] = lambda texts: encoder.encode(texts, PromptType.DOCUMENT).vectors
    for encode in ways.values():
        encode(texts[:512])
    print(f"the encoder runs on {dict(encoder.made_by)}")
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.jsonl"
        write_jsonl(documents, corpus)
        model = [corpus, "--model", arguments.model, "--device", arguments.device]
        rounds = []
        for number in range(arguments.rounds):
            commands = {
                "taskembed index": ["index", *model, "--index", Path(folder) / f"index-{number}"],
                "taskembed encode": ["encode", *model, "-o", Path(folder) / "vectors.parquet"],
            }
            rounds.append(one_round(ways, texts, commands))
    for name in (*ways, *commands):
        seconds = [times[name] for times in rounds]
        rates = ", ".join(f"{len(texts) / value:.0f}" for value in seconds)
        print(f"{name:40} {rates} documents a second")
    for name in ways:
        speedups = [times[name] / times["encoder"] for times in rounds]
        if name != "encoder":
            print(f"encoder / {name}: median {statistics.median(speedups):.2f} times")
    for name in commands:
        shares = [times["encoder"] / times[name] for times in rounds]
        print(f"{name} / encoder: median {100 * statistics.median(shares):.1f} %")
    print(f"min cosine to {DEFAULTS}: {min(times['cosine'] for times in rounds):.5f}")
    print(machine())


def references(model: str, device: str) -> dict[str, Callable[[list[str]], np.ndarray]]:
    """Return the ways to encode with sentence-transformers, by their names."""
    from sentence_transformers import SentenceTransformer

    folder = str(Hub().folder(model)[0])
    plain = SentenceTransformer(folder, device=device)
    ways = {DEFAULTS: plain.encode_document}
    if device != "cpu":
        bf16 = SentenceTransformer(folder, device=device, model_kwargs={"dtype": "bfloat16"})
        ways[f"{DEFAULTS}, bf16, 256 a batch"] = partial(bf16.encode_document, batch_size=256)
    return ways


def one_round(ways, texts, commands) -> dict[str, float]:
    times, vectors = {}, {}
    for name, encode in ways.items():
        started = time.perf_counter()
        vectors[name] = encode(texts)
        times[name] = time.perf_counter() - started

    for name, arguments in commands.items():
        command = [sys.executable, "-m", "taskembed", *arguments, "--task", "retrieval"]
        started = time.perf_counter()
        subprocess.run([*command, "--no-adapter", "--quiet"], check=True)
        times[name] = time.perf_counter() - started

    expected = vectors[DEFAULTS]
    expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    times["cosine"] = float((expected * vectors["encoder"]).sum(axis=1).min())
    return times


if __name__ == "__main__":
    main()
