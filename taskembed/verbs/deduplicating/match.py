"""Finds new documents that an index already contains, such as test data in a training set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from taskembed.activity import doing
from taskembed.batches import batched
from taskembed.guard import require_good_vectors, without_length
from taskembed.index.ranking.positions import Positions
from taskembed.index.reader import Index
from taskembed.reading.document import Document
from taskembed.space import PromptType
from taskembed.vectors import FloatRows, Rows
from taskembed.verbs.deduplicating.duplicates import (
    Digests,
    Duplicate,
    Keep,
    digest_of,
    read_texts,
    require_dedup_index,
    require_threshold,
)
from taskembed.verbs.defaults import DEDUP_THRESHOLD
from taskembed.verbs.opening.tasks import require_encoder_of
from taskembed.verbs.opening.whole_texts import whole_text_encoder
from taskembed.verbs.protocols import Encoder

_AT_ONCE = 512  # documents encoded per batch


def match_documents(
    documents: Iterable[Document],
    encoder: Encoder,
    index: Index,
    *,
    threshold: float = DEDUP_THRESHOLD,
) -> Iterator[tuple[Document, Duplicate | None]]:
    """Yield new documents, each with its duplicate in the index, or None.

    Args:
        documents: any iterable; only a few hundred are in memory at a time.
        encoder: an encoder of the index's space.
        index: an open index for the task "similarity".
        threshold: the lowest cosine of near duplicates, above 0, at most 1.

    Raises:
        SpaceMismatchError: the index is for another task, or the encoder has another space.
        UsageError: the metric of the index is "dot".
        BadVectorError: a document's vector cannot be compared.
        TypeError: the index is not an `Index`, or the encoder is not an `Encoder`.
        ValueError: the threshold is not between 0 and 1, or the index is closed.
    """
    require_threshold(threshold)
    require_dedup_index(index)
    require_encoder_of(index, encoder)
    encoder = whole_text_encoder(index, encoder)
    return _matches(documents, encoder, index.by_position(), threshold)


def _matches(
    documents: Iterable[Document], encoder: Encoder, positions: Positions, threshold: float
) -> Iterator[tuple[Document, Duplicate | None]]:
    digests, _ = read_texts(positions, Keep())
    order = np.argsort(digests, kind="stable")
    with doing("", unit="documents") as step:
        for some in batched(documents, _AT_ONCE):
            matches = _nearest(some, encoder, positions, threshold)
            for row, document in enumerate(some):
                position = _position_of(digests, order, digest_of(document.text))
                if position is not None:
                    (known,) = positions.documents_at(np.array([position]))
                    matches[row] = Duplicate(document.doc_id, known.doc_id, 1.0, exact=True)
            yield from zip(some, matches, strict=True)
            step.done += len(some)


def _position_of(digests: Digests, order: Rows, digest: bytes) -> int | None:
    """Return the first position with a digest; None if there is none."""
    wanted = np.array(digest, digests.dtype)
    place = int(np.searchsorted(digests, wanted, sorter=order))
    if place < len(order) and digests[order[place]] == wanted:
        return int(order[place])
    return None


def _nearest(
    some: Sequence[Document], encoder: Encoder, positions: Positions, threshold: float
) -> list[Duplicate | None]:
    """Return the nearest stored document of each document; None if it is not near enough."""
    encoded = encoder.encode([document.text for document in some], PromptType.DOCUMENT)
    vectors: FloatRows = encoded.vectors
    has = ~without_length(vectors, encoder.space, len(some))
    sources = [document.where for document, good in zip(some, has, strict=True) if good]
    if sources:
        require_good_vectors(vectors[has], encoder.space, sources)
    scores, found = positions.nearest(vectors[has], 1)
    matches: list[Duplicate | None] = [None] * len(some)
    if not found.size:
        return matches
    near = positions.documents_at(found[:, 0])
    for row, score, known in zip(
        np.flatnonzero(has).tolist(), scores[:, 0].tolist(), near, strict=True
    ):
        if score >= threshold:
            matches[row] = Duplicate(some[row].doc_id, known.doc_id, score, exact=False)
    return matches
