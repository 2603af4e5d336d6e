"""Rerankers against sentence-transformers' CrossEncoder, or their authors' formula, by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Qwen3ForCausalLM

from taskembed.encoding.reranker import load_reranker
from taskembed.encoding.settings import EngineSettings
from taskembed.errors import ModelUnavailableError, UsageError
from tests import tiny_families, tiny_models
from tests.conftest import Run

TOLERANCE = 1e-5
QUERY = "which animal jumps over the lazy dog?"
TEXTS = [
    "fox",
    "the quick brown fox jumps over the lazy dog while seven wizards brew",
    "def add(left, right): return left + right",
    "Zwölf Boxkämpfer jagen Viktor",
    "",
    "long " * 200 + "text",  # is cut
]


def settings(cache: Path, **changes: Any) -> EngineSettings:  # noqa: ANN401  # of any type
    return EngineSettings(device="cpu", precision="fp32", offline=True, cache=cache, **changes)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("BAAI/bge-reranker-base", "xlm-roberta"),
        pytest.param("cross-encoder/ms-marco-MiniLM-L6-v2", "bert", marks=pytest.mark.slow),
        pytest.param(
            "ibm-granite/granite-embedding-reranker-english-r2",
            "modernbert",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_cross_encoders_score_as_in_sentence_transformers(
    name: str, kind: str, tmp_path: Path, cache: Path, hub: Path
) -> None:
    from sentence_transformers import CrossEncoder

    folder = tiny_families.save_cross_encoder(tmp_path / "model", kind)
    tiny_models.publish(folder, hub, name)
    reference = CrossEncoder(str(folder), device="cpu", local_files_only=True)
    expected = reference.predict(
        [(QUERY, text) for text in TEXTS], activation_fn=torch.nn.Sigmoid()
    )
    scores = load_reranker(name, settings=settings(cache)).scores(QUERY, TEXTS)
    assert float(np.abs(scores - expected).max()) < TOLERANCE
    assert scores.std() > 0.001


def test_types_tell_query_from_document(tmp_path: Path, cache: Path) -> None:
    folder = tiny_families.save_cross_encoder(tmp_path / "model", "bert")
    reranker = load_reranker(str(folder), settings=settings(cache))
    there = reranker.scores("fox", ["dog"])
    back = reranker.scores("dog", ["fox"])
    assert abs(there[0] - back[0]) > TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("instruction", [None, "Find code"])
def test_qwen3_reranker_scores_by_its_authors_formula(
    instruction: str | None, tmp_path: Path, cache: Path, hub: Path
) -> None:
    folder = tiny_families.save_answering(tmp_path / "model")
    tiny_models.publish(folder, hub, "Qwen/Qwen3-Reranker-0.6B")
    reranker = load_reranker(
        "Qwen/Qwen3-Reranker-0.6B", instruction=instruction, settings=settings(cache)
    )
    scores = reranker.scores(QUERY, TEXTS)
    task = instruction or (
        "Given a web search query, retrieve relevant passages that answer the query"
    )
    assert np.abs(scores - by_qwen3_reranker(folder, task)).max() < TOLERANCE
    assert scores.std() > 0.001


def by_qwen3_reranker(folder: Path, task: str) -> list[float]:
    """Compute what README of Qwen3-Embedding does, one pair at a time."""
    tokenizer = tiny_families.tokenizer_of(folder)
    kind: Any = Qwen3ForCausalLM
    model = kind.from_pretrained(folder).eval()
    prefix = (
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query "
        'and the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
        "<|im_start|>user\n"
    )
    suffix = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    before = tokenizer.encode(prefix, add_special_tokens=False)
    after = tokenizer.encode(suffix, add_special_tokens=False)
    yes, no = (tokenizer.convert_tokens_to_ids(answer) for answer in ("yes", "no"))
    scores = []
    for text in TEXTS:
        body = f"<Instruct>: {task}\n<Query>: {QUERY}\n<Document>: {text}"
        ids = tokenizer.encode(body, add_special_tokens=False)[: 400 - len(before) - len(after)]
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([before + ids + after])).logits[0, -1]
        pair = torch.stack([logits[no], logits[yes]])
        scores.append(float(torch.nn.functional.log_softmax(pair, dim=0)[1].exp()))
    return scores


@pytest.mark.slow
def test_zerank_2_divides_the_logit_of_yes_by_five(tmp_path: Path, cache: Path, hub: Path) -> None:
    from sentence_transformers import CrossEncoder

    folder = tiny_families.save_zerank(tmp_path / "model")
    tiny_models.publish(folder, hub, "zeroentropy/zerank-2-reranker")
    reference = CrossEncoder(str(folder), device="cpu", local_files_only=True)
    logits = reference.predict([(QUERY, text) for text in TEXTS])
    scores = load_reranker("zeroentropy/zerank-2-reranker", settings=settings(cache)).scores(
        QUERY, TEXTS
    )
    expected = [1 / (1 + math.exp(-float(logit) / 5)) for logit in logits]
    assert np.abs(scores - expected).max() < TOLERANCE
    assert scores.std() > 0.001


def test_a_model_that_is_no_reranker_is_refused(tmp_path: Path, cache: Path) -> None:
    folder = tiny_models.save_bert(tmp_path / "model", pooling="mean")
    with pytest.raises(ModelUnavailableError) as refusal:
        load_reranker(str(folder), settings=settings(cache))
    assert refusal.value.message == (
        f"{folder} is not a supported reranker: it has no head with one label, and does not say "
        "which tokens are its answers"
    )
    path = tiny_families.save_cross_encoder(tmp_path / "pair", "bert", labels=2)
    with pytest.raises(ModelUnavailableError) as refusal:
        load_reranker(str(path), settings=settings(cache))
    assert refusal.value.message == f"{path} has 2 labels: it is a classifier, not a reranker"
    with pytest.raises(UsageError, match="takes no instruction"):
        load_reranker(str(folder), instruction="find", settings=settings(cache))


def test_a_search_prints_both_scores_and_ranks_by_the_reranker(run: Run, tmp_path: Path) -> None:
    reranker = tiny_families.save_cross_encoder(tmp_path / "reranker", "xlm-roberta")
    corpus, index = tmp_path / "corpus.jsonl", tmp_path / "index"
    lines = [json.dumps({"id": str(row), "text": text or "x"}) for row, text in enumerate(TEXTS)]
    corpus.write_text("\n".join(lines))
    assert run("index", corpus, "--task", "retrieval", "--index", index, "--quiet").code == 0
    options = ("--index", index, "--precision", "fp32")
    plain = run("search", QUERY, *options, "--format", "jsonl").lines
    found = run("search", QUERY, *options, "--format", "jsonl", "--rerank", reranker).lines
    assert "rerank_score" not in plain[0]
    cosines = {hit["doc_id"]: hit["score"] for hit in plain}
    assert {hit["doc_id"]: hit["score"] for hit in found} == cosines
    reranked = [float(str(hit["rerank_score"])) for hit in found]
    assert reranked == sorted(reranked, reverse=True)
    assert [hit["rank"] for hit in found] == [1, 2, 3, 4, 5, 6]
    assert [hit["doc_id"] for hit in found] != [hit["doc_id"] for hit in plain]
    two = run(
        *("search", QUERY, *options, "--format", "jsonl", "--rerank", reranker),
        *("--rerank-depth", "2", "-k", "1"),
    ).lines
    best_two = {hit["doc_id"] for hit in plain[:2]}
    expected = next(hit for hit in found if hit["doc_id"] in best_two)
    assert [hit["doc_id"] for hit in two] == [expected["doc_id"]]
    value: Any = run("search", QUERY, *options, "--json", "--rerank", reranker).json
    assert value["reranker"] == str(reranker)
    table = run("search", QUERY, *options, "--format", "table", "--rerank", reranker).out
    assert table.splitlines()[0].split()[:4] == ["rank", "score", "rerank_score", "doc_id"]
    rows = run("search", QUERY, *options, "--format", "tsv", "--rerank", reranker).out.splitlines()
    cells = rows[0].split("\t")
    assert cells[2] == f"{float(str(found[0]['score'])):.6f}"
    assert cells[-1] == f"{reranked[0]:.6f}"  # a new column comes last


@pytest.mark.slow
def test_a_trec_run_is_ordered_by_the_reranker(run: Run, tmp_path: Path) -> None:
    reranker = tiny_families.save_cross_encoder(tmp_path / "reranker", "xlm-roberta")
    corpus, index = tmp_path / "corpus.jsonl", tmp_path / "index"
    corpus.write_text('{"id": "a", "text": "fox"}\n{"id": "b", "text": "the lazy dog"}\n')
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"id": "q", "text": "which animal?"}\n')
    assert run("index", corpus, "--task", "retrieval", "--index", index, "--quiet").code == 0
    done = run(
        *("search", "--queries", queries, "--index", index, "--format", "trec"),
        *("--rerank", reranker, "--precision", "fp32"),
    )
    rows = [line.split() for line in done.out.splitlines()]
    assert [row[3] for row in rows] == ["1", "2"]
    assert float(rows[0][4]) >= float(rows[1][4])
    direct = load_reranker(str(reranker), settings=EngineSettings(precision="fp32", device="cpu"))
    texts = {"a": "fox", "b": "the lazy dog"}
    for row in rows:
        assert float(row[4]) == pytest.approx(
            float(direct.scores("which animal?", [texts[row[2]]])[0]), abs=1e-5
        )


def test_the_words_of_a_reranker_go_with_one(run: Run, tmp_path: Path) -> None:
    done = run("search", "x", "--index", tmp_path, "--rerank-instruction", "y")
    assert (done.code, done.err.splitlines()[0]) == (
        2,
        "taskembed: error: --rerank-instruction requires --rerank",
    )


RECORDS = [
    {"id": f"{kind}{number}", "text": f"{words} number {number}", "kind": kind, "n": number}
    for kind, words in (("fox", "the quick brown fox jumps"), ("dog", "a lazy dog sleeps"))
    for number in range(6)
]
PASSING = [record for record in RECORDS if int(str(record["n"])) >= 2]
QUERIES = {"q1": QUERY, "q2": "who sleeps at number 3"}


def scores_of(folder: Path) -> dict[str, dict[str, float]]:
    """Return the library's scores of the documents that pass, for each query, best first."""
    from sentence_transformers import CrossEncoder

    reference = CrossEncoder(str(folder), device="cpu", local_files_only=True)
    found = {}
    for query_id, query in QUERIES.items():
        pairs = [(query, str(record["text"])) for record in PASSING]
        scores = reference.predict(pairs, activation_fn=torch.nn.Sigmoid()).tolist()
        of_each = zip([str(record["id"]) for record in PASSING], scores, strict=True)
        found[query_id] = dict(sorted(of_each, key=lambda item: -item[1]))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "xlm-roberta"])
