"""`evaluate`, `ablate` and `compare`: what they print, write and refuse."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from taskembed.encoding.load import load_encoder
from taskembed.encoding.settings import EngineSettings
from taskembed.models.files import BUNDLED_ADAPTERS
from taskembed.space import PromptType, Task
from tests import plain_models
from tests.conftest import Run

E5 = "intfloat/e5-small-v2"
TEXTS = {
    "fox": "the quick brown fox",
    "dog": "the lazy dog",
    "wizard": "seven wizards brew jinxed potions",
    "code": "def add(left, right): return left + right",
}
QUERIES = {"q1": "quick fox", "q2": "lazy", "q3": "potions"}
RELEVANT = {"q1": "fox", "q2": "dog", "q3": "wizard"}


@pytest.fixture
def e5(hub: Path, tmp_path: Path) -> str:
    plain_models.publish(plain_models.save_bert(tmp_path / "model", pooling="mean"), hub, E5)
    return E5


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    folder.mkdir()
    write(folder / "corpus.jsonl", [{"id": name, "text": text} for name, text in TEXTS.items()])
    write(folder / "queries.jsonl", [{"id": name, "text": text} for name, text in QUERIES.items()])
    lines = (f"{query}\t{name}\t1\n" for query, name in RELEVANT.items())
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines))
    return folder


def write(path: Path, records: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def settings(cache: Path) -> EngineSettings:
    return EngineSettings(device="cpu", precision="fp32", offline=True, cache=cache)


def ranks(cache: Path, *, swapped: bool = False, task: Task = Task.RETRIEVAL) -> list[int]:
    """Return the rank of each query's document, computed here from the vectors."""
    encoder = load_encoder(E5, task, settings=settings(cache))
    sides = [PromptType.QUERY, PromptType.DOCUMENT]
    of_queries, of_documents = reversed(sides) if swapped else sides
    queries = encoder.encode(list(QUERIES.values()), of_queries).vectors
    documents = encoder.encode(list(TEXTS.values()), of_documents).vectors
    names = list(TEXTS)
    order = np.argsort(-(queries @ documents.T), axis=1)
    return [
        [names[row] for row in its_order].index(RELEVANT[query]) + 1
        for query, its_order in zip(QUERIES, order, strict=True)
    ]


