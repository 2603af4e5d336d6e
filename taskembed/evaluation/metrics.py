"""The measures of the field, by the field's libraries; how each is drawn and seeded is MTEB's way.

    rank_quality({"q1": {"d1": 1}}, {"q1": {"d1": 0.9}})["nDCG@10"]    # {"q1": 1.0}

Source of the ways of drawing: https://github.com/embeddings-benchmark/mteb (abstasks of 2.26).
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

SEED = 42  # of every draw; MTEB's own
RANK_MEASURES = ("nDCG@10", "R@100", "RR@10", "AP")
DRAWS = 10
EXAMPLES_PER_LABEL = 8  # in each draw
CLASSIFIER_ITERATIONS = 100
NEIGHBOURS = 5
CLUSTERED_TEXTS = 16_384  # in each draw, with replacement
KMEANS_BATCH = 512


def require_libraries() -> None:
    """Refuse before anything is encoded.

    Raises:
        MissingLibraryError: a library of the extra is not installed.
    """
    for name in ("ir_measures", "scipy.stats", "sklearn"):
        require_extra(name, EVALUATE)


def rank_quality(judgements: Judgements, run: Run) -> dict[str, dict[str, float]]:
    """Return measure -> query -> value in 0..1, for every judged query; one without hits is 0.

    nDCG@10, Recall@100, MRR@10 and MAP by ir-measures, which runs TREC's own program. That has no
    RR@10: it is RR, where the first relevant document is among the first ten. (ir-measures has an
    RR@10 of another program, which ranks documents of equal scores the other way round.)
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
    """Return how two lists of numbers agree: Spearman of their ranks, Pearson of themselves.

    Without any spread in one of them there is no correlation: NaN.
    """
    stats = require_extra("scipy.stats", EVALUATE)
    if len(expected) < 2:  # noqa: PLR2004  # one number has no spread
        return {"spearman": float("nan"), "pearson": float("nan")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of no spread: NaN says it
        spearman = stats.spearmanr(expected, predicted).statistic
        pearson = stats.pearsonr(expected, predicted).statistic
    return {"spearman": float(spearman), "pearson": float(pearson)}


def classification_quality(
    train: FloatRows, train_labels: Sequence[str], test: FloatRows, test_labels: Sequence[str]
) -> dict[str, list[float]]:
    """Return accuracy and macro F1 of two classifiers, in each of `DRAWS` draws.

    A draw takes 8 texts of each label: the first in a shuffle of all; the next draw shuffles on, by
    the same seed. Logistic regression has 100 iterations, kNN 5 neighbours.

    Args:
        train: float32[n, dim].
        train_labels: of row i.
        test: float32[m, dim].
        test_labels: of row i.
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
                warnings.simplefilter("ignore")  # that 100 iterations did not converge
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
        np.random.RandomState(SEED).shuffle(order)  # what MTEB's figures are made by
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
    """Return the V-measure of mini-batch k-means in each draw.

    There are as many clusters as there are labels.

    Args:
        vectors: float32[n, dim].
        labels: of row i.
        texts: that a draw takes, with replacement.
        draws: how many.
    """
    cluster = require_extra("sklearn.cluster", EVALUATE)
    score = require_extra("sklearn.metrics", EVALUATE)
    generator = random.Random(SEED)  # noqa: S311  # draws, not secrets
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
