"""The modules of a SentenceTransformer that encode the texts of one side, as one torch module.

Imports torch and sentence-transformers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
from torch import Tensor, nn

from taskembed.space import PromptType

WEIGHTED_MEAN = "weightedmean"


class PooledModel(nn.Module):
    """Maps token ids to one vector for each text, by the modules of a SentenceTransformer.

    The mask for pooling is a separate input, since a prompt may be read but not pooled.

    Args:
        modules: the modules of one side; the first is a transformer or static embeddings.
        dim: the dimension to which the model's own configuration shortens vectors; None for all.
        modality: how the library treats a text: as "text", or as the "message" of a chat.
    """

    def __init__(
        self, modules: Iterable[nn.Module], dim: int | None = None, modality: str = "text"
    ) -> None:
        super().__init__()
        first, *rest = modules
        if is_static(first):
            first, rest = _Rows(first), [Pooling(first.embedding_dim, "mean"), *rest]
        self.transformer = first
        self.rest = nn.ModuleList(_for_right_padding(module) for module in rest)
        self.dim = dim
        self.modality = modality

    def forward(self, input_ids: Tensor, attention_mask: Tensor, pooling_mask: Tensor) -> Tensor:
        """Return the vectors, float[n, dim], for three inputs int64[n, length]."""
        read = {"input_ids": input_ids, "attention_mask": attention_mask}
        features = self.transformer({**read, "modality": self.modality})
        features["attention_mask"] = pooling_mask
        for module in self.rest:
            features = module(features)
        vectors = cast("Tensor", features["sentence_embedding"])
        return vectors if self.dim is None else vectors[:, : self.dim]


def side_modules(model: SentenceTransformer, side: PromptType) -> list[Any]:
    """Return the modules that encode texts of a side; a router is replaced by the side's branch.

    Raises:
        ValueError: a router has no branch for the side.
    """
    return list(_flat(model, side))


def _flat(modules: Iterable[nn.Module], side: PromptType) -> Iterator[nn.Module]:
    for module in modules:
        if isinstance(module, Router):
            route = module._resolve_route(task=side.value, modality="text")  # noqa: SLF001  # its only way to say
            branch: Any = module.sub_modules[str(route)]
            yield from _flat(branch, side)
        else:
            yield module


def is_static(first: Any) -> bool:  # noqa: ANN401  # of sentence-transformers
    """Return whether the first module is static embeddings: a table of token vectors."""
    return isinstance(first, StaticEmbedding)


class _Rows(nn.Module):
    """The token vectors of static embeddings, before the library's mean over them."""

    def __init__(self, first: Any) -> None:  # noqa: ANN401  # of sentence-transformers
        super().__init__()
        self.weight = first.embedding.weight

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Add float[n, length, dim] to the features."""
        rows = nn.functional.embedding(features["input_ids"], self.weight)
        return {**features, "token_embeddings": rows}


def _for_right_padding(module: nn.Module) -> nn.Module:
    modes = pooling_modes(module)
    return _PositionPooling(modes) if WEIGHTED_MEAN in modes else module


def pooling_modes(module: nn.Module) -> tuple[str, ...]:
    """Return the pooling modes of a module; () if it is not a pooling."""
    mode: Any = getattr(module, "pooling_mode", ())
    return (mode,) if isinstance(mode, str) else tuple(mode)


class _PositionPooling(nn.Module):
    """The mean weighted by position, alone or concatenated with other modes.

    The library counts positions from the beginning of its mask. If a prompt is not pooled, our mask
    begins after the prompt, but the weights must count the prompt's tokens too. Since texts are
    padded on the right, positions are counted from 0 here.
    """

    def __init__(self, modes: tuple[str, ...]) -> None:
        super().__init__()
        self.modes = modes

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Add float[n, modes * dim] to the features."""
        parts = [
            self._weighted(features) if mode == WEIGHTED_MEAN else _pooled(features, mode)
            for mode in self.modes
        ]
        features["sentence_embedding"] = torch.cat(parts, dim=-1)
        return features

    @staticmethod
    def _weighted(features: dict[str, Tensor]) -> Tensor:
        tokens = features["token_embeddings"]
        positions = torch.arange(1, tokens.shape[1] + 1, device=tokens.device)
        weights = (features["attention_mask"] * positions).unsqueeze(-1).to(tokens.dtype)
        return (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)


def _pooled(features: dict[str, Tensor], mode: str) -> Tensor:
    width = features["token_embeddings"].shape[-1]
    pooling = Pooling(width, pooling_mode=cast("Any", mode))
    return cast("Tensor", pooling(dict(features))["sentence_embedding"])
