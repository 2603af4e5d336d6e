"""`search` by words, by both, and with a reranker on top, in every format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from taskembed.vectors import Floats
from tests.cli.support import DOCUMENTS, make_index, write_jsonl
from tests.conftest import Run

QUERIES = [{"id": "q1", "text": "tides of the sea"}, {"id": "q2", "text": "baking bread"}]


@pytest.fixture(scope="module")
def with_words(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    return make_index(tmp_path_factory.mktemp("words"), DOCUMENTS, cache, "--words")


@pytest.fixture
def without_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("taskembed.verbs.opening.encoders.load_encoder_of", never)


class Longest:
    """Judges a text by its length: the longer the better."""

    name = "longest"

    def __init__(self) -> None:
        self.judged: list[list[str]] = []

    def scores(self, query: str, texts: Sequence[str]) -> Floats:
        self.judged.append(list(texts))
        return np.array([len(text) / 100 for text in texts], np.float32)


@pytest.fixture
def longest(monkeypatch: pytest.MonkeyPatch) -> Longest:
    judge = Longest()
    monkeypatch.setattr("taskembed.encoding.reranker.load_reranker", lambda *_, **__: judge)
    monkeypatch.setattr("taskembed.verbs.searcher.Hub.description", lambda *_, **__: None)
    return judge


# by words alone


@pytest.mark.usefixtures("without_a_model")
@pytest.mark.parametrize("name", ["table", "json", "jsonl", "tsv", "ids"])
def test_a_search_by_words_loads_no_model(run: Run, with_words: Path, name: str) -> None:
    query = ("search", "the moons", "--mode", "words", "--index", with_words, "-k", "1")
    done = run(*query, "--format", name)
    assert (done.code, done.err) == (0, "")
    assert "moon" in done.out
    assert "bread" not in done.out


@pytest.mark.usefixtures("without_a_model")
def test_many_queries_by_words_load_no_model(run: Run, with_words: Path, tmp_path: Path) -> None:
    queries = write_jsonl(tmp_path / "queries.jsonl", QUERIES)
    words = ("search", "--queries", queries, "--mode", "words", "--index", with_words, "-k", "1")
    assert [line["doc_id"] for line in run(*words).lines] == ["tide", "bread"]


@pytest.mark.usefixtures("without_a_model")
def test_a_search_by_words_refuses_another_task_or_model(run: Run, with_words: Path) -> None:
    query = ("search", "moon", "--mode", "words", "--index", with_words)
    for stated in (("--task", "code"), ("--model", "intfloat/e5-small-v2")):
        done = run(*query, *stated)
        assert (done.code, done.out) == (78, ""), done.err
    assert run(*query, "--task", "retrieval", "--model", "minilm").code == 0


# reranked


def test_a_reranker_judges_the_fused_list(run: Run, with_words: Path, longest: Longest) -> None:
    query = ("search", "tides of the sea", "--index", with_words, "--mode", "hybrid")
    fused = [hit["text"] for hit in run(*query).lines]
    done = run(*query, "--rerank", "longest", "--rerank-depth", "3", "-k", "2", "--explain")
    assert longest.judged == [fused[:3]]
    by_length = sorted(fused[:3], key=lambda text: -len(str(text)))
    assert [hit["text"] for hit in done.lines] == by_length[:2]
    first: Any = done.lines[0]
    parts = [side["part"] for side in first["sides"].values() if side]
    assert first["score"] == pytest.approx(sum(parts), abs=2e-6)  # it stays that of the fusion
    assert first["rerank_score"] == pytest.approx(len(first["text"]) / 100)


@pytest.mark.parametrize("name", ["table", "json", "jsonl", "tsv", "ids"])
def test_every_format_has_the_reranked_order(
    run: Run, with_words: Path, longest: Longest, name: str
) -> None:
    query = ("search", "loaf", "--index", with_words, "--rerank", "longest", "--format", name)
    out = run(*query, "--no-text").out
    ids = ("moon", "tide", "bread", "soup")
    places = sorted((out.index(doc_id), doc_id) for doc_id in ids)
    # "The Moon The Moon orbits the Earth.", "Soup Vegetables in a pot of broth.", ...
    assert [doc_id for _, doc_id in places] == ["moon", "soup", "bread", "tide"]
    assert len(longest.judged) == 1


@pytest.mark.parametrize("name", ["jsonl", "tsv", "trec"])
def test_each_query_of_a_batch_is_reranked(
    run: Run, with_words: Path, tmp_path: Path, longest: Longest, name: str
) -> None:
    queries = write_jsonl(tmp_path / "queries.jsonl", QUERIES)
    words = ("search", "--queries", queries, "--index", with_words, "--rerank", "longest", "-k", 1)
    lines = run(*words, "--format", name).out.splitlines()
    assert len(longest.judged) == len(lines) == len(QUERIES)
    assert all("moon" in line for line in lines)
    if name == "trec":
        assert [line.split()[4] for line in lines] == ["0.350000"] * 2


# measured


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "corpus.jsonl", DOCUMENTS)
    write_jsonl(tmp_path / "queries.jsonl", QUERIES)
    (tmp_path / "qrels.tsv").write_text("q1\ttide\t1\nq2\tbread\t1\n")
    return tmp_path


@pytest.mark.parametrize("mode", ["dense", "words", "hybrid"])
def test_a_mode_is_evaluated_as_search_ranks_by_it(
    run: Run, with_words: Path, judged: Path, mode: str
) -> None:
    of_index = ("evaluate", "--index", with_words, "--mode", mode, "--run", judged / "i.run")
    files = ("--queries", judged / "queries.jsonl", "--qrels", judged / "qrels.tsv")
    assert run(*of_index, *files).code == 0
    of_data = ("evaluate", judged, "--task", "retrieval", "--mode", mode)
    assert run(*of_data, "--run", judged / "d.run").code == 0
    searched = ("search", "--index", with_words, "--queries", judged / "queries.jsonl")
    expected = run(*searched, "--mode", mode, "--format", "trec").out
    assert (judged / "i.run").read_text() == (judged / "d.run").read_text() == expected


def test_a_weight_is_evaluated(run: Run, judged: Path) -> None:
    of_data = ("evaluate", judged, "--task", "retrieval", "--json")
    only_words = run(*of_data, "--alpha", "0").json
    assert only_words == run(*of_data, "--mode", "words").json
    refused = run(*of_data, "--mode", "words", "--alpha", "0.5")
    assert (refused.code, refused.out) == (2, "")
    assert "--alpha requires --mode hybrid" in refused.err
    similar = run("evaluate", judged, "--task", "similarity", "--mode", "words")
    assert similar.code == 2
    assert "--mode and --alpha can only be used for retrieval and code" in similar.err


def test_several_weights_are_evaluated_side_by_side(
    run: Run, with_words: Path, judged: Path
) -> None:
    of_data = ("evaluate", judged, "--task", "retrieval", "--json")
    found: Any = run(*of_data, "--alpha", "0:1:0.25").json
    assert [item["alpha"] for item in found["weights"]] == [0, 0.25, 0.5, 0.75, 1]
    for item in found["weights"]:
        alone: Any = run(*of_data, "--alpha", str(item["alpha"])).json
        assert item["values"] == alone["values"]
    best = max(found["weights"], key=lambda item: item["values"]["nDCG@10"])
    assert (found["best"], found["main"], found["units"]) == (best["alpha"], "nDCG@10", 2)
    files = ("--queries", judged / "queries.jsonl", "--qrels", judged / "qrels.tsv")
    of_index = run("evaluate", "--index", with_words, *files, "--alpha", "0:1:0.25", "--json")
    assert of_index.json == found
    table = run(*of_data[:-1], "--alpha", "0.5:0.7:0.1")
    lines = [line.split() for line in table.out.splitlines()]
    assert lines[0] == ["alpha", "nDCG@10", "R@100", "RR@10", "AP"]
    assert [line[0] for line in lines[1:]] == ["0.5", "0.6", "0.7"]
    assert "taskembed: the best nDCG@10 on these queries is with --alpha 0.5\n" in table.err


@pytest.mark.parametrize(
    "text",
    ["1.1", "-0.1", "half", "nan", "0:1", "0:1:0", "0:1:0.001", "1:0:0.1", "0:2:0.5", "::", ""],
)
def test_what_is_no_weight_is_refused(run: Run, judged: Path, text: str) -> None:
    done = run("evaluate", judged, "--task", "retrieval", f"--alpha={text}")
    assert (done.code, done.out) == (2, "")
    assert f"--alpha {text}: neither a weight from 0 to 1, nor FROM:TO:STEP" in done.err
    assert "hint: --alpha 0:1:0.1\n" in done.err


@pytest.mark.parametrize("option", ["--run", "--per-query"])
def test_a_file_is_written_for_one_weight_only(
    run: Run, judged: Path, tmp_path: Path, option: str
) -> None:
    path = tmp_path / "out"
    done = run("evaluate", judged, "--task", "retrieval", "--alpha", "0:1:0.5", option, path)
    assert (done.code, done.out) == (2, "")
    assert f"{option} cannot be used with several weights of --alpha" in done.err
    assert not path.exists()


def test_words_and_both_are_beside_the_ways_of_encoding(run: Run, judged: Path) -> None:
    found: Any = run("ablate", judged, "--task", "retrieval", "--json").json
    ways = {way["name"]: way for way in found["ways"]}
    assert list(ways)[-2:] == ["words", "hybrid"]
    assert {name: way["mode"] for name, way in ways.items() if way["mode"] != "dense"} == {
        "words": "words",
        "hybrid": "hybrid",
    }
    of_data = ("evaluate", judged, "--task", "retrieval", "--json")
    for name in ("words", "hybrid"):
        alone: Any = run(*of_data, "--mode", name).json
        values = {measure: round(value, 6) for measure, value in ways[name]["values"].items()}
        assert values == alone["values"]
    by_vectors: Any = run(*of_data).json
    assert ways["right"]["values"]["nDCG@10"] == pytest.approx(by_vectors["values"]["nDCG@10"])
    rows = run("ablate", judged, "--task", "retrieval").out.splitlines()
    assert rows[-2].split()[0] == "words"
    assert "retrieval" not in rows[-2]  # it has no adapter


def test_info_shows_the_words(run: Run, with_words: Path) -> None:
    (path,) = with_words.glob("*.words")
    value: Any = run("info", "--index", with_words, "--json").json
    assert value["words"] == {
        "tokenizer": "words-1:english",
        "language": "english",
        "bytes": path.stat().st_size,
    }
    assert "  tokenizer: words-1:english\n" in run("info", "--index", with_words).out
