"""Models whose vectors are compared by inner product, against sentence-transformers itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from taskembed.encoding import _open, _spaces
from taskembed.index.reader import Index
from taskembed.models import metric
from tests import tiny_families, tiny_models
from tests.conftest import Run

WORDS = sorted(set(" ".join(tiny_models.WORDS).split()))
TEXTS = [
    " ".join(WORDS[(7 * row + 3 * position) % len(WORDS)] for position in range(2 + row % 11))
    for row in range(60)
]
QUERIES = [
    " ".join(WORDS[(5 * row + position) % len(WORDS)] for position in range(3)) for row in range(20)
]
DENSE = ("--mode", "dense")  # the library has no ranking by words
NO_PROMPTS = ("--query-prompt", "", "--document-prompt", "")

Save = Callable[[Path], Path]
Hits = list[list[tuple[str, float]]]
bert = partial(tiny_models.save_bert, pooling="cls", normalize=False)
unit_bert = partial(tiny_models.save_bert, pooling="cls")
mean = partial(tiny_models.save_bert, pooling="mean", normalize=False)
distilbert = partial(tiny_families.save_distilbert, pooling="cls", normalize=False)
mpnet = partial(tiny_families.save_mpnet, pooling="cls", normalize=False)


def save(folder: Path, model: Save, similarity: str, **config: object) -> Path:
    model(folder)
    tiny_models.vary_lengths(folder)
    path = folder / "config_sentence_transformers.json"
    tiny_families.change_json(path, similarity_fn_name=similarity, **config)
    return folder


def write(path: Path, texts: list[str]) -> Path:
    lines = [json.dumps({"id": f"{row:02}", "text": text}) for row, text in enumerate(texts)]
    path.write_text("\n".join(lines) + "\n")
    return path


def make(run: Run, folder: Path, tmp_path: Path, *options: str | Path) -> Path:
    corpus, index = write(tmp_path / "corpus.jsonl", TEXTS), tmp_path / "index"
    made = run(
        *("index", corpus, "--task", "retrieval", "--model", folder, *NO_PROMPTS),
        *("--precision", "fp32", "--index", index, *options),
    )
    assert made.code == 0, made.err
    return index


def found(run: Run, index: Path, tmp_path: Path, *options: str) -> Hits:
    queries = write(tmp_path / "queries.jsonl", QUERIES)
    result = run(
        *("search", "--queries", queries, "--index", index, "--precision", "fp32", *DENSE, *options)
    )
    assert result.code == 0, result.err
    hits: dict[str, list[tuple[str, float]]] = {f"{row:02}": [] for row in range(len(QUERIES))}
    for hit in result.lines:
        hits[str(hit["query_id"])].append((str(hit["doc_id"]), float(str(hit["score"]))))
    return list(hits.values())


def scores_of(folder: Path, *, dim: int | None = None) -> Any:  # noqa: ANN401  # float[queries, documents]
    """Return what sentence-transformers gives every pair, by the model's own similarity."""
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True, truncate_dim=dim)
    documents = model.encode(TEXTS, convert_to_numpy=True)
    return model.similarity(model.encode(QUERIES, convert_to_numpy=True), documents).numpy()


def best(scores: Any, k: int, gone: frozenset[int] = frozenset()) -> Hits:  # noqa: ANN401  # as above
    rows = [row for row in range(len(TEXTS)) if row not in gone]
    return [
        [(f"{row:02}", float(line[row])) for row in sorted(rows, key=lambda r: (-line[r], r))[:k]]
        for line in scores
    ]


def assert_same(ours: Hits, theirs: Hits) -> None:
    for hits, expected in zip(ours, theirs, strict=True):
        assert [name for name, _ in hits] == [name for name, _ in expected]
        assert [score for _, score in hits] == pytest.approx(
            [s for _, s in expected], rel=1e-5, abs=5e-4
        )


@pytest.mark.parametrize(
    "model",
    [bert, *(pytest.param(other, marks=pytest.mark.slow) for other in (mean, distilbert, mpnet))],
    ids=["bert-cls", "bert-mean", "distilbert", "mpnet"],
)
def test_a_dot_model_ranks_as_sentence_transformers_does(
    model: Save, run: Run, tmp_path: Path
) -> None:
    folder = save(tmp_path / "model", model, "dot")
    scores = scores_of(folder)
    index = make(run, folder, tmp_path)

    assert_same(found(run, index, tmp_path, "-k", "5"), best(scores, 5))
    with Index.open(index) as opened:
        assert (opened.space.metric, opened.space.normalize) == ("dot", False)
    assert run("info", "--index", index, "--json").json["space"]["metric"] == "dot"  # type: ignore[index]  # an object

    # another segment, with texts that were in the first one, and deletions
    assert run("delete", "03", "04", "17", "--index", index).code == 0
    write(tmp_path / "corpus.jsonl", TEXTS[:10])
    again = (tmp_path / "corpus.jsonl", "--index", index, "--precision", "fp32")
    assert run("index", *again).code == 0
    assert run("info", "--index", index, "--json").json["segments"] == 2  # type: ignore[index]  # as above
    left = best(scores, 60, frozenset({17}))
    assert_same(found(run, index, tmp_path, "-k", "60"), left)

    limit = float(np.median(scores))
    kept = [[hit for hit in hits if hit[1] >= limit] for hits in left]
    assert_same(found(run, index, tmp_path, "-k", "60", "--min-score", str(limit)), kept)
    assert run("verify", "--index", index).code == 0


