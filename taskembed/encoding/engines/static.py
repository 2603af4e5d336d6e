"""The engine of static embeddings: a text's vector is the mean of its tokens' rows in a table.

It uses only numpy, on any device and always in fp32, since nothing could be sped up.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from taskembed.encoding._batches import Batch
from taskembed.encoding.facts import UNIT_MEAN

TOKEN_BUDGET = 32_768  # tokens in a batch; smaller batches are not faster
# Rows summed at once; such models read texts of any length. Subtle: fp32 sums over many more rows
# lose precision, so the sums of parts are added in fp64.
TOKENS_AT_ONCE = 4_096


class StaticEngine:
    """A table of token vectors.

    Args:
        blob: float32[tokens, dim].
        dim: numbers in a row.
        kind: "mean", or "unit mean" if the mean is normalised to unit length.
    """

    name = "static"
    precision = "fp32"
    token_budget = TOKEN_BUDGET

    def __init__(self, blob: memoryview, *, dim: int, kind: str) -> None:
        table = np.frombuffer(blob, np.float32).reshape(-1, dim)
        # Subtle: in the cache the table may not be aligned, which makes numpy slow.
        self._table = np.require(table, requirements="A")
        self._has_unit_length = kind == UNIT_MEAN

    def run(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch, npt.NDArray[np.float32]]]:
        """Yield each batch with float32[n, dim], in order."""
        for batch in batches:
            mask = batch.pooling_mask
            assert mask is not None  # noqa: S101  # static embeddings are encoders
            vectors = np.stack(
                [
                    self._mean(ids[pooled != 0])
                    for ids, pooled in zip(batch.input_ids, mask, strict=True)
                ]
            )
            if self._has_unit_length:
                lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
                # as in torch.nn.functional.normalize
                vectors /= np.maximum(lengths, np.float32(1e-12))
            yield batch, vectors

    def _mean(self, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return float32[dim]: zeros for a text without tokens."""
        total = np.zeros(self._table.shape[1])
        for begin in range(0, len(ids), TOKENS_AT_ONCE):
            total += self._table[ids[begin : begin + TOKENS_AT_ONCE]].sum(axis=0)
        return (total / max(len(ids), 1)).astype(np.float32)
