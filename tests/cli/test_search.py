"""`taskembed search`: what it finds, prints and refuses."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.cli.support import (
    taskembed,
    write_jsonl,
)
from tests.conftest import Run


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
        "of different tasks are in different spaces, so their scores would be meaningless\n"
        "taskembed: hint: leave out --task and --model to search with those of the index; or make "
        "another index: taskembed index CORPUS --task TASK --index OTHER\n"
    )


def test_changed_weights_are_refused(
    run: Run, four_documents: Path, folder: Path, tmp_path: Path
) -> None:
    from tests.plain_models import save_bert

    save_bert(tmp_path / "model", pooling="mean")
    prompts = ("--query-prompt", "q: ", "--document-prompt", "d: ")
    done = run(
        *("index", four_documents, "--task", "retrieval", "--index", folder),
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
    assert run("index", four_documents, "--index", folder).code == 78


def test_an_unknown_model_without_prompts_is_refused(
    run: Run, four_documents: Path, folder: Path, tmp_path: Path
) -> None:
    from tests.plain_models import save_bert

    model = save_bert(tmp_path / "model", pooling="mean")
    done = run("index", four_documents, "--task", "retrieval", "--index", folder, "--model", model)
    assert done.code == 69
    assert f"{model} is not a known model and its files have no prompts for the task" in done.err


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
        "taskembed: hint: create one: taskembed index CORPUS --task retrieval "
        f"--index {tmp_path / 'nowhere'}\n"
    )


@pytest.mark.parametrize(
    ("command", "task"),
    [
        ("similar moon", "similarity"),
        ("dedup", "similarity"),
        ("dedup new.jsonl --against", "similarity"),
        ("classify new.jsonl", "classification"),
        ("cluster", "clustering"),
        ("search x --task clustering", "clustering"),
        ("info", "retrieval"),
    ],
)
def test_a_verb_without_its_index_names_the_command_that_makes_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, task: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("new.jsonl").write_text('{"id": "a", "text": "a"}\n', encoding="utf-8")
    option = [] if command.endswith("--against") else ["--index"]
    done = run(*command.split(), *option, "my index")
    assert (done.code, done.out) == (66, "")
    assert done.err.endswith(
        "taskembed: error: no index at my index\n"
        f"taskembed: hint: create one: taskembed index CORPUS --task {task} --index 'my index'\n"
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


def test_an_index_of_a_newer_format_is_refused(
    run: Run, four_documents: Path, indexed: Path
) -> None:
    import zlib

    path = max(indexed.glob("manifest-*.json"))
    text = path.read_bytes()[:-16].replace(b'"format": 2', b'"format": 3')
    path.write_bytes(text + b"#crc32 %08x\n" % zlib.crc32(text))
    for arguments in (("search", "moon"), ("index", str(four_documents)), ("info",), ("verify",)):
        done = run(*arguments, "--index", indexed)
        assert done.code == 78
        assert done.err == (
            "taskembed: error: the index was written by a newer taskembed: format 3 is unknown "
            "to this version\ntaskembed: hint: upgrade taskembed; nothing was changed\n"
        )


@pytest.mark.skipif(
    os.geteuid() == 0 and not shutil.which("setpriv"),
    reason="root may write anywhere, and there is no setpriv to give that up",
)
def test_search_works_on_a_read_only_folder_and_index_does_not(
    four_documents: Path, indexed: Path, cache: Path
) -> None:
    indexed.chmod(0o555)
    searched = taskembed("search", "moon", "--index", indexed, cache=cache, powerless=True)
    assert (searched.code, searched.err) == (0, "")
    (indexed / "LOCK").chmod(0o444)
    done = taskembed("index", four_documents, "--index", indexed, cache=cache, powerless=True)
    assert done.code == 77
    assert f"{indexed / 'LOCK'}: Permission denied" in done.err


@pytest.mark.skipif(
    os.geteuid() == 0 and not shutil.which("setpriv"),
    reason="root may read anything, and there is no setpriv to give that up",
)
@pytest.mark.slow
def test_a_folder_that_may_not_be_read_is_said_so(
    four_documents: Path, indexed: Path, cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir(mode=0)
    indexed.chmod(0)
    of_model = ("--model", tmp_path / "model", "--task", "retrieval", "--index", tmp_path / "new")
    for arguments, named in (
        (("search", "moon", "--index", indexed), indexed),
        (("index", four_documents, *of_model), tmp_path / "model"),
    ):
        done = taskembed(*arguments, cache=cache, powerless=True)
        assert (done.code, done.out) == (77, "")
        assert done.err.startswith(f"taskembed: error: {named}: Permission denied\n")


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


@pytest.mark.parametrize(("name", "code"), [("q.txt", 2), ("none.jsonl", 66)])
def test_a_file_of_queries_is_looked_at_before_a_model_is_loaded(
    run: Run, indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("taskembed.verbs.opening.encoders.load_encoder_of", never)
    (tmp_path / "q.txt").write_text("moon\n")
    done = run("search", "--queries", tmp_path / name, "--index", indexed)
    assert (done.code, done.out) == (code, "")
    assert name in done.err
