"""The dev score: the quality of a checkpoint on the held-back examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sentence_transformers.sentence_transformer.evaluation import SentenceEvaluator

from taskembed.evaluation.metrics import cluster_quality, correlations, rank_quality
from taskembed.models.resolve import ModelSpec
from taskembed.reading.examples import Example, ExampleKind
from taskembed.space import PromptType, Task
from taskembed.training._splits import DataSplit
from taskembed.training.recipe import Recipe
from taskembed.vectors import FloatRows

DEV_SCORE = "eval_dev"  # the trainer's name for the dev score
DEV_DRAWS = 3  # for clustering; few, since the score is computed many times
_NAME = "dev"


class DevScore(SentenceEvaluator):
    """The mean over the files of each file's score, from 0 to 1 (a correlation from -1 to 1).

    Pairs: nDCG@10 of the positives. Scored pairs: Spearman. Rated documents: the mean over the
    queries of Spearman. Labelled texts: V-measure for clustering, otherwise how often the nearest
    other text has the same label.
    """

    primary_metric = _NAME

    def __init__(self, splits: Sequence[DataSplit], spec: ModelSpec, recipe: Recipe) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the library has no types
        self._splits = [split for split in splits if split.dev]
        self._spec = spec
        self._recipe = recipe

    def __call__(self, model: Any, *_: object, **__: object) -> dict[str, float]:  # noqa: ANN401  # a SentenceTransformer
        """Return the dev score of a model, in the form that the trainer expects."""
        was_training = model.training
        model.eval()
        scores = [self._score(model, split) for split in self._splits]
        model.train(was_training)
        return {_NAME: float(np.mean(scores))}

    def _score(self, model: Any, split: DataSplit) -> float:  # noqa: ANN401  # as above
        spec = self._spec
        first = self._encode(model, split.dev, 0, spec.prompt(PromptType.QUERY))
        if split.kind is ExampleKind.LABELLED:
            return self._label_score(first, [example.label for example in split.dev])
        if split.kind is ExampleKind.RATED:
            return self._rated_score(model, first, split.dev)
        second = self._encode(model, split.dev, 1, spec.prompt(PromptType.DOCUMENT))
        if split.kind is ExampleKind.SCORED:
            cosines = (first * second).sum(axis=1).tolist()
            return correlations([example.score for example in split.dev], cosines)["spearman"]
        return _pair_score(first @ second.T, split.dev)

    def _encode(self, model: Any, dev: Sequence[Example], side: int, prompt: str) -> FloatRows:  # noqa: ANN401  # as above
        texts = [example.texts[side] for example in dev]
        vectors: FloatRows = model.encode(
            texts,
            prompt=prompt or None,
            batch_size=self._recipe.training.batch,
            normalize_embeddings=True,
            show_progress_bar=False,
        )
        return vectors

    def _rated_score(self, model: Any, queries: FloatRows, dev: Sequence[Example]) -> float:  # noqa: ANN401  # as above
        sides = range(1, len(dev[0].texts))
        documents = [
            self._encode(model, dev, side, self._spec.prompt(PromptType.DOCUMENT)) for side in sides
        ]
        cosines = np.asarray([(queries * vectors).sum(axis=1) for vectors in documents]).T
        spearmans = [
            correlations(example.ratings, row.tolist())["spearman"]
            for example, row in zip(dev, cosines, strict=True)
        ]
        return float(np.nanmean(spearmans))

    def _label_score(self, vectors: FloatRows, labels: list[str]) -> float:
        if self._recipe.task is Task.CLUSTERING:
            quality = cluster_quality(vectors, labels, texts=len(labels), draws=DEV_DRAWS)
            return float(np.mean(quality["v_measure"]))
        cosines = vectors @ vectors.T
        np.fill_diagonal(cosines, -np.inf)
        nearest = cosines.argmax(axis=1)
        return float(np.mean([labels[row] == labels[near] for row, near in enumerate(nearest)]))


def _pair_score(cosines: FloatRows, dev: Sequence[Example]) -> float:
    """Return the mean nDCG@10; two anchors may have the same positive.

    Args:
        cosines: float32[n, n], of each anchor with each positive.
        dev: the n pairs.
    """
    judged: dict[str, dict[str, int]] = {}
    positions: dict[str, str] = {}
    for row, example in enumerate(dev):
        positions.setdefault(example.texts[1], str(row))
        judged[str(row)] = {positions[example.texts[1]]: 1}
    columns = [int(name) for name in positions.values()]
    run = {
        str(row): dict(zip(positions.values(), map(float, cosines[row, columns]), strict=True))
        for row in range(len(dev))
    }
    return float(np.mean(list(rank_quality(judged, run)["nDCG@10"].values())))