def test_a_cross_encoder_orders_the_hits_of_a_hybrid_search_with_filter_and_groups(
    kind: str, run: Run, tmp_path: Path, cache: Path
) -> None:
    folder = tiny_families.save_cross_encoder(tmp_path / "model", kind)
    corpus, queries, index = tmp_path / "c.jsonl", tmp_path / "q.jsonl", tmp_path / "index"
    corpus.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    asked = [{"id": query_id, "text": text} for query_id, text in QUERIES.items()]
    queries.write_text("".join(json.dumps(query) + "\n" for query in asked))
    assert run("index", corpus, "--task", "retrieval", "--words", "--index", index).code == 0
    search = ("search", "--index", index, "--queries", queries, "--where", "n >= 2")
    judge = ("--rerank", folder, "--precision", "fp32", "--cache", cache, "--offline")
    expected = scores_of(folder)
    done = run(*search, *judge, "--mode", "hybrid", "-k", "8", "--format", "jsonl")
    assert done.code == 0, done.err
    grouped = run(*search, *judge, "--group-by", "kind", "-k", "2", "--format", "jsonl")
    assert grouped.code == 0, grouped.err
    for query_id, scores in expected.items():
        hits: dict[str, float] = {}
        for lines, count in ((done.lines, 8), (grouped.lines, 2)):
            hits = {
                str(line["doc_id"]): float(str(line["rerank_score"]))
                for line in lines
                if line["query_id"] == query_id
            }
            assert len(hits) == count
            assert list(hits.values()) == sorted(hits.values(), reverse=True)
            assert hits == pytest.approx({doc_id: scores[doc_id] for doc_id in hits}, abs=TOLERANCE)
        assert {doc_id[:3] for doc_id in hits} == {"fox", "dog"}  # of the groups
