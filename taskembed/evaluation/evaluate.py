"""Evaluates encoders and indexes on judged data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from taskembed.activity import doing
from taskembed.batches import batched
from taskembed.encoding.load import load_encoder
from taskembed.encoding.settings import EngineSettings
from taskembed.errors import UsageError
from taskembed.evaluation.compare import measure_run
from taskembed.evaluation.data import (
    Clusters,
    DataFiles,
    Judged,
    Pairs,
    Ranking,
    read_judged,
    read_judged_queries,
)
from taskembed.evaluation.measured import Measured
from taskembed.evaluation.metrics import (
    classification_quality,
    cluster_quality,
    correlations,
    require_libraries,
)
from taskembed.evaluation.remembering import RememberingEncoder
from taskembed.guard import require_good_vectors
from taskembed.index.kinds.flat import Flat
from taskembed.index.ranking.fusion import LEAST_LISTED, Fusion
from taskembed.index.ranking.modes import Mode
from taskembed.index.reader import Index
from taskembed.index.word_tokens import DEFAULT_LANGUAGE
from taskembed.models.resolve import PromptOverrides
from taskembed.reading.examples import Example
from taskembed.reading.trec import Run
from taskembed.space import SYMMETRIC_TASKS, PromptType, Task
from taskembed.vectors import FloatRows
from taskembed.verbs.index import index_corpus
from taskembed.verbs.opening.counting import CountingEncoder
from taskembed.verbs.opening.encoders import encoder_for_search, require_expected
from taskembed.verbs.options import IndexOptions
from taskembed.verbs.protocols import Encoder
from taskembed.verbs.search import default_fusion, require_mode, search_index

DEPTH = 1000  # hits for each query in a run, as in TREC
QUERIES_AT_ONCE = 512  # above about 350, a query takes a fifth of the time: see `index.kinds.flat`


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of evaluating a model or an index.

    Attributes:
        measured: the figures.
        run: the hits of each query; None for tasks without ranking, and for several weights.
        encoder: the encoder that was used, with its count of truncated texts.
        by_alpha: the figures for each weight of the vectors, if several were tried; `measured` has
            those of the best.
    """

    measured: Measured
    run: Run | None
    encoder: CountingEncoder
    by_alpha: Mapping[float, Measured] = field(default_factory=dict)


def evaluate_model(  # noqa: PLR0913  # all but the first three are optional and named
    model: str | None,
    task: Task,
    files: DataFiles,
    *,
    revision: str | None = None,
    stated: PromptOverrides | None = None,
    mode: Mode = Mode.DENSE,
    alphas: Sequence[float] = (),
    settings: EngineSettings | None = None,
) -> Evaluation:
    """Evaluate a model on judged data.

    Args:
        model: the model's name, as for `load_encoder`.
        task: the task of the data.
        files: where the data is.
        revision: branch, tag or commit of the model.
        stated: prompts and adapter to use instead of the known ones.
        mode: rank by vectors, by words, or by both; only for tasks with ranking.
        alphas: the weights of the vectors to try in a hybrid ranking; empty for the default of a
            search.
        settings: where and how the model runs.

    Returns:
        The figures, and for ranking tasks the hits.

    Raises:
        MissingLibraryError: a library of the extra `evaluate` is not installed.
        NotFoundError: a file does not exist.
        UsageError: a file of the data is missing.
        BadInputError: a file cannot be used; the message names the file and the line.
        ModelUnavailableError: the model cannot be loaded, or has no prompts for the task.
    """
    settings = settings or EngineSettings()
    require_libraries()
    data = read_judged(task, files, notify=settings.notify)
    encoder = CountingEncoder(
        load_encoder(model, task, revision=revision, stated=stated, settings=settings)
    )
    if isinstance(data, Ranking):
        if mode is Mode.DENSE:
            run = rank(encoder, data)
            return Evaluation(measure_run(data.judgements, run), run, encoder)
        with indexed(encoder, data) as index:
            return _of_index(index, encoder, data, mode, alphas)
    return Evaluation(evaluate(encoder, data), None, encoder)


def evaluate_index(  # noqa: PLR0913  # all but the first two are optional and named
    folder: Path,
    files: DataFiles,
    *,
    task: Task | None = None,
    model: str | None = None,
    adapter: str | None = None,
    mode: Mode | None = None,
    alphas: Sequence[float] = (),
    settings: EngineSettings | None = None,
) -> Evaluation:
    """Evaluate an index, with its own model, on judged queries.

    Args:
        folder: the index.
        files: where the queries and the judgements are; the index has the documents.
        task: the task that the index must be for; None for any.
        model: the model that the index must be of, or its folder if that was moved; None for any.
        adapter: the folder of the index's adapter, if that was moved.
        mode: rank by vectors, by words, or by both; None for both if the index keeps words.
        alphas: the weights of the vectors to try in a hybrid ranking; empty for the default of a
            search.
        settings: where and how the model runs.

    Returns:
        The figures and the hits.

    Raises:
        MissingLibraryError: a library of the extra `evaluate` is not installed.
        UsageError: the index is for a task without ranking, or a file of the data is missing.
        NotFoundError: there is no index, or a file does not exist.
        BadInputError: a file cannot be used; the message names the file and the line.
        SpaceMismatchError: the index has another task, model or adapter.
        ModelUnavailableError: the model cannot be loaded.
    """
    settings = settings or EngineSettings()
    require_libraries()
    with Index.open(folder, task=task) as index:
        if index.space.task in SYMMETRIC_TASKS:
            raise UsageError(
                f"{folder} is for {index.space.task.value}, which is not evaluated by ranking",
                hint="taskembed evaluate DATA --task TASK",
            )
        require_expected(index, settings, task=task, model=model, adapter=adapter)
        require_mode(index, mode)
        data = read_judged_queries(files, notify=settings.notify)
        encoder = CountingEncoder(encoder_for_search(index, settings, model=model, adapter=adapter))
        return _of_index(index, encoder, data, mode, alphas)


