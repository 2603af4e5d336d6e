"""The command line as a user meets it: what it prints, where, and how it exits."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

import pytest

from tests.conftest import Result, Run

DOCUMENTS: list[dict[str, object]] = [
    {"id": "moon", "title": "The Moon", "text": "The Moon orbits the Earth.", "topic": "sky"},
    {"id": "tide", "title": "Tides", "text": "The sea rises and falls.", "year": 1687},
    {
        "id": "bread",
        "title": "Bread",
        "text": "Flour, water, yeast, baked.",
        "topic": "food",
    },
    {
        "id": "soup",
        "title": "Soup",
        "text": "Vegetables in a pot of broth.",
        "topic": "food",
    },
]


def write_jsonl(path: Path, records: Sequence[Mapping[str, object]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "corpus.jsonl", DOCUMENTS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture(scope="session")
def made_once() -> dict[str, Path]:
    return {}


@pytest.fixture
def indexed(
    run: Run,
    corpus: Path,
    folder: Path,
    made_once: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """An index of the corpus: the first test that wants one makes it, the others have a copy."""
    if "index" not in made_once:
        made_once["index"] = tmp_path_factory.mktemp("made-once") / "index"
        done = run("index", corpus, "--task", "retrieval", "--index", made_once["index"])
        assert done.code == 0
    shutil.copytree(made_once["index"], folder)
    return folder


def summary(text: str) -> str:
    return text.splitlines()[0]


# index


def test_the_first_run_adds_and_the_second_finds_everything_unchanged(
    run: Run, corpus: Path, folder: Path
) -> None:
    first = run("index", corpus, "--task", "retrieval", "--index", folder)
    again = run("index", corpus, "--index", folder)
    assert (first.code, again.code) == (0, 0)
    assert first.out == ("4 added, 0 updated, 0 deleted, 0 unchanged, 0 rejected, 0 truncated\n")
    assert again.out == ("0 added, 0 updated, 0 deleted, 4 unchanged, 0 rejected, 0 truncated\n")
    assert again.err == ""


def test_a_run_without_changes_makes_no_generation(run: Run, corpus: Path, indexed: Path) -> None:
    before = sorted(path.name for path in indexed.iterdir())
    run("index", corpus, "--index", indexed)
    assert sorted(path.name for path in indexed.iterdir()) == before


def test_a_changed_corpus_is_an_update(
    run: Run, tmp_path: Path, corpus: Path, indexed: Path
) -> None:
    changed = [dict(record) for record in DOCUMENTS]
    changed[0]["text"] = "The Moon is a rock."
    changed[1]["year"] = 1700
    changed[3] = {"id": "rice", "text": "Rice grows in water."}
    write_jsonl(corpus, changed)
    done = run("index", corpus, "--index", indexed, "--prune", "--prune-limit", "25", "--json")
    assert done.code == 0
    assert isinstance(done.json, dict)
    counts = {key: done.json[key] for key in ("added", "updated", "deleted", "unchanged")}
    assert counts == {"added": 1, "updated": 2, "deleted": 1, "unchanged": 1}
    assert done.json["encoded"] == 2  # the changed year needed no model
    hits = run("search", "tides", "--index", indexed, "-k", "1", "--no-text").lines
    assert hits[0]["metadata"] == {"title": "Tides", "year": 1700}


def test_a_new_index_needs_a_task(run: Run, corpus: Path, folder: Path) -> None:
    done = run("index", corpus, "--index", folder)
    assert done.code == 2
    assert done.err == (
        "taskembed: error: a new index needs its task\n"
        "taskembed: hint: --task retrieval|similarity|classification|clustering|code\n"
    )
    assert not folder.exists()


def test_aliases_of_tasks_are_tasks(run: Run) -> None:
    done = run("explain", "moon", "--task", "sts", "--json")
    assert json.loads(done.out)["task"] == "similarity"


def test_another_task_is_refused_before_anything_is_read(run: Run, indexed: Path) -> None:
    before = {path.name: path.read_bytes() for path in indexed.iterdir()}
    os.mkfifo(indexed.parent / "never.jsonl")  # reading it would wait for ever
    done = run("index", indexed.parent / "never.jsonl", "--task", "sts", "--index", indexed, "-q")
    assert done.code == 78
    assert done.err == (
        "taskembed: error: this is not the embedding space of the index\n"
        "  query_adapter: the index has 'retrieval', not 'similarity'\n"
        "  document_adapter: the index has 'retrieval', not 'similarity'\n"
        "  task: the index has 'retrieval', not 'similarity'\n"
        "  vectors of different spaces cannot be compared: their scores would mean nothing\n"
        "taskembed: hint: leave out the options that differ to add to this index; or keep it and "
        "build another one with --index OTHER; or replace it with --recreate. "
        "Nothing was changed\n"
    )
    assert {path.name: path.read_bytes() for path in indexed.iterdir()} == before


def test_every_field_that_differs_is_listed(run: Run, corpus: Path, indexed: Path) -> None:
    done = run(
        *("index", corpus, "--index", indexed, "--task", "clustering"),
        *("--query-prompt", "x: ", "--template", "{text}"),
    )
    assert done.code == 78
    assert "  task: the index has 'retrieval', not 'clustering'\n" in done.err
    assert "  query_prompt: the index has '', not 'x: '\n" in done.err
    assert "  document_prompt: the index has '', not 'x: '\n" in done.err
    assert "  template: the index has '{title?} {text}', not '{text}'\n" in done.err


def test_recreate_replaces_the_index(run: Run, corpus: Path, indexed: Path) -> None:
    assert run("index", corpus, "--index", indexed, "--template", "{text}").code == 78
    done = run("index", corpus, "--index", indexed, "--template", "{text}", "--recreate")
    assert done.code == 0
    assert "4 added" in done.out
    assert "template: {text}" in run("info", "--index", indexed).out


def test_recreate_takes_what_is_not_said_from_the_index(
    run: Run, corpus: Path, folder: Path
) -> None:
    run("index", corpus, "--task", "clustering", "--template", "{text}", "--index", folder)
    done = run("index", corpus, "--index", folder, "--recreate")
    assert (done.code, summary(done.out).split(",")[0]) == (0, "4 added")
    told = run("info", "--index", folder).out
    assert "task: clustering" in told
    assert "template: {text}" in told


def test_a_damaged_index_can_be_made_again(run: Run, corpus: Path, indexed: Path) -> None:
    path = max(indexed.glob("manifest-*.json"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    refused = run("index", corpus, "--index", indexed)
    assert refused.code == 76
    assert f"the index is damaged: {path}: its checksum does not match" in refused.err
    assert "or index again with --recreate" in refused.err
    done = run("index", corpus, "--index", indexed, "--task", "retrieval", "--recreate")
    assert (done.code, summary(done.out).split(",")[0]) == (0, "4 added")
    assert run("verify", "--index", indexed).code == 0


def test_a_bad_record_stops_with_its_place_and_what_is_safe(
    run: Run, tmp_path: Path, folder: Path
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"id": "a", "text": "one"}\n{"id": "b", "text": 7}\n')
    done = run("index", path, "--task", "retrieval", "--index", folder)
    assert done.code == 65
    assert f"taskembed: error: {path}:2: " in done.err
    assert "documents are safe in the index" in done.err


def test_skip_bad_goes_on_and_says_so(run: Run, tmp_path: Path, folder: Path) -> None:
    path, rejects = tmp_path / "bad.jsonl", tmp_path / "rejects.jsonl"
    path.write_text('{"id": "a", "text": "one"}\nnot json\n{"id": "c", "text": "three"}\n')
    done = run(
        *("index", path, "--task", "retrieval", "--index", folder),
        *("--skip-bad", "--rejects", rejects),
    )
    assert done.code == 1
    assert summary(done.out) == (
        "2 added, 0 updated, 0 deleted, 0 unchanged, 1 rejected, 0 truncated"
    )
    rejected = json.loads(rejects.read_text())
    assert rejected["source"] == f"{path}:2"
    assert rejected["record"] == "not json"


def test_too_many_bad_records_stop_the_run(run: Run, tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text("x\ny\nz\n")
    done = run(
        *("index", path, "--task", "retrieval", "--index", folder),
        *("--skip-bad", "--max-bad", "1"),
    )
    assert done.code == 65
    assert "more than 1 bad record" in done.err


def test_nothing_is_pruned_when_records_were_rejected(
    run: Run, corpus: Path, indexed: Path
) -> None:
    corpus.write_text('{"id": "moon", "text": "The Moon orbits the Earth."}\nbroken\n')
    done = run("index", corpus, "--index", indexed, "--prune", "--skip-bad")
    assert done.code == 1
    assert "0 deleted" in done.out
    assert "nothing was pruned" in done.err


def test_prune_with_an_empty_input_is_refused(run: Run, corpus: Path, indexed: Path) -> None:
    corpus.write_text("")
    done = run("index", corpus, "--index", indexed, "--prune")
    assert done.code == 65
    assert "the input has no documents" in done.err
    assert "documents: 4" in run("info", "--index", indexed).out


def test_the_last_of_two_documents_with_one_id_stays(
    run: Run, tmp_path: Path, folder: Path
) -> None:
    twice = [{"id": "a", "text": "first"}, {"id": "a", "text": "second"}]
    path = write_jsonl(tmp_path / "twice.jsonl", twice)
    arguments = ("index", path, "--task", "retrieval", "--index", folder)
    done = run(*arguments)
    assert (done.code, summary(done.out).split(",")[0]) == (0, "1 added")
    assert "note: 1 duplicate id in the input; the last document was kept\n" in done.err
    assert run("search", "x", "--index", folder).lines[0]["text"] == "second"
    assert "1 unchanged" in run(*arguments).out
    first = run(*arguments, "--on-duplicate", "first")
    assert "1 updated" in first.out
    assert run("search", "x", "--index", folder).lines[0]["text"] == "first"
    error = run(*arguments, "--on-duplicate", "error")
    assert error.code == 65
    assert f"{path}:2: duplicate id 'a'" in error.err


def test_truncated_documents_are_counted_every_time(run: Run, tmp_path: Path, folder: Path) -> None:
    path = write_jsonl(tmp_path / "long.jsonl", [{"id": "a", "text": "word " * 400}])
    arguments = ("index", path, "--task", "retrieval", "--index", folder)
    assert "1 added" in (done := run(*arguments)).out
    assert "1 truncated" in done.out
    assert "1 truncated" in run(*arguments).out
    refused = run(*arguments, "--fail-on-truncate")
    assert refused.code == 65
    assert f"{path}:1: the model reads 256 tokens, and the text has more" in refused.err


def test_stdin_is_an_input(folder: Path, cache: Path) -> None:
    done = taskembed(
        *("index", "-", "--task", "retrieval", "--index", folder),
        cache=cache,
        stdin='{"id": "a", "text": "one"}\n',
    )
    assert (done.code, summary(done.out)) == (
        0,
        "1 added, 0 updated, 0 deleted, 0 unchanged, 0 rejected, 0 truncated",
    )


def test_a_missing_input_is_said_at_once(run: Run, folder: Path) -> None:
    done = run("index", "nowhere.jsonl", "--task", "retrieval", "--index", folder)
    assert done.code == 66
    assert "nowhere.jsonl" in done.err
    assert not folder.exists()


def test_a_folder_of_other_things_is_not_an_index(run: Run, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    done = run("index", corpus, "--task", "retrieval", "--index", tmp_path / "mine")
    assert done.code == 2
    assert f"{tmp_path / 'mine'} is not an index: it holds 'diary.txt'" in done.err


def test_a_second_writer_is_refused_at_once(run: Run, corpus: Path, indexed: Path) -> None:
    from taskembed.index.commit import open_writer

    with open_writer(indexed):
        done = run("index", corpus, "--index", indexed)
    assert done.code == 75
    assert f"another taskembed is writing to {indexed}" in done.err
    assert "hint: wait for it, or give --wait SECONDS" in done.err


def test_options_that_do_not_fit_together_are_refused(run: Run, corpus: Path) -> None:
    done = run("index", corpus, "--rejects", "x.jsonl")
    assert (done.code, done.err) == (
        2,
        "taskembed: error: --rejects and --max-bad go with --skip-bad\n",
    )
    done = run("index", corpus, "--text-field", "a", "--template", "{a}")
    assert done.code == 2
    before = corpus.read_bytes()
    link = corpus.with_name("link.jsonl")
    link.symlink_to(corpus)
    done = run("index", corpus, "--task", "retrieval", "--skip-bad", "--rejects", link)
    assert (done.code, done.err.splitlines()[0]) == (
        2,
        f"taskembed: error: --rejects would write into the input: {link}",
    )
    assert corpus.read_bytes() == before
    inside = corpus.parent / "some-index"
    words = ("--index", inside, "--skip-bad", "--rejects", inside / "seg-00000001.db")
    inside.mkdir()
    done = run("index", corpus, "--task", "retrieval", *words)
    assert (done.code, list(inside.iterdir())) == (2, [])
    done = run("search", "moon", "--index", inside, "--output", inside / "hits.txt")
    assert (done.code, "--output would write into the input: " in done.err) == (2, True)


def test_environment_variables_are_defaults_and_flags_win(
    run: Run, corpus: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKEMBED_INDEX", str(folder))
    monkeypatch.setenv("TASKEMBED_TASK", "clustering")
    assert run("index", corpus).code == 0
    assert "task: clustering" in run("info").out
    assert run("search", "moon", "--task", "retrieval").code == 78
    assert run("search", "moon").code == 0


def test_a_model_without_the_task_is_refused_with_the_models_that_have_it(
    run: Run, corpus: Path, folder: Path
) -> None:
    done = run(
        *("index", corpus, "--task", "code", "--model", "intfloat/e5-small-v2"),
        *("--index", folder),
    )
    assert done.code == 69
    assert "intfloat/e5-small-v2 has no prompt for the task 'code'" in done.err
    assert "see `taskembed models --task code`" in done.err


def test_a_model_that_is_not_here_is_refused_offline(run: Run, corpus: Path, folder: Path) -> None:
    done = run(
        *("index", corpus, "--task", "retrieval", "--model", "intfloat/e5-small-v2"),
        *("--index", folder, "--offline"),
    )
    assert done.code == 69
    assert done.err == (
        "taskembed: error: the model 'intfloat/e5-small-v2' is not on this machine, and the "
        "network is not to be used\n"
        "taskembed: hint: download it once where there is a network: "
        "hf download intfloat/e5-small-v2\n"
    )


# delete


def test_an_id_that_is_not_utf8_is_a_usage_error(run: Run, indexed: Path) -> None:
    done = run("delete", "\udcff", "--index", indexed)
    assert done.code == 2
    assert "the id '\\udcff' is not UTF-8, so no index has it" in done.err


def wait_until_caught(pid: int, number: signal.Signals) -> None:
    """Wait until a process has a handler for a signal; Linux tells in /proc."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        if int(caught.split()[1], 16) >> (number - 1) & 1:
            return
        time.sleep(0.02)
    raise AssertionError(f"{number.name} was not caught within 30 s")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc here")
