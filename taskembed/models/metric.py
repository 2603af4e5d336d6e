"""The metric of a model: cosine, or the inner product of vectors that are not normalised.

The metric is `similarity_fn_name` in config_sentence_transformers.json. Where only a model's card
names it, it is in models.toml. The default is the cosine, as in sentence-transformers.
"""

from __future__ import annotations

from pathlib import Path

from taskembed.errors import ModelUnavailableError
from taskembed.models.saved_json import read_saved
from taskembed.models.stock_views import module_types
from taskembed.space import COSINE, DOT

_EUCLIDEAN = "euclidean"


def metric_of(folder: Path, *, known: str, cut: bool) -> str:
    """Return the metric of a model's vectors: "cosine", "dot", or another that its files name.

    For vectors of unit length, the inner product is the cosine, and the Euclidean distance gives
    the same ranking. So the metric of such a model is the cosine.

    Args:
        folder: the folder of the model's files.
        known: the metric in models.toml or given by the user; "" for none.
        cut: whether its vectors are shortened, so that they no longer have unit length.
    """
    saved = read_saved(folder / "config_sentence_transformers.json") or {}
    said = known or saved.get("similarity_fn_name") or COSINE
    has_unit_length = not cut and saved.get("truncate_dim") is None and _normalizes(folder)
    if said in {DOT, _EUCLIDEAN} and has_unit_length:
        return COSINE
    return str(said)


def require_metric(model: str, metric: str) -> None:
    """Refuse a model whose metric is neither the cosine nor the inner product.

    Raises:
        ModelUnavailableError: the metric is another one; the message names it.
    """
    if metric not in {COSINE, DOT}:
        raise ModelUnavailableError(
            f"{model} compares vectors without unit length by {metric!r}: only "
            f"{COSINE!r} and {DOT!r} are supported",
            hint="name another model with --model; config_sentence_transformers.json says it, as "
            "similarity_fn_name",
        )


def _normalizes(folder: Path) -> bool:
    types = module_types(folder)
    return bool(types) and types[-1].rpartition(".")[2] == "Normalize"
