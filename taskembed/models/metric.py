"""How the vectors of a model are compared: by their cosine, or by inner product as they are.

A model's repository says it (`similarity_fn_name` in config_sentence_transformers.json), or only
its card, and then models.toml. The default is the cosine, as in sentence-transformers.
"""

from __future__ import annotations

from pathlib import Path

from taskembed.errors import ModelUnavailableError
from taskembed.models.saved_json import read_saved
from taskembed.models.stock_views import module_types
from taskembed.space import COSINE, DOT

_EUCLIDEAN = "euclidean"


def metric_of(folder: Path, *, known: str, cut: bool) -> str:
    """Return what a model's vectors are compared by: "cosine", "dot", or what else it says.

    Of vectors that have unit length, the inner product is the cosine, and the euclidean distance
    ranks as the cosine does: such a model is one of the cosine.

    Args:
        folder: of the model's files.
        known: what models.toml or the user says; "" for nothing.
        cut: whether its vectors are shortened, after which they have no unit length any more.
    """
    saved = read_saved(folder / "config_sentence_transformers.json") or {}
    said = known or saved.get("similarity_fn_name") or COSINE
    has_unit_length = not cut and saved.get("truncate_dim") is None and _normalizes(folder)
    if said in {DOT, _EUCLIDEAN} and has_unit_length:
        return COSINE
    return str(said)


def require_metric(model: str, metric: str) -> None:
    """Return when vectors can be compared as a model says.

    Raises:
        ModelUnavailableError: they cannot; the message names what it says.
    """
    if metric not in {COSINE, DOT}:
        raise ModelUnavailableError(
            f"{model} compares its vectors by {metric!r}, and they have no unit length: only "
            f"{COSINE!r} and {DOT!r} are supported",
            hint="name another model with --model; config_sentence_transformers.json says it, as "
            "similarity_fn_name",
        )


def _normalizes(folder: Path) -> bool:
    types = module_types(folder)
    return bool(types) and types[-1].rpartition(".")[2] == "Normalize"