def _of_index(
    index: Index,
    encoder: CountingEncoder,
    data: Ranking,
    mode: Mode | None,
    alphas: Sequence[float],
) -> Evaluation:
    if len(alphas) < 2:  # noqa: PLR2004  # nothing to compare
        run = rank_index(index, encoder, data, mode=mode, alpha=alphas[0] if alphas else None)
        return Evaluation(measure_run(data.judgements, run), run, encoder)
    remembering = RememberingEncoder(encoder)
    by_alpha = {}
    with doing("trying weights", unit="weights", total=len(alphas)) as step:
        for alpha in alphas:
            run = rank_index(index, remembering, data, mode=mode, alpha=alpha)
            by_alpha[alpha] = measure_run(data.judgements, run)
            step.done += 1
    best = max(by_alpha.values(), key=lambda measured: measured.value)
    return Evaluation(best, None, encoder, by_alpha)


def evaluate(encoder: Encoder, data: Judged) -> Measured:
    """Measure an encoder on data for its task.

    Pairs, classes and clusters are encoded as documents; their tasks encode queries the same way.

    Raises:
        MissingLibraryError: a library of the extra `evaluate` is not installed.
        BadVectorError: a text has no vector that can be compared.
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
    quality = classification_quality(
        train,
        [example.label for example in data.train],
        test,
        [example.label for example in data.test],
    )
    return _by_draw(quality, "accuracy")


def rank(encoder: Encoder, data: Ranking) -> Run:
    """Return the best documents of each query, by exact search.

    Returns:
        query id -> document id -> score, for the best `DEPTH` documents.

    Raises:
        BadVectorError: a text has no vector that can be compared.
    """
    documents = data.documents or []
    index = Flat(_encode(encoder, [document.text for document in documents]))
    queries = _encode(encoder, [query.text for query in data.queries], PromptType.QUERY)
    scores, rows = index.search(queries, min(DEPTH, len(documents)))
    run: dict[str, Mapping[str, float]] = {}
    for query, its_scores, its_rows in zip(data.queries, scores, rows, strict=True):
        scored = zip(its_rows, its_scores, strict=True)
        run[query.query_id] = {documents[row].doc_id: float(score) for row, score in scored}
    return run


@contextmanager
def indexed(encoder: Encoder, data: Ranking) -> Iterator[Index]:
    """Yield a temporary index of the documents of some data, with their words."""
    with TemporaryDirectory() as folder:
        options = IndexOptions(words=DEFAULT_LANGUAGE)
        index_corpus(data.documents or [], encoder, folder, options=options)
        with Index.open(folder) as index:
            yield index


def rank_index(
    index: Index,
    encoder: Encoder,
    data: Ranking,
    *,
    mode: Mode | None = None,
    alpha: float | None = None,
) -> Run:
    """Return the best documents in an index for each query.

    A hybrid ranking combines two lists of 100 documents each, as a search with 10 hits does.

    Args:
        index: the open index.
        encoder: an encoder of the index's space.
        data: the queries and the judgements.
        mode: rank by vectors, by words, or by both; None for the default of a search.
        alpha: the weight of the vectors in a hybrid ranking, 0 to 1; None for the default.

    Returns:
        query id -> document id -> score, for the best `DEPTH` documents.

    Raises:
        SpaceMismatchError: the encoder belongs to another space.
    """
    default = default_fusion(index.space.task)
    fusion = replace(default if alpha is None else Fusion(alpha), depth=LEAST_LISTED)
    run: dict[str, Mapping[str, float]] = {}
    for some in batched(data.queries, QUERIES_AT_ONCE):
        texts = [query.text for query in some]
        hits_of_each = search_index(
            texts, encoder, index, k=DEPTH, exact=True, mode=mode, fusion=fusion
        )
        for query, hits in zip(some, hits_of_each, strict=True):
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


def _by_draw(values: Mapping[str, Sequence[float]], main: str) -> Measured:
    return Measured(
        main=main,
        values={name: float(np.mean(draws)) for name, draws in values.items()},
        names=[f"draw {number}" for number in range(1, len(values[main]) + 1)],
        units=np.asarray(values[main], dtype=np.float64)[:, None],
        per_unit=values,
    )


def _encode(
    encoder: Encoder, texts: Sequence[str], prompt_type: PromptType = PromptType.DOCUMENT
) -> FloatRows:
    """Return the vectors of n texts, float32[n, dim], after checking them with the guard."""
    vectors = encoder.encode(texts, prompt_type).vectors
    sources = [f"{prompt_type.value} {number:,}" for number in range(1, len(texts) + 1)]
    require_good_vectors(vectors, encoder.space, sources)
    return vectors


def _texts(examples: Sequence[Example], side: int = 0) -> list[str]:
    return [example.texts[side] for example in examples]