def test_waiting_for_the_lock_can_be_stopped(indexed: Path) -> None:
    from taskembed.index.commit import open_writer

    with (
        open_writer(indexed),
        start("delete", "moon", "--index", indexed, "--wait", "60", cache=indexed) as process,
    ):
        wait_until_caught(process.pid, signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143


@pytest.mark.parametrize("words", [("delete", "moon"), ("index", "-")])
def test_what_waits_for_the_lock_says_that_it_was_stopped(
    run: Run, indexed: Path, words: tuple[str, str]
) -> None:
    from taskembed.index.commit import open_writer

    def stop(_seconds: float) -> None:
        signal.raise_signal(signal.SIGTERM)  # here and now; os.kill may pick another thread

    with open_writer(indexed), pytest.MonkeyPatch.context() as patched:
        patched.setattr("taskembed.index._lock.time.sleep", stop)
        done = run(*words, "--index", indexed, "--wait", "60")
    assert done.code == 143
    assert "taskembed: error: stopped by SIGTERM\n" in done.err


def test_documents_are_deleted_by_id(run: Run, indexed: Path) -> None:
    done = run("delete", "moon", "sun", "--index", indexed)
    assert (done.code, done.out) == (1, "1 deleted\n")
    assert done.err == "taskembed: not in the index: 'sun'\n"
    found = run("search", "the moon", "--index", indexed, "--format", "ids").out.split()
    assert sorted(found) == ["bread", "soup", "tide"]


# search


def test_hits_come_as_lines_of_json_in_a_pipe(run: Run, indexed: Path) -> None:
    done = run("search", "what orbits the Earth?", "--index", indexed, "-k", "2")
    assert done.code == 0
    assert done.lines[0]["doc_id"] == "moon"
    assert done.lines[0]["rank"] == 1
    assert done.lines[0]["text"] == "The Moon The Moon orbits the Earth."
    assert done.lines[0]["metadata"] == {
        "title": "The Moon",
        "text": "The Moon orbits the Earth.",
        "topic": "sky",
    }
    assert done.err == ""


def test_every_format_says_the_same(run: Run, indexed: Path) -> None:
    query = ("search", "baked flour", "--index", indexed, "-k", "1")
    value = run(*query, "--format", "json").json
    assert isinstance(value, dict)
    assert value["task"] == "retrieval"
    assert value["hits"][0]["doc_id"] == "bread"
    assert run(*query, "--format", "ids").out == "bread\n"
    rank, doc_id, score, text = run(*query, "--format", "tsv").out.rstrip("\n").split("\t")
    assert (rank, doc_id, text) == ("1", "bread", "Bread Flour, water, yeast, baked.")
    assert float(score) == pytest.approx(value["hits"][0]["score"])
    table = run(*query, "--format", "table", "--fields", "topic").out
    assert table.split()[:5] == ["rank", "score", "doc_id", "topic", "text"]
    assert "bread" in table


def test_fields_and_text_are_chosen(run: Run, indexed: Path) -> None:
    query = ("search", "broth", "--index", indexed, "-k", "1", "--no-text", "--fields", "topic,x")
    assert set(run(*query).lines[0]) == {"rank", "doc_id", "score", "metadata"}
    assert run(*query).lines[0]["metadata"] == {"topic": "food"}


def test_another_task_or_model_is_refused_with_the_reason(run: Run, indexed: Path) -> None:
    done = run("search", "moon", "--index", indexed, "--task", "classification")
    assert done.code == 78
    assert done.out == ""
    assert done.err == (
        f"taskembed: error: {indexed} is for the task 'retrieval', not 'classification': vectors "
        "of different tasks live in different spaces, so their scores would mean nothing\n"
        "taskembed: hint: leave out --task and --model to search with those of the index; or make "
        "another index: taskembed index CORPUS --task TASK --index OTHER\n"
    )


def test_changed_weights_are_refused(run: Run, corpus: Path, folder: Path, tmp_path: Path) -> None:
    from tests.plain_models import save_bert

    save_bert(tmp_path / "model", pooling="mean")
    prompts = ("--query-prompt", "q: ", "--document-prompt", "d: ")
    done = run(
        *("index", corpus, "--task", "retrieval", "--index", folder),
        *("--model", tmp_path / "model", *prompts),
    )
    assert done.code == 0
    assert run("search", "moon", "--index", folder).code == 0
    weights = tmp_path / "model" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    refused = run("search", "moon", "--index", folder)
    assert refused.code == 78
    assert "weights: differ from those that built this index" in refused.err
    assert run("index", corpus, "--index", folder).code == 78


def test_an_unknown_model_without_prompts_is_refused(
    run: Run, corpus: Path, folder: Path, tmp_path: Path
) -> None:
    from tests.plain_models import save_bert

    model = save_bert(tmp_path / "model", pooling="mean")
    done = run("index", corpus, "--task", "retrieval", "--index", folder, "--model", model)
    assert done.code == 69
    assert f"{model} is not a known model and brings no prompts for the task" in done.err


def test_a_query_may_begin_with_a_dash_or_come_from_a_file(
    run: Run, indexed: Path, tmp_path: Path
) -> None:
    assert run("search", "--index", indexed, "-k", "1", "--", "-soup with broth").code == 0
    (tmp_path / "query.txt").write_text("soup with broth\n")
    done = run("search", "--index", indexed, "-k", "1", "--query-file", tmp_path / "query.txt")
    assert done.lines[0]["doc_id"] == "soup"


def test_a_query_from_stdin(indexed: Path, cache: Path) -> None:
    done = taskembed(
        *("search", "-", "--index", indexed, "-k", "1", "--format", "ids"),
        cache=cache,
        stdin="the moon\n",
    )
    assert (done.code, done.out) == (0, "moon\n")


def test_min_score_leaves_hits_out(run: Run, indexed: Path) -> None:
    assert run("search", "moon", "--index", indexed, "--min-score", "0.999").out == ""
    every = run("search", "moon", "--index", indexed, "--min-score", "-1").lines
    assert len(every) == 4


def test_many_queries_become_a_trec_run(run: Run, indexed: Path, tmp_path: Path) -> None:
    queries = write_jsonl(
        tmp_path / "queries.jsonl",
        [{"id": "q1", "text": "moon"}, {"id": "q2", "text": "broth with vegetables"}],
    )
    output = tmp_path / "run.trec"
    done = run(
        *("search", "--queries", queries, "--index", indexed, "-k", "2"),
        *("--format", "trec", "--tag", "mine", "--output", output),
    )
    assert (done.code, done.out) == (0, "")
    rows = [line.split() for line in output.read_text().splitlines()]
    assert [row[0] for row in rows] == ["q1", "q1", "q2", "q2"]
    assert [row[2] for row in rows if row[3] == "1"] == ["moon", "soup"]
    assert {(row[1], row[5]) for row in rows} == {("Q0", "mine")}
    (tmp_path / "queries.tsv").write_text("q1\tmoon\nq2\tbroth with vegetables\n")
    again = run("search", "--queries", tmp_path / "queries.tsv", "--index", indexed, "-k", "1")
    assert [(line["query_id"], line["doc_id"]) for line in again.lines] == [
        ("q1", "moon"),
        ("q2", "soup"),
    ]


def test_a_failed_batch_leaves_no_output_file(run: Run, indexed: Path, tmp_path: Path) -> None:
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"id": "a b", "text": "moon"}\n')
    output = tmp_path / "run.trec"
    done = run(
        *("search", "--queries", queries, "--index", indexed),
        *("--format", "trec", "--output", output),
    )
    assert done.code == 65
    assert "'a b' has white space, which a TREC run cannot hold" in done.err
    assert list(tmp_path.glob("*run.trec*")) == []


