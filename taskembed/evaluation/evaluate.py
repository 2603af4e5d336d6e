"""What an encoder, or an index, is worth on judged data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from taskembed.evaluation.compare import measure_run
from taskembed.evaluation.data import Clusters, Judged, Pairs, Ranking
from taskembed.evaluation.measured import Measured
from taskembed.evaluation.metrics import (
    classification_quality,
    cluster_quality,
    correlations,
)
from taskembed.guard import require_good_vectors
from taskembed.index.kinds.flat import Flat
from taskembed.index.reader import Index
from taskembed.reading.examples import Example
from taskembed.reading.trec import Run
from taskembed.space import PromptType
from taskembed.vectors import FloatRows
from taskembed.verbs.protocols import Encoder
from taskembed.verbs.search import search_index

DEPTH = 1000  # hits of a query in a run: TREC's own
QUERIES_AT_ONCE = 512  # from some 350 on, a query costs a fifth: see `index.kinds.flat`


def evaluate(encoder: Encoder, data: Judged) -> Measured:
    """Return what an encoder is worth on data for its task.

    Pairs, classes and clusters are encoded as documents, which for their tasks are as queries.
    """
    if isinstance(data, Ranking):
        return measure_run(data.judgements, rank(encoder, data))
    if isinstance(data, Pairs):
        return _similarity(encoder, data.examples)
    if isinstance(data, Clusters):
        labels = [example.label for example in data.examples]
        return _by_draw(
            cluster_quality(_encode(encoder, _texts(data.examples)), labels), "v_measure"
        )
    train, test = _encode(encoder, _texts(data.train)), _encode(encoder, _texts(data.test))
    found = classification_quality(
        train,
        [example.label for example in data.train],
        test,
        [example.label for example in data.test],
    )
    return _by_draw(found, "accuracy")


def rank(encoder: Encoder, data: Ranking) -> Run:
    """Return the best documents of each query, by exact search: query -> document -> score."""
    documents = data.documents or []
    index = Flat(_encode(encoder, [document.text for document in documents]))
    queries = _encode(encoder, [query.text for query in data.queries], PromptType.QUERY)
    scores, rows = index.search(queries, min(DEPTH, len(documents)))
    run: dict[str, Mapping[str, float]] = {}
    for query, its_scores, its_rows in zip(data.queries, scores, rows, strict=True):
        found = zip(its_rows, its_scores, strict=True)
        run[query.query_id] = {documents[row].doc_id: float(score) for row, score in found}
    return run


def rank_index(index: Index, encoder: Encoder, data: Ranking) -> Run:
    """Return the best documents that an index has for each query.

    Raises:
        SpaceMismatchError: the encoder is of another space.
    """
    run: dict[str, Mapping[str, float]] = {}
    for start in range(0, len(data.queries), QUERIES_AT_ONCE):
        some = data.queries[start : start + QUERIES_AT_ONCE]
        found = search_index([query.text for query in some], encoder, index, k=DEPTH)
        for query, hits in zip(some, found, strict=True):
            run[query.query_id] = {hit.doc_id: hit.score for hit in hits}
    return run


def _similarity(encoder: Encoder, examples: Sequence[Example]) -> Measured:
    first, second = (_encode(encoder, _texts(examples, side)) for side in (0, 1))
    scores = (first * second).sum(axis=1).tolist()
    expected = [example.score for example in examples]
    return Measured(
        main="spearman",
        values=correlations(expected, scores),
        names=[str(number) for number in range(1, len(examples) + 1)],
        units=np.asarray([expected, scores], dtype=np.float64).T,
        per_unit={"expected": expected, encoder.space.metric: scores},
    )


def _by_draw(found: Mapping[str, Sequence[float]], main: str) -> Measured:
    return Measured(
        main=main,
        values={name: float(np.mean(values)) for name, values in found.items()},
        names=[f"draw {number}" for number in range(1, len(found[main]) + 1)],
        units=np.asarray(found[main], dtype=np.float64)[:, None],
        per_unit=found,
    )


def _encode(
    encoder: Encoder, texts: Sequence[str], prompt_type: PromptType = PromptType.DOCUMENT
) -> FloatRows:
    """Return float32[n, dim], checked: a text without a vector would be a wrong figure."""
    vectors = encoder.encode(texts, prompt_type).vectors
    sources = [f"{prompt_type.value} {number:,}" for number in range(1, len(texts) + 1)]
    require_good_vectors(vectors, encoder.space, sources)
    return vectors


def _texts(examples: Sequence[Example], side: int = 0) -> list[str]:
    return [example.texts[side] for example in examples]
