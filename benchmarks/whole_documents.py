"""How to score a pair of documents that were cut into chunks: nDCG@10 by several ways.

    python benchmarks/whole_documents.py DATA

DATA has corpus.jsonl.gz, queries.jsonl.gz and qrels.tsv with long documents, such as `time`. For
each document that answers a query, the others that answer it should be the most similar ones. The
documents are indexed for the task similarity, cut by two rules and not cut.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from common import machine

from taskembed.encoding.load import load_encoder
from taskembed.evaluation.data import Ranking, read_ranking
from taskembed.evaluation.metrics import rank_quality
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.reading.trec import Judgements
from taskembed.space import Task
from taskembed.vectors import FloatRows, whole_vector
from taskembed.verbs.index import index_corpus
from taskembed.verbs.options import IndexOptions

RULES = ("auto", "254:50", "off")
RANKED = 10


def main() -> None:
    data = read_ranking(Path(sys.argv[1]))
    documents = list(data.documents or ())
    print(machine())
    relevant = answers_of_the_same_query(data)
    found = {rule: measured(documents, rule, relevant) for rule in RULES}
    print(f"{len(documents):,} documents, {len(relevant):,} of them judged; {', '.join(RULES)}:")
    for way in found[RULES[0]]:
        figures = [found[rule].get(way, np.nan) for rule in RULES]
        print(f"{way:40} " + " ".join(f"{figure:7.4f}" for figure in figures))
    print(machine())


def answers_of_the_same_query(data: Ranking) -> Judgements:
    """Return the judgements by which a document is the query, and its like are relevant."""
    like: dict[str, dict[str, int]] = {}
    for judged in data.judgements.values():
        good = [doc_id for doc_id, grade in judged.items() if grade > 0]
        for doc_id in good:
            like.setdefault(doc_id, {}).update({other: 1 for other in good if other != doc_id})
    return {doc_id: others for doc_id, others in like.items() if others}


def measured(documents: list[Document], rule: str, relevant: Judgements) -> dict[str, float]:
    """Return nDCG@10 by the name of each way to score a pair."""
    with TemporaryDirectory() as place:
        encoder = load_encoder("minilm", Task.SIMILARITY)
        index_corpus(documents, encoder, place, options=IndexOptions(chunk=rule))
        with Index.open(place) as index:
            positions = index.by_position()
            names = [document.doc_id for document in positions.documents()]
            numbers = range(len(names))
            if index.chunking:
                chunks = [positions.chunks_of(number)[0] for number in numbers]
            else:
                chunks = list(positions.vectors_at(np.arange(len(names)))[:, np.newaxis])
    return {
        way: quality(scores, names, relevant) for way, scores in scores_of(chunks, rule).items()
    }


def scores_of(chunks: list[FloatRows], rule: str) -> dict[str, FloatRows]:
    """Return float32[documents, documents] for each way: row i scores all for document i."""
    whole = np.concatenate([whole_vector(some) for some in chunks])
    means = {"mean, mean": whole @ whole.T}
    if rule == "off":
        return means
    counts = np.array([len(some) for some in chunks])
    firsts = np.cumsum([0, *counts[:-1]])
    vectors = np.concatenate(chunks)
    best = np.maximum.reduceat(vectors @ vectors.T, firsts, axis=1)  # of each document, for a chunk
    average = np.add.reduceat(best, firsts, axis=0) / counts[:, np.newaxis]
    sums = np.add.reduceat(np.add.reduceat(vectors @ vectors.T, firsts, axis=0), firsts, axis=1)
    return {
        **means,
        "mean, best chunk": np.maximum.reduceat(whole @ vectors.T, firsts, axis=1),
        "best pair of chunks": np.maximum.reduceat(best, firsts, axis=0),
        "best chunk for each chunk, averaged": average,
        "the same, in both directions": (average + average.T) / 2,
        "all pairs of chunks, averaged": sums / np.outer(counts, counts),
    }


def quality(scores: FloatRows, names: list[str], relevant: Judgements) -> float:
    """Return the mean nDCG@10 of the documents that are judged."""
    run = {}
    for row, name in enumerate(names):
        if name in relevant:
            order = [at for at in np.argsort(-scores[row], kind="stable") if at != row][:RANKED]
            run[name] = {names[at]: float(scores[row, at]) for at in order}
    return float(np.mean(list(rank_quality(relevant, run)["nDCG@10"].values())))


if __name__ == "__main__":
    main()
