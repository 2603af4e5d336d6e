"""The guard: checks that documents, queries and vectors belong to the space of the index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from taskembed.errors import BadVectorError, SpaceMismatchError
from taskembed.space import DECLARED, EmbeddingSpace, FieldDifference, Task
from taskembed.vectors import Encoded, Flags, FloatRows, Rows

# largest difference of a vector's length from 1; float32 rows differ by up to 1e-6
NORM_TOLERANCE = 1e-3

_FILES = frozenset({"weights_digest", "adapter_digest", "revision"})
CHANGED_HINT = (
    "the files of the model or its adapter have changed: restore the old ones; or build the index "
    "again with --recreate, or another one with --index OTHER. The index was not changed"
)

DECLARED_HINT = (
    "import the file again without --declare, where the model is: its vectors are then compared. "
    "Without a model, `taskembed similar ID`, `dedup` and `cluster` use the vectors as they are"
)


def require_same_space(
    stored: EmbeddingSpace,
    offered: EmbeddingSpace,
    *,
    hint: str,
    holder: str = "index",
    what: str = "",
) -> None:
    """Check that vectors of two spaces can be compared.

    Args:
        stored: the space of the index.
        offered: the space of an encoder.
        hint: what the user can do, for the error.
        holder: the kind of thing that has the stored space, for the error.
        what: which of them it is, for the error; "" if the user knows.

    Raises:
        SpaceMismatchError: the spaces differ; the message lists every field in which they do.
    """
    differences = stored.differences(offered)
    if not differences:
        return
    if stored.weights_digest.startswith(DECLARED):
        hint = DECLARED_HINT
    elif {item.field for item in differences} <= _FILES and stored.model == offered.model:
        hint = CHANGED_HINT
    implied = {"normalize"}  # by the metric
    if stored.hosted or offered.hosted:
        implied.add("weights_digest")  # by the server
    if not offered.adapter_digest and stored.query_adapter != offered.query_adapter:
        implied.add("adapter_digest")  # by the adapters' names
    lines = [f"  {_described(item, holder)}" for item in differences if item.field not in implied]
    why = "vectors of different spaces cannot be compared: their scores would mean nothing"
    raise SpaceMismatchError(
        "\n".join([f"this is not the embedding space of the {holder}", *lines, f"  {why}"]),
        what=what,
        hint=hint,
    )


def _described(difference: FieldDifference, holder: str) -> str:
    name = difference.field
    ours, theirs = (
        value.value if isinstance(value, Task) else value
        for value in (difference.ours, difference.theirs)
    )
    if name == "weights_digest" and not theirs:
        return "weights: the other model is not on this machine, so its weights cannot be compared"
    if name == "weights_digest" and str(ours).startswith(DECLARED):
        return "weights: the vectors were imported with --declare, without a check of the model"
    if name in {"weights_digest", "adapter_digest"}:
        what = name.removesuffix("_digest")
        return (
            f"{what}: differ from those that built this {holder} "
            f"(sha256 {str(ours)[:12] or 'none'}, now {str(theirs)[:12] or 'none'})"
        )
    if name == "metric":
        return (
            f"metric: the {holder} was built for {ours!r}, and this model uses {theirs!r}: "
            "build the index again with --recreate"
        )
    return f"{name}: the {holder} has {ours!r}, not {theirs!r}"


def each_once(
    slices: Iterable[tuple[Rows, Encoded]], sources: Sequence[str]
) -> Iterator[tuple[Rows, Encoded]]:
    """Yield the slices of an encoder, and check that they cover each text exactly once.

    Args:
        slices: from `Encoder.encode_slices`: int64[m], the positions of m texts, and their vectors;
            row i of a slice belongs to sources[rows[i]].
        sources: names of the texts, for messages.

    Raises:
        BadVectorError: a text has two vectors or none, or a position is out of range.
    """
    missing = np.ones(len(sources), dtype=np.bool_)
    for some, encoded in slices:
        rows = np.asarray(some, dtype=np.int64)
        for row in rows:
            if not 0 <= row < len(sources):
                raise BadVectorError(
                    f"the encoder returned a vector for text {row}, which is not there"
                )
            if not missing[row]:
                raise BadVectorError(f"{sources[row]}: the encoder returned two vectors")
            missing[row] = False
        yield rows, encoded
    if missing.any():
        raise BadVectorError(f"{sources[int(missing.argmax())]}: the encoder returned no vector")


NO_VECTOR = "the model knows no token of this text, so it has no vector"


def without_length(vectors: FloatRows, space: EmbeddingSpace, count: int) -> Flags:
    """Return which texts have a zero vector, which cannot be normalised.

    This happens with static embeddings that have none of a text's tokens. If the shape is wrong, no
    text is reported, since `require_good_vectors` refuses such vectors.

    Args:
        vectors: float32[count, dim].
        space: the space of the vectors.
        count: number of texts.

    Returns:
        bool[count].
    """
    if not space.normalize or vectors.shape != (count, space.dim):
        return np.zeros(count, dtype=np.bool_)
    return np.logical_not(vectors.any(axis=1))


def require_good_vectors(vectors: FloatRows, space: EmbeddingSpace, sources: Sequence[str]) -> None:
    """Check the shape, the type, the numbers and the lengths of vectors.

    Args:
        vectors: float32[n, dim]; row i belongs to sources[i].
        space: the space that the vectors must belong to.
        sources: names of the n texts, for messages.

    Raises:
        BadVectorError: a check fails; the message names the first text that is affected.
    """
    expected = (len(sources), space.dim)
    if vectors.shape != expected or vectors.dtype != np.float32:
        raise BadVectorError(
            f"the model returned {vectors.dtype}{list(vectors.shape)} for {sources[0]}, "
            f"not float32{list(expected)}"
        )
    norms = np.linalg.norm(vectors, axis=1)
    bad = ~np.isfinite(norms)
    if space.normalize:
        bad |= ~(np.abs(norms - 1) < NORM_TOLERANCE)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        if not norms[row]:  # a static embedding model knew none of its tokens
            raise BadVectorError(f"{sources[row]}: {NO_VECTOR}")
        wrong = "not 1" if space.normalize else "which is not a number"
        raise BadVectorError(
            f"{sources[row]}: the model returned a vector of length {norms[row]:.3g}, {wrong}",
            hint="try --precision fp32; this batch was not indexed",
        )
