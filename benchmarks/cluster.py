"""Clusters and maps of texts with labels: how well they agree with the labels.

python benchmarks/cluster.py DATA [--count 4000]

DATA has clustering/NAME/*.jsonl.gz with the fields text and label. For each: V-measure of the
clusters as `taskembed cluster -k` and `taskembed cluster` find them; and how many of a point's ten
nearest points have its label: by the vectors, on the map, and in the plane of a PCA.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from common import machine
from sklearn.metrics import v_measure_score

from taskembed.encoding.load import load_encoder
from taskembed.index.knn_graph import knn_graph
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.verbs.cluster import assignments, cluster_index
from taskembed.verbs.clustering.components import principal_components
from taskembed.verbs.clustering.projection import projected
from taskembed.verbs.index import index_corpus


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--count", type=int, default=4000)
    arguments = parser.parse_args()
    print(machine())
    encoder = load_encoder("minilm", "clustering")
    print("set, texts, labels | V-measure with their number of labels, found number | ", end="")
    print("neighbours with the label: vectors, map, PCA | seconds of the map")
    for path in sorted(arguments.data.glob("clustering/*/*.jsonl.gz")):
        with gzip.open(path, "rt") as stream:
            records = [json.loads(line) for line in stream]
        order = np.random.default_rng(0).permutation(len(records))[: arguments.count]
        records = [records[number] for number in order]
        labels = np.array([str(record["label"]) for record in records])
        documents = [Document(f"{n:06}", record["text"]) for n, record in enumerate(records)]
        with tempfile.TemporaryDirectory() as folder:
            index_corpus(documents, encoder, Path(folder) / "i")
            with Index.open(Path(folder) / "i") as index:
                report(f"{path.parent.name}/{path.name.split('.')[0]}", index, labels)
    print(machine())


def report(name: str, index: Index, labels: np.ndarray) -> None:
    # documents are in the order of the index, labels in the order of the file
    labels = labels[[int(document.doc_id) for document in index.by_position().documents()]]
    k = len(set(labels))
    scores = []
    for number in (k, None):
        found = cluster_index(index, k=number)
        clusters = [item.cluster for item in assignments(index, found)]
        scores.append((v_measure_score(labels, clusters), len(found.centres)))
    vectors = index.by_position().vectors_at(np.arange(len(labels)))
    started = time.perf_counter()
    points = projected(vectors)
    seconds = time.perf_counter() - started
    plane = principal_components(vectors, 2)
    shares = [agreement(rows, labels) for rows in (vectors, points, plane)]
    measures = ", ".join(f"{value:.3f} ({number} clusters)" for value, number in scores)
    agreed = ", ".join(f"{share:.3f}" for share in shares)
    print(f"{name}, {len(labels):,}, {k} | {measures} | {agreed} | {seconds:.0f}", flush=True)


def agreement(vectors: np.ndarray, labels: np.ndarray) -> float:
    _, rows = knn_graph(vectors, 10)
    return float((labels[rows] == labels[:, np.newaxis]).mean())


if __name__ == "__main__":
    main()
