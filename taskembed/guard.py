"""The guard: documents, queries and vectors prove that they live in the space of the index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from taskembed.errors import BadVectorError, SpaceMismatchError
from taskembed.space import HOSTED, Difference, EmbeddingSpace, Task
from taskembed.vectors import Encoded, Flags, FloatRows, Rows

NORM_TOLERANCE = 1e-3  # of unit length; float32 rows that were normalised are within 1e-6

_FILES = frozenset({"weights_digest", "adapter_digest", "revision"})
CHANGED_HINT = (
    "the files of the model or its adapter were changed since: put the old ones back; or make the "
    "index again with --recreate, or another one with --index OTHER. Nothing was changed"
)


def require_same_space(stored: EmbeddingSpace, offered: EmbeddingSpace, *, hint: str) -> None:
    """Return when vectors of the two spaces can be compared.

    Raises:
        SpaceMismatchError: they cannot; the message lists every field in which the spaces differ.
    """
    differences = stored.differences(offered)
    if not differences:
        return
    if {item.field for item in differences} <= _FILES and stored.model == offered.model:
        hint = CHANGED_HINT
    follows = {"normalize"}  # from the metric
    if not offered.adapter_digest and stored.query_adapter != offered.query_adapter:
        follows.add("adapter_digest")  # from the adapters' names
    lines = [f"  {_said(item)}" for item in differences if item.field not in follows]
    why = "vectors of different spaces cannot be compared: their scores would mean nothing"
    raise SpaceMismatchError(
        "\n".join(["this is another embedding space than that of the index", *lines, f"  {why}"]),
        hint=hint,
    )


def _said(difference: Difference) -> str:
    name = difference.field
    ours, theirs = (
        value.value if isinstance(value, Task) else value
        for value in (difference.ours, difference.theirs)
    )
    hosted = any(str(value).startswith(HOSTED) for value in (ours, theirs))
    if name == "weights_digest" and not theirs:
        return "weights: those of the other model are not on this machine to be compared"
    if name in {"weights_digest", "adapter_digest"} and not hosted:
        what = name.removesuffix("_digest")
        return (
            f"{what}: they differ from those that built this index "
            f"(sha256 {str(ours)[:12] or 'none'}, now {str(theirs)[:12] or 'none'})"
        )
    if name == "metric":
        return (
            f"metric: the index was made for {ours!r}, and the vectors of this model are compared "
            f"by {theirs!r}: build it again with --recreate"
        )
    return f"{name}: the index has {ours!r}, not {theirs!r}"


def each_once(
    slices: Iterable[tuple[Rows, Encoded]], sources: Sequence[str]
) -> Iterator[tuple[Rows, Encoded]]:
    """Yield what an encoder gives slice by slice, as long as it gives each text once.

    Args:
        slices: as of `Encoder.encode_slices`: row i of a slice belongs to sources[rows[i]].
        sources: what was encoded, in a message.

    Raises:
        BadVectorError: a text comes twice or not at all, or it is none of them.
    """
    left = np.ones(len(sources), dtype=np.bool_)
    for some, encoded in slices:
        rows = np.asarray(some, dtype=np.int64)
        for row in rows:
            if not 0 <= row < len(sources):
                raise BadVectorError(f"the encoder gave a vector for text {row}; there is none")
            if not left[row]:
                raise BadVectorError(f"{sources[row]}: the encoder gave two vectors")
            left[row] = False
        yield rows, encoded
    if left.any():
        raise BadVectorError(f"{sources[int(left.argmax())]}: the encoder gave no vector")


NO_VECTOR = "the model reads no token of it, so it has no vector"


def without_length(vectors: FloatRows, space: EmbeddingSpace, count: int) -> Flags:
    """Return which of `count` texts have no vector in the space: theirs cannot be normalised.

    Static embeddings know nothing of a text but its tokens, and may know none of them. Of vectors
    of another shape it is none: `require_good_vectors` refuses them.
    """
    if not space.normalize or vectors.shape != (count, space.dim):
        return np.zeros(count, dtype=np.bool_)
    return np.logical_not(vectors.any(axis=1))


def require_good_vectors(vectors: FloatRows, space: EmbeddingSpace, sources: Sequence[str]) -> None:
    """Return when row i of `vectors` can stand for sources[i] in the space.

    Raises:
        BadVectorError: a shape, a type or a number is wrong; the message names the first source.
    """
    expected = (len(sources), space.dim)
    if vectors.shape != expected or vectors.dtype != np.float32:
        raise BadVectorError(
            f"the model gave {vectors.dtype}{list(vectors.shape)} for {sources[0]}, "
            f"not float32{list(expected)}"
        )
    norms = np.linalg.norm(vectors, axis=1)
    bad = ~np.isfinite(norms)
    if space.normalize:
        bad |= ~(np.abs(norms - 1) < NORM_TOLERANCE)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        if not norms[row]:  # static embeddings know nothing of a text but its tokens
            raise BadVectorError(f"{sources[row]}: {NO_VECTOR}")
        right = "not 1" if space.normalize else "which is no number"
        raise BadVectorError(
            f"{sources[row]}: the model gave a vector of length {norms[row]:.3g}, {right}",
            hint="try --precision fp32; nothing of this batch was indexed",
        )
