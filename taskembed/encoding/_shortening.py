"""Shortens vectors to dimensions that a model was trained for.

The first numbers of a vector are useful only if the model was trained for that: Matryoshka
representation learning (https://arxiv.org/abs/2205.13147). A slice does not have unit length; the
caller normalises it if the space requires that.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from taskembed.errors import ModelUnavailableError, UsageError
from taskembed.models.resolve import ModelSpec
from taskembed.vectors import FloatRows

# of zEmbed-1: a matrix for each dimension, keys "1280" to "40"
PROJECTIONS = "projections.safetensors"
EPSILON = 1e-5  # default of torch.nn.functional.layer_norm, which Nomic's model card uses


def choose_truncation(
    spec: ModelSpec, folder: Path | None, full: int, wanted: int | None, *, force: bool
) -> tuple[int, str]:
    """Return the dimension of the vectors, and the method of `shorten` that produces it.

    Args:
        spec: the model.
        folder: the folder of the model's files.
        full: the dimension of the model's own vectors.
        wanted: the requested dimension; None for `full`.
        force: allow a dimension that the model was not trained for.

    Raises:
        UsageError: the model was not trained for that dimension, or it is larger than `full`.
        ModelUnavailableError: the file of the model's projections is missing.
    """
    if wanted is None or wanted == full:
        return full, "none"
    if wanted > full:
        raise UsageError(f"--dim {wanted}: the vectors of {spec.model} have {full} numbers")
    if folder and (folder / PROJECTIONS).is_file():
        return _projected(spec, folder, full, wanted)
    method = "slice" if spec.truncation == "none" else spec.truncation
    if method == "projection":
        raise ModelUnavailableError(
            f"{spec.model} has no {PROJECTIONS}, and a slice of its vectors is useless",
            hint="leave out --dim, or download the model again",
        )
    trained = spec.truncation != "none" and (
        not spec.truncated_dims or wanted in spec.truncated_dims
    )
    if trained or force:
        return wanted, method
    sizes = ", ".join(map(str, sorted([*spec.truncated_dims, full])))
    raise UsageError(
        f"--dim {wanted}: {spec.model} was not trained for that size, only for {sizes}",
        hint="--force-dim cuts its vectors anyway; measure the loss of quality",
    )


def require_offered(spec: ModelSpec, wanted: int | None, *, force: bool = False) -> None:
    """Refuse a dimension that a known model does not offer, before the model is downloaded.

    Raises:
        UsageError: the model was not trained for that dimension.
    """
    full = spec.dim
    if full is not None and (spec.truncation != "projection" or (wanted or 0) > full):
        choose_truncation(spec, None, full, wanted, force=force)


def _projected(spec: ModelSpec, folder: Path, full: int, wanted: int) -> tuple[int, str]:
    sizes = sorted(_matrices(folder))
    if wanted in sizes:
        return wanted, "projection"
    raise UsageError(
        f"--dim {wanted}: {spec.model} has matrices for {', '.join(map(str, [*sizes, full]))}, "
        "and a slice of its vectors is useless",
        hint="--force-dim does not help here",
    )


def shorten(vectors: FloatRows, dim: int, method: str, folder: Path) -> FloatRows:
    """Return shortened vectors, float32[n, dim], which do not have unit length.

    Args:
        vectors: the model's own vectors, float32[n, full].
        dim: the dimension of the result.
        method: "none"; "slice"; "layer-norm", which normalises the whole vector before the slice
            (Nomic); "projection", which multiplies with matrices [2d, d] in turn (zEmbed-1).
        folder: the folder of the model's files.

    Raises:
        ModelUnavailableError: the file of the matrices cannot be read.
    """
    if method == "projection":
        matrices = _matrices(folder)
        for size in sorted(matrices, reverse=True):
            if dim <= size < vectors.shape[1]:
                vectors = vectors @ matrices[size]
        return vectors
    if method == "layer-norm":
        mean = vectors.mean(axis=1, keepdims=True)
        vectors = (vectors - mean) / np.sqrt(vectors.var(axis=1, keepdims=True) + EPSILON)
    return vectors[:, :dim]


@lru_cache(maxsize=1)  # every batch of a run needs the same matrices
def _matrices(folder: Path) -> dict[int, FloatRows]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = folder / PROJECTIONS
    try:
        return {int(key): matrix.astype(np.float32) for key, matrix in load_file(path).items()}
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelUnavailableError(
            f"{path} cannot be read: {error}", hint="download the model again"
        ) from error
