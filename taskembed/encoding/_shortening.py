"""Shorter vectors: which sizes a model was trained for, and how it is done.

A slice of a vector means something only in a model that was trained for it (Matryoshka), and no
slice has unit length: the caller normalises after it, where the space has vectors of unit length.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from taskembed.errors import ModelUnavailableError, UsageError
from taskembed.models.resolve import ModelSpec
from taskembed.vectors import FloatRows

PROJECTIONS = "projections.safetensors"  # zEmbed-1's: a matrix for each size, key "1280" to "40"
EPSILON = 1e-5  # of torch.nn.functional.layer_norm, which Nomic's model card calls


def choose_truncation(
    spec: ModelSpec, folder: Path | None, full: int, wanted: int | None, *, force: bool
) -> tuple[int, str]:
    """Return the size of the vectors and the method that makes them so.

    Args:
        spec: the model.
        folder: of the model's files.
        full: numbers in the model's own vector.
        wanted: numbers that were asked for; None for all.
        force: also a size that the model was not trained for.

    Raises:
        UsageError: the model was not trained for that size, or has not as many numbers.
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
            f"{spec.model} has no {PROJECTIONS}, and a slice of its vectors means nothing",
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
        hint="--force-dim cuts its vectors anyway; measure what it costs",
    )


def require_offered(spec: ModelSpec, wanted: int | None, *, force: bool = False) -> None:
    """Refuse a size that a known model does not offer, before anything of the model is here.

    Raises:
        UsageError: as `choose_truncation`.
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
        "and a slice of its vectors means nothing",
        hint="--force-dim does not help here",
    )


def shorten(vectors: FloatRows, dim: int, method: str, folder: Path) -> FloatRows:
    """Return float32[n, dim] for float32[n, full]; not of unit length.

    Args:
        vectors: the model's own, float32[n, full].
        dim: numbers that each vector should have.
        method: "none", "slice", "layer-norm" (over the whole vector, then a slice: Nomic),
            "projection" (down the chain of matrices [2d, d], zEmbed-1).
        folder: of the model's files.

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


@lru_cache(maxsize=1)  # every batch of a run asks for the same
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
