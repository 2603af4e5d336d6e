"""The same figures by MTEB itself: similarity, classification, clustering, retrieval.

    pip install mteb==2.26.24
    python benchmarks/against_mteb.py DATA

Both get the same vectors, from minilm without an adapter, so only the computation of the figures is
compared.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from datasets import Dataset, DatasetDict
from mteb.abstasks import AbsTaskClassification, AbsTaskClustering, AbsTaskSTS
from mteb.abstasks.clustering import _evaluate_clustering_bootstrapped
from mteb.abstasks.task_metadata import TaskMetadata

from taskembed.encoding.load import load_encoder
from taskembed.encoding.settings import EngineSettings
from taskembed.evaluation.data import DataFiles, read_judged
from taskembed.evaluation.evaluate import evaluate, rank
from taskembed.models.resolve import PromptOverrides
from taskembed.space import PromptType, Task


def main() -> None:
    data = Path(sys.argv[1])
    for name, task in {
        "similarity/stsb": Task.SIMILARITY,
        "similarity/sick": Task.SIMILARITY,
        "classification/banking77": Task.CLASSIFICATION,
        "classification/trec": Task.CLASSIFICATION,
        "clustering/searchsnippets": Task.CLUSTERING,
        "retrieval/wikiqa": Task.RETRIEVAL,
        "retrieval/cranfield": Task.RETRIEVAL,
    }.items():
        judged = read_judged(task, DataFiles(data / name))
        encoder = load_encoder(
            "minilm",
            task,
            stated=PromptOverrides(adapter=""),
            settings=EngineSettings(offline=True),
        )
        ours = evaluate(encoder, judged)
        theirs = by_mteb(task, encoder, judged)
        print(f"{name:28} {ours.main:10} ours {ours.value:.6f}  mteb {theirs:.6f}", flush=True)


def by_mteb(task, encoder, judged) -> float:
    if task is Task.SIMILARITY:
        return similarity(encoder, judged)
    if task is Task.CLASSIFICATION:
        return classification(encoder, judged)
    if task is Task.CLUSTERING:
        return clustering(encoder, judged)
    return retrieval(encoder, judged)


def vectors(encoder, texts):
    return encoder.encode(list(texts), PromptType.DOCUMENT).vectors


def metadata(kind: str, main: str) -> TaskMetadata:
    return TaskMetadata(
        name=f"Local{kind}",
        description="a local file",
        reference=None,
        dataset={"path": "local", "revision": "1"},
        type=kind,
        category="t2t",
        modalities=["text"],
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score=main,
        date=None,
        domains=None,
        task_subtypes=None,
        license=None,
        annotations_creators=None,
        dialect=None,
        sample_creation=None,
        bibtex_citation=None,
    )


class Given:
    """A model, to MTEB: it gives the vectors that were made before."""

    def __init__(self, known: dict[str, np.ndarray]) -> None:
        self.known = known
        self.mteb_model_meta = None

    def encode(self, inputs, **_):
        return np.stack([self.known[text] for batch in inputs for text in batch["text"]])

    def similarity(self, first, second):
        return first @ second.T

    def similarity_pairwise(self, first, second):
        return (first * second).sum(axis=1)


def given(encoder, texts) -> Given:
    texts = list(dict.fromkeys(texts))
    return Given(dict(zip(texts, vectors(encoder, texts), strict=True)))


def similarity(encoder, judged) -> float:
    class Local(AbsTaskSTS):
        metadata = metadata("STS", "cosine_spearman")
        min_score, max_score = 0, 5

        def load_data(self, **_):
            self.dataset = {
                "test": Dataset.from_list(
                    [
                        {
                            "sentence1": item.texts[0],
                            "sentence2": item.texts[1],
                            "score": item.score,
                        }
                        for item in judged.examples
                    ]
                )
            }
            self.data_loaded = True

    task = Local()
    task.load_data()
    model = given(encoder, [text for item in judged.examples for text in item.texts])
    found = task.evaluate(model, "test", encode_kwargs={"batch_size": 64})
    return found["default"]["cosine_spearman"]


def classification(encoder, judged) -> float:
    def table(examples):
        return Dataset.from_list(
            [{"text": item.texts[0], "label": item.label} for item in examples]
        )

    class Local(AbsTaskClassification):
        metadata = metadata("Classification", "accuracy")

        def load_data(self, **_):
            self.dataset = DatasetDict(train=table(judged.train), test=table(judged.test))
            self.data_loaded = True

    task = Local()
    task.load_data()
    model = given(encoder, [item.texts[0] for item in (*judged.train, *judged.test)])
    found = task.evaluate(model, "test", encode_kwargs={"batch_size": 64})
    return found["default"]["accuracy"]


def clustering(encoder, judged) -> float:
    task = AbsTaskClustering.__new__(AbsTaskClustering)
    from mteb._set_seed import _set_seed

    rng_state, _ = _set_seed(42)
    scores, _ = _evaluate_clustering_bootstrapped(
        vectors(encoder, [item.texts[0] for item in judged.examples]),
        [[item.label] for item in judged.examples],
        n_clusters=task.n_clusters,
        cluster_size=task.max_documents_per_cluster,
        kmean_batch_size=task.k_mean_batch_size,
        max_depth=None,
        rng_state=rng_state,
        seed=42,
    )
    return float(np.mean(scores["v_measure"]["Level 0"]))


def retrieval(encoder, judged) -> float:
    from mteb._evaluators.retrieval_metrics import calculate_retrieval_scores

    found = calculate_retrieval_scores(
        {query: dict(hits) for query, hits in rank(encoder, judged).items()},
        {query: dict(documents) for query, documents in judged.judgements.items()},
        [10],
        skip_first_result=False,
    )
    return float(np.mean([scores["ndcg_cut_10"] for scores in found.all_scores.values()]))


if __name__ == "__main__":
    main()
