"""Paraphrases that were planted in a corpus: which of them does `taskembed dedup` find?

python benchmarks/paraphrases.py DATA [--count 20000]

The corpus is sentences of DATA/retrieval/squad_sentences. Planted are pairs of sentences that
people judged: DATA/similarity/stsb without its training part, which the adapter of `minilm` has
learned from. Those with 4.5 or more of 5 are paraphrases; those with 2 to 3, about the same thing
but not the same, should not be found. A pair is found if the same document is kept for both. The
precision is the share, of all dropped documents, of those whose own paraphrase is kept for them;
whatever else is dropped counts against it, also if it says the same: five such are printed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from common import machine

from taskembed.encoding.load import load_encoder
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.verbs.dedup import find_duplicates
from taskembed.verbs.index import index_corpus

THRESHOLDS = (0.98, 0.95, 0.92, 0.9, 0.88, 0.85, 0.8, 0.75, 0.7)
SAME, ALIKE = 4.5, (2.0, 3.0)  # of 5


def records(path: Path) -> Iterator[dict]:
    with gzip.open(path, "rt") as stream:
        yield from map(json.loads, stream)


def planted(data: Path) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return paraphrases and pairs that are none; no sentence is in two pairs."""
    same, alike, used = [], [], set()
    for name in ("pairs", "pairs_dev"):
        for record in records(data / "similarity" / "stsb" / f"{name}.jsonl.gz"):
            pair = record["sentence1"].strip(), record["sentence2"].strip()
            if pair[0] == pair[1] or used & set(pair):
                continue
            chosen = same if record["score"] >= SAME else alike
            if chosen is same or ALIKE[0] <= record["score"] <= ALIKE[1]:
                chosen.append(pair)
                used.update(pair)
    return same, alike


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    arguments = parser.parse_args()
    print(machine())
    same, alike = planted(arguments.data)
    corpus = records(arguments.data / "retrieval/squad_sentences/corpus.jsonl.gz")
    texts = {record["text"].strip(): None for record in islice(corpus, arguments.count)}
    documents = [Document(f"c{n}", text) for n, text in enumerate(texts)]
    for kind, pairs in (("s", same), ("a", alike)):
        for n, pair in enumerate(pairs):
            documents += [Document(f"{kind}{n}.{side}", text) for side, text in enumerate(pair)]
    print(f"{len(texts):,} sentences, {len(same):,} paraphrases, {len(alike):,} that are none")
    with tempfile.TemporaryDirectory() as folder:
        index_corpus(documents, load_encoder("minilm", "similarity"), Path(folder) / "i")
        print("threshold | recall | false alarms | dropped | precision")
        with Index.open(Path(folder) / "i") as index:
            for threshold in THRESHOLDS:
                report(threshold, index, len(same), len(alike))
    print(machine())


def report(threshold: float, index: Index, same: int, alike: int) -> None:
    dropped = find_duplicates(index, threshold=threshold).dropped
    kept = {item.doc_id: item.kept for item in dropped}
    shares = [found_of(kept, kind, count) for kind, count in (("s", same), ("a", alike))]
    right = [item for item in dropped if item.doc_id[0] == "s" and own(item.doc_id) == item.kept]
    print(
        f"{threshold} | {shares[0]:.3f} | {shares[1]:.3f} | {len(dropped):,} | "
        f"{len(right) / max(1, len(dropped)):.3f}",
        flush=True,
    )
    others = [item for item in dropped if own(item.doc_id) != item.kept]
    for item in others[:: max(1, len(others) // 5)][:5]:
        found = index.find([item.doc_id, item.kept])
        print(f"    {found[item.doc_id].text[:80]} = {found[item.kept].text[:80]}")


def found_of(kept: dict[str, str], kind: str, count: int) -> float:
    """Return the share of the pairs of a kind of which the same document is kept for both."""
    pairs = ((f"{kind}{n}.0", f"{kind}{n}.1") for n in range(count))
    return sum(kept.get(one, one) == kept.get(other, other) for one, other in pairs) / count


def own(name: str) -> str:
    """Return the id of the other sentence of a planted pair."""
    pair, _, side = name.partition(".")
    return f"{pair}.{1 - int(side)}" if side else ""


if __name__ == "__main__":
    main()
