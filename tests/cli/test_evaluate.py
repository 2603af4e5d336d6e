"""`taskembed evaluate`: what it prints, writes and refuses."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from taskembed.models.files import BUNDLED_ADAPTERS
from tests.cli.judged import QUERIES, TEXTS, ranks, write
from tests.conftest import Run


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
    assert (done.code, "name its new folder: --adapter FOLDER" in done.err) == (69, True)
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
    assert (done.code, "--run can only be used for retrieval and code" in done.err) == (2, True)


def test_the_task_must_be_named(run: Run, beir: Path) -> None:
    for command in ("evaluate", "ablate"):
        done = run(command, beir)
        assert done.code == 2
        assert "error: no task given" in done.err


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
            f"taskembed: error: {option} would overwrite the input: {beir / name}",
        )
    assert (beir / "qrels.tsv").read_bytes() == qrels


def test_files_that_cannot_be_written_are_refused_first(
    run: Run, beir: Path, tmp_path: Path
) -> None:
    words = ("--task", "retrieval", "--model", "none/none", "--offline")
    for inside in ("seg-00000001.db", "new.run"):
        done = run("evaluate", "--index", tmp_path, "--run", tmp_path / inside)
        assert done.code == 2
        assert f"--run would overwrite the input: {tmp_path / inside}" in done.err
    (tmp_path / "p.toml").write_text("")
    words_of_prompts = ("--prompts", tmp_path / "p.toml", "--run", tmp_path / "p.toml")
    done = run("evaluate", beir, "--task", "retrieval", *words_of_prompts)
    assert "--run would overwrite the input: " in done.err
    done = run("evaluate", beir, *words, "--run", tmp_path)
    assert (done.code, f"{tmp_path}: Is a directory" in done.err) == (74, True)
    done = run("evaluate", beir, *words, "--run", "-")
    assert (done.code, done.err) == (
        2,
        "taskembed: error: --run needs a file, since other results are printed to stdout\n",
    )
    done = run("evaluate", beir, *words, "--run", tmp_path / "none" / "a.run")
    assert done.code == 66
    assert f"{tmp_path}/none/a.run: No such file or directory" in done.err
    same = tmp_path / "a.txt"
    same.write_text("")
    done = run("evaluate", beir, *words, "--run", same, "--per-query", same)
    assert (done.code, "--run and --per-query must be different files" in done.err) == (2, True)
    done = run("evaluate", beir, "--task", "sts", "--run", same)
    assert (done.code, "--run can only be used for retrieval and code" in done.err) == (2, True)
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
