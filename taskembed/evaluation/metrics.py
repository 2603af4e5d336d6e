"""Computes the usual measures with established libraries; draws and seeds are those of MTEB.

    rank_quality({"q1": {"d1": 1}}, {"q1": {"d1": 0.9}})["nDCG@10"]    # {"q1": 1.0}

A draw is a random sample of texts. Source of the draws:
https://github.com/embeddings-benchmark/mteb (abstasks of 2.26).
"""

from __future__ import annotations

import random
import warnings
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from taskembed.extras import EVALUATE, require_extra
from taskembed.reading.trec import Judgements, Run
from taskembed.vectors import FloatRows

SEED = 42  # seed of every draw, as in MTEB
RANK_MEASURES = ("nDCG@10", "R@100", "RR@10", "AP")
DRAWS = 10  # draws for classification and clustering
EXAMPLES_PER_LABEL = 8  # texts of each label in a draw
CLASSIFIER_ITERATIONS = 100  # largest number of iterations of logistic regression
NEIGHBOURS = 5  # neighbours in kNN
CLUSTERED_TEXTS = 16_384  # texts in a draw, with replacement
KMEANS_BATCH = 512  # texts in a batch of k-means


def require_libraries() -> None:
    """Check that the libraries are installed, before anything is encoded.

    Raises:
        MissingLibraryError: a library of the extra `evaluate` is not installed.
    """
    for name in ("ir_measures", "scipy.stats", "sklearn"):
        require_extra(name, EVALUATE)


def rank_quality(judgements: Judgements, run: Run) -> dict[str, dict[str, float]]:
    """Return the measures of a ranking for every judged query.

    ir-measures computes nDCG@10, Recall@100, MRR@10 and MAP with TREC's own program, which has no
    RR@10: MRR@10 is RR if the first relevant document is among the first ten, else 0. (ir-measures
    has an RR@10 from another program, which orders documents with equal scores differently.)

    Returns:
        measure -> query -> value, from 0 to 1; a query without hits has 0.

    Raises:
        MissingLibraryError: ir-measures is not installed.
    """
    library = require_extra("ir_measures", EVALUATE)
    computed = [library.parse_measure(name.replace("RR@10", "RR")) for name in RANK_MEASURES]
    names = dict(zip(map(str, computed), RANK_MEASURES, strict=True))
    values = {name: dict.fromkeys(judgements, 0.0) for name in RANK_MEASURES}
    judged = {query: dict(documents) for query, documents in judgements.items()}
    found = {query: dict(hits) for query, hits in run.items() if hits and query in judged}
    for metric in library.iter_calc(computed, judged, found):
        name, value = names[str(metric.measure)], float(metric.value)
        beyond = name == "RR@10" and value < 1 / 10
        values[name][metric.query_id] = 0.0 if beyond else value
    return values


def correlations(expected: Sequence[float], predicted: Sequence[float]) -> dict[str, float]:
    """Return the correlations "spearman" and "pearson" of two lists of n numbers, from -1 to 1.

    If all numbers of a list are equal, there is no correlation: NaN.

    Raises:
        MissingLibraryError: scipy is not installed.
    """
    stats = require_extra("scipy.stats", EVALUATE)
    if len(expected) < 2:  # noqa: PLR2004  # one number has no spread
        return {"spearman": float("nan"), "pearson": float("nan")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about numbers without spread: the result is NaN
        spearman = stats.spearmanr(expected, predicted).statistic
        pearson = stats.pearsonr(expected, predicted).statistic
    return {"spearman": float(spearman), "pearson": float(pearson)}


def classification_quality(
    train: FloatRows, train_labels: Sequence[str], test: FloatRows, test_labels: Sequence[str]
) -> dict[str, list[float]]:
    """Return the accuracy and the macro F1 of two classifiers in each of `DRAWS` draws.

    A draw has 8 training texts of each label: the first ones of a shuffle; each draw continues the
    shuffle of the one before. Logistic regression has at most 100 iterations, kNN 5 neighbours.

    Args:
        train: float32[n, dim], vectors to train on.
        train_labels: n labels.
        test: float32[m, dim], vectors to test on.
        test_labels: m labels.

    Returns:
        "accuracy" and "f1" of logistic regression, "knn_accuracy" and "knn_f1": one value from 0 to
        1 for each draw.

    Raises:
        MissingLibraryError: scikit-learn is not installed.
    """
    linear = require_extra("sklearn.linear_model", EVALUATE)
    neighbors = require_extra("sklearn.neighbors", EVALUATE)
    score = require_extra("sklearn.metrics", EVALUATE)
    values: dict[str, list[float]] = defaultdict(list)
    for rows in _draws(train_labels):
        classifiers = {
            "": linear.LogisticRegression(max_iter=CLASSIFIER_ITERATIONS, random_state=SEED),
            "knn_": neighbors.KNeighborsClassifier(n_neighbors=min(NEIGHBOURS, len(rows))),
        }
        labels = [train_labels[row] for row in rows]
        for name, classifier in classifiers.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about not converging within 100 iterations
                classifier.fit(train[rows], labels)
            predicted = classifier.predict(test)
            values[f"{name}accuracy"].append(float(score.accuracy_score(test_labels, predicted)))
            f1 = score.f1_score(test_labels, predicted, average="macro")
            values[f"{name}f1"].append(float(f1))
    return dict(values)


def _draws(labels: Sequence[str]) -> list[list[int]]:
    order = list(range(len(labels)))
    draws = []
    for _ in range(DRAWS):
        np.random.RandomState(SEED).shuffle(order)  # the generator that MTEB uses
        taken: dict[str, int] = defaultdict(int)
        rows = []
        for row in order:
            if taken[labels[row]] < EXAMPLES_PER_LABEL:
                taken[labels[row]] += 1
                rows.append(row)
        draws.append(rows)
    return draws


def cluster_quality(
    vectors: FloatRows, labels: Sequence[str], *, texts: int = CLUSTERED_TEXTS, draws: int = DRAWS
) -> dict[str, list[float]]:
    """Return the V-measure of mini-batch k-means, with one cluster for each label, in each draw.

    Args:
        vectors: float32[n, dim].
        labels: n labels.
        texts: number of texts in a draw, with replacement.
        draws: number of draws.

    Returns:
        "v_measure": one value from 0 to 1 for each draw.

    Raises:
        MissingLibraryError: scikit-learn is not installed.
    """
    cluster = require_extra("sklearn.cluster", EVALUATE)
    score = require_extra("sklearn.metrics", EVALUATE)
    generator = random.Random(SEED)  # noqa: S311  # no secrets
    values = []
    for _ in range(draws):
        rows = generator.choices(range(len(labels)), k=texts)
        drawn = [labels[row] for row in rows]
        kmeans = cluster.MiniBatchKMeans(
            n_clusters=len(set(labels)), batch_size=KMEANS_BATCH, n_init=1, random_state=SEED
        )
        assigned = kmeans.fit_predict(vectors[rows])
        values.append(float(score.v_measure_score(drawn, assigned)))
    return {"v_measure": values}