@pytest.mark.slow
@pytest.mark.parametrize("model", [bert, unit_bert], ids=["plain", "normalised"])
def test_shorter_vectors_of_a_dot_model_are_a_slice_and_nothing_else(
    model: Save, run: Run, tmp_path: Path
) -> None:
    folder = save(tmp_path / "model", model, "dot")
    index = make(run, folder, tmp_path, "--dim", "12", "--force-dim")

    assert_same(found(run, index, tmp_path, "-k", "5"), best(scores_of(folder, dim=12), 5))


@pytest.mark.slow
@pytest.mark.parametrize("similarity", ["dot", "euclidean"])
def test_unit_vectors_are_compared_by_the_cosine_which_ranks_alike(
    similarity: str, run: Run, tmp_path: Path
) -> None:
    folder = save(tmp_path / "model", unit_bert, similarity)
    index = make(run, folder, tmp_path)
    with Index.open(index) as opened:
        assert (opened.space.metric, opened.space.normalize) == ("cosine", True)

    expected = [[name for name, _ in hits] for hits in best(scores_of(folder), 5)]
    assert [[name for name, _ in hits] for hits in found(run, index, tmp_path, "-k", "5")] == (
        expected
    )


@pytest.mark.parametrize(
    ("similarity", "model"),
    [("euclidean", bert), ("manhattan", bert), ("manhattan", unit_bert), ("maxsim", bert)],
)
def test_another_similarity_is_refused_by_its_name(
    similarity: str, model: Save, run: Run, tmp_path: Path
) -> None:
    folder = save(tmp_path / "model", model, similarity)
    corpus = write(tmp_path / "corpus.jsonl", TEXTS[:2])
    refused = run(
        *("index", corpus, "--task", "retrieval", "--model", folder, *NO_PROMPTS),
        *("--index", tmp_path / "index"),
    )
    assert refused.code == 69
    assert f"{folder} compares vectors without unit length by {similarity!r}" in refused.err
    assert not (tmp_path / "index").exists()


def test_an_index_by_the_cosine_of_a_dot_model_is_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save(tmp_path / "model", bert, "dot")
    with monkeypatch.context() as before:
        for module in (_open, _spaces):
            before.setattr(module, "metric_of", lambda *_, **__: "cosine")
        index = make(run, folder, tmp_path)
        assert run("search", "fox", "--index", index).code == 0

    for command in (("search", "fox"), ("index", tmp_path / "corpus.jsonl")):
        refused = run(*command, "--index", index)
        assert refused.code == 78
        assert (
            "  metric: the index was built for 'cosine', and this model uses 'dot': "
            "build the index again with --recreate\n"
        ) in refused.err
        assert "normalize" not in refused.err


@pytest.mark.slow
def test_what_is_said_of_a_family_or_in_a_file_counts(run: Run, tmp_path: Path) -> None:
    folder = save(tmp_path / "model", bert, "cosine")
    prompts = tmp_path / "mine.toml"
    prompts.write_text('metric = "dot"\n[tasks]\nretrieval = { query = "", document = "" }\n')
    corpus, index = write(tmp_path / "corpus.jsonl", TEXTS), tmp_path / "index"
    options = ("--task", "retrieval", "--precision", "fp32", "--index", index)
    assert run("index", corpus, "--model", folder, "--prompts", prompts, *options).code == 0

    tiny_families.change_json(
        folder / "config_sentence_transformers.json", similarity_fn_name="dot"
    )
    scores = scores_of(folder)
    tiny_families.change_json(
        folder / "config_sentence_transformers.json", similarity_fn_name="cosine"
    )
    assert_same(found(run, index, tmp_path, "-k", "5"), best(scores, 5))

    prompts.write_text('metric = "euclidean"\n')
    refused = run("index", corpus, "--model", folder, "--prompts", prompts, *options, "--recreate")
    assert refused.code == 2
    assert f"{prompts}: \"metric\" is none of '' or 'dot': 'euclidean'" in refused.err


def test_a_dot_model_is_evaluated_by_its_inner_products(run: Run, tmp_path: Path) -> None:
    folder = save(tmp_path / "model", bert, "dot")
    pairs = [(TEXTS[row], TEXTS[row + 30], (row * 7) % 5) for row in range(20)]
    lines = [json.dumps({"sentence1": a, "sentence2": b, "score": score}) for a, b, score in pairs]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    per_unit = tmp_path / "units.tsv"
    evaluated = run(
        *("evaluate", tmp_path / "pairs.jsonl", "--task", "similarity", "--model", folder),
        *("--query-prompt", "", "--precision", "fp32", "--per-query", per_unit),
    )
    assert evaluated.code == 0, evaluated.err
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    first, second = (model.encode([pair[side] for pair in pairs]) for side in (0, 1))
    expected = model.similarity_pairwise(first, second).numpy()
    header, *lines = per_unit.read_text().splitlines()
    assert header == "name\texpected\tdot"
    dots = [float(line.split("\t")[2]) for line in lines]
    assert dots == pytest.approx(expected.tolist(), rel=1e-5, abs=5e-4)


def test_what_nothing_says_is_the_cosine(tmp_path: Path) -> None:
    assert metric.metric_of(tmp_path, known="", cut=False) == "cosine"
