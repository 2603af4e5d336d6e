"""minilm in fp32, bf16 and int8: how fast, how near, and what the rankings are worth.

    python benchmarks/int8.py DATA [--count 600] [--rounds 5] [--documents 2000] [--queries 300]
        [--whole]

DATA has a folder for each task, with a folder for each set, as `taskembed evaluate` reads them. Of
a corpus, the judged documents are taken, and others up to --documents; with --whole, all documents
and queries are, and sets of the other tasks too. Speed is measured in turns, in wall time and in
CPU time: on a busy machine, only the latter means something.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from adapters import SETS
from common import machine

from taskembed.encoding.load import load_encoder
from taskembed.encoding.settings import EngineSettings
from taskembed.evaluation.data import Classes, DataFiles, Judged, Ranking, read_judged
from taskembed.evaluation.evaluate import evaluate
from taskembed.models.resolve import PromptOverrides
from taskembed.space import PromptType, Task
from taskembed.vectors import Encoded, Rows

PRECISIONS = ("fp32", "bf16", "int8")
TASKS = (Task.RETRIEVAL, Task.CODE, Task.SIMILARITY)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--whole", action="store_true", help="all texts of all sets")
    parser.add_argument("--adapter", default="", help="none by default: one model for every set")
    parser.add_argument("--cache", type=Path)
    options = parser.parse_args()
    print(machine())
    encoders = {
        precision: load_encoder(
            "minilm",
            Task.RETRIEVAL,
            stated=PromptOverrides(adapter=options.adapter),
            settings=EngineSettings(
                device="cpu", precision=precision, cache=options.cache, notify=print
            ),
        )
        for precision in PRECISIONS
    }
    tasks = SETS if options.whole else TASKS
    sets = {(task, name): read(options, task, name) for task in tasks for name in SETS[task]}
    if options.rounds:
        speed(encoders, sample(sets, options.count), options.rounds)
    print(encoders["int8"].made_by["quantized"])
    quality(encoders, sets)
    print(machine())


def read(options: argparse.Namespace, task: Task, name: str) -> Judged:
    limit = 0 if options.whole else options.queries
    data = read_judged(task, DataFiles(options.data / task.value / name, limit=limit))
    if options.whole or not isinstance(data, Ranking):
        return data
    asked = [data.judgements[query.query_id] for query in data.queries]
    judged = {doc_id for judgements in asked for doc_id in judgements}
    ordered = sorted(data.documents, key=lambda document: document.doc_id not in judged)
    return replace(data, documents=ordered[: max(options.documents, len(judged))])


def sample(sets: dict[tuple[Task, str], Judged], count: int) -> list[str]:
    rankings = [data for data in sets.values() if isinstance(data, Ranking)]
    share = -(-count // len(rankings))
    return [item.text for data in rankings for item in data.documents[:share]][:count]


def speed(encoders, texts: list[str], rounds: int) -> None:
    print(f"{len(texts)} texts, median {statistics.median(map(len, texts)):.0f} characters")
    vectors = {name: encoder.encode(texts[:64], "document") for name, encoder in encoders.items()}
    times = {name: [] for name in encoders}
    for _ in range(rounds):
        for name, encoder in encoders.items():
            wall, used = time.perf_counter(), time.process_time()
            vectors[name] = encoder.encode(texts, "document").vectors
            times[name].append((time.perf_counter() - wall, time.process_time() - used))
    for name, measured in times.items():
        wall, used = (statistics.median(values) for values in zip(*measured, strict=True))
        cosines = (vectors[name] * vectors["fp32"]).sum(axis=1)
        print(
            f"{name}: {len(texts) / wall:.0f} documents/s, {len(texts) / used:.0f} a CPU second; "
            f"cosine to fp32 mean {cosines.mean():.5f}, min {cosines.min():.5f}"
        )
    for other in ("fp32", "bf16"):
        for position, kind in enumerate(("wall", "CPU")):
            turns = zip(times[other], times["int8"], strict=True)
            ratios = [theirs[position] / ours[position] for theirs, ours in turns]
            print(f"int8 / {other}, {kind} time: median {statistics.median(ratios):.2f} times")


@dataclass
class Mixed:
    """An encoder whose queries, documents and odd documents may be of several precisions."""

    space: object
    query: dict[str, np.ndarray]
    even: dict[str, np.ndarray]
    odd: dict[str, np.ndarray]
    made_by: dict[str, str] = field(default_factory=dict)

    def encode(self, texts: Sequence[str], prompt_type: PromptType) -> Encoded:
        if prompt_type is PromptType.QUERY:
            rows = [self.query[text] for text in texts]
        else:
            rows = [(self.odd if len(text) % 2 else self.even)[text] for text in texts]
        return Encoded(np.array(rows, np.float32), np.zeros(len(texts), np.bool_))

    def encode_slices(
        self, texts: Sequence[str], prompt_type: PromptType
    ) -> Iterator[tuple[Rows, Encoded]]:
        yield np.arange(len(texts)), self.encode(texts, prompt_type)


WAYS = {  # queries, documents of even length, documents of odd length
    "fp32": ("fp32", "fp32", "fp32"),
    "int8": ("int8", "int8", "int8"),
    "fp32 queries, int8 documents": ("fp32", "int8", "int8"),
    "int8 queries, fp32 documents": ("int8", "fp32", "fp32"),
    "int8 queries, half the documents each": ("int8", "int8", "fp32"),
}


def quality(encoders, sets: dict[tuple[Task, str], Judged]) -> None:
    print("\n| set | documents | " + " | ".join(WAYS) + " | mean cosine | min |")
    print("|---" * (len(WAYS) + 4) + "|")
    rows = []
    for (task, name), data in sets.items():
        texts = texts_of(data)
        kept = {
            precision: {
                side: dict(zip(texts[side], encoder.encode(texts[side], side)[0], strict=True))
                for side in PromptType
            }
            for precision, encoder in encoders.items()
            if precision != "bf16"
        }
        space = replace(encoders["fp32"].space, task=task)
        row = []
        for query, even, odd in WAYS.values():
            document = PromptType.DOCUMENT
            sides = (kept[query][PromptType.QUERY], kept[even][document], kept[odd][document])
            row.append(evaluate(Mixed(space, *sides), data).value)
        rows.append(row)
        documents = texts[PromptType.DOCUMENT]
        both = ([kept[way][PromptType.DOCUMENT][text] for text in documents] for way in kept)
        cosines = np.sum(np.multiply(*both), axis=1)
        cells = " | ".join(f"{value:.4f}" for value in [*row, cosines.mean(), cosines.min()])
        print(f"| {name} | {len(documents):,} | {cells} |", flush=True)
    means = np.mean(rows, axis=0)
    print("| mean | | " + " | ".join(f"{value:.4f}" for value in means) + " | | |")


def texts_of(data: Judged) -> dict[PromptType, list[str]]:
    if isinstance(data, Ranking):
        found = {
            PromptType.QUERY: [query.text for query in data.queries],
            PromptType.DOCUMENT: [document.text for document in data.documents],
        }
    else:
        examples = [*data.train, *data.test] if isinstance(data, Classes) else data.examples
        texts = [text for example in examples for text in example.texts]
        found = {PromptType.QUERY: [], PromptType.DOCUMENT: texts}
    return {side: list(dict.fromkeys(texts)) for side, texts in found.items()}


if __name__ == "__main__":
    main()