def test_the_figures_of_a_model_on_a_ranking(
    run: Run, e5: str, beir: Path, cache: Path, tmp_path: Path
) -> None:
    words = ("evaluate", beir, "--task", "retrieval", "--model", e5, "--precision", "fp32")
    files = ("--run", tmp_path / "a.run", "--per-query", tmp_path / "a.tsv")
    done = run(*words, *files, "--json")
    assert done.code == 0, done.err
    expected = [1 / np.log2(rank + 1) for rank in ranks(cache)]
    found: Any = done.json
    assert found["main"] == "nDCG@10"
    assert found["units"] == 3
    assert found["values"]["nDCG@10"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert found["values"]["RR@10"] == pytest.approx(
        np.mean([1 / rank for rank in ranks(cache)]), abs=1e-6
    )
    rows = [line.split("\t") for line in (tmp_path / "a.tsv").read_text().splitlines()]
    assert rows[0] == ["name", "nDCG@10", "R@100", "RR@10", "AP"]
    assert [row[0] for row in rows[1:]] == list(QUERIES)
    assert [float(row[1]) for row in rows[1:]] == pytest.approx(expected, abs=1e-6)
    lines = [line.split() for line in (tmp_path / "a.run").read_text().splitlines()]
    assert len(lines) == 12
    assert [(line[0], line[1], line[3], line[5]) for line in lines[:2]] == [
        ("q1", "Q0", "1", "taskembed"),
        ("q1", "Q0", "2", "taskembed"),
    ]
    done = run(*words)
    assert done.out.splitlines()[0] == f"nDCG@10  {np.mean(expected):.4f}"


def test_an_index_is_evaluated_in_its_own_space(
    run: Run, e5: str, beir: Path, tmp_path: Path
) -> None:
    index = tmp_path / "index"
    model = ("--model", e5, "--precision", "fp32")
    assert (
        run("index", beir / "corpus.jsonl", "--task", "retrieval", *model, "--index", index).code
        == 0
    )
    files = ("--queries", beir / "queries.jsonl", "--qrels", beir / "qrels.tsv")
    of_index = run("evaluate", "--index", index, *files, "--precision", "fp32")
    assert of_index.code == 0, of_index.err
    of_model = run("evaluate", beir, "--task", "retrieval", *model)
    assert of_index.out == of_model.out
    done = run("evaluate", "--index", index, *files, "--task", "code")
    assert done.code == 78
    done = run("evaluate", "--index", index, *files, "--query-prompt", "x")
    assert done.code == 2
    assert "an index has its own prompts and adapter" in done.err


def test_the_adapter_of_an_index_is_found_where_it_was_moved(
    run: Run, beir: Path, tmp_path: Path
) -> None:
    index, adapter, moved = tmp_path / "index", tmp_path / "adapter", tmp_path / "there"
    shutil.copytree(BUNDLED_ADAPTERS / "retrieval", adapter)
    make = ("index", beir / "corpus.jsonl", "--task", "retrieval", "--model", "minilm")
    assert run(*make, "--adapter", adapter, "--index", index).code == 0
    files = ("--queries", beir / "queries.jsonl", "--qrels", beir / "qrels.tsv")
    before = run("evaluate", "--index", index, *files)
    assert before.code == 0, before.err
    adapter.rename(moved)
    done = run("evaluate", "--index", index, *files)
    assert (done.code, "say where it is now: --adapter FOLDER" in done.err) == (69, True)
    done = run("evaluate", "--index", index, *files, "--adapter", moved)
    assert (done.code, done.out) == (0, before.out)
    other = BUNDLED_ADAPTERS / "code"
    assert run("evaluate", "--index", index, *files, "--adapter", other).code == 78
    assert run("evaluate", "--index", index, *files, "--no-adapter").code == 2


def test_an_index_that_is_not_for_ranking(run: Run, e5: str, beir: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    run("index", beir / "corpus.jsonl", "--task", "sts", "--model", e5, "--index", index)
    files = ("--queries", beir / "queries.jsonl", "--qrels", beir / "qrels.tsv")
    done = run("evaluate", "--index", index, *files)
    assert done.code == 2
    assert "is for similarity, which is not evaluated by ranking" in done.err


def test_similarity_classification_and_clustering(run: Run, e5: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    texts = list(TEXTS.values())
    pairs = [(first, second) for first in texts for second in texts]
    write(
        folder / "pairs.jsonl",
        [
            {"sentence1": one, "sentence2": two, "score": len({*one.split()} & {*two.split()})}
            for one, two in pairs
        ],
    )
    labelled: list[dict[str, object]] = [
        {"text": text, "label": str(number % 2)} for number, text in enumerate(texts * 4)
    ]
    for name in ("train", "test", "texts"):
        write(folder / f"{name}.jsonl", labelled)
    model = ("--model", e5, "--precision", "fp32")
    done = run("evaluate", folder, "--task", "sts", *model, "--json")
    found: Any = done.json
    assert (found["main"], found["units"]) == ("spearman", 16)
    assert 0.2 < found["values"]["spearman"] <= 1
    done = run("evaluate", folder, "--task", "classification", *model, "--json")
    found = done.json
    assert (found["main"], found["units"]) == ("accuracy", 10)
    assert set(found["values"]) == {"accuracy", "f1", "knn_accuracy", "knn_f1"}
    assert found["values"]["knn_accuracy"] == 1.0  # each text to test on is there to train on
    done = run("evaluate", folder, "--task", "clustering", *model, "--json")
    found = done.json
    assert (found["main"], found["units"]) == ("v_measure", 10)
    done = run("evaluate", folder, "--task", "sts", *model, "--run", tmp_path / "a.run")
    assert (done.code, "--run is for retrieval and code" in done.err) == (2, True)


def test_what_each_wrong_way_costs(
    run: Run, e5: str, beir: Path, cache: Path, tmp_path: Path
) -> None:
    words = ("ablate", beir, "--task", "retrieval", "--model", e5, "--precision", "fp32")
    done = run(*words, "--json", "--chart", tmp_path / "chart.svg")
    assert done.code == 0, done.err
    found: Any = done.json
    ways = {way["name"]: way for way in found["ways"]}
    assert list(ways) == [
        *("right", "no prompt", "swapped roles"),
        *("as similarity", "as classification", "as clustering"),
    ]
    assert (ways["right"]["query_prompt"], ways["right"]["document_prompt"]) == (
        "query: ",
        "passage: ",
    )
    assert (ways["swapped roles"]["query_prompt"], ways["no prompt"]["query_prompt"]) == (
        "passage: ",
        "",
    )
    right = np.mean([1 / np.log2(rank + 1) for rank in ranks(cache)])
    swapped = np.mean([1 / np.log2(rank + 1) for rank in ranks(cache, swapped=True)])
    assert ways["right"]["values"]["nDCG@10"] == pytest.approx(right)
    assert ways["right"]["difference"] is None
    assert ways["swapped roles"]["values"]["nDCG@10"] == pytest.approx(swapped)
    assert ways["swapped roles"]["difference"] == pytest.approx(swapped - right)
    low, high = ways["swapped roles"]["interval"]
    assert low <= swapped - right <= high
    # E5 has one prompt for its symmetric tasks, so the second of them is computed no more
    assert ways["as classification"]["same_as"] == "as similarity"
    assert "left out: as code: intfloat/e5-small-v2 has no prompt for the task" in done.err
    chart = (tmp_path / "chart.svg").read_text()
    assert "<svg" in chart
    table = run(*words).out.splitlines()
    assert table[0].split()[:4] == ["way", "nDCG@10", "difference", "95"]
    assert table[1].split()[:2] == ["right", f"{right:.4f}"]


def test_a_chart_that_nobody_could_draw_is_refused_first(run: Run, beir: Path) -> None:
    done = run("ablate", beir, "--task", "retrieval", "--chart", "chart.txt")
    assert done.code == 2
    assert "chart.txt: the name of a chart must end in .png, .svg, .pdf" in done.err


def test_the_task_must_be_named(run: Run, beir: Path) -> None:
    for command in ("evaluate", "ablate"):
        done = run(command, beir)
        assert done.code == 2
        assert "error: which task?" in done.err


def test_runs_are_compared(run: Run, beir: Path, tmp_path: Path) -> None:
    good = "".join(f"{query} Q0 {name} 1 1.0 a\n" for query, name in RELEVANT.items())
    bad = "".join(
        f"{query} Q0 x 1 1.0 b\n{query} Q0 {name} 2 0.5 b\n" for query, name in RELEVANT.items()
    )
    (tmp_path / "good.run").write_text(good)
    (tmp_path / "bad.run").write_text(bad)
    done = run("compare", beir / "qrels.tsv", tmp_path / "bad.run", tmp_path / "good.run", "--json")
    assert done.code == 0, done.err
    rows: Any = done.json
    assert [Path(row["run"]).name for row in rows] == ["bad.run", "good.run"]
    assert rows[0]["p"] is None
    assert rows[1]["difference"] == pytest.approx(1 - 1 / np.log2(3))
    assert rows[1]["p"] == pytest.approx(0.25)
    table = run("compare", beir / "qrels.tsv", tmp_path / "bad.run", tmp_path / "good.run").out
    assert table.splitlines()[0].split() == [
        *("run", "nDCG@10", "R@100", "RR@10", "AP", "difference", "95", "%", "p")
    ]
    assert table.splitlines()[2].split()[-1] == "0.2500"


def test_an_id_that_no_run_can_hold(run: Run, e5: str, beir: Path, tmp_path: Path) -> None:
    write(beir / "corpus.jsonl", [{"id": "a b", "text": "fox"}, {"id": "dog", "text": "dog"}])
    words = ("evaluate", beir, "--task", "retrieval", "--model", e5, "--run", tmp_path / "a.run")
    done = run(*words)
    assert done.code == 65
    assert "'a b' has white space, which a TREC run cannot hold" in done.err
    assert not (tmp_path / "a.run").exists()
    assert done.out.startswith("nDCG@10  ")  # what was computed is not lost


def test_files_that_must_not_be_written_are_refused_first(
    run: Run, beir: Path, tmp_path: Path
) -> None:
    qrels = (beir / "qrels.tsv").read_bytes()
    words = ("--task", "retrieval", "--model", "none/none", "--offline")
    for command, option in (
        *(("evaluate", "--run"), ("evaluate", "--per-query")),
        *(("evaluate", "--run"), ("ablate", "--chart")),
    ):
        name = "chart.png" if option == "--chart" else "qrels.tsv"
        (beir / "chart.png").unlink(missing_ok=True)
        (beir / "chart.png").symlink_to(beir / "qrels.tsv")
        done = run(command, beir, *words, option, beir / name)
        assert (done.code, done.err.splitlines()[0]) == (
            2,
            f"taskembed: error: {option} would write into the input: {beir / name}",
        )
    assert (beir / "qrels.tsv").read_bytes() == qrels


def test_files_that_cannot_be_written_are_refused_first(
    run: Run, beir: Path, tmp_path: Path
) -> None:
    words = ("--task", "retrieval", "--model", "none/none", "--offline")
    for inside in ("seg-00000001.db", "new.run"):
        done = run("evaluate", "--index", tmp_path, "--run", tmp_path / inside)
        assert done.code == 2
        assert f"--run would write into the input: {tmp_path / inside}" in done.err
    (tmp_path / "p.toml").write_text("")
    words_of_prompts = ("--prompts", tmp_path / "p.toml", "--run", tmp_path / "p.toml")
    done = run("evaluate", beir, "--task", "retrieval", *words_of_prompts)
    assert "--run would write into the input: " in done.err
    done = run("evaluate", beir, *words, "--run", tmp_path)
    assert (done.code, f"{tmp_path}: Is a directory" in done.err) == (74, True)
    done = run("evaluate", beir, *words, "--run", "-")
    assert (done.code, done.err) == (
        2,
        "taskembed: error: --run needs a file: other results go to stdout\n",
    )
    done = run("evaluate", beir, *words, "--run", tmp_path / "none" / "a.run")
    assert done.code == 66
    assert f"{tmp_path}/none/a.run: No such file or directory" in done.err
    same = tmp_path / "a.txt"
    same.write_text("")
    done = run("evaluate", beir, *words, "--run", same, "--per-query", same)
    assert (done.code, "--run and --per-query name one file" in done.err) == (2, True)
    done = run("evaluate", beir, "--task", "sts", "--run", same)
    assert (done.code, "--run is for retrieval and code" in done.err) == (2, True)
    done = run("evaluate", "--index", beir, "--revision", "main")
    assert done.code == 2
    assert "error: an index has its own --revision\n" in done.err
    assert "hint: leave it out\n" in done.err


def test_a_link_and_a_device_stay_what_they_are(
    run: Run, e5: str, beir: Path, tmp_path: Path
) -> None:
    link, target = tmp_path / "link.run", tmp_path / "target.run"
    link.symlink_to(target)
    words = ("evaluate", beir, "--task", "retrieval", "--model", e5)
    done = run(*words, "--run", link, "--per-query", "/dev/null")
    assert done.code == 0, done.err
    assert link.is_symlink()
    assert len(target.read_text().splitlines()) == 12
    assert Path("/dev/null").is_char_device()
    read, written = os.pipe()  # as `--run >(gzip > a.run.gz)` gives
    done = run(*words, "--run", f"/dev/fd/{written}")
    os.close(written)
    assert done.code == 0, done.err
    with os.fdopen(read) as stream:
        assert stream.read() == target.read_text()


def test_a_figure_that_does_not_exist_is_null(run: Run, e5: str, tmp_path: Path) -> None:
    pairs: list[dict[str, object]] = [
        {"sentence1": text, "sentence2": text, "score": 1} for text in TEXTS.values()
    ]
    path = write(tmp_path / "pairs.jsonl", pairs)
    for words in (("evaluate", path), ("evaluate", path, "--limit", "1")):
        done = run(*words, "--task", "sts", "--model", e5, "--json")
        assert done.code == 0, done.err
        found: Any = done.json
        assert found["values"] == {"spearman": None, "pearson": None}
    done = run("ablate", path, "--task", "sts", "--model", e5, "--json")
    assert done.code == 0, done.err
    ways: Any = done.json
    assert {way["values"]["spearman"] for way in ways["ways"]} == {None}


def test_one_query_is_compared_without_a_test(run: Run, tmp_path: Path) -> None:
    (tmp_path / "qrels.tsv").write_text("q1\tfox\t1\n")
    (tmp_path / "good.run").write_text("q1 Q0 fox 1 1.0 a\n")
    (tmp_path / "bad.run").write_text("q1 Q0 dog 1 1.0 a\n")
    files = (tmp_path / "qrels.tsv", tmp_path / "good.run", tmp_path / "bad.run")
    done = run("compare", *files, "--json")
    assert done.code == 0, done.err
    rows: Any = done.json
    assert (rows[1]["difference"], rows[1]["interval"], rows[1]["p"]) == (-1, [None, None], None)
    assert run("compare", *files).out.splitlines()[2].split()[-1] == "-1.0000"
    done = run("compare", tmp_path / "qrels.tsv", tmp_path / "bad.run")
    assert "note: no relevant document is among the hits: are the ids the same?" in done.err
    (tmp_path / "bad.run").write_text("q1 Q0 dog 1 nan a\n")
    done = run("compare", *files)
    assert done.code == 65
    assert f"{tmp_path}/bad.run:1: the score is not a number: 'nan'" in done.err
    (tmp_path / "bad.run").write_text("q1 Q0 dog 1 2 a\nq1 Q0 dog 2 1 a\n")
    done = run("compare", *files)
    assert done.code == 65
    assert f"{tmp_path}/bad.run:2: 'dog' is a hit of 'q1' twice" in done.err
