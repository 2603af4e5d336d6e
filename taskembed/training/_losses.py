"""The loss for each kind of examples: losses of sentence-transformers with the recipe's settings.

    pairs     InfoNCE over the batch and mined negatives     CachedMultipleNegativesRankingLoss
    scored    order of the scores                            CoSENTLoss
    labelled  every triplet in the batch                     BatchAllTripletLoss
    rated     distribution of the documents by ratings       DistillKLDivLoss

Importing this module imports torch.
"""

from __future__ import annotations

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses
from torch import nn

from taskembed.reading.examples import ExampleKind
from taskembed.training.recipe import Recipe, Training


def make_loss(model: SentenceTransformer, kind: ExampleKind, recipe: Recipe) -> nn.Module:
    """Return the loss for examples of a kind; with Matryoshka if the recipe has shorter sizes."""
    loss = _loss(model, kind, recipe.training)
    if recipe.training.matryoshka:
        full = int(model.get_embedding_dimension() or 0)
        dims = sorted({*recipe.training.matryoshka, full}, reverse=True)
        loss = losses.MatryoshkaLoss(model, loss, matryoshka_dims=dims)
    return loss


def _loss(model: SentenceTransformer, kind: ExampleKind, training: Training) -> nn.Module:
    loss: nn.Module
    match kind:
        case ExampleKind.SCORED:
            loss = losses.CoSENTLoss(model, scale=training.scale)
        case ExampleKind.LABELLED:
            distance = losses.BatchHardTripletLossDistanceFunction.cosine_distance
            loss = losses.BatchAllTripletLoss(
                model, distance_metric=distance, margin=training.margin
            )
        case ExampleKind.RATED:
            loss = losses.DistillKLDivLoss(model, similarity_fct=_ScaledCosine(training.scale))
        case ExampleKind.PAIRS:
            loss = _ranking_loss(model, training)
    return loss


def _ranking_loss(model: SentenceTransformer, training: Training) -> nn.Module:
    loss: nn.Module
    # caching would compute the same gradients more slowly
    if training.batch <= training.mini_batch:
        loss = losses.MultipleNegativesRankingLoss(model, scale=training.scale)
    else:
        loss = losses.CachedMultipleNegativesRankingLoss(
            model, scale=training.scale, mini_batch_size=training.mini_batch
        )
    return loss


class _ScaledCosine:
    """Cosines of float[n, dim] and float[n, dim], times a number: the input of the softmax."""

    __name__ = "scaled_cosine"  # the loss notes it in its configuration

    def __init__(self, scale: float) -> None:
        self._scale = scale

    def __call__(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cosine_similarity(first, second) * self._scale