def test_one_query_or_many_but_not_none(run: Run, indexed: Path) -> None:
    done = run("search", "--index", indexed)
    assert (done.code, done.out) == (2, "")
    assert "--queries" in done.err
    assert run("search", "", "--index", indexed).err.startswith(
        "taskembed: error: the query is empty\n"
    )


def test_no_index_is_said_with_the_way_to_make_one(run: Run, tmp_path: Path) -> None:
    done = run("search", "x", "--index", tmp_path / "nowhere")
    assert done.code == 66
    assert done.err == (
        f"taskembed: error: no index at {tmp_path / 'nowhere'}\n"
        "taskembed: hint: create one: taskembed index CORPUS --task retrieval\n"
    )


@pytest.mark.parametrize("suffix", [".faiss", ".db"])
def test_a_damaged_index_prints_no_hit(run: Run, indexed: Path, suffix: str) -> None:
    path = next(indexed.glob(f"*{suffix}"))
    data = bytearray(path.read_bytes())
    data[data.index(b"Moon") if suffix == ".db" else len(data) // 2] ^= 4
    path.write_bytes(data)
    done = run("search", "moon", "--index", indexed)
    assert (done.code, done.out) == (76, "")
    assert f"the index is damaged: {path}: " in done.err
    assert "its checksum does not match" in done.err
    verified = run("verify", "--index", indexed)
    assert verified.code == 76
    assert verified.out == f"{path.name}: its checksum does not match\n"


def test_an_index_of_a_newer_format_is_refused(run: Run, corpus: Path, indexed: Path) -> None:
    import zlib

    path = max(indexed.glob("manifest-*.json"))
    text = path.read_bytes()[:-16].replace(b'"format": 2', b'"format": 3')
    path.write_bytes(text + b"#crc32 %08x\n" % zlib.crc32(text))
    for arguments in (("search", "moon"), ("index", str(corpus)), ("info",), ("verify",)):
        done = run(*arguments, "--index", indexed)
        assert done.code == 78
        assert done.err == (
            "taskembed: error: the index was written by a newer taskembed: format 3 is not known "
            "here\ntaskembed: hint: upgrade taskembed; nothing was changed\n"
        )


@pytest.mark.skipif(
    os.geteuid() == 0 and not shutil.which("setpriv"),
    reason="root may write anywhere, and there is no setpriv to give that up",
)
def test_search_works_on_a_read_only_folder_and_index_does_not(
    corpus: Path, indexed: Path, cache: Path
) -> None:
    indexed.chmod(0o555)
    searched = taskembed("search", "moon", "--index", indexed, cache=cache, powerless=True)
    assert (searched.code, searched.err) == (0, "")
    (indexed / "LOCK").chmod(0o444)
    done = taskembed("index", corpus, "--index", indexed, cache=cache, powerless=True)
    assert done.code == 77
    assert f"{indexed / 'LOCK'}: Permission denied" in done.err


@pytest.mark.skipif(
    os.geteuid() == 0 and not shutil.which("setpriv"),
    reason="root may read anything, and there is no setpriv to give that up",
)
def test_a_folder_that_may_not_be_read_is_said_so(
    corpus: Path, indexed: Path, cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir(mode=0)
    indexed.chmod(0)
    of_model = ("--model", tmp_path / "model", "--task", "retrieval", "--index", tmp_path / "new")
    for arguments, named in (
        (("search", "moon", "--index", indexed), indexed),
        (("index", corpus, *of_model), tmp_path / "model"),
    ):
        done = taskembed(*arguments, cache=cache, powerless=True)
        assert (done.code, done.out) == (77, "")
        assert done.err.startswith(f"taskembed: error: {named}: Permission denied\n")


# info, verify, models, explain


def test_info_tells_the_space(run: Run, indexed: Path) -> None:
    value = run("info", "--index", indexed, "--json").json
    assert isinstance(value, dict)
    assert (value["documents"], value["segments"], value["generation"]) == (4, 1, 1)
    assert value["space"]["task"] == "retrieval"
    assert value["space"]["dim"] == 384
    assert value["made_by"]["engine"] == "fake"
    assert value["reading"] == {}


def test_verify_says_that_all_is_well(run: Run, indexed: Path) -> None:
    done = run("verify", "--index", indexed)
    assert (done.code, done.out) == (0, "generation 1: 4 files are as they were written\n")


def test_explain_shows_strings_tokens_and_sources(run: Run) -> None:
    done = run("explain", "--task", "retrieval", "hello world")
    assert done.code == 0
    assert "  encoded: 'hello world'\n  tokens: 4 of 256\n    [CLS] hello world [SEP]\n" in done.out
    known = run("explain", "--task", "retrieval", "--model", "intfloat/e5-small-v2", "hello")
    assert "query:\n  prompt: 'query: '\n" in known.out
    assert "document:\n  prompt: 'passage: '\n" in known.out
    assert "the model is not on this machine" in known.out
    assert run("explain", "hello").code == 2


def test_explain_an_index(run: Run, indexed: Path) -> None:
    done = run("explain", "--index", indexed, "hello")
    assert done.code == 0
    assert f"from: the space of the index {indexed}" in done.out


# manners


def test_errors_are_json_when_json_is_asked_for(run: Run, tmp_path: Path) -> None:
    done = run("search", "x", "--index", tmp_path / "nowhere", "--json")
    assert json.loads(done.err) == {
        "error": f"no index at {tmp_path / 'nowhere'}",
        "exit_code": 66,
        "hint": "create one: taskembed index CORPUS --task retrieval",
        "safe_documents": None,
    }


def test_nothing_in_a_document_reaches_a_terminal_raw(
    run: Run, tmp_path: Path, folder: Path
) -> None:
    nasty = "\x1b[31mred\x9b1m\x07\u202ereversed\u200b [bold]markup[/bold]"
    record: dict[str, object] = {"id": "a\u202eb", "text": nasty, "field": nasty}
    path = write_jsonl(tmp_path / "nasty.jsonl", [record])
    assert run("index", path, "--task", "retrieval", "--index", folder).code == 0
    for name in ("table", "json", "jsonl", "tsv", "ids"):
        done = run("search", "x", "--index", folder, "--format", name, "--fields", "field")
        assert done.code == 0
        raw = {character for character in done.out if not character.isprintable()}
        assert raw <= {"\n", "\t"}, (name, raw)
    assert "[bold]" in run("search", "x", "--index", folder, "--format", "table").out
    value = run("search", "x", "--index", folder, "--format", "json").json
    assert isinstance(value, dict)
    assert value["hits"][0]["text"] == nasty


def test_a_spreadsheet_runs_no_cell(run: Run, tmp_path: Path, folder: Path) -> None:
    path = write_jsonl(tmp_path / "f.jsonl", [{"id": "a", "text": "=cmd|' /C calc'!A0"}])
    run("index", path, "--task", "retrieval", "--index", folder)
    out = run("search", "x", "--index", folder, "--format", "tsv").out
    assert out.split("\t")[3] == "'=cmd|' /C calc'!A0\n"


def test_help_version_and_no_command(run: Run) -> None:
    from taskembed import __version__

    assert run("--version").out == run("-V").out == f"taskembed {__version__}\n"
    assert run("--help").out.startswith("Usage: taskembed ")
    assert run().code == 2
    assert run("index").code == 2
    assert run("nonsense").err.startswith("taskembed: error: no such command 'nonsense'")
    assert run("help", "nonsense").err == run("nonsense").err
    assert run("help") == run("--help")
    assert run("help", "cache", "clear") == run("cache", "clear", "--help")


def test_the_shell_completes_commands_options_and_tasks() -> None:
    def completed(words: str) -> list[str]:
        done = subprocess.run(
            [str(Path(sys.executable).parent / "taskembed")],
            env={
                **os.environ,
                "_TASKEMBED_COMPLETE": "complete_bash",
                "COMP_WORDS": words,
                "COMP_CWORD": str(len(words.split(" ")) - 1),
            },
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return done.stdout.split()

    assert completed("taskembed se") == ["search"]
    assert completed("taskembed index --task c") == ["classification", "clustering", "code"]
    assert "--recreate" in completed("taskembed index --rec")


def test_a_bug_is_one_line_and_never_a_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("taskembed.verbs.describe.read_index", broken)
    done = run("info")
    assert done.code == 70
    assert done.err == (
        "taskembed: error: this is a bug: ZeroDivisionError: division by zero\n"
        "taskembed: hint: TASKEMBED_DEBUG=1 shows where; please report it. "
        "What was committed is safe\n"
    )


def test_a_closed_pipe_is_silent(indexed: Path, cache: Path) -> None:
    with start("search", "moon", "--index", indexed, cache=cache) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_behind_stdout_is_an_error(indexed: Path, cache: Path) -> None:
    with Path("/dev/full").open("w") as full:
        process = start("search", "moon", "--index", indexed, cache=cache, stdout=full)
        _, err = process.communicate()
    assert process.returncode == 74
    assert "No space left on device" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_run_and_says_what_is_safe(
    tmp_path: Path, folder: Path, cache: Path, number: signal.Signals
) -> None:
    fifo = tmp_path / "slow.jsonl"
    os.mkfifo(fifo)
    process = start(
        *("index", fifo, "--task", "retrieval", "--index", folder, "--commit-every", "10"),
        cache=cache,
    )
    with fifo.open("w") as stream:
        for position in range(25):
            stream.write(json.dumps({"id": str(position), "text": f"text {position}"}) + "\n")
        stream.flush()
        deadline = time.monotonic() + 30
        while len(list(folder.glob("seg-*.db"))) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert f"taskembed: error: stopped by {number.name}\n" in err
    assert "taskembed: 20 documents are safe in the index\n" in err
    assert "hint: run the same command again to continue\n" in err


def taskembed(
    *arguments: str | Path, cache: Path, stdin: str = "", powerless: bool = False
) -> Result:
    process = start(*arguments, cache=cache, stdin=subprocess.PIPE, powerless=powerless)
    out, err = process.communicate(stdin)
    return Result(process.returncode, out, err)


def start(
    *arguments: str | Path,
    cache: Path,
    stdin: int = subprocess.DEVNULL,
    stdout: int | TextIO = subprocess.PIPE,
    powerless: bool = False,
) -> subprocess.Popen[str]:
    """Start the command; `powerless` gives up root's power over every file."""
    is_root = powerless and os.geteuid() == 0
    before = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if is_root else []
    return subprocess.Popen(
        [*before, sys.executable, "-m", "taskembed.testing", *map(str, arguments)],
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TASKEMBED_CACHE": str(cache)},
    )


def test_the_command_is_installed() -> None:
    assert shutil.which("taskembed", path=str(Path(sys.executable).parent))


def test_stdout_by_its_name_is_stdout(indexed: Path, cache: Path, tmp_path: Path) -> None:
    """A file behind it is neither emptied nor replaced."""
    words = ["search", "moon", "--index", str(indexed), "--format", "ids", "-k", "1"]
    words += ["--cache", str(cache)]
    log = tmp_path / "log"
    for name in ("/dev/stdout", "-", "/dev/fd/3"):
        log.write_text("before\n")
        with log.open("a") as stream:
            command = [sys.executable, "-m", "taskembed.testing", *words, "--output", name]
            subprocess.run(
                ["sh", "-c", 'exec "$@" 3>&1', "sh", *command], stdout=stream, check=True
            )
        lines = log.read_text().splitlines()
        assert (lines[0], len(lines)) == ("before", 2), name
